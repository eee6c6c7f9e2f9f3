//! Worlds to try policies in: everything in them is a function of a seed.

mod tournament;
mod tutorial;

pub use tournament::{Situation, Spread, Standing, every_policy, tournament};
pub use tutorial::{Drift, Run, Tutorial};
