//! Off-policy evaluation: what another policy would have earned, from a log that it did not write.
//!
//! ```text
//!  log (Open Bandit, DSJSON, Limbic) ─▶ BanditLog ─┐   reward model (cross-fitted) ─┐
//!                                                 ├─▶ weight per row ──────────────┴─▶ estimators ─▶ intervals ─▶ report
//!  policy ─▶ probability of each logged choice ────┘   π(a|x) / p(a|x)
//! ```
//!
//! [`evaluate`] reads a log and weights each row by the ratio of the policy's probability to the logged propensity.
//! The [`EvaluationReport`] has an estimate for each [`Estimator`], its difference to the logged value, the intervals of
//! both, and measures of how reliable the weights are. Where an interval would be wrong more often than it says, there is
//! a caveat instead. The policy is one of `limbic-bandit`, learning along the log or as a [`SavedPolicy`]; any
//! [`TargetPolicy`]; or a file of probabilities from elsewhere. The crate does not choose ads and does not know the
//! pipeline.
//!
//! # Example
//!
//! ```
//! use limbic_evaluation::{
//!     BanditLog, Estimator, EvaluationOptions, EvaluationPolicy, LogFormat, LogRow, Situation, UniformPolicy,
//!     evaluate_log,
//! };
//!
//! // Two arms. The log chose "a" with probability 0.8, and only "b" was ever clicked.
//! let mut log = BanditLog::new();
//! let (a, b) = (log.arm("a"), log.arm("b"));
//! let (context, set) = (log.context(&mut Vec::new()), log.set(&[a, b]));
//! let situation = log.situation(Situation { context, set, position: 0 });
//! for line in 0..1000 {
//!     let (arm, reward, propensity) = if line % 5 == 0 { (b, 1.0, 0.2) } else { (a, 0.0, 0.8) };
//!     log.push(LogRow { situation, arm, reward, propensity }, line + 1);
//! }
//!
//! let mut options = EvaluationOptions::new("in memory", LogFormat::Limbic, EvaluationPolicy::Uniform);
//! options.estimators = vec![Estimator::Ipw];
//! let report = evaluate_log(&log, &UniformPolicy, &options, |_| {})?;
//! // A uniform policy chooses "b" half of the time.
//! let value = report.estimate(Estimator::Ipw).and_then(|estimate| estimate.value);
//! assert!((value.unwrap() - 0.5).abs() < 1e-9);
//! # Ok::<(), limbic_evaluation::EvaluateError>(())
//! ```
//!
//! # Laws
//!
//! * The same log, options and seed give the same report, with any number of threads.
//! * A row that cannot be used is counted with its line number and its reason.
//! * A log without propensities is rejected, unless the caller asks to estimate them. The report then states the
//!   assumption.
//! * An interval that is given has its stated coverage, or is not given and a caveat says why (`tests/coverage.rs`).
//! * Memory: 24 bytes per row for the log, 4 per candidate, 40 for its scores, plus its distinct contexts.

mod assess;
mod decisions;
mod dsjson;
mod error;
mod estimator;
mod folds;
mod intervals;
mod learn;
mod lines;
mod log;
mod open_bandit;
mod options;
mod parallel;
mod plot;
mod prior;
mod regression;
mod report;
mod score;
mod sequence;
mod stabilise;
mod supplied;
mod target;

pub use error::EvaluateError;
pub use estimator::{Estimator, UnknownEstimator};
pub use intervals::Interval;
pub use learn::SavedPolicy;
pub use log::{BanditLog, LogRow, RejectedRow, RejectedRows, Situation, Sparse};
pub use options::{
    EvaluationOptions, EvaluationPolicy, LogFormat, MissingPropensity, RewardModel, UnknownFormat,
};
pub use plot::svg;
pub use prior::read as read_priors;
pub use report::{Difference, Estimate, EvaluationReport, Weights};
pub use target::{TablePolicy, TargetPolicy, UniformPolicy};

use std::path::Path;

use assess::{Measured, assess};
use score::{Predictor, Probabilities};
use stabilise::Stabilised;

use limbic_bandit::policy::PolicyConfig;

/// Progress of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The log is being read.
    Reading {
        /// Bytes read so far.
        bytes: u64,
        /// Size of the log in bytes.
        of: u64,
    },
    /// The weights of the rows are being computed.
    Weighing,
    /// The reward model is being fitted.
    Fitting,
    /// Estimates and intervals are being computed.
    Estimating,
}

/// Evaluates the policy on the log.
///
/// The same log, options and seed give the same report, with any number of threads.
pub fn evaluate(
    options: &EvaluationOptions,
    mut progress: impl FnMut(Progress),
) -> Result<EvaluationReport, EvaluateError> {
    options.check()?;
    let mut log = read_log(options, &mut progress)?;
    match &options.policy {
        EvaluationPolicy::Uniform => evaluate_log(&log, &UniformPolicy, options, progress),
        EvaluationPolicy::BernoulliThompson { prior } => {
            evaluate_log(&log, &thompson(&log, prior, options)?, options, progress)
        }
        EvaluationPolicy::Learning(config) => {
            progress(Progress::Weighing);
            let (policy, values) = learn::along_the_log(&log, config, options.seed)?;
            if let Some(path) = &options.save {
                policy.write(path)?;
            }
            evaluate_learned(&log, config, values, options, progress)
        }
        EvaluationPolicy::Saved { path } => {
            let policy = SavedPolicy::read(path)?.on_log(&log, options.seed);
            evaluate_log(&log, &policy, options, progress)
        }
        EvaluationPolicy::Supplied { path } => {
            progress(Progress::Weighing);
            let values = supplied::read(path, &mut log, options)?;
            let probabilities = Probabilities::by_row(&log, "supplied", values);
            evaluate_probabilities(&log, &probabilities, options, progress)
        }
    }
}

