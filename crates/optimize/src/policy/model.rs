//! A regression over hashed features with a diagonal Gaussian posterior: what every policy that generalises stands on.
//!
//! A lesson is one step of a Kalman filter whose covariance is kept diagonal (assumed density filtering); with the
//! logistic link the step is the Laplace approximation's (one Newton step at the predicted probability).
//! Forgetting discounts the natural parameters towards the prior, lazily, by the number of lessons since a weight was
//! last touched; a sweep that touches a few more weights at each lesson keeps the widths used for choosing fresh.
//! Change detection is an EWMA control chart of the standardised error on every weight: an alarm widens that weight
//! towards its prior, so that only what has moved is learnt anew.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{PolicyError, within};
use crate::features::{Feature, join, namespace};
use crate::random::{Random, derive, hash, mix};
use crate::{Arm, Features, exact};

/// Settings of the regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Two to this many weights, 4 to 22.
    pub bits: u8,
    /// Sets of namespaces whose features are multiplied with one another. A namespace is looked for in the arm first,
    /// then in the context.
    pub interactions: Vec<Vec<String>>,
    /// Variance of each weight before anything was learnt.
    pub prior_variance: f64,
    /// Variance of a reward around its prediction (of no meaning with the logistic link).
    pub noise_variance: f64,
    /// What the posterior keeps at each lesson, in `(0, 1]`; 1 = nothing is forgotten.
    pub forgetting: f64,
    /// When to doubt a weight; absent = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<WidenConfig>,
}

/// The control chart on every weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WidenConfig {
    /// Weight of the newest error in the moving average, in `(0, 1]`.
    pub rate: f64,
    /// How many standard deviations of the average are an alarm.
    pub limit: f64,
    /// How far an alarm takes a weight's variance back to the prior's, in `[0, 1]`.
    pub widen: f64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            bits: 14,
            interactions: Vec::new(),
            prior_variance: 0.25,
            noise_variance: 0.25,
            forgetting: 1.0,
            change: None,
        }
    }
}

/// What a reward is to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The weighted sum itself.
    Identity,
    /// A click with the probability whose log-odds are the weighted sum.
    Logistic,
}

/// What choosing needs of a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hot {
    mean: f32,
    deviation: f32,
}

/// What learning needs of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Weight {
    #[serde(with = "exact")]
    mean: f64,
    #[serde(with = "exact")]
    variance: f64,
    #[serde(with = "exact")]
    error: f64,
    at: u64,
}

/// See the module's page.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    config: ModelConfig,
    link: Link,
    interactions: Vec<Vec<u32>>,
    powers: Vec<f64>,
    /// The slot of each of the two to the `bits` weights: its own once it was touched, one of the `STRANGERS` before.
    slots: Vec<u32>,
    hot: Vec<Hot>,
    /// Posterior draws by run, then by slot, redrawn whenever the weight is touched. No runs for policies that draw
    /// nothing.
    pool: Vec<Vec<[f32; RUN]>>,
    scale: f32,
    /// Weights in the order in which they were first touched: slot `STRANGERS`, and so on.
    touched: Vec<(u32, Weight)>,
    lessons: u64,
    sweep: usize,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    lessons: u64,
    sweep: usize,
    weights: Vec<(u32, Weight)>,
}

/// How many weights each lesson refreshes besides its own.
const SWEEP: usize = 8;
/// Normal numbers to draw from; a power of two.
const NORMALS: usize = 1 << 13;
/// What leaves a number below `NORMALS` of 64 bits.
const START_SHIFT: u32 = 64 - NORMALS.trailing_zeros();
/// Most draws of a weight in its pool.
pub(crate) const MOST_DRAWS: usize = 4096;
/// Draws are made and used in runs of this many: one cache line.
pub(crate) const RUN: usize = 16;

