//! What a day has used of a daily budget.

use std::time::Duration;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;

/// How much was used today. A cursor contains it, so that a restart does not forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spent {
    /// Days since 1970.
    day: i64,
    used: u64,
}

/// When the provider's day begins: hours after midnight, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayBegins(pub(crate) i64);

impl DayBegins {
    fn day(self, now: Utc) -> i64 {
        (now.as_millis() - self.0 * 3_600_000).div_euclid(DAY)
    }

    /// The wait until the next day.
    pub(crate) fn next(self, now: Utc) -> Duration {
        let millis = DAY - (now.as_millis() - self.0 * 3_600_000).rem_euclid(DAY);
        Duration::from_millis(millis.unsigned_abs())
    }
}

impl Spent {
    pub(crate) fn count(&mut self, used: u64, begins: DayBegins, now: Utc) {
        let day = begins.day(now);
        if day != self.day {
            *self = Self { day, used: 0 };
        }
        self.used += used;
    }

    /// How much is left today, of this limit.
    pub(crate) fn left(self, limit: u64, begins: DayBegins, now: Utc) -> u64 {
        let is_today = begins.day(now) == self.day;
        limit.saturating_sub(if is_today { self.used } else { 0 })
    }

    /// The later of two counts.
    pub(crate) fn max(self, other: Self) -> Self {
        if (other.day, other.used) > (self.day, self.used) {
            other
        } else {
            self
        }
    }

    /// Whether a cursor with the count `known` is too old to restart with.
    pub(crate) const fn is_far_from(self, known: Self) -> bool {
        self.day != known.day || self.used > known.used + 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_counted_by_the_day() {
        let now: Utc = "2026-11-30T23:59:00Z".parse().unwrap();
        let midnight = DayBegins(0);
        let mut spent = Spent::default();
        spent.count(2, midnight, now);
        assert_eq!(
            (spent.left(5, midnight, now), spent.left(1, midnight, now)),
            (3, 0)
        );
        assert_eq!(midnight.next(now), Duration::from_mins(1));
        let tomorrow = now.plus_millis(60_000);
        assert_eq!(spent.left(5, midnight, tomorrow), 5);
        let before = spent;
        spent.count(1, midnight, tomorrow);
        assert_eq!(spent.left(5, midnight, tomorrow), 4);
        assert!(spent.is_far_from(before) && spent.max(before) == spent && before.max(spent) == spent);
        // A day that begins at eight is the same one at midnight.
        let eight = DayBegins(8);
        let mut spent = Spent::default();
        spent.count(2, eight, now);
        assert_eq!(spent.left(5, eight, tomorrow), 3);
        assert_eq!(eight.next(tomorrow), Duration::from_hours(8));
    }
}
