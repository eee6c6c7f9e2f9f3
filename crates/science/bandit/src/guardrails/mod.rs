//! What holds delivery back: money, repetition, and doubt about the engine itself.
//!
//! * [`pacing`]: a budget spent evenly, reserved before it is spent.
//! * [`frequency_cap`]: how often one person may be reached.
//! * [`hold_out`]: people who are never reached, for ever, and what the engine adds, measured by them.
//! * [`champion_challenger`]: a challenger beside the champion, in shadow or with a share, rolled back when it is surely worse.
//! * [`ratio_alarm`]: an alarm when shares are not what they should be.
//!
//! All are plain state machines: event time comes in, snapshots (serde) come out.

pub mod champion_challenger;
pub mod frequency_cap;
pub mod hold_out;
pub mod pacing;
pub mod ratio_alarm;