/// A ring of normal numbers with mean 0 and variance 1 exactly, so that draws have no bias of the table's.
static NORMAL: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let mut random = Random::new(hash(b"limbic normal numbers"));
    let raw: Vec<f64> = (0..NORMALS).map(|_| random.normal()).collect();
    let mean = raw.iter().sum::<f64>() / NORMALS as f64;
    let square = raw.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / NORMALS as f64;
    let ring = raw.iter().cycle().take(NORMALS + MOST_DRAWS);
    ring.map(|x| ((x - mean) / square.sqrt()) as f32).collect()
});

/// Weights that were never touched share the draws of this many slots.
const STRANGERS: u32 = 1 << 12;

/// A feature of the model: index of its weight, value.
pub(crate) type Term = (u32, f32);

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
        let stranger = Hot {
            mean: 0.0,
            deviation: config.prior_variance.sqrt() as f32,
        };
        let powers = std::iter::successors(Some(1.0), |power| Some(power * config.forgetting));
        Ok(Self {
            powers: powers.take(1024).collect(),
            interactions,
            link,
            slots: (0..1 << config.bits)
                .map(|index: u32| index % STRANGERS)
                .collect(),
            hot: vec![stranger; STRANGERS as usize],
            pool: Vec::new(),
            scale: 1.0,
            touched: Vec::new(),
            lessons: 0,
            sweep: 0,
            config,
        })
    }

    /// Keeps `runs` runs of posterior draws of every weight, `scale` times as wide as the posterior.
    #[must_use]
    pub(crate) fn with_pool(mut self, runs: usize, scale: f32) -> Self {
        self.pool = vec![vec![[0.0; RUN]; self.hot.len()]; runs];
        self.scale = scale;
        for slot in 0..STRANGERS {
            self.draw(slot, u64::from(slot));
        }
        self
    }

    /// Lessons so far.
    pub(crate) const fn lessons(&self) -> u64 {
        self.lessons
    }

    fn index(&self, hash: u32) -> u32 {
        hash.wrapping_mul(0x9e37_79b1) >> (32 - u32::from(self.config.bits))
    }

    /// Appends what distinguishes an arm in this context: its own features and the interactions it is part of.
    pub(crate) fn arm_terms(&self, context: &Features, arm: &Arm, terms: &mut Vec<Term>) {
        terms.extend(
            arm.features
                .as_slice()
                .iter()
                .map(|feature| (self.index(feature.0), feature.1)),
        );
        for (number, names) in self.interactions.iter().enumerate() {
            self.product(number as u32, names, context, Some(arm), terms);
        }
    }

    /// Appends what all arms share in this context: it cannot change a choice, but explains part of a reward.
    fn shared_terms(&self, context: &Features, terms: &mut Vec<Term>) {
        terms.push((self.index(0x5bd1_e995), 1.0));
        terms.extend(
            context
                .as_slice()
                .iter()
                .map(|feature| (self.index(feature.0), feature.1)),
        );
        for (number, names) in self.interactions.iter().enumerate() {
            self.product(number as u32, names, context, None, terms);
        }
    }

    /// Appends the products of the features in `names`: those with a factor of the arm, or, without an arm, the others.
    fn product(
        &self,
        number: u32,
        names: &[u32],
        context: &Features,
        arm: Option<&Arm>,
        terms: &mut Vec<Term>,
    ) {
        let mut slices: [&[Feature]; 8] = [&[]; 8];
        let mut has_arm = false;
        for (slice, &name) in slices.iter_mut().zip(names) {
            let own = arm.map_or(&[][..], |arm| arm.features.in_namespace(name));
            has_arm |= !own.is_empty();
            *slice = if own.is_empty() {
                context.in_namespace(name)
            } else {
                own
            };
            if slice.is_empty() {
                return;
            }
        }
        if has_arm == arm.is_some() {
            self.multiply(
                &slices[..names.len()],
                number.wrapping_add(0x27d4_eb2f),
                1.0,
                terms,
            );
        }
    }

    fn multiply(&self, slices: &[&[Feature]], hash: u32, value: f32, terms: &mut Vec<Term>) {
        match slices {
            [] => {}
            [last] => {
                let term = |feature: &Feature| (self.index(join(hash, feature.0)), value * feature.1);
                terms.extend(last.iter().map(term));
            }
            // The usual case, without a call for each of the first one's features.
            [first, last] => {
                terms.reserve(first.len() * last.len());
                for feature in *first {
                    let (hash, value) = (join(hash, feature.0), value * feature.1);
                    for feature in *last {
                        terms.push((self.index(join(hash, feature.0)), value * feature.1));
                    }
                }
            }
            [first, rest @ ..] => {
                for feature in *first {
                    self.multiply(rest, join(hash, feature.0), value * feature.1, terms);
                }
            }
        }
    }

    fn hot(&self, index: u32) -> Hot {
        self.hot[self.slots[index as usize] as usize]
    }

    /// The expected weighted sum.
    pub(crate) fn mean(&self, terms: &[Term]) -> f32 {
        // Four sums side by side: one would wait for its own last addition.
        let mut sums = [0.0_f32; 4];
        let (fours, rest) = terms.as_chunks::<4>();
        for four in fours {
            for (sum, &(index, value)) in sums.iter_mut().zip(four) {
                *sum += self.hot(index).mean * value;
            }
        }
        for (sum, &(index, value)) in sums.iter_mut().zip(rest) {
            *sum += self.hot(index).mean * value;
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }

    /// The standard deviation of the weighted sum.
    pub(crate) fn deviation(&self, terms: &[Term]) -> f32 {
        let squares = terms.iter().map(|&(index, value)| {
            let part = self.hot(index).deviation * value;
            part * part
        });
        squares.fold(0.0_f32, |sum, square| sum + square).sqrt()
    }

    /// Weighted sums under `RUN` draws of all weights at a time, into `sums`: runs `first`, `first + 1`... of the pool,
    /// round and round. Arms which share a weight share its draws.
    pub(crate) fn draws(&self, terms: &[Term], first: usize, sums: &mut [[f32; RUN]]) {
        for (offset, sums) in sums.iter_mut().enumerate() {
            let run = &self.pool[(first + offset) % self.pool.len()][..];
            // Two sums side by side: one would wait for its own last addition.
            let (mut even, mut odd) = ([0.0_f32; RUN], [0.0_f32; RUN]);
            let (pairs, last) = terms.as_chunks::<2>();
            for &[(first, one), (second, two)] in pairs {
                let first = &run[self.slots[first as usize] as usize];
                let second = &run[self.slots[second as usize] as usize];
                for lane in 0..RUN {
                    even[lane] += one * first[lane];
                    odd[lane] += two * second[lane];
                }
            }
            for &(index, value) in last {
                let drawn = &run[self.slots[index as usize] as usize];
                for (even, weight) in even.iter_mut().zip(drawn) {
                    *even += value * weight;
                }
            }
            *sums = std::array::from_fn(|lane| even[lane] + odd[lane]);
        }
    }

    /// How many runs the pool holds.
    pub(crate) const fn runs(&self) -> usize {
        self.pool.len()
    }

    /// Draws a slot's pool anew, as a function of its posterior and `seed`.
    fn draw(&mut self, slot: u32, seed: u64) {
        let Hot { mean, deviation } = self.hot[slot as usize];
        let deviation = self.scale * deviation;
        let start = (mix(seed) >> START_SHIFT) as usize;
        let (normals, _) = NORMAL[start..].as_chunks::<RUN>();
        for (run, normals) in self.pool.iter_mut().zip(normals) {
            run[slot as usize] = normals.map(|normal| mean + deviation * normal);
        }
    }

    /// Learns that in `context` the arm brought `reward`.
    pub(crate) fn learn(&mut self, context: &Features, arm: &Arm, reward: f64, corrects: Option<f64>) {
        let mut terms = Vec::with_capacity(128);
        self.shared_terms(context, &mut terms);
        self.arm_terms(context, arm, &mut terms);
        if corrects.is_none() {
            self.lessons += 1;
        }
        let (mut sum, mut spread) = (0.0, 0.0);
        for &(index, value) in &terms {
            let (value, weight) = (f64::from(value), self.refresh(index));
            sum += weight.mean * value;
            spread += weight.variance * value * value;
        }
        // With the logistic link: the working response and its variance at the predicted probability.
        let (noise, response) = match self.link {
            Link::Identity => (self.config.noise_variance, 1.0),
            Link::Logistic => {
                let chance = logistic(sum / (1.0 + spread * std::f64::consts::PI / 8.0).sqrt());
                let information = (chance * (1.0 - chance)).max(1e-4);
                (1.0 / information, 1.0 / information)
            }
        };
        let predicted = match self.link {
            Link::Identity => sum,
            Link::Logistic => logistic(sum / (1.0 + spread * std::f64::consts::PI / 8.0).sqrt()),
        };
        let total = noise + spread;
        if let Some(before) = corrects {
            // The evidence stays as strong as it was; only what it said moves.
            let step = (reward - before) * response / total;
            for &(index, value) in &terms {
                let weight = self.weight(index);
                weight.mean += weight.variance * f64::from(value) * step;
                self.heat(index);
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
            weight.variance -= gain * f64::from(value) * weight.variance;
            if let Some(change) = change {
                weight.error += change.rate * (surprise - weight.error);
                if weight.error.abs() > change.limit * (change.rate / (2.0 - change.rate)).sqrt() {
                    weight.variance += change.widen * (prior - weight.variance).max(0.0);
                    weight.error = 0.0;
                }
            }
            self.heat(index);
        }
        self.sweep();
    }

    fn weight(&mut self, index: u32) -> &mut Weight {
        let slot = &mut self.slots[index as usize];
        if *slot < STRANGERS {
            *slot = STRANGERS + self.touched.len() as u32;
            let fresh = Weight {
                mean: 0.0,
                variance: self.config.prior_variance,
                error: 0.0,
                at: self.lessons,
            };
            self.touched.push((index, fresh));
            self.hot.push(self.hot[0]);
            for run in &mut self.pool {
                run.push([0.0; RUN]);
            }
        }
        &mut self.touched[(*slot - STRANGERS) as usize].1
    }

    /// The weight as forgetting has left it now.
    fn refresh(&mut self, index: u32) -> Weight {
        let lessons = self.lessons;
        let age = lessons - self.weight(index).at;
        if age == 0 || self.config.forgetting >= 1.0 {
            let weight = self.weight(index);
            weight.at = lessons;
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
        weight.at = lessons;
        *weight
    }

    /// Makes choosing see the weight as it is.
    fn heat(&mut self, index: u32) {
        let weight = *self.weight(index);
        let slot = self.slots[index as usize];
        self.hot[slot as usize] = Hot {
            mean: weight.mean as f32,
            deviation: weight.variance.sqrt() as f32,
        };
        self.draw(slot, derive(u64::from(index), weight.at));
    }

    fn sweep(&mut self) {
        if self.config.forgetting >= 1.0 {
            return;
        }
        for _ in 0..SWEEP.min(self.touched.len()) {
            self.sweep = (self.sweep + 1) % self.touched.len();
            let index = self.touched[self.sweep].0;
            self.refresh(index);
            self.heat(index);
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let saved = Saved {
            lessons: self.lessons,
            sweep: self.sweep,
            weights: self.touched.clone(),
        };
        serde_json::to_vec(&saved).expect("numbers only")
    }

    pub(crate) fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        let saved: Saved = serde_json::from_slice(snapshot)?;
        let mut fresh = Self::new(self.config.clone(), self.link)?.with_pool(self.runs(), self.scale);
        for (index, weight) in saved.weights {
            if fresh
                .slots
                .get(index as usize)
                .is_none_or(|&slot| slot >= STRANGERS)
            {
                let damaged = serde::de::Error::custom("a weight is out of range or given twice");
                return Err(PolicyError::Snapshot(damaged));
            }
            *fresh.weight(index) = weight;
            fresh.heat(index);
        }
        (fresh.lessons, fresh.sweep) = (saved.lessons, saved.sweep);
        *self = fresh;
        Ok(())
    }
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(id: &str) -> Arm {
        Arm::new(id, "f", Features::new())
    }

    fn predict(model: &Model, context: &Features, arm: &Arm) -> f64 {
        let mut terms = Vec::new();
        model.shared_terms(context, &mut terms);
        model.arm_terms(context, arm, &mut terms);
        f64::from(model.mean(&terms))
    }

    fn config() -> ModelConfig {
        ModelConfig {
            interactions: vec![vec!["user".into(), "arm".into()]],
            ..ModelConfig::default()
        }
    }

    #[test]
    fn it_learns_what_interacts() {
        let mut model = Model::new(config(), Link::Identity).unwrap();
        let users = ["tom", "anna"].map(|name| Features::new().with("user", name));
        let arms = [arm("a"), arm("b")];
        for round in 0..400 {
            let (user, choice) = (round % 2, (round / 2) % 2);
            model.learn(
                &users[user],
                &arms[choice],
                if user == choice { 0.9 } else { 0.1 },
                None,
            );
        }
        for (user, context) in users.iter().enumerate() {
            for (choice, arm) in arms.iter().enumerate() {
                let right = if user == choice { 0.9 } else { 0.1 };
                assert!((predict(&model, context, arm) - right).abs() < 0.05);
            }
        }
    }

    #[test]
    fn logistic_predictions_become_the_rate() {
        let mut model = Model::new(config(), Link::Logistic).unwrap();
        let (context, arm) = (Features::new(), arm("a"));
        for round in 0..4000 {
            model.learn(&context, &arm, if round % 10 == 0 { 1.0 } else { 0.0 }, None);
        }
        let rate = logistic(predict(&model, &context, &arm));
        assert!((rate - 0.1).abs() < 0.02, "{rate}");
    }

    #[test]
    fn draws_have_the_posteriors_mean_and_width() {
        let mut model = Model::new(config(), Link::Identity)
            .unwrap()
            .with_pool(MOST_DRAWS / RUN, 1.0);
        let (context, arm) = (Features::new().with("user", "tom"), arm("a"));
        for _ in 0..3 {
            model.learn(&context, &arm, 1.0, None);
        }
        let mut terms = Vec::new();
        model.arm_terms(&context, &arm, &mut terms);
        let (mut sum, mut square, mut count) = (0.0, 0.0, 0.0);
        let mut sums = vec![[0.0; RUN]; MOST_DRAWS / RUN];
        model.draws(&terms, 0, &mut sums);
        for &draw in sums.as_flattened() {
            sum += f64::from(draw);
            square += f64::from(draw).powi(2);
            count += 1.0;
        }
        let mean = sum / count;
        let deviation = (square / count - mean * mean).sqrt();
        assert!((mean - f64::from(model.mean(&terms))).abs() < 0.04);
        assert!((deviation / f64::from(model.deviation(&terms)) - 1.0).abs() < 0.08);
    }

    #[test]
    fn forgetting_widens_again_what_is_not_seen() {
        let forgetful = ModelConfig {
            forgetting: 0.99,
            ..config()
        };
        let mut model = Model::new(forgetful, Link::Identity).unwrap();
        let context = Features::new();
        let width = |model: &Model| {
            let mut terms = Vec::new();
            model.arm_terms(&context, &arm("a"), &mut terms);
            model.deviation(&terms)
        };
        let before = width(&model);
        for _ in 0..50 {
            model.learn(&context, &arm("a"), 1.0, None);
        }
        let learnt = width(&model);
        for _ in 0..1500 {
            model.learn(&context, &arm("b"), 0.0, None);
        }
        // Two terms (name and family); the family is shared with the other arm and stays known.
        assert!(learnt < 0.6 * before && width(&model) > 1.2 * learnt);
    }
}
