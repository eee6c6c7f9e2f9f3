//! The wait between attempts: exponential or linear back-off with jitter.

use std::time::Duration;

use limbic_domain::random::{self, Random};

/// Waits between attempts that grow from the first to the longest, by doubling or by a fixed step. Each is shortened by a random part of up to a half, so
/// that instances that failed together do not try again together.
///
/// A wait is a function of seed and attempt: give different instances, or different requests, different seeds.
///
/// ```
/// # use std::time::Duration;
/// use limbic_stream::Backoff;
///
/// let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).with_seed(7);
/// let third = backoff.wait(2);
/// assert!(third >= Duration::from_millis(200) && third <= Duration::from_millis(400));
/// assert!(backoff.wait(1_000) <= Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    is_linear: bool,
    seed: u64,
}

impl Backoff {
    /// A back-off with seed 0. If `longest` is shorter than `first`, every wait is at most `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            is_linear: false,
            seed: 0,
        }
    }

    /// A back-off with seed 0 that begins without a wait and adds `step` after each failure, up to `longest`.
    pub const fn linear(step: Duration, longest: Duration) -> Self {
        Self {
            first: step,
            longest,
            is_linear: true,
            seed: 0,
        }
    }

    /// The same waits with the random parts of another seed.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The wait after `failures` earlier failures in a row: 0 for the first one.
    pub fn wait(&self, failures: u32) -> Duration {
        let times = if self.is_linear {
            failures
        } else {
            1 << failures.min(20)
        };
        let grown = self.first.saturating_mul(times);
        let share = Random::new(random::derive(self.seed, u64::from(failures))).unit();
        grown.min(self.longest).mul_f64(1.0 - share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_wait_is_between_half_and_all_of_the_doubled_first_wait(seed: u64, failures: u32, first in 1_u64..10_000) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_secs(15));
            let full = first.saturating_mul(1 << failures.min(20)).min(longest);
            let wait = Backoff::new(first, longest).with_seed(seed).wait(failures);
            prop_assert!(wait <= full && wait >= full / 2, "{wait:?} of {full:?}");
        }

        #[test]
        fn a_linear_wait_grows_by_its_step(seed: u64, failures: u32) {
            let (step, longest) = (Duration::from_millis(250), Duration::from_secs(16));
            let full = step.saturating_mul(failures).min(longest);
            let wait = Backoff::linear(step, longest).with_seed(seed).wait(failures);
            prop_assert!(wait <= full && wait >= full / 2, "{wait:?} of {full:?}");
        }
    }

    #[test]
    fn different_seeds_give_different_waits() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let mut waits: Vec<_> = (0..100).map(|seed| backoff.with_seed(seed).wait(0)).collect();
        waits.sort();
        waits.dedup();
        assert_eq!(waits.len(), 100);
    }
}
