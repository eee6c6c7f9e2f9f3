//! A regression over hashed features with a diagonal Gaussian posterior, shared by all policies that generalise over
//! features.
//!
//! One feedback item is one step of a Kalman filter whose covariance is kept diagonal (assumed density filtering).
//! With the logistic link, the step is that of the Laplace approximation: one Newton step at the predicted
//! probability.
//!
//! Forgetting discounts the natural parameters towards the prior. It is lazy: a weight is discounted when it is next
//! used, by the number of feedback items since its last update. A sweep also refreshes a few other weights at each
//! feedback, so that the deviations used for serving stay current.
//!
//! Change detection is an EWMA control chart of the standardised error of every weight. An alarm widens the posterior
//! of that weight towards its prior, so that only the weights that have moved are learned again.
//!
//! * `terms`: from a context and an arm to the weights they use, interactions included.
//! * `draws`: weighted sums under many posterior draws at once.
//! * `snapshot`: the model as JSON, restored to the bit.

mod draws;
mod snapshot;
mod terms;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyError, within};
use crate::features::namespace;
use crate::{Arm, Features};

pub(crate) use draws::{BATCH, Draws, MAX_DRAWS};
pub(crate) use terms::{PreparedContext, Term};

/// Settings of the regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The model has 2 to this power weights, 4 to 22.
    pub bits: u8,
    /// Sets of 2 to 8 namespaces whose features are multiplied with one another. A namespace is looked up in the
    /// context first, then in the arm; `*` stands for all features of the context. Default: all features of the
    /// context times the arm, and times its family. A new arm then starts from what its family has earned in that
    /// context.
    pub interactions: Vec<Vec<String>>,
    /// Prior variance of each weight, positive.
    pub prior_variance: f64,
    /// Variance of a reward around its prediction, positive. The logistic link ignores it.
    pub noise_variance: f64,
    /// Factor by which the posterior's precision shrinks towards the prior at each feedback, in `[0.5, 1]`; 1 forgets
    /// nothing.
    pub forgetting: f64,
    /// Detection of weights that have moved. Absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<WidenConfig>,
}

/// Settings of the control chart of every weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WidenConfig {
    /// Weight of the newest error in the moving average, in `(0, 1]`.
    pub rate: f64,
    /// Standard deviations of the moving average that raise an alarm.
    pub limit: f64,
    /// How far an alarm moves a weight's variance towards the prior variance, in `[0, 1]`.
    pub widen: f64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            bits: 14,
            interactions: ["arm", "family"]
                .map(|own| vec!["*".to_owned(), own.to_owned()])
                .into(),
            prior_variance: 0.25,
            noise_variance: 0.25,
            forgetting: 1.0,
            change: None,
        }
    }
}

/// How the weighted sum relates to the reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The expected reward is the weighted sum.
    Identity,
    /// The weighted sum is the log-odds of a click.
    Logistic,
}

/// The part of a weight that serving reads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ServingWeight {
    mean: f32,
    deviation: f32,
}

/// The part of a weight that learning reads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Weight {
    mean: f64,
    variance: f64,
    /// Moving average of the standardised error.
    error: f64,
    /// Number of feedback items at the last refresh.
    at: u64,
}

/// A regression with a diagonal Gaussian posterior.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    config: ModelConfig,
    link: Link,
    /// Hashes of the namespaces of each interaction.
    interactions: Vec<Vec<u32>>,
    /// Powers of the forgetting factor.
    powers: Vec<f64>,
    /// What serving reads, by index of the weight.
    serving: Vec<ServingWeight>,
    /// Index of each weight in `touched`, or [`UNTOUCHED`].
    places: Vec<u32>,
    /// What learning reads, in the order in which weights were first updated.
    touched: Vec<(u32, Weight)>,
    feedback: u64,
    /// Index in `touched` of the weight that the sweep refreshed last.
    sweep: usize,
}

/// Marks a weight that no feedback has updated.
const UNTOUCHED: u32 = u32::MAX;
/// Weights that each feedback refreshes besides its own.
const SWEEP: usize = 8;

/// What the weights predict, and what an observation of it would tell.
struct Prediction {
    predicted: f64,
    /// The variance of the weights' sum.
    spread: f64,
    /// The variance of an observation around it.
    noise: f64,
    /// By what an error is multiplied.
    response: f64,
}

