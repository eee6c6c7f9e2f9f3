//! What a decision asks of each arm: its score, or under how many posterior draws it is the best.
//!
//! These loops are compiled once for the processor that every build must run on and once for a newer one (AVX2);
//! which of them runs is found out at run time. Neither fuses a product with a sum, so that both give the same bits.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into a dispatched loop is compiled for the oldest processor"
)]

use pulp::{Arch, Simd, WithSimd};

use super::model::{Asked, Draws, Model, RUN, Term};
use crate::Arm;

/// Every arm's expected weighted sum plus `alpha` of its standard deviations, in order. Absurd features may make a score that
/// is no number: it counts as 0.
pub(super) fn scores(model: &Model, asked: &Asked<'_>, arms: &[Arm], alpha: f32) -> Vec<f64> {
    scores_on(Arch::new(), model, asked, arms, alpha)
}

fn scores_on(arch: Arch, model: &Model, asked: &Asked<'_>, arms: &[Arm], alpha: f32) -> Vec<f64> {
    let mut terms = Vec::with_capacity(256);
    arms.iter()
        .map(|arm| {
            let score = arch.dispatch(Score {
                model,
                asked,
                arm,
                alpha,
                terms: &mut terms,
            });
            if score.is_finite() { f64::from(score) } else { 0.0 }
        })
        .collect()
}

/// An arm whose score is wanted.
struct Score<'a> {
    model: &'a Model,
    asked: &'a Asked<'a>,
    arm: &'a Arm,
    alpha: f32,
    /// Room for its terms.
    terms: &'a mut Vec<Term>,
}

impl WithSimd for Score<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        self.terms.clear();
        self.asked.arm_terms(self.arm, self.terms);
        let mean = self.model.mean(self.terms);
        if self.alpha == 0.0 {
            mean
        } else {
            mean + self.alpha * self.model.deviation(self.terms)
        }
    }
}

/// The share of the draws under which each arm is the best.
pub(super) fn wins(asked: &Asked<'_>, arms: &[Arm], draws: &Draws<'_>) -> Vec<f64> {
    wins_on(Arch::new(), asked, arms, draws)
}

fn wins_on(arch: Arch, asked: &Asked<'_>, arms: &[Arm], draws: &Draws<'_>) -> Vec<f64> {
    let mut terms = Vec::with_capacity(256);
    let mut best = vec![Best::default(); draws.runs()];
    for (position, arm) in (0_u32..).zip(arms) {
        arch.dispatch(ChampionChallengerTest {
            asked,
            arm,
            position,
            draws,
            terms: &mut terms,
            best: &mut best,
        });
    }
    let share = 1.0 / (RUN * best.len()) as f64;
    let mut wins = vec![0.0; arms.len()];
    for winner in best.iter().flat_map(|best| &best.winners) {
        wins[*winner as usize] += share;
    }
    wins
}

/// An arm that meets the best of those before it.
struct ChampionChallengerTest<'a> {
    asked: &'a Asked<'a>,
    arm: &'a Arm,
    position: u32,
    draws: &'a Draws<'a>,
    /// Room for its terms.
    terms: &'a mut Vec<Term>,
    /// One for each run of draws.
    best: &'a mut [Best],
}

impl WithSimd for ChampionChallengerTest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.terms.clear();
        self.asked.arm_terms(self.arm, self.terms);
        for (run, best) in self.best.iter_mut().enumerate() {
            best.meet(&self.draws.sums(self.terms, run), self.position);
        }
    }
}

/// The highest sum under each draw of a run so far, and whose it is.
#[derive(Clone)]
struct Best {
    highest: [f32; RUN],
    winners: [u32; RUN],
}

impl Default for Best {
    fn default() -> Self {
        Self {
            highest: [f32::NEG_INFINITY; RUN],
            winners: [0; RUN],
        }
    }
}

impl Best {
    /// A sum that is no number is higher than none.
    #[inline(always)]
    fn meet(&mut self, sums: &[f32; RUN], position: u32) {
        let higher: [bool; RUN] = std::array::from_fn(|lane| sums[lane] > self.highest[lane]);
        self.highest = std::array::from_fn(|lane| self.highest[lane].max(sums[lane]));
        self.winners = std::array::from_fn(|lane| {
            // Without a branch: it would be guessed wrongly half of the time.
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
        let (asked, oldest) = (model.ask(&context), Arch::Scalar);
        for seed in 0..200 {
            let draws = model.draws(seed, 3, 1.0);
            assert_eq!(
                wins(&asked, &arms, &draws),
                wins_on(oldest, &asked, &arms, &draws)
            );
        }
        for alpha in [0.0, 1.5] {
            let here = scores(&model, &asked, &arms, alpha);
            assert_eq!(here, scores_on(oldest, &model, &asked, &arms, alpha));
            assert!(here.windows(2).any(|pair| pair[0] < pair[1]));
        }
    }
}
