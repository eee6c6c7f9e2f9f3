//! The promises of the deliver stage, with the platforms of this crate.
#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

mod decisions;
mod failures;
mod files;
mod kit;
mod withdrawn;
