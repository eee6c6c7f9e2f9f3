//! Simulated environments in which policies are compared. Everything in them is a function of a seed.

mod comparison;
mod feelings;
mod spending;
mod tutorial;

pub use comparison::{
    LearningCurve, LearningPoint, MeanOfRuns, PolicyResult, RunSummary, SimulatedDecision, compare_policies,
    default_policies, learning_curves,
};
pub use feelings::Feelings;
pub use spending::{Spending, Spent};
pub use tutorial::{ClickRates, Drift, Tutorial};
