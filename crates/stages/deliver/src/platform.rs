//! Where ads run.

use limbic_domain::Utc;

use crate::{Answer, Delivery};

/// An ad platform. It may block: it is called on the stage's own thread.
///
/// It is idempotent by [`Delivery::decision`]: a delivery that was sent before, by whichever process, has no second
/// effect and is answered as [`Answer::Delivered`].
pub trait AdPlatform: Send {
    /// How many deliveries to hand over at once, at least 1.
    fn concurrency(&self) -> usize;

    /// Sends these; one answer each, in their order. A bounded time later it answers, whatever the platform does.
    fn deliver(&mut self, deliveries: &[Delivery], now: Utc) -> Vec<Answer>;
}
