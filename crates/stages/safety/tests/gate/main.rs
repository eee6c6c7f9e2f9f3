//! What the gate promises.
#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

mod audience;
mod kit;
mod reviews;
mod rules;
mod stage;
