//! Waiting after a failure: exponential, with jitter, interruptible.

use std::time::Duration;

use crossbeam_channel::Receiver;

/// Waits that double from the first to the longest, each shortened by up to a half so that instances that failed together
/// do not try again together.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    seed: u64,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self {
            first,
            most,
            failures: 0,
            seed,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let full = self
            .first
            .saturating_mul(1 << self.failures.min(20))
            .min(self.most);
        self.failures = self.failures.saturating_add(1);
        // SplitMix64: enough to spread instances apart, and reproducible.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        full.mul_f64(1.0 - share / 2.0)
    }

    /// Waits, unless woken before.
    pub(super) fn wait(&mut self, woken: &Receiver<()>) {
        let _ = woken.recv_timeout(self.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        for full in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next();
            assert!(
                wait <= Duration::from_millis(full) && wait >= Duration::from_millis(full / 2),
                "{wait:?}"
            );
        }
        backoff.succeeded();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
