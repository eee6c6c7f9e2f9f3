//! Whether the wall clock can be trusted with a deletion.

use std::time::{Duration, Instant};

use limbic_domain::Utc;

/// The wall clock.
#[cfg(not(test))]
pub(super) fn wall() -> Utc {
    Utc::now()
}

/// The clock that never jumps.
#[cfg(not(test))]
pub(super) fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
pub(super) use crate::simulation::files::{monotonic, wall};

/// The clock must run evenly for this long before anything is deleted by age: after the start, and after a jump.
const STEADY_AFTER: Duration = Duration::from_mins(10);
/// The maximum difference between wall clock and monotonic clock that is no jump.
const TOLERANCE_MILLIS: i64 = 60_000;

/// Compares the wall clock with the monotonic clock. Nothing is deleted on one reading of a clock that may be wrong: a person has
/// ten minutes to correct it.
#[derive(Debug, Clone)]
pub(super) struct SteadyClock {
    wall: Utc,
    since: Instant,
}

impl SteadyClock {
    pub(super) const fn new(wall: Utc, now: Instant) -> Self {
        Self { wall, since: now }
    }

    /// Whether the clock has run evenly for long enough.
    pub(super) fn is_steady(&mut self, wall: Utc, now: Instant) -> bool {
        let elapsed = now.duration_since(self.since);
        let expected = self
            .wall
            .plus_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX));
        let jump = wall.millis_since(expected);
        if jump.abs() > TOLERANCE_MILLIS {
            tracing::error!(
                jump_seconds = jump / 1_000,
                "the clock of this machine has jumped: nothing is deleted by age for ten minutes. Correct the clock if it is wrong now"
            );
            *self = Self::new(wall, now);
            return false;
        }
        elapsed >= STEADY_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_clock_stops_deletion_until_it_has_run_evenly_again() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let wall = |seconds: i64| Utc::from_millis(1_000_000_000_000 + seconds * 1_000);
        let mut clock = SteadyClock::new(wall(0), start);
        assert!(!clock.is_steady(wall(30), at(30)), "one reading is not enough");
        assert!(clock.is_steady(wall(600), at(600)));
        // Sixty days ahead for half a minute.
        let ahead = 60 * 86_400;
        assert!(!clock.is_steady(wall(ahead + 630), at(630)));
        assert!(!clock.is_steady(wall(ahead + 660), at(660)));
        assert!(!clock.is_steady(wall(690), at(690)));
        assert!(!clock.is_steady(wall(1_200), at(1_200)));
        assert!(clock.is_steady(wall(1_290), at(1_290)));
        // A clock that is adjusted slowly is no jump.
        assert!(clock.is_steady(wall(1_300), at(1_330)));
    }
}
