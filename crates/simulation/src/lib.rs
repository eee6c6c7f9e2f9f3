//! A synthetic population: people with moods and temperaments, events that move them, posts whose feeling is known because
//! the simulation put it there, and people who click ads or do not. Everything follows from a seed.

pub mod observer;
mod phrases;
pub mod policies;
mod population;
pub mod report;
pub mod setup;

pub use phrases::SUBJECTS;
pub use population::{EventKind, NETWORK, Population, SimulatedPost};
