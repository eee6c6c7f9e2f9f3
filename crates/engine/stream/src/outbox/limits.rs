//! The limits of one destination.

use std::time::Duration;

/// The maximum rate of calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls per second on average, above 0.
    pub per_second: f64,
    /// Maximum number of calls at once after a pause, at least 1.
    pub burst: u32,
}

/// The limits of the calls to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Maximum number of running calls. Default: 16.
    pub concurrency: usize,
    /// Maximum number of calls in one [`Sender::send`](super::Sender::send). Default: 1.
    pub batch: usize,
    /// Maximum rate of calls. Default: no limit.
    pub rate: Option<Rate>,
    /// How long a call may take. Default: 10 s.
    pub deadline: Duration,
    /// Maximum number of calls that start in one tick, which is also about the maximum number of results in one
    /// transaction. Default: 256.
    pub per_tick: usize,
    /// Maximum number of waiting requests in one partition. Default: 1,000,000.
    pub waiting: u64,
    /// Maximum number of attempts, at least 1. Default: 12.
    pub attempts: u32,
    /// Maximum time from the first attempt to the last. Default: 24 h.
    pub give_up_after: Duration,
    /// The first back-off. It doubles with each attempt. Default: 1 s.
    pub backoff_first: Duration,
    /// The maximum back-off. Default: 5 min.
    pub backoff_longest: Duration,
    /// The minimum and maximum wait that a destination can ask for. Other values are moved into this range. Default: 100
    /// ms to 1 h.
    pub retry_after: (Duration, Duration),
    /// The number of consecutive failures that open the circuit breaker, at least 1. Default: 5.
    pub breaker_failures: u32,
    /// How long an open breaker blocks all calls. Then it allows one call as a probe. Default: 15 s.
    pub breaker_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            batch: 1,
            rate: None,
            deadline: Duration::from_secs(10),
            per_tick: 256,
            waiting: 1_000_000,
            attempts: 12,
            give_up_after: Duration::from_hours(24),
            backoff_first: Duration::from_secs(1),
            backoff_longest: Duration::from_mins(5),
            retry_after: (Duration::from_millis(100), Duration::from_hours(1)),
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(15),
        }
    }
}

/// A limit that allows no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} must be at least {least}: with less, nothing could be sent")]
pub struct InvalidLimit {
    /// The limit's name.
    pub limit: &'static str,
    /// The smallest valid value.
    pub least: &'static str,
}

impl Limits {
    /// Returns an error if the limits allow no call.
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let checks = [
            (self.concurrency > 0, "concurrency", "1"),
            (self.batch > 0, "batch", "1"),
            (self.per_tick > 0, "per_tick", "1"),
            (self.waiting > 0, "waiting", "1"),
            (self.attempts > 0, "attempts", "1"),
            (self.breaker_failures > 0, "breaker_failures", "1"),
            (!self.deadline.is_zero(), "deadline", "1ns"),
            (
                self.rate
                    .is_none_or(|rate| rate.per_second.is_finite() && rate.per_second > 0.0),
                "rate.per_second",
                "a number above 0",
            ),
            (self.rate.is_none_or(|rate| rate.burst > 0), "rate.burst", "1"),
            (
                self.retry_after.0 <= self.retry_after.1,
                "the maximum of retry_after",
                "its minimum",
            ),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            Some((_, limit, least)) => Err(InvalidLimit { limit, least }),
            None => Ok(()),
        }
    }

    /// The wait after a `Retry-After` of `asked`, moved into the range [`Self::retry_after`].
    pub(super) fn bounded_wait(&self, asked: Duration) -> Duration {
        let (least, most) = self.retry_after;
        asked.max(least).min(most)
    }
}
