//! Fits an adapter and says, by nested cross-validation, what it gains.
//!
//! ```text
//!  posts ─┬─ 5 parts: each is read by an adapter that was fitted to the other four ─▶ gain with its interval
//!         │                └─ penalty and temperature by 4 parts of those four
//!         └─ all: penalty and temperature by 5 parts ─▶ the adapter
//! ```
//!
//! No post that measures the gain has any part in the penalty, the weights or the temperature that read it.

use std::sync::atomic::{AtomicUsize, Ordering};

use limbic_domain::Slug;

use super::examples::{Examples, ExamplesError, LabelledPost};
use super::fit::{Head, Problem};
use super::report::{Read, Report};
use super::{Adapter, CLASSES, Input, PerClass, softmax};
use crate::ModelReader;
use crate::evaluation::Draws;
use crate::threads::in_threads;

/// Parts of the outer cross-validation, which measures the gain, and of the one that chooses for the adapter itself.
const PARTS: usize = 5;
/// Parts of the inner cross-validation.
const INNER_PARTS: usize = 4;
/// Penalties to choose from, the strongest first: each fit starts where the one before ended.
const PENALTIES: [f64; 7] = [30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03];
/// Temperatures to choose from are between these.
const TEMPERATURES: [f64; 2] = [0.5, 4.0];
/// Narrowings of the interval of temperatures.
const NARROWINGS: usize = 40;

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many posts were read by the model.
    Read(usize),
    /// So many of all fits are done.
    Fitted {
        /// Done.
        done: usize,
        /// All.
        of: usize,
    },
}

/// The result of a training.
#[derive(Debug)]
pub struct Trained {
    /// What the cross-validation says.
    pub report: Report,
    /// The adapter; `None` if its gain is not sure ([`Report::helps`]).
    pub adapter: Option<Adapter>,
}

/// Fits an adapter called `name` to labelled posts. The same posts, model and kernels give the same adapter.
pub fn train(
    reader: &ModelReader,
    name: &Slug,
    posts: &[LabelledPost],
    draws: Draws,
    progress: impl Fn(Step) + Sync,
) -> Result<Trained, ExamplesError> {
    let examples = Examples::read(reader, posts, |posts| progress(Step::Read(posts)))?;
    let all: Vec<usize> = (0..examples.inputs.len()).collect();
    let parts = parts(&examples, &all, PARTS);
    // For each outer part and for the adapter itself.
    let of = PARTS * (INNER_PARTS + 1) + PARTS + 1;
    let done = AtomicUsize::new(0);
    let one_more = || {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(Step::Fitted { done, of });
    };
    let jobs: Vec<Option<usize>> = (0..PARTS).map(Some).chain([None]).collect();
    let fit = |part: &Option<_>| {
        let learnt: Vec<usize> = match part {
            Some(part) => all.iter().copied().filter(|at| parts[*at] != *part).collect(),
            None => all.clone(),
        };
        let inner = if part.is_some() { INNER_PARTS } else { PARTS };
        Fit::of(&examples, &learnt, inner, &one_more)
    };
    let fits = in_threads(&jobs, 1, |jobs| jobs.iter().map(&fit).collect());
    let mut reads = vec![Read::default(); all.len()];
    for (at, read) in reads.iter_mut().enumerate() {
        let input = &examples.inputs[at];
        *read = Read {
            class: examples.classes[at],
            general: softmax(input.general.map(f64::from)),
            shares: fits[parts[at]].read_by_shares(input),
            adapted: fits[parts[at]].read(input),
        };
    }
    let whole = &fits[PARTS];
    let report = Report::new(&reads, examples.left_out, draws, whole.penalty, whole.temperature);
    let adapter = report
        .helps()
        .then(|| Adapter::new(name, reader, whole.head.clone(), whole.temperature, &report));
    Ok(Trained { report, adapter })
}

/// Weights, penalty and temperature that some posts gave.
struct Fit {
    head: Head,
    /// A head that knows how frequent the classes are, and nothing else that the general model does not.
    shares: Head,
    penalty: f64,
    temperature: f64,
}