impl Model {
    pub(crate) fn new(config: ModelConfig, link: Link) -> Result<Self, PolicyError> {
        let positive = 1e-12..=1e12;
        within("model.bits", config.bits.into(), 4.0..=22.0, "must be in 4..=22")?;
        within(
            "model.prior_variance",
            config.prior_variance,
            positive.clone(),
            "must be positive",
        )?;
        within(
            "model.noise_variance",
            config.noise_variance,
            positive,
            "must be positive",
        )?;
        within(
            "model.forgetting",
            config.forgetting,
            0.5..=1.0,
            "must be in [0.5, 1]",
        )?;
        if let Some(change) = config.change {
            within("model.change.rate", change.rate, 1e-6..=1.0, "must be in (0, 1]")?;
            within(
                "model.change.limit",
                change.limit,
                0.0..=1e6,
                "must not be negative",
            )?;
            within("model.change.widen", change.widen, 0.0..=1.0, "must be in [0, 1]")?;
        }
        let interactions: Vec<Vec<u32>> = config
            .interactions
            .iter()
            .map(|names| names.iter().map(|name| namespace(name)).collect())
            .collect();
        for names in &interactions {
            within(
                "model.interactions",
                names.len() as f64,
                2.0..=8.0,
                "each must name 2 to 8 namespaces",
            )?;
        }
        let untouched = ServingWeight {
            mean: 0.0,
            deviation: config.prior_variance.sqrt() as f32,
        };
        let powers = std::iter::successors(Some(1.0), |power| Some(power * config.forgetting));
        Ok(Self {
            powers: powers.take(1024).collect(),
            interactions,
            link,
            serving: vec![untouched; 1 << config.bits],
            places: vec![UNTOUCHED; 1 << config.bits],
            touched: Vec::new(),
            feedback: 0,
            sweep: 0,
            config,
        })
    }

    /// Number of feedback items so far.
    pub(crate) const fn feedback(&self) -> u64 {
        self.feedback
    }

