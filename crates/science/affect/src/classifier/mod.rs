//! A linear classifier of texts over words, pairs of words and parts of words.
//!
//! ```text
//!  text ─▶ normal form ─▶ words, pairs of words, parts of words ─▶ hash ─▶ weights ─▶ probability
//! ```
//!
//! It works in the manner of fastText (Joulin and others, "Bag of tricks for efficient text classification", EACL 2017): it needs no
//! transformer and no graphics card, costs a few microseconds a post, and is the same for every engine. [`events`](crate::events) and
//! [`distress_words`](crate::distress_words) have trained ones.

mod features;
mod train;

pub use train::{Example, Training, train};

/// Says how likely a text belongs to a class.
#[derive(Debug, Clone, PartialEq)]
pub struct TextClassifier {
    bias: f32,
    /// The value of one unit of a weight.
    scale: f32,
    weights: Vec<i8>,
}

/// Buffers that are reused between texts.
#[derive(Debug, Default)]
pub struct ClassifierRoom {
    features: Vec<u32>,
    word: Vec<u8>,
    /// For each byte of the word, the hash of the part that begins there.
    parts: Vec<u32>,
}

impl TextClassifier {
    /// The probability, in `[0, 1]`, that a text in [normal form](crate::normalise) belongs to the class. 0 for a text without words
    /// and emoji.
    pub fn probability(&self, normal: &str, room: &mut ClassifierRoom) -> f64 {
        features::of(normal, room);
        self.of_same_text(room)
    }

    /// The same for the text that another classifier has just read with `room`.
    pub(crate) fn of_same_text(&self, room: &ClassifierRoom) -> f64 {
        if room.features.is_empty() {
            return 0.0;
        }
        let sum: i64 = room
            .features
            .iter()
            .map(|&feature| i64::from(self.weights[feature as usize]))
            .sum();
        let mean = sum as f64 * f64::from(self.scale) / features::norm(room.features.len());
        crate::cues::rounded(1.0 / (1.0 + (-(mean + f64::from(self.bias))).exp()))
    }

    /// Parses the result of [`Self::to_bytes`]. `None` if the bytes have another format or length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (bias, rest) = rest.split_first_chunk::<4>()?;
        let (scale, weights) = rest.split_first_chunk::<4>()?;
        (weights.len() == features::BUCKETS).then(|| Self {
            bias: f32::from_le_bytes(*bias),
            scale: f32::from_le_bytes(*scale),
            weights: weights.iter().map(|byte| byte.cast_signed()).collect(),
        })
    }

    /// The content of the file of weights: format and version, bias, scale, and one byte per weight.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.bias.to_le_bytes());
        bytes.extend_from_slice(&self.scale.to_le_bytes());
        bytes.extend(self.weights.iter().map(|weight| weight.cast_unsigned()));
        bytes
    }
}

/// The first bytes of a file of weights: format and version.
const MAGIC: &[u8] = b"limbic-events-1\n";
