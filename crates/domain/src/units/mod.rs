//! Values as people write them in settings: durations, sizes, secrets.
//!
//! Each reads and writes text, describes itself as a JSON Schema, and explains in its error how the value is written.

mod bytes;
mod duration;
mod offset;
mod secret;

pub use bytes::{ByteSize, InvalidByteSize};
pub use duration::{HumanDuration, InvalidDuration};
pub use offset::{InvalidOffset, UtcOffset};
pub use secret::{ConnectionUrl, Secret};
