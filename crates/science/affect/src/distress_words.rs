//! Whether a post in a language other than English tells of distress, by its words.
//!
//! The phrases of [`DistressScores`] in these languages are few. The trained head of the model
//! reads English only. So a [`TextClassifier`] over words, pairs of words and parts of words reads Spanish, Portuguese, French, German, Italian and
//! Dutch. From its threshold on, a post has the cue `crisis`: the classifier does not tell the kinds of distress apart. It can only add a
//! cue, never remove one.
//!
//! Its file is `models/distress-words/weights.bin`: `limbic-distress-words-1` and a line feed, the threshold as a 32-bit float, little-endian, and
//! the file of the classifier. The card in that folder describes training, measurements and known errors;
//! `examples/train_distress_words.rs` trains it.

use std::sync::LazyLock;

use crate::cues::{DistressScores, NAMED, rounded, score_from};
use crate::{ClassifierRoom, TextClassifier};

/// The classifier with its threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct DistressWords {
    classifier: TextClassifier,
    threshold: f32,
}

static SHIPPED: LazyLock<DistressWords> = LazyLock::new(|| {
    DistressWords::from_bytes(include_bytes!("../../../../models/distress-words/weights.bin"))
        .expect("the shipped weights are whole")
});

/// The classifier of distress that comes with the program.
pub fn distress_words() -> &'static DistressWords {
    &SHIPPED
}

/// Languages that the shipped weights were trained in.
const LANGUAGES: [&str; 6] = ["es", "fr", "de", "pt", "it", "nl"];
const MAGIC: &[u8] = b"limbic-distress-words-1\n";

impl DistressWords {
    /// A classifier of posts in distress, and the probability in `(0, 1)` from which it says yes.
    pub fn new(classifier: TextClassifier, threshold: f32) -> Self {
        Self {
            classifier,
            threshold,
        }
    }

    /// Whether it reads texts in a language, by its tag.
    pub fn reads(language: &str) -> bool {
        LANGUAGES.contains(&language)
    }

    /// The score of a text in [normal form](crate::normalise): 0 below the threshold; at the threshold, the score from which a kind is among the cues.
    pub fn score(&self, normal: &str, room: &mut ClassifierRoom) -> f64 {
        self.score_of(self.classifier.probability(normal, room))
    }

    /// What it says of the text that another classifier has just read with `room`.
    pub(crate) fn of_same_text(&self, room: &ClassifierRoom) -> DistressScores {
        DistressScores {
            crisis: self.score_of(self.classifier.of_same_text(room)),
            ..DistressScores::default()
        }
    }

    fn score_of(&self, probability: f64) -> f64 {
        let threshold = f64::from(self.threshold);
        if probability < threshold {
            return 0.0;
        }
        rounded(score_from(probability, threshold)).max(NAMED)
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if it is not that.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (threshold, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let threshold = f32::from_le_bytes(*threshold);
        let classifier = TextClassifier::from_bytes(rest)?;
        (threshold > 0.0 && threshold < 1.0).then_some(Self {
            classifier,
            threshold,
        })
    }

    /// The content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.threshold.to_le_bytes());
        bytes.extend(self.classifier.to_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TextExample, TextTraining, normalise, train_classifier};

    fn trained() -> DistressWords {
        let example = |text: &str, is_positive| TextExample {
            text: text.to_owned(),
            is_positive,
            weight: 1.0,
        };
        let examples = [
            example("no puedo más, tengo miedo", true),
            example("murió mi madre y tengo miedo", true),
            example("qué partido, vaya gol", false),
            example("vaya partido, qué tarde", false),
        ];
        DistressWords::new(train_classifier(&examples, &TextTraining::default()), 0.6)
    }

    #[test]
    fn a_text_above_the_threshold_has_a_cue_and_another_has_no_score() {
        let words = trained();
        let score = |text: &str| words.score(&normalise(text), &mut ClassifierRoom::default());
        assert!(score("tengo miedo, no puedo") >= NAMED);
        assert!(score("qué gol, vaya tarde").abs() < f64::EPSILON);
        assert!(score("").abs() < f64::EPSILON);
        assert!((words.score_of(f64::from(words.threshold)) - NAMED).abs() < 1e-9);
    }

    #[test]
    fn it_survives_being_written_and_refuses_another_file() {
        let words = trained();
        let bytes = words.to_bytes();
        assert_eq!(DistressWords::from_bytes(&bytes), Some(words));
        assert_eq!(DistressWords::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(DistressWords::from_bytes(b"something else"), None);
        let mut certain = bytes;
        certain[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&1.0_f32.to_le_bytes());
        assert_eq!(DistressWords::from_bytes(&certain), None);
    }
}
