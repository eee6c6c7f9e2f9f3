//! Options of an evaluation.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Estimator, EvaluateError};
use limbic_bandit::policy::PolicyConfig;
use limbic_bandit::rewards::RewardConfig;

/// Format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Open Bandit Dataset: a folder with a CSV log and `item_context.csv`, or the CSV file itself.
    OpenBandit,
    /// Vowpal Wabbit's DSJSON: one joined decision per line.
    Dsjson,
    /// Limbic: envelopes of decisions and outcomes, one per line.
    Limbic,
}

/// The name does not belong to a log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log format: use open-bandit, dsjson or limbic")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
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

/// The policy to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub enum EvaluationPolicy {
    /// The same probability for every candidate.
    Uniform,
    /// Thompson sampling with fixed Beta priors from a file.
    BernoulliThompson {
        /// The file: JSON or YAML with `alpha` and `beta` for each campaign, one of each per item.
        prior: PathBuf,
    },
    /// One of Limbic's policies, which learns along the log.
    Learning(PolicyConfig),
    /// One of Limbic's policies as [`SavedPolicy`](crate::SavedPolicy) saved it. It learns nothing more.
    Saved {
        /// The file.
        path: PathBuf,
    },
    /// A policy that runs elsewhere: one probability per candidate of each row, from a file of JSON Lines
    /// `{"decision": "ID", "probabilities": {"ARM": 0.7, ...}}`. The id of a row is the decision's id, `EventId` in
    /// DSJSON, and the line number in an Open Bandit log. A list of numbers gives the probabilities in the order of the
    /// candidates.
    Supplied {
        /// The file.
        path: PathBuf,
    },
}

impl EvaluationPolicy {
    /// The policy with a name from the command line. `uniform` is the uniform policy, and `bernoulli-ts` with a prior
    /// file uses its priors. Without a prior file, `bernoulli-ts` and the other names (`linear-ts`, `square-cb`...)
    /// are Limbic's policies with default settings, learning along the log. A JSON object is parsed as settings:
    /// `{"name": "linear-ts", "draws": 64}`.
    pub fn named(name: &str, prior: Option<&Path>) -> Result<Self, EvaluateError> {
        match (name, prior) {
            ("uniform", None) => Ok(Self::Uniform),
            ("bernoulli-ts", Some(prior)) => Ok(Self::BernoulliThompson {
                prior: prior.to_owned(),
            }),
            (_, Some(_)) => Err(EvaluateError::policy(
                name,
                "only bernoulli-ts uses priors: remove --prior",
            )),
            (settings, None) if settings.trim_start().starts_with('{') => serde_json::from_str(settings)
                .map(Self::Learning)
                .map_err(|e| EvaluateError::policy(settings, e.to_string())),
            // Every policy of `limbic-bandit` has default settings.
            (_, None) => serde_json::from_value(serde_json::json!({ "name": name }))
                .map(Self::Learning)
                .map_err(|e| EvaluateError::policy(name, choices(&e.to_string()))),
        }
    }
}

/// The parser's message about a name that is not known, in words for people.
fn choices(message: &str) -> String {
    let known = message.split_once(", expected one of ").map(|(_, known)| known);
    known.map_or_else(
        || message.to_owned(),
        |known| format!("is not known: choose one of {known}"),
    )
}

/// The terms of the reward model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RewardModel {
    /// One score for the context, one for the arm, and a regression of each arm on the context.
    #[default]
    Interactions,
    /// One score for the context and one for the arm, as in the reference implementation.
    Additive,
}

/// What to do with rows that have no propensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingPropensity {
    /// Return an error.
    #[default]
    Refuse,
    /// Use the frequency of the chosen arm among rows with the same candidates and position.
    Estimate,
}

/// The log, the policy and the settings of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationOptions {
    /// Path of the log: a file, or for [`LogFormat::OpenBandit`] its folder.
    pub log: PathBuf,
    /// Format of the log.
    pub format: LogFormat,
    /// The policy to evaluate.
    pub policy: EvaluationPolicy,
    /// The estimators to report. Empty: all.
    pub estimators: Vec<Estimator>,
    /// The campaign whose priors are read from the prior file. Absent: the name of the log file (`all` for
    /// `all.csv`).
    pub campaign: Option<String>,
    /// Confidence of each interval, in (0, 1).
    pub confidence: f64,
    /// Seed of folds, replay and a policy's draws. The folds are those of the reference implementation for the same seed.
    pub seed: u64,
    /// Terms of the reward model.
    pub reward_model: RewardModel,
    /// Number of folds for cross-fitting the reward model, 1 to 255; 1 fits without cross-fitting.
    pub folds: usize,
    /// [`EvaluationPolicy::Learning`]: the file in which the policy is saved after the log. Absent: it is not saved.
    pub save: Option<PathBuf>,
    /// Largest weight; larger weights are cut to it. This lowers the variance and, if rewards are not negative, the
    /// estimate. Absent: weights are not cut.
    pub max_weight: Option<f64>,
    /// τ of `switch-dr`. Absent: chosen from the data.
    pub switch_threshold: Option<f64>,
    /// λ of `dr-os`. Absent: chosen from the data.
    pub shrinkage: Option<f64>,
    /// What to do with rows that have no propensity.
    pub missing_propensity: MissingPropensity,
    /// [`LogFormat::Limbic`]: what a reward is. Clicks over impressions by default.
    pub rewards: RewardConfig,
    /// [`LogFormat::Limbic`]: milliseconds after an impression in which an outcome counts, instead of the windows of
    /// [`Self::rewards`]. A decision whose window had not ended at the end of the log is then left out.
    pub attribution_window_millis: Option<i64>,
    /// Smallest and largest possible reward. Rows outside are rejected, and the guaranteed interval depends on it.
    pub reward_range: (f64, f64),
    /// Number of threads, at least 1.
    pub threads: usize,
}

impl EvaluationOptions {
    /// Default options: all estimators, 95 % intervals, three folds, uncut weights, and an error for missing
    /// propensities.
    pub fn new(log: impl Into<PathBuf>, format: LogFormat, policy: EvaluationPolicy) -> Self {
        Self {
            log: log.into(),
            format,
            policy,
            estimators: Vec::new(),
            campaign: None,
            confidence: 0.95,
            seed: 12345,
            reward_model: RewardModel::default(),
            folds: 3,
            save: None,
            max_weight: None,
            switch_threshold: None,
            shrinkage: None,
            missing_propensity: MissingPropensity::Refuse,
            rewards: RewardConfig {
                conversion: 0.0,
                ..RewardConfig::default()
            },
            attribution_window_millis: None,
            reward_range: (0.0, 1.0),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }

    /// The estimators to report.
    pub(super) fn selected_estimators(&self) -> &[Estimator] {
        if self.estimators.is_empty() {
            &Estimator::ALL
        } else {
            &self.estimators
        }
    }

    /// Whether rows must keep the keys of their ids.
    pub(super) const fn needs_keys(&self) -> bool {
        matches!(self.policy, EvaluationPolicy::Supplied { .. })
    }

    pub(super) fn check(&self) -> Result<(), EvaluateError> {
        let refuse = |option, value: String, rule| Err(EvaluateError::Option { option, value, rule });
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return refuse("confidence", self.confidence.to_string(), "it must lie in (0, 1)");
        }
        if let Some(path) = &self.save
            && !matches!(self.policy, EvaluationPolicy::Learning(_))
        {
            let given = path.display().to_string();
            return refuse(
                "save",
                given,
                "only a policy that learns along the log can be saved",
            );
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
