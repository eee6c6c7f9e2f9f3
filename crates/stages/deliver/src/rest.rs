//! When to try again: back-off of a delivery, rest of a platform.

use std::time::Duration;

use limbic_domain::{Utc, event_id};

/// How long to wait after the `attempt`-th failed attempt (from 1): doubles from `first` up to `most`, and jitter takes
/// up to half of it off. The jitter is a function of the decision: replay waits alike, and no herd retries at once.
pub(crate) fn back_off(decision: &str, attempt: u32, first: Duration, most: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let whole = doubled.min(most);
    let digest = event_id("back-off", &[decision, &attempt.to_string()]);
    let draw = u32::from_str_radix(&digest[..8], 16).expect("an event id is hexadecimal");
    whole.mul_f64(1.0 - 0.5 * f64::from(draw) / f64::from(u32::MAX))
}

/// How much may be sent to a platform now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// As much as it takes at once.
    Any,
    /// One delivery, to see whether it is back.
    Probe,
    /// Nothing before this time.
    Nothing,
}

/// A platform's circuit: closed, open (resting), or half open (one probe at a time). Kept in memory: a new process
/// finds out by itself.
#[derive(Debug, Clone)]
pub(crate) struct Circuit {
    limit: u32,
    rest: Duration,
    failures: u32,
    rests_until: Utc,
}

impl Circuit {
    /// Opens after `limit` failures in a row, for `rest`.
    pub(crate) const fn new(limit: u32, rest: Duration) -> Self {
        Self {
            limit,
            rest,
            failures: 0,
            rests_until: Utc::MIN,
        }
    }

    pub(crate) fn permit(&self, now: Utc) -> Permit {
        if now < self.rests_until {
            Permit::Nothing
        } else if self.failures >= self.limit {
            Permit::Probe
        } else {
            Permit::Any
        }
    }

    /// It answered.
    pub(crate) const fn answered(&mut self) {
        self.failures = 0;
    }

    /// It asked to be left alone.
    pub(crate) fn throttled(&mut self, until: Utc) {
        self.failures = 0;
        self.rests_until = self.rests_until.max(until);
    }

    /// It did not answer as it should. Whether that opened the circuit.
    pub(crate) fn failed(&mut self, now: Utc) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= self.limit;
        if opens {
            self.rests_until = self.rests_until.max(later(now, self.rest));
        }
        opens
    }
}

/// `now` moved on by `wait`.
pub(crate) fn later(now: Utc, wait: Duration) -> Utc {
    now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_back_off_doubles_is_bounded_and_is_the_same_each_time() {
        for attempt in 1..40 {
            let wait = back_off("d", attempt, SECOND, 60 * SECOND);
            let whole = (SECOND * 2_u32.saturating_pow(attempt - 1).min(60)).min(60 * SECOND);
            assert!(wait <= whole && wait >= whole / 2, "{attempt}: {wait:?}");
            assert_eq!(wait, back_off("d", attempt, SECOND, 60 * SECOND));
        }
        assert_ne!(
            back_off("d", 5, SECOND, 60 * SECOND),
            back_off("e", 5, SECOND, 60 * SECOND)
        );
    }

    #[test]
    fn a_circuit_opens_rests_probes_and_closes() {
        let at = Utc::from_millis;
        let mut circuit = Circuit::new(2, SECOND);
        assert_eq!(circuit.permit(at(0)), Permit::Any);
        assert!(!circuit.failed(at(0)));
        circuit.answered();
        assert!(!circuit.failed(at(0)), "not in a row");
        assert!(circuit.failed(at(0)));
        assert_eq!(circuit.permit(at(999)), Permit::Nothing);
        assert_eq!(circuit.permit(at(1_000)), Permit::Probe);
        assert!(circuit.failed(at(1_000)), "the probe failed");
        assert_eq!(circuit.permit(at(1_999)), Permit::Nothing);
        circuit.answered();
        assert_eq!(circuit.permit(at(2_000)), Permit::Any);
        circuit.throttled(at(5_000));
        circuit.throttled(at(3_000));
        assert_eq!(
            circuit.permit(at(4_999)),
            Permit::Nothing,
            "the longest asked for counts"
        );
        assert_eq!(circuit.permit(at(5_000)), Permit::Any);
        assert_eq!(later(at(7), Duration::MAX), Utc::MAX);
    }
}
