//! What another policy would have earned on a log it did not write: off-policy evaluation.
//!
//! [`evaluate`] reads a log, weighs each row by how much more often the policy would have chosen as the log did, and
//! answers with a [`Report`]: one value and its intervals for each [`Estimator`], and how far the weights can be trusted.
//!
//! ```no_run
//! use limbic_optimize::evaluate::{EvaluationPolicy, Format, Options, evaluate};
//!
//! let policy = EvaluationPolicy::BernoulliThompson { prior: "prior.yaml".into() };
//! let options = Options::new("logs/random/all", Format::OpenBandit, policy);
//! let report = evaluate(&options, |_| {})?;
//! println!("{report}");
//! # Ok::<(), limbic_optimize::evaluate::EvaluateError>(())
//! ```
//!
//! A row that cannot be used is counted with its line number and its reason, never silently skipped. A log without
//! propensities is refused, or they are estimated and the report says what that assumed.
//!
//! Memory: 24 bytes a row for the log, 40 for its scores, and what its distinct contexts need.

mod decisions;
mod dsjson;
mod error;
mod estimator;
mod folds;
mod intervals;
mod lines;
mod log;
mod open_bandit;
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
pub use plot::svg;
pub use prior::read as read_priors;
pub use report::{Estimate, Report, Weights};
pub use target::{Table, TargetPolicy, Uniform};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use limbic_domain::OutcomeKind;

use estimator::{Scored, Sums, Tuning};
use intervals::Moments;
use score::{Predictor, Probabilities};

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder with a CSV log and `item_context.csv`, or the CSV file itself.
    OpenBandit,
    /// Vowpal Wabbit's DSJSON: one joined decision a line.
    Dsjson,
    /// Our own: envelopes of decisions and outcomes, one a line.
    Limbic,
}

/// The name is not a format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log format: use open-bandit, dsjson or limbic")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "open-bandit" => Ok(Self::OpenBandit),
            "dsjson" => Ok(Self::Dsjson),
            "limbic" => Ok(Self::Limbic),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// Which policy's value is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum EvaluationPolicy {
    /// Every candidate alike.
    Uniform,
    /// Thompson sampling with the Beta priors of a file.
    BernoulliThompson {
        /// The file: JSON or YAML, `alpha` and `beta` for each campaign, one of each per item.
        prior: PathBuf,
    },
}

impl EvaluationPolicy {
    /// The policy of a name on the command line.
    pub fn named(name: &str, prior: Option<&Path>) -> Result<Self, EvaluateError> {
        match (name, prior) {
            ("uniform", None) => Ok(Self::Uniform),
            ("uniform", Some(_)) => Err(EvaluateError::policy(
                name,
                "it has no priors: leave --prior away",
            )),
            ("bernoulli-ts", Some(prior)) => Ok(Self::BernoulliThompson {
                prior: prior.to_owned(),
            }),
            ("bernoulli-ts", None) => Err(EvaluateError::policy(
                name,
                "it needs the arms' Beta priors: name their file with --prior",
            )),
            _ => Err(EvaluateError::policy(
                name,
                "unknown: use uniform or bernoulli-ts",
            )),
        }
    }
}

/// What to do with rows that have no propensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingPropensity {
    /// Refuse the log.
    #[default]
    Refuse,
    /// Take the frequency of the chosen arm among rows with the same candidates and position.
    Estimate,
}

/// What to evaluate, on what, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The log: a file, or for [`Format::OpenBandit`] its folder.
    pub log: PathBuf,
    /// How it is written.
    pub format: Format,
    /// The policy in question.
    pub policy: EvaluationPolicy,
    /// The estimators to report; all if empty.
    pub estimators: Vec<Estimator>,
    /// Whose priors to take from the file; the name of the log's file (`all` for `all.csv`) if not given.
    pub campaign: Option<String>,
    /// How sure each interval is, in (0, 1).
    pub confidence: f64,
    /// How many resamples the bootstrap draws, at least 20.
    pub bootstrap_samples: usize,
    /// The seed of folds, bootstrap and replay. Folds are those of the reference for the same seed.
    pub seed: u64,
    /// How many folds the model of rewards is cross-fitted over, at most 255; 1 for none.
    pub folds: usize,
    /// Where to cut weights. Cutting lowers the variance, and the value where rewards are not negative.
    pub max_weight: Option<f64>,
    /// `switch-dr`'s τ; chosen from the data if not given.
    pub switch_threshold: Option<f64>,
    /// `dr-os`'s λ; chosen from the data if not given.
    pub shrinkage: Option<f64>,
    /// What to do with rows that have no propensity.
    pub missing_propensity: MissingPropensity,
    /// [`Format::Limbic`]: the outcome that is worth 1.
    pub reward: OutcomeKind,
    /// [`Format::Limbic`]: how long after a decision an outcome counts. A decision whose window was not over when the log
    /// ended is left out. Without it everything counts.
    pub attribution_window_millis: Option<i64>,
    /// The least and the largest reward there can be: rows outside are rejected, and guaranteed intervals rest on it.
    pub reward_range: (f64, f64),
    /// How many threads may be used.
    pub threads: usize,
}

