//! The trait of ad platforms.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::outbox::Rate;

use crate::{Answer, Delivery, Pause};

/// The limits of an ad platform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlatformLimits {
    /// Maximum number of concurrent deliveries, at least 1.
    pub concurrency: usize,
    /// Maximum number of deliveries in one [`AdPlatform::deliver`], at least 1.
    pub batch: usize,
    /// Maximum duration of one [`AdPlatform::deliver`]. Deliveries without an answer by then are sent again.
    pub deadline: Duration,
    /// Maximum number of deliveries per second. `None` = no limit.
    pub rate: Option<Rate>,
}

impl Default for PlatformLimits {
    /// 16 concurrent calls with one delivery each, 10 s, no limit per second.
    fn default() -> Self {
        Self {
            concurrency: 16,
            batch: 1,
            deadline: Duration::from_secs(10),
            rate: None,
        }
    }
}

/// An ad platform. Its methods block. The outbox calls it on its own threads, several at the same time.
///
/// It is idempotent by [`Delivery::decision`]: a delivery that was sent before, by any process, has no second effect and
/// is answered with [`Answer::Applied`].
pub trait AdPlatform: Send + Sync + 'static {
    /// The limits of the platform. Read once, when the stage starts.
    fn limits(&self) -> PlatformLimits {
        PlatformLimits::default()
    }

    /// Sends these deliveries, at most [`PlatformLimits::batch`], and returns one answer for each, in order. `now` is the
    /// time of the attempt. Returns within the deadline, also if the platform hangs.
    fn deliver(&self, deliveries: &[&Delivery], now: Utc) -> Vec<Answer>;

    /// Stops showing these ads, at most [`PlatformLimits::batch`], and answers each in their order. Idempotent by [`Pause::key`]. A
    /// platform that never had the ad answers [`Answer::Applied`] too: it must not show it from now on.
    fn pause(&self, pauses: &[&Pause], now: Utc) -> Vec<Answer>;
}

impl<T: AdPlatform + ?Sized> AdPlatform for Arc<T> {
    fn limits(&self) -> PlatformLimits {
        (**self).limits()
    }

    fn deliver(&self, deliveries: &[&Delivery], now: Utc) -> Vec<Answer> {
        (**self).deliver(deliveries, now)
    }

    fn pause(&self, pauses: &[&Pause], now: Utc) -> Vec<Answer> {
        (**self).pause(pauses, now)
    }
}