    /// The predicted weighted sum.
    #[expect(
        clippy::inline_always,
        reason = "a dispatched loop wants it compiled for its processor"
    )]
    #[inline(always)]
    pub(crate) fn mean(&self, terms: &[Term]) -> f32 {
        // Four independent sums, because one would wait for its previous addition.
        let mut sums = [0.0_f32; 4];
        let (fours, rest) = terms.as_chunks::<4>();
        for four in fours {
            for (sum, &(index, value)) in sums.iter_mut().zip(four) {
                *sum += self.serving[index as usize].mean * value;
            }
        }
        for (sum, &(index, value)) in sums.iter_mut().zip(rest) {
            *sum += self.serving[index as usize].mean * value;
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }

    /// The standard deviation of the weighted sum.
    #[expect(
        clippy::inline_always,
        reason = "a dispatched loop wants it compiled for its processor"
    )]
    #[inline(always)]
    pub(crate) fn deviation(&self, terms: &[Term]) -> f32 {
        let squares = terms.iter().map(|&(index, value)| {
            let part = self.serving[index as usize].deviation * value;
            part * part
        });
        squares.fold(0.0_f32, |sum, square| sum + square).sqrt()
    }

    /// The terms of `arm` in `context`.
    fn terms(&self, context: &Features, arm: &Arm) -> Vec<Term> {
        let mut terms = Vec::with_capacity(128);
        let prepared = self.prepare(context);
        prepared.shared_terms(&mut terms);
        prepared.arm_terms(arm, &mut terms);
        terms
    }

    /// What the weights of `terms` predict.
    fn prediction(&mut self, terms: &[Term]) -> Prediction {
        let (mut sum, mut spread) = (0.0, 0.0);
        for &(index, value) in terms {
            let (value, weight) = (f64::from(value), self.refresh(index));
            sum += weight.mean * value;
            spread += weight.variance * value * value;
        }
        // With the logistic link: the working response and its variance at the predicted probability.
        let (predicted, noise, response) = match self.link {
            Link::Identity => (sum, self.config.noise_variance, 1.0),
            Link::Logistic => {
                let chance = logistic(sum / (1.0 + spread * std::f64::consts::PI / 8.0).sqrt());
                let information = (chance * (1.0 - chance)).max(1e-4);
                (chance, 1.0 / information, 1.0 / information)
            }
        };
        Prediction {
            predicted,
            spread,
            noise,
            response,
        }
    }

    /// Takes back the `reward` of `arm` in `context`: the update of [`Self::learn`] with the sign of the observation's information
    /// reversed. It is exact for one term that has not changed since, and an approximation otherwise.
    pub(crate) fn unlearn(&mut self, context: &Features, arm: &Arm, reward: f64) {
        let terms = self.terms(context, arm);
        let Prediction {
            predicted,
            spread,
            noise,
            response,
        } = self.prediction(&terms);
        // What is left after an observation varies less than its noise, unless the weights were widened since.
        let total = (noise - spread).max(noise / 2.0);
        let error = (reward - predicted) * response;
        let prior = self.config.prior_variance;
        for &(index, value) in &terms {
            let weight = self.weight(index);
            let gain = weight.variance * f64::from(value) / total;
            weight.mean -= gain * error;
            weight.variance = (weight.variance * (1.0 + gain * f64::from(value))).min(prior);
            self.update_serving(index);
        }
    }

    /// Learns the `reward` of `arm` in `context`.
    pub(crate) fn learn(&mut self, context: &Features, arm: &Arm, reward: f64, previous_reward: Option<f64>) {
        let terms = self.terms(context, arm);
        if previous_reward.is_none() {
            self.feedback += 1;
        }
        let Prediction {
            predicted,
            spread,
            noise,
            response,
        } = self.prediction(&terms);
        let total = noise + spread;
        if let Some(before) = previous_reward {
            // A correction moves the means. The variances already count this observation.
            let step = (reward - before) * response / total;
            for &(index, value) in &terms {
                let weight = self.weight(index);
                weight.mean += weight.variance * f64::from(value) * step;
                self.update_serving(index);
            }
            return;
        }
        let error = (reward - predicted) * response;
        let surprise = error / total.sqrt();
        for &(index, value) in &terms {
            let (change, prior) = (self.config.change, self.config.prior_variance);
            let weight = self.weight(index);
            let gain = weight.variance * f64::from(value) / total;
            weight.mean += gain * error;
            // The variance stays positive even for very large features, because a variance of 0 would never widen
            // again.
            weight.variance = (weight.variance * (1.0 - gain * f64::from(value))).max(1e-12 * prior);
            if let Some(change) = change {
                weight.error += change.rate * (surprise - weight.error);
                if weight.error.abs() > change.limit * (change.rate / (2.0 - change.rate)).sqrt() {
                    weight.variance += change.widen * (prior - weight.variance).max(0.0);
                    weight.error = 0.0;
                }
            }
            self.update_serving(index);
        }
        self.sweep();
    }

    fn weight(&mut self, index: u32) -> &mut Weight {
        let place = &mut self.places[index as usize];
        if *place == UNTOUCHED {
            *place = self.touched.len() as u32;
            let fresh = Weight {
                mean: 0.0,
                variance: self.config.prior_variance,
                error: 0.0,
                at: self.feedback,
            };
            self.touched.push((index, fresh));
        }
        &mut self.touched[*place as usize].1
    }

    /// Applies the pending forgetting to a weight and returns it.
    fn refresh(&mut self, index: u32) -> Weight {
        let feedback = self.feedback;
        let age = feedback - self.weight(index).at;
        if age == 0 || self.config.forgetting >= 1.0 {
            let weight = self.weight(index);
            weight.at = feedback;
            return *weight;
        }
        let kept = match self.powers.get(age as usize) {
            Some(power) => *power,
            None => libm::pow(self.config.forgetting, age as f64),
        };
        let prior = 1.0 / self.config.prior_variance;
        let weight = self.weight(index);
        let precision = 1.0 / weight.variance;
        let left = (prior + kept * (precision - prior)).max(1e-12);
        weight.mean *= kept * precision / left;
        weight.variance = 1.0 / left;
        weight.at = feedback;
        *weight
    }

    /// Copies the weight to the array that serving reads.
    fn update_serving(&mut self, index: u32) {
        let weight = *self.weight(index);
        self.serving[index as usize] = ServingWeight {
            mean: weight.mean as f32,
            deviation: weight.variance.sqrt() as f32,
        };
    }

    fn sweep(&mut self) {
        if self.config.forgetting >= 1.0 {
            return;
        }
        for _ in 0..SWEEP.min(self.touched.len()) {
            self.sweep = (self.sweep + 1) % self.touched.len();
            let index = self.touched[self.sweep].0;
            self.refresh(index);
            self.update_serving(index);
        }
    }
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-sum))
}

#[cfg(test)]
mod tests;
