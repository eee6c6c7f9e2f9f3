//! The optimize stage: decides which ad runs, and learns from outcomes. The science is in `limbic-bandit`.

mod accounts;
mod decision;
mod features;
mod guardrails;
mod held_out;
mod pending;
mod policies;
mod stage;
mod state;

pub use features::{context_of, offers_of};
pub use stage::{OptimizeSettings, OptimizeStage};
