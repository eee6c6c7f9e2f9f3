//! How well readers read, measured on the public sets.
//!
//! Each task by its organisers' own measure ([`measures`]) with a bootstrap interval, the calibration error of those who say
//! how sure they are, and everyone beside VADER and the commonest class. What is measured of a model is its own numbers,
//! whatever language a post seems to be in.

mod bootstrap;
mod equity;
mod judges;
pub mod measures;
mod sets;

use std::path::PathBuf;

use serde::Serialize;

pub use bootstrap::{Draws, Score};
pub use equity::{Difference, Equity};
pub use judges::Judge;
pub use sets::{SetError, Split, TASKS};

use judges::{Opinion, Said};
use sets::{Set, Truth};

use crate::emotions::ekman_of;

/// Bins of the calibration error.
const BINS: usize = 15;

/// What is to be measured.
pub struct Options {
    /// The folder of public data sets.
    pub data: PathBuf,
    /// Names of [`TASKS`], and `equity`; empty = all.
    pub tasks: Vec<String>,
    /// Which posts.
    pub split: Split,
    /// The intervals.
    pub draws: Draws,
}

/// The name of the bias test among the tasks.
pub const EQUITY: &str = "equity";

/// One measure of one judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Who.
    pub engine: String,
    /// How well, with its interval.
    #[serde(flatten)]
    pub score: Score,
}

/// One measure of a task, of everyone who has a word on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The measure's name.
    pub measure: String,
    /// By judge.
    pub engines: Vec<Cell>,
}

/// How well calibrated a judge is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Who.
    pub engine: String,
    /// Expected calibration error: of the likeliest class, or over all pairs of a post and a label.
    pub error: f64,
    /// Share of posts that left the encoder early.
    pub early: f64,
}

/// A task's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// The task.
    pub task: String,
    /// Which posts.
    pub set: String,
    /// How many.
    pub posts: usize,
    /// Its measures, the organisers' own first.
    pub measures: Vec<Measured>,
    /// Of those who say how sure they are.
    pub calibration: Vec<Calibration>,
}

/// All tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// By task.
    pub tasks: Vec<TaskReport>,
    /// The bias test.
    pub equity: Vec<Equity>,
    /// Of the intervals.
    pub draws: Draws,
}

/// Where a measurement stands.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Steps done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
    /// What comes now.
    pub task: &'a str,
    /// Of whom.
    pub engine: &'a str,
}

/// Measures all judges.
pub fn evaluate(
    options: &Options,
    judges: &[Judge],
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
    let of = wanted.len() * judges.len();
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
            for judge in judges {
                step(judge.name());
                report.equity.extend(equity::measure(judge, &sentences));
            }
            continue;
        }
        let set = sets::load(&options.data, task, options.split)?;
        let mut opinions = Vec::new();
        for judge in judges {
            step(judge.name());
            opinions.extend(
                judge
                    .opinion(&set, task, &options.data)?
                    .map(|opinion| (judge.name(), opinion)),
            );
        }
        report.tasks.push(table(task, &set, &opinions, options.draws));
    }
    Ok(report)
}

fn table(task: &str, set: &Set, opinions: &[(&str, Opinion)], draws: Draws) -> TaskReport {
    let named = |measure: &str, of: &dyn Fn(&Said) -> Option<Score>| Measured {
        measure: measure.to_owned(),
        engines: opinions
            .iter()
            .filter_map(|(engine, opinion)| {
                Some(Cell {
                    engine: (*engine).to_owned(),
                    score: of(&opinion.said)?,
                })
            })
            .collect(),
    };
    let measures = match &set.truth {
        Truth::Classes(truth) => {
            let classes = set.labels.len();
            let by = |measure: &dyn Fn(&[usize], &[usize]) -> f64, said: &Said| match said {
                Said::Classes(said) => Some(bootstrap::score(truth, said, draws, measure)),
                _ => None,
            };
            let macro_f1 = |t: &[usize], s: &[usize]| measures::macro_f1(t, s, classes);
            let macro_recall = |t: &[usize], s: &[usize]| measures::macro_recall(t, s, classes);
            let of_yes = |t: &[usize], s: &[usize]| measures::class_f1(t, s, 1);
            let first = match task {
                "sentiment" => named("macro-recall", &|said| by(&macro_recall, said)),
                "irony" => named("F1 of irony", &|said| by(&of_yes, said)),
                _ => named("macro-F1", &|said| by(&macro_f1, said)),
            };
            let second =
                matches!(task, "sentiment" | "irony").then(|| named("macro-F1", &|said| by(&macro_f1, said)));
            std::iter::once(first).chain(second).collect()
        }
        Truth::Labels(truth) => {
            let labels = set.labels.len();
            let by = |measure: &dyn Fn(&[u32], &[u32]) -> f64, said: &Said| match said {
                Said::Labels(said) => Some(bootstrap::score(truth, said, draws, measure)),
                _ => None,
            };
            let macro_f1 = |t: &[u32], s: &[u32]| measures::labels_macro_f1(t, s, labels);
            let mut all = Vec::new();
            if task == "ec" {
                all.push(named("Jaccard", &|said| by(&measures::jaccard, said)));
            }
            all.push(named(&format!("macro-F1 of {labels}"), &|said| {
                by(&macro_f1, said)
            }));
            all.push(named("micro-F1", &|said| by(&measures::labels_micro_f1, said)));
            if task == "goemotions" {
                all.push(ekman(set, truth, opinions, draws));
            }
            all
        }
        Truth::Numbers(truth) => vec![named("Pearson", &|said| match said {
            Said::Numbers(said) => Some(bootstrap::score(truth, said, draws, measures::pearson)),
            _ => None,
        })],
    };
    TaskReport {
        task: task.to_owned(),
        set: set.name.clone(),
        posts: set.texts.len(),
        measures,
        calibration: opinions
            .iter()
            .filter(|(_, opinion)| !opinion.confidence.is_empty())
            .map(|(engine, opinion)| Calibration {
                engine: (*engine).to_owned(),
                error: measures::calibration_error(opinion.confidence.iter().copied(), BINS),
                early: opinion.early as f64 / set.texts.len().max(1) as f64,
            })
            .collect(),
    }
}

/// `GoEmotions`' labels as Ekman's six and `neutral`: each is there where any of its labels is.
fn ekman(set: &Set, truth: &[u32], opinions: &[(&str, Opinion)], draws: Draws) -> Measured {
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
    let cell = |(engine, opinion): &(&str, Opinion)| match &opinion.said {
        Said::Labels(said) => Some(Cell {
            engine: (*engine).to_owned(),
            score: bootstrap::score(&truth, &view(said), draws, measure),
        }),
        _ => None,
    };
    Measured {
        measure: format!("macro-F1 of Ekman's {}", names.len()),
        engines: opinions.iter().filter_map(cell).collect(),
    }
}