impl Fit {
    /// Chooses penalty and temperature by cross-validation among the posts, then fits to all of them.
    fn of(examples: &Examples, learnt: &[usize], inner_parts: usize, fitted: &(impl Fn() + Sync)) -> Self {
        let parts = parts(examples, learnt, inner_parts);
        let mut logits = vec![vec![[0.0; CLASSES.len()]; learnt.len()]; PENALTIES.len()];
        for part in 0..inner_parts {
            let is_learnt = |place: &usize| parts[*place] != part;
            let (others, own): (Vec<usize>, Vec<usize>) = (0..learnt.len()).partition(is_learnt);
            let problem = problem(examples, others.iter().map(|place| learnt[*place]));
            let mut parameters = problem.start();
            for (penalty, logits) in PENALTIES.into_iter().zip(&mut logits) {
                parameters = problem.fit(penalty, &parameters);
                let head = problem.head(&parameters);
                for place in &own {
                    let input = &examples.inputs[learnt[*place]];
                    logits[*place] = head.logits(&input.features, input.general);
                }
            }
            fitted();
        }
        let classes: Vec<usize> = learnt.iter().map(|at| examples.classes[*at]).collect();
        let losses = logits.iter().map(|logits| mean_loss(logits, &classes, 1.0));
        let best = losses
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map_or(0, |(place, _)| place);
        let temperature = temperature(&logits[best], &classes);
        let problem = problem(examples, learnt.iter().copied());
        let mut parameters = problem.start();
        for penalty in &PENALTIES[..=best] {
            parameters = problem.fit(*penalty, &parameters);
        }
        fitted();
        Self {
            shares: problem.head(&problem.fit_biases()),
            head: problem.head(&parameters),
            penalty: PENALTIES[best],
            temperature,
        }
    }

    fn read(&self, input: &Input) -> PerClass<f64> {
        let logits = self.head.logits(&input.features, input.general);
        softmax(logits.map(|logit| logit / self.temperature))
    }

    fn read_by_shares(&self, input: &Input) -> PerClass<f64> {
        softmax(self.shares.logits(&input.features, input.general))
    }
}

fn problem(examples: &Examples, posts: impl Iterator<Item = usize>) -> Problem {
    let posts: Vec<usize> = posts.collect();
    let inputs: Vec<&Input> = posts.iter().map(|at| &examples.inputs[*at]).collect();
    let classes: Vec<usize> = posts.iter().map(|at| examples.classes[*at]).collect();
    Problem::new(&inputs, &classes)
}

/// The part of each of these posts, from 0. Every part has its share of each class; the order in the file does not matter.
fn parts(examples: &Examples, posts: &[usize], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..posts.len()).collect();
    order.sort_by_key(|place| {
        let at = posts[*place];
        (
            examples.classes[at],
            limbic_domain::random::mix(examples.keys[at]),
        )
    });
    let mut parts = vec![0; posts.len()];
    for (number, place) in order.into_iter().enumerate() {
        parts[place] = number % count;
    }
    parts
}

/// The mean log-loss of logits that are divided by a temperature.
fn mean_loss(logits: &[PerClass<f64>], classes: &[usize], temperature: f64) -> f64 {
    let loss = |(logits, class): (&PerClass<f64>, &usize)| {
        -softmax(logits.map(|logit| logit / temperature))[*class]
            .max(f64::MIN_POSITIVE)
            .ln()
    };
    let sum: f64 = logits.iter().zip(classes).map(loss).sum();
    sum / classes.len().max(1) as f64
}

/// The temperature with the least log-loss (golden section; the loss has one minimum in its inverse).
fn temperature(logits: &[PerClass<f64>], classes: &[usize]) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let loss = |inverse: f64| mean_loss(logits, classes, 1.0 / inverse);
    let (mut low, mut high) = (1.0 / TEMPERATURES[1], 1.0 / TEMPERATURES[0]);
    for _ in 0..NARROWINGS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left) < loss(right) {
            high = right;
        } else {
            low = left;
        }
    }
    2.0 / (low + high)
}

#[cfg(test)]
mod tests {
    use limbic_domain::random::Random;

    use super::*;

    #[test]
    fn the_temperature_undoes_a_factor_of_the_logits() {
        let mut random = Random::new(2);
        let (mut logits, mut classes) = (Vec::new(), Vec::new());
        for _ in 0..4_000 {
            let honest = [(); 3].map(|()| 1.5 * random.normal());
            classes.push(limbic_domain::random::choose(&softmax(honest), random.unit()).unwrap());
            logits.push(honest.map(|logit| 2.0 * logit));
        }
        let found = temperature(&logits, &classes);
        assert!((found - 2.0).abs() < 0.15, "{found}");
    }
}
