//! Decides when a destination may be called: circuit breaker, token bucket, and the clock of an outbox.

use std::time::Duration;

use limbic_domain::Utc;

use super::Rate;

/// The longest time between two ticks that counts as it is. Ticks come every second; a tick that waits for a database or a
/// rebalance can take minutes.
const LONGEST_STEP: Duration = Duration::from_mins(5);

/// A clock that never runs backwards and never jumps, driven by the times of the ticks. If the wall clock is set back, it stops for
/// one tick. If the wall clock jumps ahead, it advances by the time between the ticks before.
#[derive(Debug)]
pub(super) struct TickClock {
    last: Option<Utc>,
    /// The last time between two ticks that counted.
    usual: Duration,
    elapsed: Duration,
    /// The time of the first tick.
    start: Utc,
}

impl Default for TickClock {
    fn default() -> Self {
        Self {
            last: None,
            usual: LONGEST_STEP,
            elapsed: Duration::ZERO,
            start: Utc::MIN,
        }
    }
}

impl TickClock {
    /// The time since the first tick.
    pub(super) fn advance(&mut self, now: Utc) -> Duration {
        match self.last.replace(now) {
            None => self.start = now,
            Some(last) => {
                let since = u64::try_from(now.millis_since(last)).unwrap_or(0);
                let since = Duration::from_millis(since);
                if !since.is_zero() && since <= LONGEST_STEP {
                    self.usual = since;
                }
                self.elapsed = self.elapsed.saturating_add(since.min(self.usual));
            }
        }
        self.elapsed
    }

    /// The time of the first tick plus the time since. [`Utc::MIN`] before it.
    pub(super) fn time(&self) -> Utc {
        let elapsed = i64::try_from(self.elapsed.as_millis()).unwrap_or(i64::MAX);
        self.start.plus_millis(elapsed)
    }
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Everything that the other limits allow.
    Any,
    /// One call, to test whether the destination works again.
    Probe,
    /// No call.
    Nothing,
}

/// A circuit breaker: closed, open, or half open. It is only in memory. A new process learns the state of the destination
/// from its first calls. Times are durations since any fixed start.
#[derive(Debug, Clone)]
pub struct Breaker {
    limit: u32,
    pause: Duration,
    failures: u32,
    closed_until: Duration,
}

impl Breaker {
    /// Opens after `limit` failures in a row, for `pause`.
    pub const fn new(limit: u32, pause: Duration) -> Self {
        Self {
            limit,
            pause,
            failures: 0,
            closed_until: Duration::ZERO,
        }
    }

    /// What may be sent at `now`.
    pub fn permit(&self, now: Duration) -> Permit {
        if now < self.closed_until {
            Permit::Nothing
        } else if self.failures >= self.limit {
            Permit::Probe
        } else {
            Permit::Any
        }
    }

    /// Notes that the destination answered.
    pub const fn answered(&mut self) {
        self.failures = 0;
    }

    /// Notes that the destination asked for a pause. This means that it works.
    pub fn paused(&mut self, now: Duration, wait: Duration) {
        self.failures = 0;
        self.closed_until = self.closed_until.max(now.saturating_add(wait));
    }

    /// Notes that the destination refuses every call. Returns whether the breaker was closed.
    pub fn blocked(&mut self, now: Duration) -> bool {
        self.blocked_for(now, self.pause)
    }

    /// As [`Self::blocked`], but the pause is at least `pause`.
    pub fn blocked_for(&mut self, now: Duration, pause: Duration) -> bool {
        let was_closed = self.failures < self.limit;
        self.failures = self.failures.max(self.limit);
        self.closed_until = self.closed_until.max(now.saturating_add(pause.max(self.pause)));
        was_closed
    }

    /// When calls are allowed again; at most `now` if they are allowed now.
    pub const fn opens_at(&self) -> Duration {
        self.closed_until
    }

    /// Notes a failed call. Returns whether the breaker is now open.
    pub fn failed(&mut self, now: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= self.limit;
        if opens {
            self.closed_until = self.closed_until.max(now.saturating_add(self.pause));
        }
        opens
    }
}

/// A token bucket. Each call takes a token; tokens are added at a constant rate.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Rate,
    tokens: f64,
    filled: Duration,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            filled: Duration::ZERO,
        }
    }

    /// The number of whole tokens at `now`.
    pub fn available(&mut self, now: Duration) -> usize {
        let since = now.saturating_sub(self.filled);
        self.filled = now;
        let tokens = self.tokens + since.as_secs_f64() * self.rate.per_second;
        self.tokens = tokens.min(f64::from(self.rate.burst));
        self.tokens as usize
    }

    /// Removes tokens, at most as many as [`Self::available`] returned.
    pub fn take(&mut self, tokens: usize) {
        self.tokens -= tokens as f64;
    }

    /// How long it takes after the last [`Self::available`] until there are as many tokens. `None` if there are never as many.
    pub fn wait_for(&self, tokens: usize) -> Option<Duration> {
        let missing = tokens as f64 - self.tokens;
        if tokens as f64 > f64::from(self.rate.burst) {
            return None;
        }
        Duration::try_from_secs_f64(missing.max(0.0) / self.rate.per_second).ok()
    }

    /// Returns tokens that were taken and not used.
    pub fn give_back(&mut self, tokens: usize) {
        self.tokens += tokens as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_breaker_opens_pauses_probes_and_closes() {
        let mut breaker = Breaker::new(2, SECOND);
        assert_eq!(breaker.permit(Duration::ZERO), Permit::Any);
        assert!(!breaker.failed(Duration::ZERO));
        breaker.answered();
        assert!(
            !breaker.failed(Duration::ZERO),
            "the failures were not consecutive"
        );
        assert!(breaker.failed(Duration::ZERO));
        assert_eq!(breaker.permit(SECOND / 2), Permit::Nothing);
        assert_eq!(breaker.permit(SECOND), Permit::Probe);
        assert!(breaker.failed(SECOND), "the probe failed");
        assert_eq!(breaker.permit(SECOND * 3 / 2), Permit::Nothing);
        breaker.answered();
        assert_eq!(breaker.permit(SECOND * 2), Permit::Any);
        breaker.paused(SECOND * 2, SECOND * 3);
        breaker.paused(SECOND * 2, SECOND);
        assert_eq!(
            breaker.permit(SECOND * 4),
            Permit::Nothing,
            "the longest pause applies"
        );
        assert_eq!(breaker.permit(SECOND * 5), Permit::Any);
    }

    #[test]
    fn a_token_bucket_allows_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(Rate {
            per_second: 2.0,
            burst: 3,
        });
        assert_eq!(bucket.available(Duration::ZERO), 3);
        bucket.take(3);
        assert_eq!(bucket.available(SECOND / 4), 0);
        assert_eq!(bucket.available(SECOND / 2), 1);
        bucket.take(1);
        assert_eq!(bucket.available(SECOND * 100), 3, "never more than the burst");
    }

    #[test]
    fn a_jump_of_the_wall_clock_neither_stops_nor_advances_the_clock_of_the_ticks() {
        let mut clock = TickClock::default();
        let at = |seconds: i64| Utc::from_millis(seconds * 1_000);
        assert_eq!(clock.advance(at(3_600)), Duration::ZERO);
        assert_eq!(clock.advance(at(0)), Duration::ZERO);
        assert_eq!(clock.advance(at(1)), SECOND);
        assert_eq!(clock.advance(at(60 * 86_400)), SECOND * 2);
        assert_eq!(clock.advance(at(60 * 86_400 + 2)), SECOND * 4);
        assert_eq!(clock.time(), at(3_604));
    }
}
