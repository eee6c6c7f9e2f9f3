//! Whether a text is about a real death, disaster or violence: a *sensitive event*.
//!
//! A [`TextClassifier`] reads it from the words. A list of phrases is not enough: people at a stadium rarely write "died", and people after a
//! defeat often do. Where the model also reads a text, an [`EventHead`] adds what the model's hidden state says.
//!
//! The weights are `models/sensitive-events/weights.bin`. The card in that folder describes the training, the measurements and the
//! known errors. `examples/train_sensitive_events.rs` trains the weights.

mod head;

use std::sync::LazyLock;

pub use head::{EventHead, HeadExample};

use crate::TextClassifier;

static SHIPPED: LazyLock<TextClassifier> = LazyLock::new(|| {
    TextClassifier::from_bytes(include_bytes!(
        "../../../../../models/sensitive-events/weights.bin"
    ))
    .expect("the shipped weights are whole")
});

/// Languages that the shipped weights were trained in.
pub(crate) const LANGUAGES: [&str; 7] = ["en", "es", "fr", "de", "pt", "it", "nl"];

/// The classifier of sensitive events that comes with the program.
pub fn event_classifier() -> &'static TextClassifier {
    &SHIPPED
}
