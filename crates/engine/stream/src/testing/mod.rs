//! Tools for tests, behind the feature `testing`. Nothing here runs in production.
//!
//! * [`Harness`] drives a stage with records, watermarks, ticks and failures, and checks that the stage is a function of
//!   records, state and time. [`check_batch_boundaries`] checks that batch boundaries do not change its results.
//! * [`MemoryState`] is committed state in memory.
//! * [`record()`] builds records.
//! * [`Wrapped`] is a log whose consumers a test changes.
//! * [`conformance`] is the suite that every backend of the log passes.

pub mod conformance;
mod harness;
mod record;
mod state;
mod wrapped;

pub use harness::{Harness, check_batch_boundaries};
pub use record::{RecordBuilder, record};
pub use state::MemoryState;
pub use wrapped::Wrapped;
