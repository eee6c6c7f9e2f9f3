//! Deterministic simulation of the log and of the runtime above it.
//!
//! A *schedule* is a function of its seed. On one thread it publishes, moves two instances of a stage with state and one of a
//! stage with a database turn by turn, and lets them interrupt each other inside their calls of the log. Meanwhile flushes and
//! writes fail, the disk fills up, clocks jump, the database goes away or steps back, instances die, and the process is killed
//! or the machine loses its power at any change of any file. At the end the faults stop, everything runs until it is at rest,
//! and [`oracle`] compares what is there with what was acknowledged.
//!
//! ```text
//!   schedule ──▶ publisher, instances (runtime), retention, compaction, faults
//!                     │ log: every call may be interrupted, or be the last one
//!                     ▼
//!   EmbeddedLog: committer, groups, recovery, journals ── all real
//!                     ▼
//!   database (a model of fjall, same journal format) ──▶ files (in memory; torn, reordered, dropped and flipped bits)
//! ```
//!
//! `LIMBIC_SIMULATE_SEED=N cargo test -p limbic-stream-embedded --lib simulation` repeats one schedule;
//! `scripts/simulate-log` runs many.

pub(crate) mod database;
pub(crate) mod files;
mod log;
mod oracle;
mod schedule;
mod stages;
mod tests;
