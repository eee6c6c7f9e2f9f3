//! Where ads run.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::outbox::Rate;

use crate::{Answer, Delivery};

/// How much an ad platform can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlatformLimits {
    /// Most deliveries on their way at the same time, at least 1.
    pub concurrency: usize,
    /// Most deliveries that one [`AdPlatform::deliver`] gets, at least 1.
    pub batch: usize,
    /// How long one [`AdPlatform::deliver`] may take. What is not answered by then is sent again.
    pub deadline: Duration,
    /// Most deliveries per second; `None` = no limit.
    pub rate: Option<Rate>,
}

impl Default for PlatformLimits {
    /// 16 at the same time, one in each call, 10 s, no limit per second.
    fn default() -> Self {
        Self {
            concurrency: 16,
            batch: 1,
            deadline: Duration::from_secs(10),
            rate: None,
        }
    }
}

/// An ad platform. It blocks: it is called on threads that the outbox owns, on several at the same time.
///
/// It is idempotent by [`Delivery::decision`]: a delivery that was sent before, by whichever process, has no second effect
/// and is answered as [`Answer::Applied`].
pub trait AdPlatform: Send + Sync + 'static {
    /// How much the platform can take; asked once, when the stage starts.
    fn limits(&self) -> PlatformLimits {
        PlatformLimits::default()
    }

    /// Sends these, at most [`PlatformLimits::batch`], and answers each in their order; `now` is the time of the attempt. Returns
    /// within the deadline, whatever the platform does.
    fn deliver(&self, deliveries: &[&Delivery], now: Utc) -> Vec<Answer>;
}

impl<T: AdPlatform + ?Sized> AdPlatform for Arc<T> {
    fn limits(&self) -> PlatformLimits {
        (**self).limits()
    }

    fn deliver(&self, deliveries: &[&Delivery], now: Utc) -> Vec<Answer> {
        (**self).deliver(deliveries, now)
    }
}
