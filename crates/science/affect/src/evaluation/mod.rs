//! Measures the quality of engines on public data sets.
//!
//! Each task has the measure of its organisers ([`measures`]) with a bootstrap interval, and the calibration error of
//! engines that give probabilities. VADER and the most frequent class are the baselines. A model is measured by its own
//! outputs, for posts in any language.

mod bootstrap;
mod engines;
mod equity;
pub mod measures;
mod sets;

use std::path::PathBuf;

use serde::Serialize;

pub(crate) use bootstrap::score;
pub use bootstrap::{Draws, Score};
pub use engines::MeasuredEngine;
pub use equity::{Difference, Equity};
pub use sets::{SetError, Split, TASKS};

use engines::{Predicted, Predictions};
use sets::{Set, Truth};

use crate::emotions::ekman_of;

/// Bins of the calibration error.
const BINS: usize = 15;

/// Options of a measurement.
pub struct Options {
    /// Folder of the public data sets.
    pub data: PathBuf,
    /// Names from [`TASKS`], and `equity`. Empty: all.
    pub tasks: Vec<String>,
    /// The split of the data sets.
    pub split: Split,
    /// Settings of the intervals.
    pub draws: Draws,
}

/// Name of the bias test among the tasks.
pub const EQUITY: &str = "equity";

/// One measure of one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Name of the engine.
    pub engine: String,
    /// The measure, with its interval.
    #[serde(flatten)]
    pub score: Score,
}

/// One measure of a task, for every engine that supports it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Name of the measure.
    pub measure: String,
    /// Results by engine.
    pub engines: Vec<Cell>,
}

/// Calibration of an engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Name of the engine.
    pub engine: String,
    /// Expected calibration error: of the most likely class, or over all pairs of a post and a label.
    pub error: f64,
    /// Fraction of the posts that left the encoder early.
    pub early: f64,
}

/// The results of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// Name of the task.
    pub task: String,
    /// Name of the data set.
    pub set: String,
    /// Number of posts.
    pub posts: usize,
    /// The measures; that of the organisers is first.
    pub measures: Vec<Measured>,
    /// Calibration of the engines that give probabilities.
    pub calibration: Vec<Calibration>,
}

/// The results of all tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Results by task.
    pub tasks: Vec<TaskReport>,
    /// Results of the bias test.
    pub equity: Vec<Equity>,
    /// Settings of the intervals.
    pub draws: Draws,
}

/// Progress of a measurement.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Steps done.
    pub done: usize,
    /// Number of all steps.
    pub of: usize,
    /// The next task.
    pub task: &'a str,
    /// The next engine.
    pub engine: &'a str,
}

