//! `config.json`: sizes, tasks with their calibration, and where a post may leave early.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The file as it is written.
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

/// What a model answers about a post, and how its numbers are to be read.
#[derive(Deserialize, Clone, PartialEq, Debug)]
pub struct Task {
    /// The task's name, as in the tensors' names.
    pub name: String,
    /// What its numbers are.
    pub kind: Kind,
    /// One label for each number; a regression has one number and perhaps no label.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What logits are divided by.
    #[serde(default)]
    pub(crate) temperature: Option<f32>,
    /// The same, one for each label.
    #[serde(default)]
    pub(crate) temperatures: Option<Vec<f32>>,
    /// Added to logits after the division.
    #[serde(default)]
    pub(crate) biases: Option<Vec<f32>>,
    /// From which probability on a label is present, one for each label; of sigmoid tasks.
    #[serde(default)]
    pub thresholds: Option<Vec<f32>>,
    /// The least and the largest value of a regression.
    #[serde(default)]
    pub range: Option<[f32; 2]>,
}

/// What a task's numbers are.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One label is true: probabilities that add up to one.
    Softmax,
    /// Any number of labels are true: each its own probability.
    Sigmoid,
    /// A number within the task's range.
    Regression,
}

impl Task {
    /// How many numbers the task answers with.
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

/// One number, or one for each label.
#[derive(Deserialize, Clone, Debug)]
#[serde(untagged)]
pub(crate) enum Numbers {
    One(f32),
    Each(Vec<f32>),
}
