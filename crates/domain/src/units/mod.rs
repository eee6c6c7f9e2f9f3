//! Types for settings with units: durations, sizes, secrets.
//!
//! Each type is read from text and printed as text, has a JSON Schema, and explains its format in its errors.

mod bytes;
mod duration;
mod offset;
mod secret;
mod zone;

pub use bytes::{ByteSize, InvalidByteSize};
pub use duration::{HumanDuration, InvalidDuration};
pub use offset::{InvalidOffset, UtcOffset};
pub use secret::{ConnectionUrl, Secret};
pub use zone::{CalendarDay, InvalidTimeZone, TimeZone};
