//! From a text to what it feels. So far: its sentiment, by [`Vader`].

mod vader;

pub use vader::{Scores, Scratch, Vader};
