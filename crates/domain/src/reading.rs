//! What a post feels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConsentState, PostRef, Probability, Pseudonym, Record, Slug};

/// Which way a text leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Unfavourable.
    Negative,
    /// Neither.
    Neutral,
    /// Favourable.
    Positive,
}

/// The sentiment of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sentiment {
    /// The leaning.
    pub label: Label,
    /// Share of each leaning, adding up to 1 within rounding (VADER's `neg`, `neu`, `pos`; a model's probabilities).
    pub scores: BTreeMap<String, f64>,
    /// From -1 (most negative) to 1 (most positive).
    pub compound: f64,
}

/// Emotions by name (`joy`, `anger`, `fear`, `sadness`...), each in `[0, 1]`, independent of each other.
/// Names a reader cannot tell are absent, not zero.
pub type Emotions = BTreeMap<String, f64>;

/// Cues of grief, fear, crisis or self-harm (DESIGN, law 8). Tuned for recall: it protects people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distress {
    /// How likely the author is in distress.
    pub score: Probability,
    /// The kinds of cue that were found: `grief`, `fear`, `crisis`, `self_harm`, in that order.
    pub cues: Vec<String>,
}

/// Which reader made a reading: `vader-3.3.2`, `minilm-l6-…`. Two readings of one version agree bit for bit.
pub type ModelVersion = String;

/// What one text feels: the answer of an affect engine, before it is tied to a post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Affect {
    /// Negative, neutral, positive, and how far.
    pub sentiment: Sentiment,
    /// Emotions that the reader can tell.
    pub emotions: Emotions,
    /// Pleasantness in `[-1, 1]`.
    pub valence: f64,
    /// Activation in `[0, 1]`.
    pub arousal: f64,
    /// Cues of distress.
    pub distress: Distress,
    /// BCP 47 tag of the language as read, or `und`.
    pub language: String,
    /// Which reader made it.
    pub model: ModelVersion,
}

/// A post's affect. Its envelope's `at` is the post's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reading {
    /// Which post.
    pub post: PostRef,
    /// Who wrote it.
    pub author: Pseudonym,
    /// What it feels.
    #[serde(flatten)]
    pub affect: Affect,
    /// As in the post.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Slug>,
    /// As in the post.
    #[serde(default)]
    pub consent: ConsentState,
    /// As in the post.
    #[serde(default)]
    pub minor: bool,
}

impl Record for Reading {
    const TYPE: &'static str = "reading";
    const VERSION: u32 = 1;
}
