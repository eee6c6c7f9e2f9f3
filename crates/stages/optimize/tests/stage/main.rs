//! The optimize stage: reads creatives and outcomes, writes decisions.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod decisions;
#[path = "../harness/mod.rs"]
mod harness;
mod kit;
mod learning;
mod people;
mod propensities;
