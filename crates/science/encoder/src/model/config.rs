//! `config.json`: sizes, tasks with their calibration, and early exits.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The content of the file.
#[derive(Deserialize, Debug)]
pub(crate) struct Config {
    pub(crate) format: u32,
    pub(crate) version: String,
    pub(crate) hidden_size: usize,
    pub(crate) layers: usize,
    pub(crate) attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) layer_norm_eps: f32,
    pub(crate) max_tokens: usize,
    pub(crate) tasks: Vec<Task>,
    #[serde(default)]
    pub(crate) exits: Vec<Exits>,
    #[serde(default)]
    pub(crate) sha256: BTreeMap<String, String>,
}

/// A task of a model, and how to interpret its numbers.
#[derive(Deserialize, Clone, PartialEq, Debug)]
pub struct Task {
    /// Name of the task, as in the names of the tensors.
    pub name: String,
    /// The kind of numbers.
    pub kind: TaskKind,
    /// One label per number. A regression has one number and may have no label.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Divisor of the logits.
    #[serde(default)]
    pub(crate) temperature: Option<f32>,
    /// Divisors of the logits, one per label.
    #[serde(default)]
    pub(crate) temperatures: Option<Vec<f32>>,
    /// Added to the logits after the division.
    #[serde(default)]
    pub(crate) biases: Option<Vec<f32>>,
    /// For sigmoid tasks: the probability from which a label is present, one per label.
    #[serde(default)]
    pub thresholds: Option<Vec<f32>>,
    /// Smallest and largest value of a regression.
    #[serde(default)]
    pub range: Option<[f32; 2]>,
}

/// The kind of numbers of a task.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// Exactly one label is true: probabilities that sum to 1.
    Softmax,
    /// Any number of labels are true: a probability per label.
    Sigmoid,
    /// A number within the task's range.
    Regression,
}

impl Task {
    /// Number of values per post.
    #[must_use]
    pub fn width(&self) -> usize {
        self.labels.len().max(1)
    }
}

/// Heads after a layer before the last.
#[derive(Deserialize, Debug)]
pub(crate) struct Exits {
    pub(crate) layer: usize,
    pub(crate) tasks: Vec<String>,
    #[serde(default, alias = "temperature")]
    pub(crate) temperatures: BTreeMap<String, Numbers>,
    #[serde(default)]
    pub(crate) biases: BTreeMap<String, Vec<f32>>,
    #[serde(default)]
    pub(crate) confidence: BTreeMap<String, f32>,
}

/// One number, or one per label.
#[derive(Deserialize, Clone, Debug)]
#[serde(untagged)]
pub(crate) enum Numbers {
    One(f32),
    Each(Vec<f32>),
}
