//! The engines that are measured, and their predictions for the posts of a set.

use std::path::Path;

use limbic_domain::{Affect, Label};
use limbic_encoder::Task;

use super::sets::{self, Set, SetError, Split, Truth};
use crate::threads::in_threads;
use crate::{AffectEngine, LexiconReader, ModelReader, Numbers, Vader};

/// Score from which an emotion of the lexicon counts as present: its weakest cue alone is below.
const LEXICON_THRESHOLD: f64 = 0.35;
/// Threshold of a label for which the model has none.
const MODEL_THRESHOLD: f32 = 0.5;
/// Posts per call of a thread.
pub(super) const CHUNK: usize = 256;

/// An engine that is measured.
pub enum MeasuredEngine {
    /// A trained model.
    Model {
        /// Name of the column.
        name: String,
        /// The engine.
        reader: Box<ModelReader>,
    },
    /// The lexicon engine, with the built-in names.
    Lexicon(LexiconReader),
    /// VADER alone.
    Vader(Vader),
    /// The most frequent class of the training split: the baseline.
    Majority,
}

/// Predictions for the posts of a set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Predicted {
    Classes(Vec<usize>),
    Labels(Vec<u32>),
    Numbers(Vec<f64>),
}

/// Predictions of an engine and their confidence.
pub(super) struct Predictions {
    pub(super) predicted: Predicted,
    /// Pairs of a confidence and whether the prediction was right, for the calibration error.
    pub(super) confidence: Vec<(f64, bool)>,
    /// Number of posts that left the encoder early.
    pub(super) early: usize,
}

impl MeasuredEngine {
    /// Name of the column.
    pub fn name(&self) -> &str {
        match self {
            Self::Model { name, .. } => name,
            Self::Lexicon(_) => "lexicon",
            Self::Vader(_) => "VADER",
            Self::Majority => "majority",
        }
    }

    /// The predictions for the posts of the set; `None` if the engine does not support the task.
    pub(super) fn predict(
        &self,
        set: &Set,
        task: &str,
        data: &Path,
    ) -> Result<Option<Predictions>, SetError> {
        let texts: Vec<&str> = set.texts.iter().map(String::as_str).collect();
        let plain = |predicted: Predicted| Predictions {
            predicted,
            confidence: Vec::new(),
            early: 0,
        };
        Ok(match self {
            Self::Model { reader, .. } => model(reader, set, task, &texts),
            Self::Lexicon(reader) => lexicon(
                &in_threads(&texts, CHUNK, |part| reader.read(part)),
                set,
                task,
                data,
            )?
            .map(plain),
            Self::Vader(vader) => {
                let compounds: Vec<f64> = texts.iter().map(|text| vader.score(text).compound).collect();
                by_compound(&compounds, task).map(plain)
            }
            Self::Majority => majority(&sets::load(data, task, Split::Train)?, set.texts.len()).map(plain),
        })
    }
}

fn model(reader: &ModelReader, set: &Set, task: &str, texts: &[&str]) -> Option<Predictions> {
    let place = reader.tasks().iter().position(|known| known.name == task)?;
    let known = &reader.tasks()[place];
    let order = order(known, set)?;
    let numbers: Vec<Numbers> = in_threads(texts, CHUNK, |part| reader.numbers(part));
    let answers: Vec<&[f32]> = numbers
        .iter()
        .map(|numbers| numbers.task(place))
        .collect::<Option<_>>()?;
    let last = numbers.iter().map(Numbers::layer).max().unwrap_or(0);
    let early = numbers.iter().filter(|numbers| numbers.layer() < last).count();
    let (predicted, confidence) = match &set.truth {
        Truth::Classes(truth) => {
            let likeliest = |answer: &&[f32]| {
                let sure = |class: &usize| answer[order[*class]];
                (0..order.len())
                    .rev()
                    .max_by(|a, b| sure(a).total_cmp(&sure(b)))
                    .unwrap_or(0)
            };
            let predicted: Vec<usize> = answers.iter().map(likeliest).collect();
            let pairs = predicted.iter().zip(&answers).zip(truth);
            let confidence = pairs
                .map(|((predicted, answer), truth)| {
                    (f64::from(answer[order[*predicted]]), predicted == truth)
                })
                .collect();
            (Predicted::Classes(predicted), confidence)
        }
        Truth::Labels(truth) => {
            let threshold = |label: usize| {
                known
                    .thresholds
                    .as_ref()
                    .map_or(MODEL_THRESHOLD, |all| all[label])
            };
            let set_of = |answer: &&[f32]| {
                let named = order
                    .iter()
                    .enumerate()
                    .filter(|(_, label)| answer[**label] >= threshold(**label));
                named.fold(0, |set, (bit, _)| set | 1 << bit)
            };
            let pairs = answers.iter().zip(truth);
            let confidence = pairs
                .flat_map(|(answer, truth)| {
                    order
                        .iter()
                        .enumerate()
                        .map(move |(bit, label)| (f64::from(answer[*label]), truth >> bit & 1 == 1))
                })
                .collect();
            (
                Predicted::Labels(answers.iter().map(set_of).collect()),
                confidence,
            )
        }
        Truth::Numbers(_) => (
            Predicted::Numbers(answers.iter().map(|answer| f64::from(answer[0])).collect()),
            Vec::new(),
        ),
    };
    Some(Predictions {
        predicted,
        confidence,
        early,
    })
}

