//! Bootstrap confidence intervals: posts are drawn again with replacement.

use serde::Serialize;

/// A measure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// The measure on the original posts.
    pub value: f64,
    /// The 2.5 % quantile of the draws.
    pub low: f64,
    /// The 97.5 % quantile of the draws.
    pub high: f64,
}

/// Number of draws and their seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Draws {
    /// Number of draws.
    pub rounds: usize,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for Draws {
    fn default() -> Self {
        Self {
            rounds: 1_000,
            seed: 1,
        }
    }
}

/// A measure of pairs of a true and a predicted value, with its interval (percentile bootstrap over posts).
pub(crate) fn score<T: Copy, S: Copy>(
    truth: &[T],
    predicted: &[S],
    draws: Draws,
    measure: impl Fn(&[T], &[S]) -> f64,
) -> Score {
    let mut chance = Chance(draws.seed);
    let (mut t, mut s) = (truth.to_vec(), predicted.to_vec());
    let mut values: Vec<f64> = (0..draws.rounds)
        .map(|_| {
            for (t, s) in t.iter_mut().zip(&mut s) {
                let post = chance.below(truth.len());
                (*t, *s) = (truth[post], predicted[post]);
            }
            measure(&t, &s)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let value = measure(truth, predicted);
    Score {
        value,
        low: quantile(&values, 0.025).unwrap_or(value),
        high: quantile(&values, 0.975).unwrap_or(value),
    }
}

/// Linear interpolation between the two nearest values, as in `NumPy`.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = sorted.get(below + 1).unwrap_or(&sorted[below]);
    Some(sorted[below] + part * (above - sorted[below]))
}

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // Lemire's reduction. Its bias is far below the precision of a bootstrap.
        ((u128::from(z) * many as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(truth: &[bool], predicted: &[bool]) -> f64 {
        truth.iter().zip(predicted).filter(|(t, s)| t == s).count() as f64 / truth.len() as f64
    }

    #[test]
    fn the_interval_of_a_share_has_the_theoretical_width() {
        let truth = vec![true; 1_000];
        let predicted: Vec<bool> = (0..1_000).map(|n| n % 4 != 0).collect();
        let score = score(&truth, &predicted, Draws::default(), share);
        // 0.75 ± 1.96 · √(0.75 · 0.25 / 1,000) = 0.75 ± 0.0268
        assert!((score.value - 0.75).abs() < 1e-12);
        assert!(
            (score.low - 0.7232).abs() < 0.004 && (score.high - 0.7768).abs() < 0.004,
            "{score:?}"
        );
    }

    #[test]
    fn a_seed_gives_the_same_interval_and_zero_rounds_give_an_empty_one() {
        let (truth, predicted) = ([true, true, false], [true, false, false]);
        let draws = Draws { rounds: 50, seed: 7 };
        assert_eq!(
            score(&truth, &predicted, draws, share),
            score(&truth, &predicted, draws, share)
        );
        let none = score(&truth, &predicted, Draws { rounds: 0, seed: 7 }, share);
        assert_eq!((none.low, none.high), (none.value, none.value));
    }

    #[test]
    fn quantiles_are_interpolated_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[0.0, 1.0], 0.25), Some(0.25));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
