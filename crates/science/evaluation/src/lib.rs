//! What another policy would have earned on a log it did not write: off-policy evaluation.
//!
//! [`evaluate`] reads a log, weighs each row by how much more often the policy would have chosen as the log did, and
//! answers with a [`Report`]: one value and its intervals for each [`Estimator`], and how far the weights can be trusted.
//!
//! ```no_run
//! use limbic_evaluation::{EvaluationPolicy, Format, Options, evaluate};
//!
//! let policy = EvaluationPolicy::BernoulliThompson { prior: "prior.yaml".into() };
//! let options = Options::new("logs/random/all", Format::OpenBandit, policy);
//! let report = evaluate(&options, |_| {})?;
//! println!("{report}");
//! # Ok::<(), limbic_evaluation::EvaluateError>(())
//! ```
//!
//! A row that cannot be used is counted with its line number and its reason, never silently skipped. A log without
//! propensities is refused, or they are estimated and the report says what that assumed.
//!
//! Memory: 24 bytes a row for the log, 40 for its scores, and what its distinct contexts need.

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
mod plot;
mod prior;
mod regression;
mod report;
mod score;
mod target;

pub use error::EvaluateError;
pub use estimator::{Estimator, UnknownEstimator};
pub use intervals::{ConfidenceSequence, Interval};
pub use log::{BanditLog, Rejection, Rejections, Row, Situation, Sparse};
pub use options::{EvaluationPolicy, Format, MissingPropensity, Options, UnknownFormat};
pub use plot::svg;
pub use prior::read as read_priors;
pub use report::{Estimate, Report, Weights};
pub use target::{Table, TargetPolicy, Uniform};

use std::path::Path;

use assess::{Weighed, assess};
use score::{Predictor, Probabilities};

use limbic_bandit::policy::PolicyConfig;

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Reading the log.
    Reading {
        /// Bytes read.
        bytes: u64,
        /// Bytes there are.
        of: u64,
    },
    /// Weighing rows.
    Weighing,
    /// Fitting the model of rewards.
    Fitting,
    /// Adding up, and resampling.
    Estimating,
}

/// Evaluates the policy on the log.
///
/// The same log, options and seed give the same report whatever the number of threads.
pub fn evaluate(options: &Options, mut progress: impl FnMut(Progress)) -> Result<Report, EvaluateError> {
    options.check()?;
    let log = read_log(options, &mut progress)?;
    match &options.policy {
        EvaluationPolicy::Uniform => evaluate_log(&log, &Uniform, options, progress),
        EvaluationPolicy::BernoulliThompson { prior } => {
            evaluate_log(&log, &thompson(&log, prior, options)?, options, progress)
        }
        EvaluationPolicy::Learning(config) => evaluate_learning(&log, config, options, progress),
    }
}

/// Reads a log, so that several policies can be evaluated on it. Every row has a propensity afterwards.
pub fn read_log(options: &Options, mut progress: impl FnMut(Progress)) -> Result<BanditLog, EvaluateError> {
    let reading = |bytes, of| progress(Progress::Reading { bytes, of });
    let mut log = match options.format {
        Format::OpenBandit => open_bandit::read(options, reading)?,
        Format::Dsjson => dsjson::read(options, reading)?,
        Format::Limbic => decisions::read(options, reading)?,
    };
    log.seal();
    if log.rows.is_empty() && log.rejections.rows == 0 {
        return Err(EvaluateError::malformed(
            &options.log,
            "it holds no decision that chose something",
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

fn thompson(log: &BanditLog, path: &Path, options: &Options) -> Result<Table, EvaluateError> {
    let stem = match options.format {
        Format::OpenBandit => open_bandit::locate(&options.log)?.0,
        _ => options.log.clone(),
    };
    let stem = stem.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let campaign = options.campaign.clone().or(stem);
    let refuse = |reason: String| Err(EvaluateError::policy("bernoulli-ts", reason));
    if options.format != Format::OpenBandit {
        return refuse("priors are listed by item id, which only Open Bandit logs have".to_owned());
    }
    let priors = prior::read(path, campaign.as_deref())?;
    if priors.len() != log.arms.len() {
        return refuse(format!("{} priors for {} items", priors.len(), log.arms.len()));
    }
    let table = Table::bernoulli_thompson(log, &priors);
    match table.missing(log) {
        Some(Situation { position, set, .. }) => refuse(format!(
            "position {} cannot be filled from {} candidates",
            position + 1,
            log.sets[set as usize].len()
        )),
        None => Ok(table),
    }
}

/// Evaluates any fixed policy on a log in memory; every row must have its propensity.
pub fn evaluate_log(
    log: &BanditLog,
    policy: &dyn TargetPolicy,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report, EvaluateError> {
    options.check()?;
    progress(Progress::Weighing);
    let probabilities = Probabilities::new(log, policy);
    let (mut scored, cut) = score::weigh(log, &probabilities, options)?;
    let predictor = predictor_for(log, options, &mut progress);
    if let Some(predictor) = &predictor {
        predictor.predict(log, &probabilities, &mut scored, options.threads);
    }
    let weighed = Weighed {
        scored,
        cut,
        largest_probability: probabilities.largest(),
    };
    progress(Progress::Estimating);
    Ok(assess(log, policy.name(), &weighed, predictor, options))
}

/// Evaluates a policy that learns along a log in memory; every row must have its propensity.
pub fn evaluate_learning(
    log: &BanditLog,
    config: &PolicyConfig,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report, EvaluateError> {
    options.check()?;
    let predictor = predictor_for(log, options, &mut progress);
    progress(Progress::Weighing);
    let (scored, cut) = learn::weigh_along(log, config, predictor.as_ref(), options)?;
    let weighed = Weighed {
        scored,
        cut,
        largest_probability: 1.0,
    };
    progress(Progress::Estimating);
    let mut report = assess(log, config.name(), &weighed, predictor, options);
    report.assumptions.push(
        "the policy learnt along the log, each row asking what those before it had taught: the value is its mean on the way"
            .to_owned(),
    );
    Ok(report)
}

fn predictor_for(
    log: &BanditLog,
    options: &Options,
    progress: &mut impl FnMut(Progress),
) -> Option<Predictor> {
    let needed = options.asked().iter().any(|estimator| estimator.needs_model());
    needed.then(|| {
        progress(Progress::Fitting);
        Predictor::fit(log, options)
    })
}
