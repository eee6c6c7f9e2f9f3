//! Weighted sums under many posterior draws at once.
//!
//! A draw of a weight is its mean plus its standard deviation times a normal number. The normal numbers come from a
//! fixed ring. The decision's seed and the weight's index give the place on the ring at which the numbers of a weight
//! begin. Learning and predicting therefore draw and store no random numbers. Draws come in antithetic pairs: each
//! normal number is used once with each sign. Half of the sums need computing, every pair is centred on the mean, and
//! each single draw has the posterior's distribution.
//!
//! In each decision, two weights begin at the same place with a probability of 1 in 4,096. Their draws are then
//! equal, although the weights are independent. Over the terms of an arm, this is a correlation of about a hundredth
//! of the number of terms, far below what sixteen draws can resolve.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into a dispatched loop is compiled for the oldest processor"
)]

use std::sync::LazyLock;

use super::{Model, Term};
use crate::random::{Random, derive, hash};

/// Draws are computed in batches of this size.
pub(crate) const BATCH: usize = 16;
/// Largest number of draws per decision.
pub(crate) const MAX_DRAWS: usize = 4096;
/// Normal numbers per batch. The second half of the draws uses them with the opposite sign.
const LANES: usize = BATCH / 2;

const RING_BITS: u32 = 12;
/// Places on the ring.
const RING: usize = 1 << RING_BITS;

/// Normal numbers are stored as multiples of this, in 16 bits. The ring then fits into the first-level cache beside
/// the weights.
const NORMAL_UNIT: f32 = 1.0 / 4096.0;

type Ring = [i16; RING + LANES];

/// Normal numbers with mean 0 and variance 1 (to one part in a million), so that the ring adds no bias. The first
/// numbers are repeated at the end.
static NORMALS: LazyLock<Box<Ring>> = LazyLock::new(|| {
    let mut random = Random::new(hash(b"limbic normal numbers"));
    let raw: Vec<f64> = (0..RING).map(|_| random.normal()).collect();
    let mean = raw.iter().sum::<f64>() / RING as f64;
    let square = raw.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / RING as f64;
    let unit = square.sqrt() * f64::from(NORMAL_UNIT);
    let ring = raw.iter().cycle().map(|x| ((x - mean) / unit).round() as i16);
    let mut normals = Box::new([0; RING + LANES]);
    for (place, normal) in normals.iter_mut().zip(ring) {
        *place = normal;
    }
    normals
});

/// Draws of weights for one decision.
pub(crate) struct Draws<'a> {
    model: &'a Model,
    normals: &'a Ring,
    /// Factor on the standard deviation of the posterior.
    scale: f32,
    /// One seed for each batch.
    seeds: Vec<u32>,
}

impl Model {
    /// Prepares `batches` batches of draws, with `scale` times the standard deviation of the posterior.
    pub(crate) fn draws(&self, seed: u64, batches: usize, scale: f32) -> Draws<'_> {
        Draws {
            model: self,
            normals: &NORMALS,
            scale,
            seeds: (0..batches as u64)
                .map(|batch| derive(seed, batch) as u32)
                .collect(),
        }
    }
}

impl Draws<'_> {
    /// Number of batches.
    pub(crate) const fn batches(&self) -> usize {
        self.seeds.len()
    }

    /// The weighted sum of `terms` under each draw of one batch. Arms that share a weight share its draws.
    #[inline(always)]
    pub(crate) fn sums(&self, terms: &[Term], batch: usize) -> [f32; BATCH] {
        let (serving, normals, seed) = (self.model.serving.as_slice(), self.normals, self.seeds[batch]);
        let add = |(index, value): Term, sum: &mut Sum| {
            let serving = serving[index as usize];
            let place = ((index ^ seed).wrapping_mul(0x9e37_79b1) >> (32 - RING_BITS)) as usize;
            let normals: &[i16; LANES] = normals[place..place + LANES]
                .try_into()
                .expect("so many were taken");
            sum.mean += value * serving.mean;
            let width = value * serving.deviation;
            for (noise, &normal) in sum.noise.iter_mut().zip(normals) {
                *noise += width * f32::from(normal);
            }
        };
        // Two independent sums, because one would wait for its previous addition.
        let mut sums = [Sum::default(); 2];
        let (pairs, rest) = terms.as_chunks::<2>();
        for pair in pairs {
            for (sum, &term) in sums.iter_mut().zip(pair) {
                add(term, sum);
            }
        }
        for &term in rest {
            add(term, &mut sums[0]);
        }
        let [one, two] = sums;
        let mean = one.mean + two.mean;
        let scale = self.scale * NORMAL_UNIT;
        let mut lanes = [0.0; BATCH];
        let (above, below) = lanes.split_at_mut(LANES);
        for lane in 0..LANES {
            let noise = scale * (one.noise[lane] + two.noise[lane]);
            above[lane] = mean + noise;
            below[lane] = mean - noise;
        }
        lanes
    }
}