/// Reads a log, so that several policies can be evaluated on it. Every row of the result has a propensity.
pub fn read_log(
    options: &EvaluationOptions,
    mut progress: impl FnMut(Progress),
) -> Result<BanditLog, EvaluateError> {
    let reading = |bytes, of| progress(Progress::Reading { bytes, of });
    let mut log = match options.format {
        LogFormat::OpenBandit => open_bandit::read(options, reading)?,
        LogFormat::Dsjson => dsjson::read(options, reading)?,
        LogFormat::Limbic => decisions::read(options, reading)?,
    };
    log.seal();
    if log.rows.is_empty() && log.rejections.rows == 0 {
        return Err(EvaluateError::malformed(
            &options.log,
            "the file has no decision that chose a creative: there is nothing to evaluate",
        ));
    }
    if log.rows.is_empty() {
        let first = log.rejections.examples.first();
        return Err(EvaluateError::NoRows {
            path: options.log.clone(),
            rejected: log.rejections.rows,
            first: first.map_or_else(String::new, |e| format!(": line {}: {}", e.line, e.reason)),
        });
    }
    if log.without_propensity > 0 {
        match options.missing_propensity {
            MissingPropensity::Refuse => {
                return Err(EvaluateError::MissingPropensity {
                    rows: log.without_propensity,
                    total: log.rows.len() as u64,
                    line: log.first_without_propensity,
                });
            }
            MissingPropensity::Estimate => {
                let assumption = log.estimate_propensities();
                log.notes.push(assumption);
            }
        }
    }
    Ok(log)
}

fn thompson(log: &BanditLog, path: &Path, options: &EvaluationOptions) -> Result<TablePolicy, EvaluateError> {
    let stem = match options.format {
        LogFormat::OpenBandit => open_bandit::locate(&options.log)?.0,
        _ => options.log.clone(),
    };
    let stem = stem.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let campaign = options.campaign.clone().or(stem);
    let refuse = |reason: String| Err(EvaluateError::policy("bernoulli-ts", reason));
    if options.format != LogFormat::OpenBandit {
        return refuse("priors are listed by item id, which only Open Bandit logs have".to_owned());
    }
    let priors = prior::read(path, campaign.as_deref())?;
    if priors.len() != log.arms.len() {
        return refuse(format!("{} priors for {} items", priors.len(), log.arms.len()));
    }
    let table = TablePolicy::bernoulli_thompson(log, &priors);
    match table.missing(log) {
        Some(Situation { position, set, .. }) => refuse(format!(
            "position {} cannot be filled from {} candidates",
            position + 1,
            log.sets[set as usize].len()
        )),
        None => Ok(table),
    }
}

/// Evaluates any fixed policy on a log in memory. Every row must have a propensity.
pub fn evaluate_log(
    log: &BanditLog,
    policy: &dyn TargetPolicy,
    options: &EvaluationOptions,
    mut progress: impl FnMut(Progress),
) -> Result<EvaluationReport, EvaluateError> {
    options.check()?;
    progress(Progress::Weighing);
    let probabilities = Probabilities::new(log, policy, options.threads);
    evaluate_probabilities(log, &probabilities, options, progress)
}

/// Evaluates a policy that learns along a log in memory. Every row must have a propensity.
pub fn evaluate_learning(
    log: &BanditLog,
    config: &PolicyConfig,
    options: &EvaluationOptions,
    mut progress: impl FnMut(Progress),
) -> Result<EvaluationReport, EvaluateError> {
    options.check()?;
    progress(Progress::Weighing);
    let (_, values) = learn::along_the_log(log, config, options.seed)?;
    evaluate_learned(log, config, values, options, progress)
}

/// `values` has the probability of each candidate of each row, before the policy learned from it.
fn evaluate_learned(
    log: &BanditLog,
    config: &PolicyConfig,
    values: Vec<f64>,
    options: &EvaluationOptions,
    progress: impl FnMut(Progress),
) -> Result<EvaluationReport, EvaluateError> {
    let probabilities = Probabilities::by_row(log, config.name(), values);
    let mut report = evaluate_probabilities(log, &probabilities, options, progress)?;
    report.assumptions.push(
        "the policy learned along the log, each row from the rows before it: the value is its mean over the log"
            .to_owned(),
    );
    Ok(report)
}

fn evaluate_probabilities(
    log: &BanditLog,
    probabilities: &Probabilities<'_>,
    options: &EvaluationOptions,
    mut progress: impl FnMut(Progress),
) -> Result<EvaluationReport, EvaluateError> {
    let mut weighed = score::weigh(log, probabilities, options)?;
    let fitted = options
        .selected_estimators()
        .iter()
        .any(|estimator| estimator.needs_model());
    let mut warnings = Vec::new();
    if fitted {
        progress(Progress::Fitting);
        let predictor = Predictor::fit(log, options);
        predictor.predict(log, probabilities, &mut weighed.scored, options.threads);
        warnings = predictor.warnings;
    }
    let stabilised = if options.selected_estimators().contains(&Estimator::StabilisedDr) {
        Stabilised::of(log, probabilities, &weighed, options)
    } else {
        None
    };
    progress(Progress::Estimating);
    let sequence = score::sequence(log, probabilities, &weighed.scored, options);
    Ok(assess(
        log,
        probabilities.name(),
        &Measured {
            weighed,
            stabilised,
            sequence,
        },
        warnings,
        options,
    ))
}
