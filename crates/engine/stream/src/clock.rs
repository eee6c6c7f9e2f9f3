//! The time of day, checked: a jump of the machine's clock has no effect until it has lasted.
//!
//! The acceptance time of a post, the check that a post is not from the future, and the times of ticks need the time of day. A clock
//! that is wrong for some seconds (a virtual machine that was resumed, a wrong answer of a time server) would accept posts that pin a
//! tenant's event time far ahead. So the wall clock is compared with the monotonic clock. After a jump the process continues with the
//! time before the jump, for ten minutes. Then a clock that has run evenly since the jump is right.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use parking_lot::Mutex;

/// The clock of this process. One clock for all threads, so that a jump is reported once.
static CLOCK: LazyLock<CheckedClock> = LazyLock::new(|| CheckedClock::new(Utc::now(), Instant::now()));

/// The time on the checked clock of this process. The first reading is trusted: nothing is known before it.
pub fn now() -> Now {
    CLOCK.read(Utc::now(), Instant::now())
}

/// A clock that has jumped must run evenly for this long before it counts.
const TRUSTED_AFTER: Duration = Duration::from_mins(10);
/// The maximum difference between wall clock and monotonic clock, in milliseconds, that is no jump.
const TOLERANCE: i64 = 60_000;

/// Compares the wall clock with the monotonic clock.
#[derive(Debug)]
struct CheckedClock(Mutex<State>);

#[derive(Debug)]
struct State {
    trusted: Reading,
    /// The first reading after a jump.
    doubted: Option<Reading>,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Utc,
    at: Instant,
}

impl Reading {
    /// The wall clock at `now`, if it has run evenly since this reading.
    fn continued(self, now: Instant) -> Utc {
        let elapsed = now.duration_since(self.at).as_millis();
        self.wall.plus_millis(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    fn agrees_with(self, wall: Utc, now: Instant) -> bool {
        wall.millis_since(self.continued(now)).abs() <= TOLERANCE
    }
}

/// The time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The time to use.
    pub at: Utc,
    /// Later than `at` if the clock has jumped ahead and may be right.
    pub latest: Utc,
}

impl CheckedClock {
    const fn new(wall: Utc, at: Instant) -> Self {
        Self(Mutex::new(State {
            trusted: Reading { wall, at },
            doubted: None,
        }))
    }

    fn read(&self, wall: Utc, at: Instant) -> Now {
        let mut state = self.0.lock();
        let reading = Reading { wall, at };
        if state.trusted.agrees_with(wall, at) {
            *state = State {
                trusted: reading,
                doubted: None,
            };
            return Now {
                at: wall,
                latest: wall,
            };
        }
        let expected = state.trusted.continued(at);
        match state.doubted {
            Some(doubted) if doubted.agrees_with(wall, at) => {
                if at.duration_since(doubted.at) >= TRUSTED_AFTER {
                    tracing::warn!(%wall, "the clock of this machine has run evenly since its jump: it counts from now on");
                    *state = State {
                        trusted: reading,
                        doubted: None,
                    };
                    return Now {
                        at: wall,
                        latest: wall,
                    };
                }
            }
            _ => {
                tracing::error!(
                    %wall, %expected,
                    "the clock of this machine has jumped: the time before the jump continues for ten minutes. Correct the clock \
                     if it is wrong now"
                );
                state.doubted = Some(reading);
            }
        }
        Now {
            at: expected,
            latest: expected.max(wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_for_some_seconds_has_no_effect() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let wall = |seconds: i64| Utc::from_millis(1_000_000_000_000 + seconds * 1_000);
        let clock = CheckedClock::new(wall(0), start);
        let right = |seconds| Now {
            at: wall(seconds),
            latest: wall(seconds),
        };
        assert_eq!(clock.read(wall(10), at(10)), right(10));
        let sixty_days = 60 * 86_400;
        let ahead = clock.read(wall(sixty_days + 15), at(15));
        assert_eq!((ahead.at, ahead.latest), (wall(15), wall(sixty_days + 15)));
        // Sixty days behind.
        assert_eq!(clock.read(wall(20 - sixty_days), at(20)), right(20));
        // It is right again.
        assert_eq!(clock.read(wall(25), at(25)), right(25));
        // A clock that is adjusted slowly is no jump.
        assert_eq!(clock.read(wall(75), at(35)), right(75));
    }

    #[test]
    fn a_clock_that_was_corrected_counts_after_ten_minutes() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let wall = |seconds: i64| Utc::from_millis(1_000_000_000_000 + seconds * 1_000);
        let clock = CheckedClock::new(wall(0), start);
        for seconds in [10, 300, 609] {
            let now = clock.read(wall(7_200 + seconds), at(seconds.unsigned_abs()));
            assert_eq!(now.at, wall(seconds));
        }
        let now = clock.read(wall(7_200 + 610), at(610));
        assert_eq!((now.at, now.latest), (wall(7_810), wall(7_810)));
        assert_eq!(clock.read(wall(7_811), at(611)).at, wall(7_811));
    }
}
