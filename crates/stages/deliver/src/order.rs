//! What the outbox sends to a platform.

use limbic_stream::outbox::{Call, Request, Sender};
use serde::{Deserialize, Serialize};

use crate::{AdPlatform, Answer, Delivery, Pause};

/// To show an ad, or to stop showing it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every order is a delivery, and few are in memory at a time"
)]
pub(crate) enum Order {
    Deliver(Delivery),
    Pause(Pause),
}

impl Request for Order {
    const VERSION: u32 = 2;
    type Reply = ();

    fn applied(&self) -> &'static str {
        match self {
            Self::Deliver(_) => "delivered",
            Self::Pause(_) => "paused",
        }
    }

    /// Version 1 knew deliveries only.
    fn migrate(version: u32, stored: serde_json::Value) -> Result<Self, String> {
        match version {
            1 => serde_json::from_value(stored)
                .map(Self::Deliver)
                .map_err(|error| error.to_string()),
            _ => Err(format!("version {version} cannot be read, only versions 1 and 2")),
        }
    }
}

/// A platform as a destination of the outbox.
pub(crate) struct Destination(pub(crate) Box<dyn AdPlatform>);

impl Sender<Order> for Destination {
    fn send(&self, calls: &[Call<Order>]) -> Vec<Answer> {
        let Some(now) = calls.first().map(|call| call.now) else {
            return Vec::new();
        };
        let (mut to_deliver, mut to_pause) = (Vec::new(), Vec::new());
        for call in calls {
            match &*call.request {
                Order::Deliver(delivery) => to_deliver.push(delivery),
                Order::Pause(pause) => to_pause.push(pause),
            }
        }
        let mut delivered = answers(&to_deliver, |orders| self.0.deliver(orders, now)).into_iter();
        let mut paused = answers(&to_pause, |orders| self.0.pause(orders, now)).into_iter();
        calls
            .iter()
            .map_while(|call| match &*call.request {
                Order::Deliver(_) => delivered.next(),
                Order::Pause(_) => paused.next(),
            })
            .collect()
    }
}

/// The platform's answers; none if there is nothing to ask.
fn answers<T>(orders: &[&T], send: impl FnOnce(&[&T]) -> Vec<Answer>) -> Vec<Answer> {
    if orders.is_empty() {
        return Vec::new();
    }
    let mut answers = send(orders);
    answers.resize_with(orders.len(), || Answer::Unknown {
        detail: "the platform did not answer this one".to_owned(),
    });
    answers
}
