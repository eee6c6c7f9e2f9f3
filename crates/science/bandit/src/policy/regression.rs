//! Policies over a regression: what they share is the [`Model`](super::model::Model), what they differ in is how its
//! predictions become probabilities.

use serde::{Deserialize, Serialize};

use super::arms::{scores, wins};
use super::model::{Link, MOST_DRAWS, Model, ModelConfig, RUN};
use super::{Feedback, MOST_REWARD, Policy, PolicyError, check, within};
use crate::{Arm, Features};

/// Thompson sampling over a regression (linear: Agrawal and Goyal 2013; logistic: Chapelle and Li 2011).
///
/// Arms share weights, so the probability of being the best has no one-dimensional integral. The distribution that is
/// chosen from is therefore itself the empirical one of `draws` seeded posterior draws, mixed with a floor: the logged
/// propensity is exact by construction, and a replay computes it again to the bit. Draws come in antithetic pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThompsonConfig {
    /// Posterior draws that one decision looks at; rounded up to a multiple of 16.
    pub draws: usize,
    /// Probability shared out equally before the draws decide the rest.
    pub floor: f64,
    /// Multiplies the width of the draws.
    pub scale: f64,
    /// The regression.
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

/// The best prediction, and now and then any arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpsilonGreedyConfig {
    /// Probability shared out equally.
    pub epsilon: f64,
    /// The regression.
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

/// The highest upper confidence bound (Li et al. 2010).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinUcbConfig {
    /// How many standard deviations above the prediction the bound lies.
    pub alpha: f64,
    /// Probability shared out equally.
    pub floor: f64,
    /// The regression.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SquareCbConfig {
    /// How much a gap costs after the first feedback.
    pub gamma: f64,
    /// The cost grows with this power of the number of feedback.
    pub exponent: f64,
    /// The regression.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxConfig {
    /// Multiplies the predictions.
    pub lambda: f64,
    /// The regression.
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
    Thompson { runs: usize, scale: f32, floor: f64 },
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
    most: f64,
}

impl Regression {
    fn new(model: &ModelConfig, link: Link, explore: Explore) -> Result<Self, PolicyError> {
        Ok(Self {
            model: Model::new(model.clone(), link)?,
            explore,
            most: match link {
                Link::Identity => MOST_REWARD,
                Link::Logistic => 1.0,
            },
        })
    }

    /// Linear Thompson sampling. Refuses settings outside their ranges.
    pub fn linear_thompson(config: &ThompsonConfig) -> Result<Self, PolicyError> {
        Self::thompson(config, Link::Identity)
    }

    /// Logistic Thompson sampling. Refuses settings outside their ranges.
    pub fn logistic_thompson(config: &ThompsonConfig) -> Result<Self, PolicyError> {
        Self::thompson(config, Link::Logistic)
    }

    fn thompson(config: &ThompsonConfig, link: Link) -> Result<Self, PolicyError> {
        let most = MOST_DRAWS as f64;
        within("draws", config.draws as f64, 1.0..=most, "must be in 1..=4096")?;
        within("floor", config.floor, 0.0..=1.0, "must be in [0, 1]")?;
        within("scale", config.scale, 0.0..=1e3, "must be in [0, 1000]")?;
        let explore = Explore::Thompson {
            runs: config.draws.div_ceil(RUN),
            scale: config.scale as f32,
            floor: config.floor,
        };
        Self::new(&config.model, link, explore)
    }

    /// ε-greedy. Refuses settings outside their ranges.
    pub fn epsilon_greedy(config: &EpsilonGreedyConfig) -> Result<Self, PolicyError> {
        within("epsilon", config.epsilon, 0.0..=1.0, "must be in [0, 1]")?;
        let explore = Explore::Greedy {
            epsilon: config.epsilon,
        };
        Self::new(&config.model, Link::Identity, explore)
    }

    /// `LinUCB`. Refuses settings outside their ranges.
    pub fn lin_ucb(config: &LinUcbConfig) -> Result<Self, PolicyError> {
        within("alpha", config.alpha, 0.0..=1e6, "must not be negative")?;
        within("floor", config.floor, 0.0..=1.0, "must be in [0, 1]")?;
        let explore = Explore::Ucb {
            alpha: config.alpha as f32,
            floor: config.floor,
        };
        Self::new(&config.model, Link::Identity, explore)
    }

    /// `SquareCB`. Refuses settings outside their ranges.
    pub fn square_cb(config: &SquareCbConfig) -> Result<Self, PolicyError> {
        within("gamma", config.gamma, 0.0..=1e9, "must not be negative")?;
        within("exponent", config.exponent, 0.0..=2.0, "must be in [0, 2]")?;
        let explore = Explore::Gap {
            gamma: config.gamma,
            exponent: config.exponent,
        };
        Self::new(&config.model, Link::Identity, explore)
    }

    /// Softmax. Refuses settings outside their ranges.
    pub fn softmax(config: &SoftmaxConfig) -> Result<Self, PolicyError> {
        within("lambda", config.lambda, 0.0..=1e9, "must not be negative")?;
        let explore = Explore::Softmax {
            lambda: config.lambda,
        };
        Self::new(&config.model, Link::Identity, explore)
    }
}

/// All probability to the highest score (shared by equals), then a part of it shared out equally.
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
        let asked = self.model.ask(context);
        let scores = |alpha| scores(&self.model, &asked, arms, alpha);
        match self.explore {
            Explore::Thompson { runs, scale, floor } => {
                let draws = self.model.draws(seed, runs, scale);
                mix(wins(&asked, arms, &draws), floor)
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

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, self.most)?;
        self.model
            .learn(feedback.context, feedback.arm, feedback.reward, feedback.corrects);
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.model.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        self.model.restore(snapshot)
    }
}
