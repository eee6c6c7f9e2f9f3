//! Guardrails: limits on spending and on contacts, and tests of the engine itself.
//!
//! * [`pacing`]: spends a budget evenly; money is reserved before it is spent.
//! * [`frequency_cap`]: limits how often one person is reached.
//! * [`hold_out`]: people who are never reached.
//! * [`lift`]: what ads add, measured against the people who are held out.
//! * [`champion_challenger`]: tests a challenger in shadow or live mode and rolls it back if it is significantly
//!   worse.
//! * [`ratio_alarm`]: detects shares that differ from the intended ones.
//!
//! All are state machines without I/O. Event time is an argument, and their state is serialisable.

pub mod champion_challenger;
pub mod frequency_cap;
pub mod hold_out;
pub mod lift;
pub mod pacing;
pub mod ratio_alarm;
