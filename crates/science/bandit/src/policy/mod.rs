//! Policies: one probability per arm, learned from feedback.
//!
//! [`PolicyConfig`] names a policy and its settings. [`PolicyConfig::build`] returns it as an [`AnyPolicy`].

mod bernoulli;
mod model;
mod pooled;
mod regression;
mod scoring;
mod uniform;

pub use bernoulli::{BernoulliConfig, BernoulliThompson, ChangeConfig, HierarchyConfig};
pub use model::{ModelConfig, WidenConfig};
pub use pooled::{Pooled, PooledConfig};
pub use regression::{
    EpsilonGreedyConfig, LinUcbConfig, Regression, SoftmaxConfig, SquareCbConfig, ThompsonConfig,
};
pub use uniform::{Uniform, UniformConfig};

use limbic_domain::PolicyVersion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random;
use crate::{Arm, Features};

/// One choice and its reward.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    /// The features of the context at the time of the choice.
    pub context: &'a Features,
    /// The chosen arm.
    pub arm: &'a Arm,
    /// The reward: finite, not negative, and at most [`PolicyConfig::largest_reward`].
    pub reward: f64,
    /// The reward that was learned before, if this feedback corrects it.
    pub previous_reward: Option<f64>,
    /// The probability of the choice, in `(0, 1]`.
    pub propensity: f64,
}

/// A policy could not be built, updated or restored.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A setting is outside its range.
    #[error("policy setting `{setting}` is {value}: {rule}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// The allowed range, as a phrase that follows the value.
        rule: &'static str,
    },
    /// No cap for people in a negative feeling is as strict as it must be.
    #[error(
        "negative_feeling_caps: one of the caps must allow at most 1 contact in at least 1d; they can be made stricter, never more lenient"
    )]
    NegativeFeelingCaps,
    /// The reward is NaN, negative, or larger than the policy's model allows.
    #[error(
        "reward {0} is not usable: it must be finite, not negative, and at most 1 for a model of clicks (else 1e12)"
    )]
    Reward(f64),
    /// The propensity is 0, above 1, or NaN.
    #[error("propensity {0} is not in (0, 1]")]
    Propensity(f64),
    /// The snapshot belongs to another policy, or is damaged.
    #[error("not a snapshot of this policy: {0}")]
    Snapshot(#[from] serde_json::Error),
}

/// A bandit policy.
pub trait Policy {
    /// The probability of each arm; they sum to 1 within 1e-9. Empty if there are no arms.
    ///
    /// The result is a function of the learned state, the context, the arms and `seed`, to the bit.
    fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64>;

    /// Whether [`Policy::probabilities`] depends on its seed.
    fn is_seeded(&self) -> bool {
        false
    }

    /// Learns from feedback. An error changes nothing.
    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError>;

    /// Takes back a reward that was learned: `feedback` as it was learned last, with `previous_reward` empty. Policies that count do this
    /// exactly, unless they forget with time. The regressions do it up to the changes of their weights since then. An error changes
    /// nothing.
    fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError>;

    /// The learned state as a JSON object; [`Policy::restore`] restores it to the bit.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the learned state by the snapshot of a policy with the same settings. An error changes nothing.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError>;
}

/// Largest reward of any policy.
pub(crate) const MAX_REWARD: f64 = 1e12;

/// Returns an error for feedback that no policy can learn from.
pub(crate) fn check(feedback: &Feedback<'_>, most: f64) -> Result<(), PolicyError> {
    for reward in std::iter::once(feedback.reward).chain(feedback.previous_reward) {
        if !(0.0..=most).contains(&reward) || !reward.is_finite() {
            return Err(PolicyError::Reward(reward));
        }
    }
    if !(feedback.propensity > 0.0 && feedback.propensity <= 1.0) {
        return Err(PolicyError::Propensity(feedback.propensity));
    }
    Ok(())
}

/// Returns an error if `value` is outside `range`. `rule` describes the range in the message.
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

