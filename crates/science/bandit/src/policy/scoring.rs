//! Scores of arms, and how often each arm is the best under posterior draws.
//!
//! These loops are compiled twice: for the oldest supported processor and for AVX2. The choice is made at run time.
//! Neither version fuses a product with a sum, so both give the same bits.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into a dispatched loop is compiled for the oldest processor"
)]

use pulp::{Arch, Simd, WithSimd};

use super::model::{BATCH, Draws, Model, PreparedContext, Term};
use crate::Arm;

/// The predicted reward of each arm plus `alpha` standard deviations, in the order of `arms`. A score that is not
/// finite becomes 0.
pub(super) fn scores(model: &Model, prepared: &PreparedContext<'_>, arms: &[Arm], alpha: f32) -> Vec<f64> {
    scores_on(Arch::new(), model, prepared, arms, alpha)
}

fn scores_on(
    arch: Arch,
    model: &Model,
    prepared: &PreparedContext<'_>,
    arms: &[Arm],
    alpha: f32,
) -> Vec<f64> {
    let mut terms = Vec::with_capacity(256);
    arms.iter()
        .map(|arm| {
            let score = arch.dispatch(Score {
                model,
                prepared,
                arm,
                alpha,
                terms: &mut terms,
            });
            if score.is_finite() { f64::from(score) } else { 0.0 }
        })
        .collect()
}

/// Computation of one arm's score.
struct Score<'a> {
    model: &'a Model,
    prepared: &'a PreparedContext<'a>,
    arm: &'a Arm,
    alpha: f32,
    /// Buffer for the terms of the arm.
    terms: &'a mut Vec<Term>,
}

impl WithSimd for Score<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        self.terms.clear();
        self.prepared.arm_terms(self.arm, self.terms);
        let mean = self.model.mean(self.terms);
        if self.alpha == 0.0 {
            mean
        } else {
            mean + self.alpha * self.model.deviation(self.terms)
        }
    }
}

/// The fraction of draws under which each arm is the best.
pub(super) fn win_shares(prepared: &PreparedContext<'_>, arms: &[Arm], draws: &Draws<'_>) -> Vec<f64> {
    win_shares_on(Arch::new(), prepared, arms, draws)
}

fn win_shares_on(arch: Arch, prepared: &PreparedContext<'_>, arms: &[Arm], draws: &Draws<'_>) -> Vec<f64> {
    let mut terms = Vec::with_capacity(256);
    let mut best = vec![Best::default(); draws.batches()];
    for (position, arm) in (0_u32..).zip(arms) {
        arch.dispatch(BestArmUpdate {
            prepared,
            arm,
            position,
            draws,
            terms: &mut terms,
            best: &mut best,
        });
    }
    let share = 1.0 / (BATCH * best.len()) as f64;
    let mut wins = vec![0.0; arms.len()];
    for winner in best.iter().flat_map(|best| &best.winners) {
        wins[*winner as usize] += share;
    }
    wins
}

/// Compares one arm with the best of the arms before it.
struct BestArmUpdate<'a> {
    prepared: &'a PreparedContext<'a>,
    arm: &'a Arm,
    position: u32,
    draws: &'a Draws<'a>,
    /// Buffer for the terms of the arm.
    terms: &'a mut Vec<Term>,
    /// One entry for each batch of draws.
    best: &'a mut [Best],
}

impl WithSimd for BestArmUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.terms.clear();
        self.prepared.arm_terms(self.arm, self.terms);
        for (batch, best) in self.best.iter_mut().enumerate() {
            best.update(&self.draws.sums(self.terms, batch), self.position);
        }
    }
}

/// The highest sum so far under each draw of a batch, and the index of its arm.
#[derive(Clone)]
struct Best {
    highest: [f32; BATCH],
    winners: [u32; BATCH],
}

impl Default for Best {
    fn default() -> Self {
        Self {
            highest: [f32::NEG_INFINITY; BATCH],
            winners: [0; BATCH],
        }
    }
}

impl Best {
    /// A sum that is NaN is never higher.
    #[inline(always)]
    fn update(&mut self, sums: &[f32; BATCH], position: u32) {
        let higher: [bool; BATCH] = std::array::from_fn(|lane| sums[lane] > self.highest[lane]);
        self.highest = std::array::from_fn(|lane| self.highest[lane].max(sums[lane]));
        self.winners = std::array::from_fn(|lane| {
            // Branch-free, because a branch would be mispredicted half of the time.
            let mask = u32::from(higher[lane]).wrapping_neg();
            (position & mask) | (self.winners[lane] & !mask)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;
    use crate::policy::model::{Link, ModelConfig};

    #[test]
    fn every_processor_gives_the_same_bits() {
        let mut model = Model::new(ModelConfig::default(), Link::Identity).unwrap();
        let number = |n: usize| (n * 37 % 101) as f64 / 101.0;
        let arms: Vec<Arm> = (0..7)
            .map(|arm| {
                let features = (0..23).fold(Features::new(), |features, n| {
                    features.with_number("creative", &n.to_string(), number(arm * 23 + n) - 0.5)
                });
                Arm::new(format!("arm-{arm}"), format!("family-{}", arm % 2), features)
            })
            .collect();
        let context = (0..9).fold(Features::new(), |context, n| {
            context.with_number("feeling", &n.to_string(), number(n))
        });
        for feedback in 0..200 {
            model.learn(&context, &arms[feedback % arms.len()], number(feedback), None);
        }
        let (prepared, oldest) = (model.prepare(&context), Arch::Scalar);
        for seed in 0..200 {
            let draws = model.draws(seed, 3, 1.0);
            assert_eq!(
                win_shares(&prepared, &arms, &draws),
                win_shares_on(oldest, &prepared, &arms, &draws)
            );
        }
        for alpha in [0.0, 1.5] {
            let here = scores(&model, &prepared, &arms, alpha);
            assert_eq!(here, scores_on(oldest, &model, &prepared, &arms, alpha));
            assert!(here.windows(2).any(|pair| pair[0] < pair[1]));
        }
    }
}
