//! The optimize stage: decides which ad runs, and learns from outcomes.
//!
//! ```text
//!  creatives ─▶ people left? ─▶ policy draws ─▶ price reserved? ─▶ decisions
//!               (hold-out,       (champion or     (pacing)             │
//!                frequency cap)   challenger)                          ▼ open decision, in the state
//!  outcomes ──▶ attribution ─▶ reward ─▶ policies learn ◀──────────────┘
//! ```
//!
//! The stage connects the log with the science: policies, propensities, rewards and guardrails are in
//! [`limbic_bandit`]. It does not create or clear creatives, and does not deliver decisions.
//!
//! # Example
//!
//! ```
//! use limbic_optimize::{OptimizeSettings, OptimizeStage};
//!
//! let stage = OptimizeStage::new(OptimizeSettings::default())?;
//! assert_eq!(&*stage.spec().name, "optimize");
//! # Ok::<(), limbic_bandit::PolicyError>(())
//! ```
//!
//! # Laws
//!
//! * Only a set of creatives that a safety gate has cleared is decided on. Other sets go to the dead-letter topic.
//! * A decision is a function of the record, the state and the settings: a repeated call gives the same decision.
//! * [`Decision::people`](limbic_domain::Decision) contains no person who is held out or has reached a frequency cap.
//! * A reservation is settled or released exactly once.
//! * What a campaign's policy has learned is published to the compacted topic `posteriors` after each change, at most
//!   once in ten seconds of event time ([`Posterior`](limbic_domain::Posterior)).

mod attribution;
mod component;
mod decision;
mod features;
mod guardrails;
mod held_out;
mod loaded_policy;
mod meters;
mod open_decision;
mod policies;
mod posteriors;
mod results;
mod stage;
mod state;

pub use features::{context_of, offers_of};
pub use meters::OptimizeMeters;
pub use stage::{OptimizeSettings, OptimizeStage};