/// Measures all engines on all selected tasks.
pub fn evaluate(
    options: &Options,
    engines: &[MeasuredEngine],
    mut progress: impl FnMut(Step<'_>),
) -> Result<Report, SetError> {
    let all: Vec<&str> = TASKS.iter().copied().chain([EQUITY]).collect();
    if let Some(unknown) = options.tasks.iter().find(|task| !all.contains(&task.as_str())) {
        return Err(SetError::Unknown(unknown.clone()));
    }
    let wanted: Vec<&str> = all
        .into_iter()
        .filter(|task| options.tasks.is_empty() || options.tasks.iter().any(|wanted| wanted == task))
        .collect();
    let of = wanted.len() * engines.len();
    let mut done = 0;
    let mut report = Report {
        tasks: Vec::new(),
        equity: Vec::new(),
        draws: options.draws,
    };
    for task in wanted {
        let mut step = |engine: &str| {
            progress(Step {
                done,
                of,
                task,
                engine,
            });
            done += 1;
        };
        if task == EQUITY {
            let sentences = sets::equity(&options.data)?;
            for engine in engines {
                step(engine.name());
                report.equity.extend(equity::measure(engine, &sentences));
            }
            continue;
        }
        let set = sets::load(&options.data, task, options.split)?;
        let mut predictions = Vec::new();
        for engine in engines {
            step(engine.name());
            predictions.extend(
                engine
                    .predict(&set, task, &options.data)?
                    .map(|prediction| (engine.name(), prediction)),
            );
        }
        report.tasks.push(table(task, &set, &predictions, options.draws));
    }
    Ok(report)
}

fn table(task: &str, set: &Set, predictions: &[(&str, Predictions)], draws: Draws) -> TaskReport {
    let named = |measure: &str, of: &dyn Fn(&Predicted) -> Option<Score>| Measured {
        measure: measure.to_owned(),
        engines: predictions
            .iter()
            .filter_map(|(engine, prediction)| {
                Some(Cell {
                    engine: (*engine).to_owned(),
                    score: of(&prediction.predicted)?,
                })
            })
            .collect(),
    };
    let measures = match &set.truth {
        Truth::Classes(truth) => {
            let classes = set.labels.len();
            let by = |measure: &dyn Fn(&[usize], &[usize]) -> f64, predicted: &Predicted| match predicted {
                Predicted::Classes(predicted) => Some(score(truth, predicted, draws, measure)),
                _ => None,
            };
            let macro_f1 = |t: &[usize], s: &[usize]| measures::macro_f1(t, s, classes);
            let macro_recall = |t: &[usize], s: &[usize]| measures::macro_recall(t, s, classes);
            let of_yes = |t: &[usize], s: &[usize]| measures::class_f1(t, s, 1);
            let first = match task {
                "sentiment" => named("macro-recall", &|predicted| by(&macro_recall, predicted)),
                "irony" => named("F1 of irony", &|predicted| by(&of_yes, predicted)),
                _ => named("macro-F1", &|predicted| by(&macro_f1, predicted)),
            };
            let second = matches!(task, "sentiment" | "irony")
                .then(|| named("macro-F1", &|predicted| by(&macro_f1, predicted)));
            std::iter::once(first).chain(second).collect()
        }
        Truth::Labels(truth) => {
            let labels = set.labels.len();
            let by = |measure: &dyn Fn(&[u32], &[u32]) -> f64, predicted: &Predicted| match predicted {
                Predicted::Labels(predicted) => Some(score(truth, predicted, draws, measure)),
                _ => None,
            };
            let macro_f1 = |t: &[u32], s: &[u32]| measures::labels_macro_f1(t, s, labels);
            let mut all = Vec::new();
            if task == "ec" {
                all.push(named("Jaccard", &|predicted| by(&measures::jaccard, predicted)));
            }
            all.push(named(&format!("macro-F1 of {labels}"), &|predicted| {
                by(&macro_f1, predicted)
            }));
            all.push(named("micro-F1", &|predicted| {
                by(&measures::labels_micro_f1, predicted)
            }));
            if task == "goemotions" {
                all.push(ekman(set, truth, predictions, draws));
            }
            all
        }
        Truth::Numbers(truth) => vec![named("Pearson", &|predicted| match predicted {
            Predicted::Numbers(predicted) => Some(score(truth, predicted, draws, measures::pearson)),
            _ => None,
        })],
    };
    TaskReport {
        task: task.to_owned(),
        set: set.name.clone(),
        posts: set.texts.len(),
        measures,
        calibration: predictions
            .iter()
            .filter(|(_, prediction)| !prediction.confidence.is_empty())
            .map(|(engine, prediction)| Calibration {
                engine: (*engine).to_owned(),
                error: measures::calibration_error(prediction.confidence.iter().copied(), BINS),
                early: prediction.early as f64 / set.texts.len().max(1) as f64,
            })
            .collect(),
    }
}

/// The labels of `GoEmotions` as Ekman's six categories and `neutral`: a category is present if any of its labels is.
fn ekman(set: &Set, truth: &[u32], predictions: &[(&str, Predictions)], draws: Draws) -> Measured {
    let mut names: Vec<&str> = Vec::new();
    let homes: Vec<usize> = set
        .labels
        .iter()
        .map(|label| {
            let name = ekman_of(label).unwrap_or("neutral");
            names.iter().position(|other| *other == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        })
        .collect();
    let view = |sets: &[u32]| -> Vec<u32> {
        let of = |set: &u32| {
            homes
                .iter()
                .enumerate()
                .fold(0, |seen, (bit, home)| seen | (set >> bit & 1) << home)
        };
        sets.iter().map(of).collect()
    };
    let truth = view(truth);
    let measure = |t: &[u32], s: &[u32]| measures::labels_macro_f1(t, s, names.len());
    let cell = |(engine, prediction): &(&str, Predictions)| match &prediction.predicted {
        Predicted::Labels(predicted) => Some(Cell {
            engine: (*engine).to_owned(),
            score: score(&truth, &view(predicted), draws, measure),
        }),
        _ => None,
    };
    Measured {
        measure: format!("macro-F1 of Ekman's {}", names.len()),
        engines: predictions.iter().filter_map(cell).collect(),
    }
}
