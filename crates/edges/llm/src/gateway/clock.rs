//! The time, passed in.

use std::pin::Pin;
use std::time::{Duration, Instant};

use limbic_domain::Utc;

use super::budget::Moment;

/// Tells the time and waits.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Utc;

    /// The time since any fixed start. It never jumps.
    fn elapsed(&self) -> Duration;

    /// Ends when [`Self::elapsed`] is at least `at`.
    fn sleep_until(&self, at: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// The time on both clocks.
    fn moment(&self) -> Moment {
        Moment {
            elapsed: self.elapsed(),
            millis: self.now().as_millis(),
        }
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Utc {
        limbic_stream::clock::now().at
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, at: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep_until((self.0 + at).into()))
    }
}
