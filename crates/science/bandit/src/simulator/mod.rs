//! Simulated environments in which policies are compared. Everything in them is a function of a seed.

mod comparison;
mod tutorial;

pub use comparison::{PolicyResult, RunSummary, SimulatedDecision, compare_policies, default_policies};
pub use tutorial::{ClickRates, Drift, Tutorial};
