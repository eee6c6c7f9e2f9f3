//! Policies that share a regression [`Model`](super::model::Model) and differ in how its predictions become
//! probabilities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{BATCH, Link, MAX_DRAWS, Model, ModelConfig};
use super::scoring::{scores, win_shares};
use super::{Feedback, MAX_REWARD, Policy, PolicyError, check, within};
use crate::{Arm, Features};

/// Thompson sampling over a regression (linear: Agrawal and Goyal 2013; logistic: Chapelle and Li 2011).
///
/// Arms share weights, so the probability of being the best arm has no one-dimensional integral. The engine therefore
/// chooses from the empirical distribution of `draws` seeded posterior draws, mixed with a floor. The logged
/// propensity is exact by construction, and a replay computes it again to the bit. Draws come in antithetic pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThompsonConfig {
    /// Posterior draws per decision, 1 to 4096; rounded up to a multiple of 16.
    pub draws: usize,
    /// Probability that is shared equally by all arms, in `[0, 1]`.
    pub floor: f64,
    /// Factor on the standard deviation of the draws, in `[0, 1000]`.
    pub scale: f64,
    /// Settings of the regression.
    pub model: ModelConfig,
}

impl Default for ThompsonConfig {
    fn default() -> Self {
        Self {
            draws: 16,
            floor: 0.01,
            scale: 1.0,
            model: ModelConfig::default(),
        }
    }
}

/// The arm with the highest prediction; with probability `epsilon`, any arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EpsilonGreedyConfig {
    /// Probability that is shared equally by all arms, in `[0, 1]`.
    pub epsilon: f64,
    /// Settings of the regression.
    pub model: ModelConfig,
}

impl Default for EpsilonGreedyConfig {
    fn default() -> Self {
        Self {
            epsilon: 0.05,
            model: ModelConfig::default(),
        }
    }
}

/// The arm with the highest upper confidence bound (Li et al. 2010).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinUcbConfig {
    /// Standard deviations between the prediction and the bound, not negative.
    pub alpha: f64,
    /// Probability that is shared equally by all arms, in `[0, 1]`.
    pub floor: f64,
    /// Settings of the regression.
    pub model: ModelConfig,
}

impl Default for LinUcbConfig {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            floor: 0.01,
            model: ModelConfig::default(),
        }
    }
}

/// Inverse gap weighting (Abe and Long 1999; `SquareCB`, Foster and Rakhlin 2020).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SquareCbConfig {
    /// Weight of a gap between predictions after the first feedback, not negative.
    pub gamma: f64,
    /// The weight grows with the number of feedback items to this power, in `[0, 2]`.
    pub exponent: f64,
    /// Settings of the regression.
    pub model: ModelConfig,
}

impl Default for SquareCbConfig {
    fn default() -> Self {
        Self {
            gamma: 10.0,
            exponent: 0.5,
            model: ModelConfig::default(),
        }
    }
}

/// Probabilities proportional to the exponential of the predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxConfig {
    /// Factor on the predictions (the inverse temperature), not negative.
    pub lambda: f64,
    /// Settings of the regression.
    pub model: ModelConfig,
}

impl Default for SoftmaxConfig {
    fn default() -> Self {
        Self {
            lambda: 10.0,
            model: ModelConfig::default(),
        }
    }
}

/// How predictions become probabilities.
#[derive(Debug, Clone, Copy)]
enum Explore {
    Thompson { batches: usize, scale: f32, floor: f64 },
    Greedy { epsilon: f64 },
    Ucb { alpha: f32, floor: f64 },
    Gap { gamma: f64, exponent: f64 },
    Softmax { lambda: f64 },
}

/// A policy over a regression.
#[derive(Debug, Clone)]
pub struct Regression {
    model: Model,
    explore: Explore,
    maximum_reward: f64,
}

impl Regression {
    fn new(model: &ModelConfig, link: Link, explore: Explore) -> Result<Self, PolicyError> {
        Ok(Self {
            model: Model::new(model.clone(), link)?,
            explore,
            maximum_reward: match link {
                Link::Identity => MAX_REWARD,
                Link::Logistic => 1.0,
            },
        })
    }

    /// Builds linear Thompson sampling. Returns an error for the first setting that is outside its range.
    pub fn linear_thompson(config: &ThompsonConfig) -> Result<Self, PolicyError> {
        Self::thompson(config, Link::Identity)
    }

    /// Builds logistic Thompson sampling. Returns an error for the first setting that is outside its range.
    pub fn logistic_thompson(config: &ThompsonConfig) -> Result<Self, PolicyError> {
        Self::thompson(config, Link::Logistic)
    }

    fn thompson(config: &ThompsonConfig, link: Link) -> Result<Self, PolicyError> {
        let maximum_reward = MAX_DRAWS as f64;
        within(
            "draws",
            config.draws as f64,
            1.0..=maximum_reward,
            "must be in 1..=4096",
        )?;
        within("floor", config.floor, 0.0..=1.0, "must be in [0, 1]")?;
        within("scale", config.scale, 0.0..=1e3, "must be in [0, 1000]")?;
        let explore = Explore::Thompson {
            batches: config.draws.div_ceil(BATCH),
            scale: config.scale as f32,
            floor: config.floor,
        };
        Self::new(&config.model, link, explore)
    }