/// Index in the model of each label of the set: by name, or by position for a no and a yes.
fn order(known: &Task, set: &Set) -> Option<Vec<usize>> {
    let by_name = |label: &String| known.labels.iter().position(|other| other == label);
    let named: Option<Vec<usize>> = set.labels.iter().map(by_name).collect();
    named
        .or_else(|| (set.labels.len() == 2 && known.labels.len() == 2).then(|| vec![0, 1]))
        .or_else(|| matches!(set.truth, Truth::Numbers(_)).then(|| vec![0]))
}

fn lexicon(readings: &[Affect], set: &Set, task: &str, data: &Path) -> Result<Option<Predicted>, SetError> {
    let score = |reading: &Affect, name: &str| reading.emotions.get(name).copied().unwrap_or(0.0);
    Ok(match task {
        "sentiment" => Some(Predicted::Classes(
            readings
                .iter()
                .map(|reading| class_of(reading.sentiment.label))
                .collect(),
        )),
        "emotion" => {
            let commonest = majority(&sets::load(data, task, Split::Train)?, 1);
            let commonest = match commonest {
                Some(Predicted::Classes(classes)) => classes[0],
                _ => 0,
            };
            let strongest = |reading: &Affect| {
                let hope = f64::max(score(reading, "trust"), score(reading, "anticipation"));
                let scores = [
                    score(reading, "anger"),
                    score(reading, "joy"),
                    hope,
                    score(reading, "sadness"),
                ];
                let best = scores.iter().copied().fold(0.0, f64::max);
                // A post without a cue gets the most frequent class.
                scores
                    .iter()
                    .position(|score| *score >= best && best > 0.0)
                    .unwrap_or(commonest)
            };
            Some(Predicted::Classes(readings.iter().map(strongest).collect()))
        }
        "goemotions" | "ec" => {
            let set_of = |reading: &Affect| {
                let named = set
                    .labels
                    .iter()
                    .enumerate()
                    .filter(|(_, label)| score(reading, label) >= LEXICON_THRESHOLD);
                let found = named.fold(0_u32, |found, (bit, _)| found | 1 << bit);
                let neutral = set.labels.iter().position(|label| label == "neutral");
                if found == 0 {
                    neutral.map_or(0, |bit| 1 << bit)
                } else {
                    found
                }
            };
            Some(Predicted::Labels(readings.iter().map(set_of).collect()))
        }
        "valence" => Some(Predicted::Numbers(
            readings.iter().map(|reading| reading.valence).collect(),
        )),
        _ => task
            .strip_prefix("ei_")
            .map(|name| Predicted::Numbers(readings.iter().map(|reading| score(reading, name)).collect())),
    })
}

fn class_of(label: Label) -> usize {
    match label {
        Label::Negative => 0,
        Label::Neutral => 1,
        Label::Positive => 2,
    }
}

/// Predictions from the compound alone: sentiment, valence, joy, and the intensity of the three unpleasant emotions.
fn by_compound(compounds: &[f64], task: &str) -> Option<Predicted> {
    const LEANING: f64 = 0.05;
    let class = |compound: &f64| match *compound {
        c if c >= LEANING => 2,
        c if c <= -LEANING => 0,
        _ => 1,
    };
    match task {
        "sentiment" => Some(Predicted::Classes(compounds.iter().map(class).collect())),
        "valence" | "ei_joy" => Some(Predicted::Numbers(compounds.to_vec())),
        "ei_anger" | "ei_fear" | "ei_sadness" => Some(Predicted::Numbers(
            compounds.iter().map(|compound| -compound).collect(),
        )),
        _ => None,
    }
}

/// The most frequent class or label of `train`; `None` for numbers.
fn majority(train: &Set, posts: usize) -> Option<Predicted> {
    let commonest = |counts: &[usize]| {
        let places = (0..counts.len()).rev();
        places.max_by_key(|place| counts[*place]).unwrap_or(0)
    };
    let mut counts = vec![0; train.labels.len()];
    match &train.truth {
        Truth::Classes(classes) => {
            for class in classes {
                counts[*class] += 1;
            }
            Some(Predicted::Classes(vec![commonest(&counts); posts]))
        }
        Truth::Labels(sets) => {
            for set in sets {
                counts
                    .iter_mut()
                    .enumerate()
                    .for_each(|(bit, count)| *count += (set >> bit & 1) as usize);
            }
            Some(Predicted::Labels(vec![1 << commonest(&counts); posts]))
        }
        Truth::Numbers(_) => None,
    }
}