impl Options {
    /// The usual evaluation: all estimators, 95 % intervals, three folds, weights uncut, propensities demanded.
    pub fn new(log: impl Into<PathBuf>, format: Format, policy: EvaluationPolicy) -> Self {
        Self {
            log: log.into(),
            format,
            policy,
            estimators: Vec::new(),
            campaign: None,
            confidence: 0.95,
            bootstrap_samples: 1000,
            seed: 12345,
            folds: 3,
            max_weight: None,
            switch_threshold: None,
            shrinkage: None,
            missing_propensity: MissingPropensity::Refuse,
            reward: OutcomeKind::Click,
            attribution_window_millis: None,
            reward_range: (0.0, 1.0),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }

    fn check(&self) -> Result<(), EvaluateError> {
        let refuse = |option, value: String, rule| Err(EvaluateError::Option { option, value, rule });
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return refuse("confidence", self.confidence.to_string(), "it must lie in (0, 1)");
        }
        if self.bootstrap_samples < 20 {
            let given = self.bootstrap_samples.to_string();
            return refuse("bootstrap samples", given, "fewer than 20 say nothing");
        }
        if !(1..=255).contains(&self.folds) {
            return refuse("folds", self.folds.to_string(), "it must lie in 1..=255");
        }
        for (option, value) in [
            ("max weight", self.max_weight),
            ("switch threshold", self.switch_threshold),
            ("shrinkage", self.shrinkage),
        ] {
            if let Some(value) = value.filter(|value| value.is_nan() || *value < 0.0) {
                return refuse(option, value.to_string(), "it must not be negative");
            }
        }
        let (low, high) = self.reward_range;
        if !(low < high && low.is_finite() && high.is_finite()) {
            let given = format!("{low}..{high}");
            return refuse(
                "reward range",
                given,
                "its low end must be below its high end, both finite",
            );
        }
        if self.threads == 0 {
            return refuse("threads", "0".to_owned(), "it must be at least 1");
        }
        Ok(())
    }
}

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
    let policy: Box<dyn TargetPolicy> = match &options.policy {
        EvaluationPolicy::Uniform => Box::new(Uniform),
        EvaluationPolicy::BernoulliThompson { prior } => Box::new(thompson(&log, prior, options)?),
    };
    evaluate_log(&log, &*policy, options, progress)
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

