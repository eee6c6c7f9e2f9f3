//! Confidence intervals of an estimate.
//!
//! * `bootstrap`: percentiles of the estimate over resampled rows. Valid for many rows; too narrow for few clicks.
//! * `empirical_bernstein`: valid for every number of rows (Maurer and Pontil 2009, theorem 4), given a range.
//! * [`ConfidenceSequence`]: valid at *all* numbers of rows together, so a running evaluation can be read and stopped
//!   at any time (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", theorem 2:
//!   the predictable plug-in empirical-Bernstein sequence).

use serde::{Deserialize, Serialize};

use crate::estimator::{Estimator, Sums};
use limbic_bandit::random::{Random, derive};

/// An interval of the value, at the report's confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end; not below `low`.
    pub high: f64,
}

impl Interval {
    /// The intersection of two intervals.
    #[must_use]
    pub(super) fn intersect(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }
}

/// Largest number of units that a bootstrap resamples. A longer log is cut into this many blocks of consecutive rows.
/// They have the same information about the variance, and also preserve what neighbouring rows share.
pub(super) const BLOCKS: usize = 10_000;

/// Percentile intervals of each estimator, from sums over blocks of rows. `None` if an estimator had no value in a
/// twentieth or more of the resamples, because the interval would not be reliable.
pub(super) fn bootstrap(
    blocks: &[Sums],
    estimators: &[Estimator],
    samples: usize,
    seed: u64,
    confidence: f64,
    threads: usize,
) -> Vec<Option<Interval>> {
    let resample = |sample: usize| {
        let mut random = Random::new(derive(seed, sample as u64));
        let mut sums = Sums::default();
        for _ in 0..blocks.len() {
            sums.add(&blocks[random.below(blocks.len())]);
        }
        estimators
            .iter()
            .map(|estimator| estimator.value(&sums))
            .collect::<Vec<_>>()
    };
    let share = samples.div_ceil(threads.max(1)).max(1);
    let drawn: Vec<Vec<Option<f64>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..samples)
            .step_by(share)
            .map(|first| {
                let resample = &resample;
                let range = first..(first + share).min(samples);
                scope.spawn(move || range.map(resample).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    (0..estimators.len())
        .map(|index| {
            let mut values: Vec<f64> = drawn.iter().filter_map(|values| values[index]).collect();
            if values.is_empty() || values.len() * 20 <= samples * 19 {
                return None;
            }
            values.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - confidence) / 2.0;
            Some(Interval {
                low: quantile(&values, tail),
                high: quantile(&values, 1.0 - tail),
            })
        })
        .collect()
}

/// The quantile of sorted values, with linear interpolation.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// Count, sum and sum of squares.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) square: f64,
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.square += value * value;
    }
}

/// The two-sided empirical Bernstein interval of the mean of independent values in a range of the given `width`. It
/// fails with probability `delta` at most. `None` for fewer than two values.
pub(super) fn empirical_bernstein(moments: &Moments, width: f64, delta: f64) -> Option<Interval> {
    let n = moments.count;
    if n < 2.0 {
        return None;
    }
    let mean = moments.sum / n;
    let variance = ((moments.square - n * mean * mean) / (n - 1.0)).max(0.0);
    // Half of `delta` for each side.
    let log_term = (4.0 / delta).ln();
    let radius = (2.0 * variance * log_term / n).sqrt() + 7.0 * width * log_term / (3.0 * (n - 1.0));
    Some(Interval {
        low: mean - radius,
        high: mean + radius,
    })
}

/// An interval after each value. All intervals contain the mean together, with the given confidence.
#[derive(Debug, Clone)]
pub struct ConfidenceSequence {
    low: f64,
    width: f64,
    log_term: f64,
    count: f64,
    sum: f64,
    deviation: f64,
    bets: f64,
    bet_sum: f64,
    price: f64,
    interval: Interval,
}