/// A partial weighted sum: its mean, and the deviation of half of its draws.
#[derive(Clone, Copy, Default)]
struct Sum {
    mean: f32,
    noise: [f32; LANES],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::{Link, ModelConfig};
    use crate::{Arm, Features};

    /// Every draw of ten thousand decisions. A thousand would not estimate a covariance to a tenth.
    fn sums(model: &Model, terms: &[Term]) -> Vec<f64> {
        let decisions = (0..10_000).flat_map(|seed| {
            let draws = model.draws(seed, 2, 1.0);
            (0..2)
                .flat_map(|batch| draws.sums(terms, batch))
                .collect::<Vec<f32>>()
        });
        decisions.map(f64::from).collect()
    }

    fn mean(numbers: &[f64]) -> f64 {
        numbers.iter().sum::<f64>() / numbers.len() as f64
    }

    fn covariance(one: &[f64], two: &[f64]) -> f64 {
        let (first, second) = (mean(one), mean(two));
        let products = one.iter().zip(two).map(|(x, y)| (x - first) * (y - second));
        products.sum::<f64>() / one.len() as f64
    }

    #[test]
    fn draws_have_the_posteriors_mean_and_width_and_arms_share_what_they_share() {
        let config = ModelConfig {
            interactions: vec![vec!["user".into(), "arm".into()]],
            ..ModelConfig::default()
        };
        let mut model = Model::new(config, Link::Identity).unwrap();
        let context = Features::new()
            .with("user", "tom")
            .with_number("user", "age", 0.4);
        let arms = ["a", "b", "c"].map(|name| Arm::new(name, "f", Features::new()));
        for _ in 0..3 {
            model.learn(&context, &arms[0], 1.0, None);
        }
        let terms = arms.clone().map(|arm| {
            let mut terms = Vec::new();
            model.prepare(&context).arm_terms(&arm, &mut terms);
            terms
        });
        let drawn = terms.clone().map(|terms| sums(&model, &terms));
        for (drawn, terms) in drawn.iter().zip(&terms) {
            let (width, expected) = (covariance(drawn, drawn).sqrt(), f64::from(model.deviation(terms)));
            assert!((mean(drawn) - f64::from(model.mean(terms))).abs() < 1e-5);
            assert!((width / expected - 1.0).abs() < 0.03, "{width} {expected}");
        }
        // Two arms with different names share only the weight of their family.
        let family = terms[1].iter().find(|term| terms[2].contains(term)).unwrap();
        let common = f64::from(model.deviation(&[*family])).powi(2);
        let found = covariance(&drawn[1], &drawn[2]);
        assert!((found / common - 1.0).abs() < 0.1, "{found} {common}");
    }

    #[test]
    fn a_hundred_weights_are_drawn_as_if_independent() {
        let model = Model::new(ModelConfig::default(), Link::Identity).unwrap();
        let one: Vec<Term> = (0..100).map(|index| (index * 3, 1.0)).collect();
        let two: Vec<Term> = (0..100).map(|index| (8000 + index * 5, 1.0)).collect();
        let (one, two) = (sums(&model, &one), sums(&model, &two));
        let (square, other) = (covariance(&one, &one), covariance(&two, &two));
        let expected = 100.0 * ModelConfig::default().prior_variance;
        assert!((square / expected - 1.0).abs() < 0.1, "{square}");
        assert!(covariance(&one, &two).abs() / (square * other).sqrt() < 0.08);
    }
}