    /// Builds ε-greedy. Returns an error for the first setting that is outside its range.
    pub fn epsilon_greedy(config: &EpsilonGreedyConfig) -> Result<Self, PolicyError> {
        within("epsilon", config.epsilon, 0.0..=1.0, "must be in [0, 1]")?;
        let explore = Explore::Greedy {
            epsilon: config.epsilon,
        };
        Self::new(&config.model, Link::Identity, explore)
    }

    /// Builds `LinUCB`. Returns an error for the first setting that is outside its range.
    pub fn lin_ucb(config: &LinUcbConfig) -> Result<Self, PolicyError> {
        within("alpha", config.alpha, 0.0..=1e6, "must not be negative")?;
        within("floor", config.floor, 0.0..=1.0, "must be in [0, 1]")?;
        let explore = Explore::Ucb {
            alpha: config.alpha as f32,
            floor: config.floor,
        };
        Self::new(&config.model, Link::Identity, explore)
    }

    /// Builds `SquareCB`. Returns an error for the first setting that is outside its range.
    pub fn square_cb(config: &SquareCbConfig) -> Result<Self, PolicyError> {
        within("gamma", config.gamma, 0.0..=1e9, "must not be negative")?;
        within("exponent", config.exponent, 0.0..=2.0, "must be in [0, 2]")?;
        let explore = Explore::Gap {
            gamma: config.gamma,
            exponent: config.exponent,
        };
        Self::new(&config.model, Link::Identity, explore)
    }

    /// Builds softmax. Returns an error for the first setting that is outside its range.
    pub fn softmax(config: &SoftmaxConfig) -> Result<Self, PolicyError> {
        within("lambda", config.lambda, 0.0..=1e9, "must not be negative")?;
        let explore = Explore::Softmax {
            lambda: config.lambda,
        };
        Self::new(&config.model, Link::Identity, explore)
    }
}

/// Gives all probability to the highest score (equal scores share it), then shares `floor` of it equally among all.
fn greedy(scores: &[f64], floor: f64) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let equals = scores.iter().filter(|&&score| score >= highest).count() as f64;
    let best = scores
        .iter()
        .map(|&score| if score >= highest { 1.0 / equals } else { 0.0 });
    mix(best.collect(), floor)
}

fn mix(mut probabilities: Vec<f64>, floor: f64) -> Vec<f64> {
    let share = floor / probabilities.len() as f64;
    for probability in &mut probabilities {
        *probability = share + (1.0 - floor) * *probability;
    }
    probabilities
}

fn inverse_gap(scores: &[f64], gamma: f64) -> Vec<f64> {
    let best = scores
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    let Some((best, &highest)) = best else {
        return Vec::new();
    };
    let arms = scores.len() as f64;
    let mut probabilities: Vec<f64> = scores
        .iter()
        .map(|&score| 1.0 / (arms + gamma * (highest - score)))
        .collect();
    let others: f64 = probabilities.iter().sum::<f64>() - probabilities[best];
    probabilities[best] = 1.0 - others;
    probabilities
}

fn softmax(scores: &[f64], lambda: f64) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let odds: Vec<f64> = scores
        .iter()
        .map(|&score| libm::exp(lambda * (score - highest)))
        .collect();
    let total: f64 = odds.iter().sum();
    odds.iter().map(|odd| odd / total).collect()
}

impl Policy for Regression {
    fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64> {
        if arms.is_empty() {
            return Vec::new();
        }
        let prepared = self.model.prepare(context);
        let scores = |alpha| scores(&self.model, &prepared, arms, alpha);
        match self.explore {
            Explore::Thompson {
                batches,
                scale,
                floor,
            } => {
                let draws = self.model.draws(seed, batches, scale);
                mix(win_shares(&prepared, arms, &draws), floor)
            }
            Explore::Greedy { epsilon } => greedy(&scores(0.0), epsilon),
            Explore::Ucb { alpha, floor } => greedy(&scores(alpha), floor),
            Explore::Gap { gamma, exponent } => {
                let feedback = (self.model.feedback() + 1) as f64;
                inverse_gap(&scores(0.0), gamma * libm::pow(feedback, exponent))
            }
            Explore::Softmax { lambda } => softmax(&scores(0.0), lambda),
        }
    }

    fn is_seeded(&self) -> bool {
        matches!(self.explore, Explore::Thompson { .. })
    }

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, self.maximum_reward)?;
        self.model.learn(
            feedback.context,
            feedback.arm,
            feedback.reward,
            feedback.previous_reward,
        );
        Ok(())
    }

    fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, self.maximum_reward)?;
        self.model
            .unlearn(feedback.context, feedback.arm, feedback.reward);
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.model.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        self.model.restore(snapshot)
    }
}
