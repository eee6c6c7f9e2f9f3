//! Worlds to try policies in: everything in them is a function of a seed.

mod tutorial;

pub use tutorial::{Drift, Run, Tutorial};
