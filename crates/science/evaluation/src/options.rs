//! What to evaluate, on what, and how.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use limbic_domain::OutcomeKind;

use crate::{Estimator, EvaluateError};
use limbic_bandit::policy::PolicyConfig;

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
    /// One of the engine's own, learning from the log: each row asks what the rows before it have taught.
    Learning(PolicyConfig),
}

impl EvaluationPolicy {
    /// The policy of a name on the command line: `uniform`; `bernoulli-ts` with its priors; without them it and every other
    /// policy of the engine (`linear-ts`, `square-cb`...), with its usual settings, learning along the log. Or the settings
    /// themselves, as the engine's: `{"name": "linear-ts", "draws": 64}`.
    pub fn named(name: &str, prior: Option<&Path>) -> Result<Self, EvaluateError> {
        match (name, prior) {
            ("uniform", None) => Ok(Self::Uniform),
            ("bernoulli-ts", Some(prior)) => Ok(Self::BernoulliThompson {
                prior: prior.to_owned(),
            }),
            (_, Some(_)) => Err(EvaluateError::policy(
                name,
                "only bernoulli-ts takes priors: leave --prior away",
            )),
            (settings, None) if settings.trim_start().starts_with('{') => serde_json::from_str(settings)
                .map(Self::Learning)
                .map_err(|e| EvaluateError::policy(settings, e.to_string())),
            // Every policy of the engine has usual settings.
            (_, None) => serde_json::from_value(serde_json::json!({ "name": name }))
                .map(Self::Learning)
                .map_err(|e| EvaluateError::policy(name, e.to_string())),
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

    /// The estimators to report.
    pub(super) fn asked(&self) -> &[Estimator] {
        if self.estimators.is_empty() {
            &Estimator::ALL
        } else {
            &self.estimators
        }
    }

    pub(super) fn check(&self) -> Result<(), EvaluateError> {
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
