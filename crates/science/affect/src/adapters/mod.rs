//! Adapters: small heads over the encoder's outputs that read the sentiment of one kind of posts better than the general model.
//!
//! ```text
//!  text ─▶ encoder ─┬─ pooled state ──┐
//!                   └─ heads ─ logits ┴─▶ general logits + weights · (state, logits) ─▶ negative, neutral, positive
//! ```
//!
//! [`train`] fits an adapter to labelled posts and says what it gains, by cross-validation. It returns no adapter if the gain is not sure.
//! [`Adapter`] is the head with its provenance, as a file. [`Adapters`] are those that the settings name: which of them may read a post
//! depends on its network, its subjects and its language.
//!
//! An adapter changes sentiment, compound and valence, and the intent as far as it follows from them. It never changes emotions, distress,
//! offence, hate or sensitive events: labels of an owner's file must not lower what protects people.
//!
//! # Laws
//!
//! * With weights of 0, an adapter says what the general model says.
//! * A reading names the adapter and a hash of its file, and is a function of text, version and adapter.
//! * A file that is damaged, or was made for another model, is refused when it is opened.

mod choice;
mod examples;
mod file;
mod fit;
mod report;
mod train;

pub(crate) use file::checksum;

pub use choice::{AdapterChoice, AdapterSet, Adapters, ChoiceError, MOST_ADAPTERS, WithAdapters};
pub use examples::{ExamplesError, FEWEST_PER_CLASS, LabelledPost, LeftOut, MOST_POSTS};
pub use file::{Adapter, AdapterError};
pub use report::{ClassReport, Comparison, Report};
pub use train::{Step, Trained, train};

use limbic_domain::Label;

/// The classes, in the order of an adapter's weights.
pub(crate) const CLASSES: [Label; 3] = [Label::Negative, Label::Neutral, Label::Positive];

/// A number for each of the [`CLASSES`].
pub(crate) type PerClass<T> = [T; CLASSES.len()];

/// The name of a class, as in the labels of a file.
pub(crate) const fn name_of(label: Label) -> &'static str {
    match label {
        Label::Negative => "negative",
        Label::Neutral => "neutral",
        Label::Positive => "positive",
    }
}

/// What an adapter sees of a post.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Input {
    /// The pooled state, then the logits of all heads.
    pub(crate) features: Vec<f32>,
    /// The natural logarithms of the general model's probabilities.
    pub(crate) general: PerClass<f32>,
}

/// The softmax of logits.
pub(crate) fn softmax(logits: PerClass<f64>) -> PerClass<f64> {
    let largest = logits.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let powers = logits.map(|logit| (logit - largest).exp());
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// The scalar product of two rows. Eight sums side by side, so that the compiler uses vector instructions; the order of additions is
/// fixed, so the result is the same on every machine.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.into_iter().sum::<f32>() + rest
}