impl ConfidenceSequence {
    /// Starts a sequence for independent values in `[low, high]`. It is wrong at any time with probability `delta` at
    /// most.
    pub fn new(low: f64, high: f64, delta: f64) -> Self {
        Self {
            low,
            width: high - low,
            log_term: (2.0 / delta).ln(),
            count: 0.0,
            sum: 0.5,
            deviation: 0.25,
            bets: 0.0,
            bet_sum: 0.0,
            price: 0.0,
            interval: Interval { low, high },
        }
    }

    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        let x = (value - self.low) / self.width;
        // Mean and variance before this value, each with one pseudo-observation.
        let mean = self.sum / (self.count + 1.0);
        let variance = self.deviation / (self.count + 1.0);
        self.count += 1.0;
        let bet = (2.0 * self.log_term / (variance * self.count * self.count.ln_1p()))
            .sqrt()
            .min(0.5);
        self.bets += bet;
        self.bet_sum += bet * x;
        self.price += (x - mean) * (x - mean) * (-(-bet).ln_1p() - bet);
        self.sum += x;
        let mean = self.sum / (self.count + 1.0);
        self.deviation += (x - mean) * (x - mean);
        let centre = self.bet_sum / self.bets;
        let radius = (self.log_term + self.price) / self.bets;
        self.interval = self.interval.intersect(Interval {
            low: self.low + self.width * (centre - radius),
            high: self.low + self.width * (centre + radius),
        });
    }

    /// The current interval: the intersection of all intervals so far.
    pub const fn interval(&self) -> Interval {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let values = [1.0, 2.0, 4.0];
        for (q, expected) in [(0.0, 1.0), (0.25, 1.5), (0.75, 3.0), (1.0, 4.0)] {
            assert!((quantile(&values, q) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_sequence_is_wrong_at_any_time_as_seldom_as_promised() {
        let (runs, delta, mean) = (400, 0.1, 0.2);
        let mut wrong = 0;
        let mut width = 0.0;
        for run in 0..runs {
            let mut random = Random::new(run);
            let mut sequence = ConfidenceSequence::new(0.0, 1.0, delta);
            // The intersection of all intervals misses the mean exactly when one of them does.
            for _ in 0..1000 {
                sequence.push(f64::from(u8::from(random.unit() < mean)));
            }
            let Interval { low, high } = sequence.interval();
            wrong += u32::from(low > mean || high < mean);
            width += (high - low) / runs as f64;
        }
        assert!(f64::from(wrong) <= delta * runs as f64, "{wrong} of {runs}");
        assert!(width < 0.15, "useless: {width}");
    }

    #[test]
    fn bernsteins_interval_holds_where_the_bootstrap_of_nothing_cannot() {
        let (runs, delta, mean) = (400, 0.1, 0.01);
        let mut wrong = 0;
        for run in 0..runs {
            let mut random = Random::new(run);
            let mut moments = Moments::default();
            for _ in 0..50 {
                moments.add(f64::from(u8::from(random.unit() < mean)));
            }
            let found = empirical_bernstein(&moments, 1.0, delta).unwrap();
            wrong += u32::from(found.low > mean || found.high < mean);
        }
        assert!(f64::from(wrong) <= delta * runs as f64, "{wrong} of {runs}");
        assert!(empirical_bernstein(&Moments::default(), 1.0, delta).is_none());
    }

    #[test]
    fn an_interval_is_a_function_of_the_seed_not_of_the_threads() {
        let blocks: Vec<Sums> = (0..50)
            .map(|i| Sums {
                rows: 1.0,
                weight: 1.0,
                weighted_reward: f64::from(i % 3),
                ..Sums::default()
            })
            .collect();
        let of = |seed, threads| {
            bootstrap(
                &blocks,
                &[Estimator::Ipw, Estimator::Replay],
                100,
                seed,
                0.9,
                threads,
            )
        };
        assert_eq!(of(1, 1), of(1, 3));
        assert_ne!(of(1, 1), of(2, 1));
        assert_eq!(of(1, 1)[1], None, "nothing was accepted");
    }
}
