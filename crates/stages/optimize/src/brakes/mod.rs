//! What holds delivery back: money, repetition, and doubt about the engine itself.
//!
//! * [`pacing`]: a budget spent evenly, reserved before it is spent.
//! * [`frequency`]: how often one person may be reached.
//! * [`holdout`]: people who are never reached, for ever, and what the engine adds, measured by them.
//! * [`contest`]: a challenger beside the champion, in shadow or with a share, rolled back when it is surely worse.
//! * [`mismatch`]: an alarm when shares are not what they should be.
//!
//! All are plain state machines: event time comes in, snapshots (serde) come out.

pub mod contest;
pub mod frequency;
pub mod holdout;
pub mod mismatch;
pub mod pacing;