/// Evaluates any policy on a log in memory; every row must have its propensity.
pub fn evaluate_log(
    log: &BanditLog,
    policy: &dyn TargetPolicy,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report, EvaluateError> {
    options.check()?;
    let estimators = if options.estimators.is_empty() {
        Estimator::ALL.to_vec()
    } else {
        options.estimators.clone()
    };
    progress(Progress::Weighing);
    let probabilities = Probabilities::new(log, policy);
    let (mut scored, cut) = score::weigh(log, &probabilities, options)?;
    let weights = weights_of(&scored, cut, options.max_weight);
    let predictor = if estimators.iter().any(|estimator| estimator.needs_model()) {
        progress(Progress::Fitting);
        let predictor = Predictor::fit(log, options);
        predictor.predict(log, &probabilities, &mut scored, options.threads);
        Some(predictor)
    } else {
        None
    };
    progress(Progress::Estimating);
    let quantiles: Vec<f64> = weights.quantiles.values().copied().collect();
    let tuning = estimator::tune(&scored, &quantiles, options.switch_threshold, options.shrinkage);
    let blocks = blocks_of(&scored, tuning);
    let mut sums = Sums::default();
    for block in &blocks {
        sums.add(block);
    }
    let guaranteed = Guaranteed::of(log, &scored, predictor.as_ref(), &probabilities, options);
    let bootstrapped = intervals::bootstrap(
        &blocks,
        &estimators,
        options.bootstrap_samples,
        options.seed,
        options.confidence,
        options.threads,
    );
    let estimates = estimators
        .iter()
        .zip(bootstrapped)
        .map(|(&estimator, bootstrap)| {
            let mut intervals = guaranteed.of_estimator(estimator);
            intervals.extend(bootstrap.map(|interval| ("bootstrap", interval)));
            Estimate {
                estimator,
                value: estimator.value(&sums),
                intervals,
                settings: settings_of(estimator, tuning),
            }
        })
        .collect();
    let clicks = log.rows.iter().filter(|row| row.reward > 0.0).count() as u64;
    let square: f64 = scored.iter().map(|row| row.weight * row.weight).sum();
    let mut report = Report {
        policy: policy.name().to_owned(),
        rows: log.rows.len() as u64,
        clicks,
        logged_value: log.rows.iter().map(|row| row.reward).sum::<f64>() / sums.rows,
        confidence: options.confidence,
        estimates,
        effective_sample_size: if square > 0.0 {
            sums.weight * sums.weight / square
        } else {
            0.0
        },
        max_weight: scored.iter().map(|row| row.weight).fold(0.0, f64::max),
        weights,
        rejected: log.rejections.clone(),
        assumptions: log.notes.clone(),
        warnings: predictor.map(|predictor| predictor.warnings).unwrap_or_default(),
    };
    warn(&mut report, square);
    Ok(report)
}

/// Below so many clicks a sample checks arithmetic and nothing else.
const FEW_CLICKS: u64 = 100;

fn warn(report: &mut Report, weight_square: f64) {
    let rows = report.rows as f64;
    if report.clicks < FEW_CLICKS {
        let clicks = report.clicks;
        report.warnings.insert(
            0,
            format!("{clicks} clicks: this checks arithmetic, it is no evidence of lift"),
        );
    }
    if report.effective_sample_size < 100.0 {
        report.warnings.push(format!(
            "an effective sample of {:.1} rows: the policy is too far from the one that wrote the log",
            report.effective_sample_size
        ));
    }
    // The mean weight is 1 by construction; five standard errors away, something is wrong with the propensities.
    let mean = report.weights.mean;
    let variance = (weight_square / rows - mean * mean).max(0.0);
    if report.weights.limit.is_none() && (mean - 1.0).abs() > 5.0 * (variance / rows).sqrt() + 1e-9 {
        report.warnings.push(format!(
            "the mean weight is {mean:.4} instead of 1: the logged propensities do not describe this log, \
             or arms that the policy chooses were never logged"
        ));
    }
}

const QUANTILES: [(&str, f64); 5] = [
    ("0.5", 0.5),
    ("0.9", 0.9),
    ("0.99", 0.99),
    ("0.999", 0.999),
    ("1", 1.0),
];

fn weights_of(scored: &[Scored], cut: u64, limit: Option<f64>) -> Weights {
    let mut sorted: Vec<f64> = scored.iter().map(|row| row.weight).collect();
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let mut quantiles = BTreeMap::new();
    let mut rest = sorted.as_mut_slice();
    let mut passed = 0;
    let last = scored.len() - 1;
    for (name, q) in QUANTILES {
        let at = ((q * last as f64).round() as usize).max(passed);
        let (_, value, above) = rest.select_nth_unstable_by(at - passed, f64::total_cmp);
        quantiles.insert(name, *value);
        if above.is_empty() {
            for (name, _) in QUANTILES {
                quantiles.entry(name).or_insert(*value);
            }
            break;
        }
        (rest, passed) = (above, at + 1);
    }
    Weights {
        mean,
        quantiles,
        limit,
        clipped_share: cut as f64 / scored.len() as f64,
    }
}

/// Sums over at most [`intervals::BLOCKS`] blocks of consecutive rows.
fn blocks_of(scored: &[Scored], tuning: Tuning) -> Vec<Sums> {
    let count = scored.len().min(intervals::BLOCKS);
    (0..count)
        .map(|block| {
            let mut sums = Sums::default();
            for row in &scored[block * scored.len() / count..(block + 1) * scored.len() / count] {
                sums.add_row(row, tuning);
            }
            sums
        })
        .collect()
}

fn settings_of(estimator: Estimator, tuning: Tuning) -> BTreeMap<&'static str, Option<f64>> {
    let finite = |value: f64| value.is_finite().then_some(value);
    match estimator {
        Estimator::SwitchDr => BTreeMap::from([("threshold", finite(tuning.switch_threshold))]),
        Estimator::DrOs => BTreeMap::from([("shrinkage", finite(tuning.shrinkage))]),
        _ => BTreeMap::new(),
    }
}

