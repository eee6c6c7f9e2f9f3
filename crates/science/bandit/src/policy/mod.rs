//! Policies: one probability per arm, and what an outcome teaches.
//!
//! [`PolicyConfig`] names a policy and its settings; [`PolicyConfig::build`] makes the [`AnyPolicy`] that serves it.

mod arms;
mod bernoulli;
mod model;
mod regression;
mod uniform;

pub use bernoulli::{BernoulliConfig, BernoulliThompson, ChangeConfig, HierarchyConfig};
pub use model::{ModelConfig, WidenConfig};
pub use regression::{
    EpsilonGreedyConfig, LinUcbConfig, Regression, SoftmaxConfig, SquareCbConfig, ThompsonConfig,
};
pub use uniform::{Uniform, UniformConfig};

use limbic_domain::PolicyVersion;
use serde::{Deserialize, Serialize};

use crate::random;
use crate::{Arm, Features};

/// What came of one choice.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    /// What was known when it was chosen.
    pub context: &'a Features,
    /// What was chosen.
    pub arm: &'a Arm,
    /// What it brought: finite, not negative; at most 1 where the policy's model is of clicks, else 10¹².
    pub reward: f64,
    /// The reward taught before, if this feedback corrects one.
    pub corrects: Option<f64>,
    /// The probability it was chosen with, in `(0, 1]`.
    pub propensity: f64,
}

/// Why a policy could not be built, taught or restored.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A setting is outside its range.
    #[error("policy setting `{setting}` is {value}: {rule}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What it was.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A reward that is NaN, negative, or too large for the policy's model.
    #[error(
        "reward {0} is not usable: it must be finite, not negative, and at most 1 for a model of clicks (else 1e12)"
    )]
    Reward(f64),
    /// A propensity of 0, above 1, or NaN: nothing was ever chosen with it.
    #[error("propensity {0} is not in (0, 1]")]
    Propensity(f64),
    /// A snapshot of another policy, or damaged.
    #[error("not a snapshot of this policy: {0}")]
    Snapshot(#[from] serde_json::Error),
}

/// A way of choosing.
pub trait Policy {
    /// The probability of each arm; they sum to 1 within 1e-9. Empty for no arms.
    ///
    /// A function of the policy's state, the context, the arms and `seed`, to the last bit.
    fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64>;

    /// Learns from an outcome. An error changes nothing.
    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError>;

    /// All that was learnt, as a JSON object; [`Policy::restore`] gives it back to the last bit.
    fn snapshot(&self) -> Vec<u8>;

    /// Takes on what was learnt by a policy of the same settings.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError>;
}

/// No reward may be larger, whatever the model.
pub(crate) const MOST_REWARD: f64 = 1e12;

/// Refuses a feedback that no policy can use.
pub(crate) fn check(feedback: &Feedback<'_>, most: f64) -> Result<(), PolicyError> {
    for reward in std::iter::once(feedback.reward).chain(feedback.corrects) {
        if !(0.0..=most).contains(&reward) || !reward.is_finite() {
            return Err(PolicyError::Reward(reward));
        }
    }
    if !(feedback.propensity > 0.0 && feedback.propensity <= 1.0) {
        return Err(PolicyError::Propensity(feedback.propensity));
    }
    Ok(())
}

/// Refuses a setting outside `range`.
pub fn within(
    setting: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    rule: &'static str,
) -> Result<(), PolicyError> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(PolicyError::Setting { setting, value, rule })
    }
}

/// A policy's name and settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum PolicyConfig {
    /// The control: every arm alike.
    Uniform(UniformConfig),
    /// Thompson sampling with independent Beta arms.
    BernoulliTs(BernoulliConfig),
    /// The best prediction of a regression, and now and then any arm.
    EpsilonGreedy(EpsilonGreedyConfig),
    /// Thompson sampling over a linear regression.
    LinearTs(ThompsonConfig),
    /// Thompson sampling over a logistic regression.
    LogisticTs(ThompsonConfig),
    /// The highest upper confidence bound of a linear regression.
    LinUcb(LinUcbConfig),
    /// Inverse gap weighting over a linear regression.
    SquareCb(SquareCbConfig),
    /// Softmax over a linear regression.
    Softmax(SoftmaxConfig),
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self::BernoulliTs(BernoulliConfig::default())
    }
}

impl PolicyConfig {
    /// Its name, as it is written in settings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Uniform(_) => "uniform",
            Self::BernoulliTs(_) => "bernoulli-ts",
            Self::EpsilonGreedy(_) => "epsilon-greedy",
            Self::LinearTs(_) => "linear-ts",
            Self::LogisticTs(_) => "logistic-ts",
            Self::LinUcb(_) => "lin-ucb",
            Self::SquareCb(_) => "square-cb",
            Self::Softmax(_) => "softmax",
        }
    }

    /// Its name, version and the hash of its settings, as a decision records them.
    pub fn version(&self) -> PolicyVersion {
        let settings = serde_json::to_vec(self).expect("settings are plain numbers and names");
        PolicyVersion {
            name: self.name().to_owned(),
            version: match self {
                Self::Uniform(_) | Self::BernoulliTs(_) => 1,
                // 2: draws come from a ring, snapshots are packed. 3: sums of draws are added up in another order.
                _ => 3,
            },
            hash: format!("{:016x}", random::hash(&settings)),
        }
    }

    /// The largest reward it can learn from: 1 for a model of clicks.
    pub const fn largest_reward(&self) -> f64 {
        match self {
            Self::BernoulliTs(_) | Self::LogisticTs(_) => 1.0,
            _ => MOST_REWARD,
        }
    }

    /// The policy itself, having learnt nothing. Refuses settings outside their ranges.
    pub fn build(&self) -> Result<AnyPolicy, PolicyError> {
        Ok(match self {
            Self::Uniform(_) => AnyPolicy::Uniform(Uniform),
            Self::BernoulliTs(config) => AnyPolicy::BernoulliTs(BernoulliThompson::new(config.clone())?),
            Self::EpsilonGreedy(config) => AnyPolicy::Regression(Regression::epsilon_greedy(config)?),
            Self::LinearTs(config) => AnyPolicy::Regression(Regression::linear_thompson(config)?),
            Self::LogisticTs(config) => AnyPolicy::Regression(Regression::logistic_thompson(config)?),
            Self::LinUcb(config) => AnyPolicy::Regression(Regression::lin_ucb(config)?),
            Self::SquareCb(config) => AnyPolicy::Regression(Regression::square_cb(config)?),
            Self::Softmax(config) => AnyPolicy::Regression(Regression::softmax(config)?),
        })
    }
}

/// Any of the policies, dispatched without a heap.
#[derive(Debug, Clone)]
pub enum AnyPolicy {
    /// See [`Uniform`].
    Uniform(Uniform),
    /// See [`BernoulliThompson`].
    BernoulliTs(BernoulliThompson),
    /// See [`Regression`].
    Regression(Regression),
}

macro_rules! each {
    ($policy:expr, $inner:ident => $call:expr) => {
        match $policy {
            AnyPolicy::Uniform($inner) => $call,
            AnyPolicy::BernoulliTs($inner) => $call,
            AnyPolicy::Regression($inner) => $call,
        }
    };
}

impl Policy for AnyPolicy {
    fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64> {
        each!(self, policy => policy.probabilities(context, arms, seed))
    }

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        each!(self, policy => policy.learn(feedback))
    }

    fn snapshot(&self) -> Vec<u8> {
        each!(self, policy => policy.snapshot())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        each!(self, policy => policy.restore(snapshot))
    }
}