/// Name and settings of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum PolicyConfig {
    /// The same probability for every arm; the baseline.
    Uniform(UniformConfig),
    /// Thompson sampling that pools across feelings; the default.
    PooledTs(PooledConfig),
    /// Thompson sampling with independent Beta arms.
    BernoulliTs(BernoulliConfig),
    /// The arm with the highest prediction of a linear regression; with probability ε, any arm.
    EpsilonGreedy(EpsilonGreedyConfig),
    /// Thompson sampling over a linear regression.
    LinearTs(ThompsonConfig),
    /// Thompson sampling over a logistic regression.
    LogisticTs(ThompsonConfig),
    /// The arm with the highest upper confidence bound of a linear regression.
    LinUcb(LinUcbConfig),
    /// Inverse gap weighting over a linear regression.
    SquareCb(SquareCbConfig),
    /// Softmax over the predictions of a linear regression.
    Softmax(SoftmaxConfig),
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self::PooledTs(PooledConfig::default())
    }
}

impl PolicyConfig {
    /// Name of the policy, as settings and decisions write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Uniform(_) => "uniform",
            Self::PooledTs(_) => "pooled-ts",
            Self::BernoulliTs(_) => "bernoulli-ts",
            Self::EpsilonGreedy(_) => "epsilon-greedy",
            Self::LinearTs(_) => "linear-ts",
            Self::LogisticTs(_) => "logistic-ts",
            Self::LinUcb(_) => "lin-ucb",
            Self::SquareCb(_) => "square-cb",
            Self::Softmax(_) => "softmax",
        }
    }

    /// Name, version and hash of the settings, as a decision records them.
    pub fn version(&self) -> PolicyVersion {
        let settings = serde_json::to_vec(self).expect("settings are plain numbers and names");
        PolicyVersion {
            name: self.name().to_owned(),
            version: match self {
                Self::Uniform(_) | Self::PooledTs(_) | Self::BernoulliTs(_) => 1,
                // Version 2: draws come from a ring, snapshots are packed. Version 3: sums of draws are added in
                // another order.
                _ => 3,
            },
            hash: format!("{:016x}", random::hash(&settings)),
        }
    }

    /// Largest reward that the policy can learn from: 1 if it models a probability, otherwise 1e12.
    pub const fn largest_reward(&self) -> f64 {
        match self {
            Self::PooledTs(_) | Self::BernoulliTs(_) | Self::LogisticTs(_) => 1.0,
            _ => MAX_REWARD,
        }
    }

    /// Builds the policy without any feedback. Returns an error for the first setting that is outside its range.
    pub fn build(&self) -> Result<AnyPolicy, PolicyError> {
        Ok(match self {
            Self::Uniform(_) => AnyPolicy::Uniform(Uniform),
            Self::PooledTs(config) => AnyPolicy::Pooled(Pooled::new(config.clone())?),
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

/// Any of the policies, with static dispatch.
#[derive(Debug, Clone)]
pub enum AnyPolicy {
    /// See [`Uniform`].
    Uniform(Uniform),
    /// See [`Pooled`].
    Pooled(Pooled),
    /// See [`BernoulliThompson`].
    BernoulliTs(BernoulliThompson),
    /// See [`Regression`].
    Regression(Regression),
}

macro_rules! each {
    ($policy:expr, $inner:ident => $call:expr) => {
        match $policy {
            AnyPolicy::Uniform($inner) => $call,
            AnyPolicy::Pooled($inner) => $call,
            AnyPolicy::BernoulliTs($inner) => $call,
            AnyPolicy::Regression($inner) => $call,
        }
    };
}

impl Policy for AnyPolicy {
    fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64> {
        each!(self, policy => policy.probabilities(context, arms, seed))
    }

    fn is_seeded(&self) -> bool {
        each!(self, policy => policy.is_seeded())
    }

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        each!(self, policy => policy.learn(feedback))
    }

    fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        each!(self, policy => policy.unlearn(feedback))
    }

    fn snapshot(&self) -> Vec<u8> {
        each!(self, policy => policy.snapshot())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        each!(self, policy => policy.restore(snapshot))
    }
}