/// The intervals that hold for every number of rows, for the estimators that are unbiased and bounded.
struct Guaranteed {
    by_estimator: Vec<(Estimator, &'static str, Interval)>,
}

impl Guaranteed {
    fn of(
        log: &BanditLog,
        scored: &[Scored],
        predictor: Option<&Predictor>,
        probabilities: &Probabilities<'_>,
        options: &Options,
    ) -> Self {
        let delta = 1.0 - options.confidence;
        let (least, most) = options.reward_range;
        let whole = Interval {
            low: least,
            high: most,
        };
        let least_propensity = log.rows.iter().map(|row| row.propensity).fold(1.0, f64::min);
        // No weight can be larger, whichever arm had been logged; cut weights bound the cut estimator's mean.
        let bound =
            (probabilities.largest() / least_propensity).min(options.max_weight.unwrap_or(f64::INFINITY));
        let mut by_estimator = Vec::new();
        let mut add = |estimator, method, interval: Option<Interval>| {
            by_estimator.extend(interval.map(|found| (estimator, method, found.intersect(whole))));
        };

        let (low, high) = (least.min(0.0) * bound, most.max(0.0) * bound);
        let mut weighted = Moments::default();
        let mut accepted = Moments::default();
        let mut weighted_sequence = ConfidenceSequence::new(low, high, delta);
        let mut accepted_sequence = ConfidenceSequence::new(least, most, delta);
        for row in scored {
            let value = row.weight * row.reward;
            weighted.add(value);
            weighted_sequence.push(value);
            if row.accepted {
                accepted.add(row.reward);
                accepted_sequence.push(row.reward);
            }
        }
        let bernstein = intervals::empirical_bernstein;
        add(
            Estimator::Ipw,
            "empirical_bernstein",
            bernstein(&weighted, high - low, delta),
        );
        add(
            Estimator::Ipw,
            "confidence_sequence",
            Some(weighted_sequence.interval()),
        );
        add(
            Estimator::Replay,
            "empirical_bernstein",
            bernstein(&accepted, most - least, delta),
        );
        if accepted.count > 0.0 {
            add(
                Estimator::Replay,
                "confidence_sequence",
                Some(accepted_sequence.interval()),
            );
        }
        if let Some(predictor) = predictor.filter(|predictor| predictor.folds() > 1) {
            // Given its model, a fold's scores are independent and lie in [least, most] ± bound · (most − least).
            let width = (most - least) * (1.0 + 2.0 * bound);
            add(
                Estimator::Dr,
                "empirical_bernstein",
                across_folds(scored, predictor, width, delta),
            );
        }
        Self { by_estimator }
    }

    fn of_estimator(&self, estimator: Estimator) -> BTreeMap<&'static str, Interval> {
        self.by_estimator
            .iter()
            .filter(|(of, ..)| *of == estimator)
            .map(|&(_, method, interval)| (method, interval))
            .collect()
    }
}

/// One Bernstein interval per fold, all right at once, averaged.
fn across_folds(scored: &[Scored], predictor: &Predictor, width: f64, delta: f64) -> Option<Interval> {
    let mut folds = vec![Moments::default(); predictor.folds()];
    for (index, row) in scored.iter().enumerate() {
        folds[predictor.fold_of(index)].add(row.direct + row.weight * row.residual);
    }
    let share = delta / folds.len() as f64;
    let mut whole = Interval { low: 0.0, high: 0.0 };
    for moments in &folds {
        let part = intervals::empirical_bernstein(moments, width, share)?;
        let weight = moments.count / scored.len() as f64;
        whole.low += weight * part.low;
        whole.high += weight * part.high;
    }
    Some(whole)
}
