//! What the outbox sends to a platform.

use std::borrow::Cow;
use std::sync::Arc;

use limbic_stream::outbox::{Call, Request, Sender};
use serde::{Deserialize, Serialize};

use crate::{AdPlatform, Answer, Delivery, Pause, Pictures};

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
pub(crate) struct Destination {
    pub(crate) platform: Box<dyn AdPlatform>,
    pub(crate) pictures: Arc<dyn Pictures>,
    /// Where platforms fetch pictures.
    pub(crate) pictures_url: Option<String>,
}

impl Destination {
    /// The delivery as the platform gets it: with its picture, if its ad has one.
    fn complete<'a>(&self, delivery: &'a Delivery) -> Result<Cow<'a, Delivery>, Answer> {
        if delivery.creative.picture.is_none() {
            return Ok(Cow::Borrowed(delivery));
        }
        let mut picture = self.pictures.draw(&delivery.creative)?;
        if let Some(base) = &self.pictures_url {
            picture.url = Some(format!("{}/{}", base.trim_end_matches('/'), picture.file));
        }
        let mut delivery = delivery.clone();
        delivery.picture = Some(picture);
        Ok(Cow::Owned(delivery))
    }
}

impl Sender<Order> for Destination {
    fn send(&self, calls: &[Call<Order>]) -> Vec<Answer> {
        let Some(now) = calls.first().map(|call| call.now) else {
            return Vec::new();
        };
        let mut to_pause = Vec::new();
        let mut completed = Vec::new();
        for call in calls {
            match &*call.request {
                Order::Deliver(delivery) => completed.push(self.complete(delivery)),
                Order::Pause(pause) => to_pause.push(pause),
            }
        }
        let to_deliver: Vec<&Delivery> = completed.iter().flatten().map(AsRef::as_ref).collect();
        let platform = &self.platform;
        let mut delivered = answers(&to_deliver, |orders| platform.deliver(orders, now)).into_iter();
        let mut paused = answers(&to_pause, |orders| platform.pause(orders, now)).into_iter();
        let mut completed = completed.iter();
        calls
            .iter()
            .map_while(|call| match &*call.request {
                Order::Deliver(_) => match completed.next()? {
                    Ok(_) => delivered.next(),
                    Err(answer) => Some(answer.clone()),
                },
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use limbic_domain::{Creative, Utc};

    use super::*;
    use crate::{Addressing, DrawnPicture, NoPicture};

    /// Keeps what it gets.
    #[derive(Default)]
    struct Kept(Mutex<Vec<serde_json::Value>>);

    impl AdPlatform for Arc<Kept> {
        fn deliver(&self, deliveries: &[&Delivery], _: Utc) -> Vec<Answer> {
            let bodies = deliveries.iter().map(|one| one.json(Addressing::People));
            let bodies = bodies.map(|body| serde_json::from_slice(&body).unwrap());
            self.0.lock().unwrap().extend(bodies);
            vec![Answer::Applied(()); deliveries.len()]
        }

        fn pause(&self, pauses: &[&Pause], _: Utc) -> Vec<Answer> {
            vec![Answer::Applied(()); pauses.len()]
        }
    }

    /// Draws every ad but those with a long headline.
    struct Short;

    impl Pictures for Short {
        fn draw(&self, ad: &Creative) -> Result<DrawnPicture, NoPicture> {
            if ad.rendering.headline.len() > 20 {
                return Err(NoPicture::Never("the headline does not fit".into()));
            }
            Ok(DrawnPicture {
                url: None,
                file: "ab.png".into(),
                sha256: "ab".into(),
                media_type: "image/png".into(),
                width: 1200,
                height: 628,
                bytes: 9,
                alt: ad.alt_text().unwrap_or_default(),
                source: "algorithmicMedia".into(),
            })
        }
    }

    fn call(headline: &str, has_picture: bool) -> Call<Order> {
        let mut delivery: Delivery = serde_json::from_value(serde_json::json!({
            "type": "ad.decided", "timestamp": "2026-11-29T12:00:00Z", "decision": format!("spring.{headline}"), "tenant": "default",
            "campaign": "spring", "audience": "fans:football", "people": ["0123456789abcdef0123456789abcdef"], "price": 250_000,
            "creative": {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering": {
                "platform": "file", "headline": headline, "body": "Try a pair.", "link": "https://example.com"}}
        }))
        .unwrap();
        delivery.creative.picture = has_picture.then(|| limbic_domain::Picture {
            image: "x/post/landscape".into(),
            width: 1200,
            height: 628,
            brand: "Acme".into(),
            button: String::new(),
            colours: Vec::new(),
            background: None,
        });
        Call {
            key: delivery.decision.as_str().into(),
            request: Arc::new(Order::Deliver(delivery)),
            attempt: 1,
            now: Utc::from_millis(0),
            deadline: std::time::Duration::from_secs(1),
        }
    }

    fn send(
        pictures: Arc<dyn Pictures>,
        url: Option<&str>,
        calls: &[Call<Order>],
    ) -> (Vec<Answer>, Vec<serde_json::Value>) {
        let kept = Arc::new(Kept::default());
        let destination = Destination {
            platform: Box::new(Arc::clone(&kept)),
            pictures,
            pictures_url: url.map(str::to_owned),
        };
        let answers = destination.send(calls);
        let bodies = std::mem::take(&mut *kept.0.lock().unwrap());
        (answers, bodies)
    }

    #[test]
    fn a_platform_learns_where_the_picture_is_and_what_is_on_it() {
        let calls = [call("Boots", true), call("Plain", false)];
        let (answers, bodies) = send(Arc::new(Short), Some("https://ads.example/v1/pictures/"), &calls);
        assert_eq!(answers, vec![Answer::Applied(()); 2]);
        let picture = &bodies[0]["picture"];
        assert_eq!(picture["url"], "https://ads.example/v1/pictures/ab.png");
        assert_eq!(
            (&picture["sha256"], &picture["type"]),
            (&"ab".into(), &"image/png".into())
        );
        assert_eq!(picture["alt"], "Acme. Boots. Try a pair.");
        assert!(bodies[1].get("picture").is_none());
        let (_, bodies) = send(Arc::new(Short), None, &calls[..1]);
        assert!(bodies[0]["picture"].get("url").is_none());
        assert_eq!(bodies[0]["picture"]["file"], "ab.png");
    }

    #[test]
    fn an_ad_whose_picture_cannot_be_drawn_is_refused_alone() {
        let calls = [
            call("Boots", true),
            call("A headline that is too long", true),
            call("Hats", true),
        ];
        let (answers, bodies) = send(Arc::new(Short), None, &calls);
        let refused = Answer::Rejected {
            detail: "picture: the headline does not fit".into(),
        };
        assert_eq!(answers, [Answer::Applied(()), refused, Answer::Applied(())]);
        assert_eq!(bodies.len(), 2);
    }

    #[test]
    fn a_program_without_pictures_sends_no_ad_without_its_picture() {
        let (answers, bodies) = send(Arc::new(()), None, &[call("Boots", true), call("Plain", false)]);
        assert!(
            matches!(&answers[0], Answer::Blocked { detail } if detail.contains("--features render")),
            "{answers:?}"
        );
        assert_eq!((&answers[1], bodies.len()), (&Answer::Applied(()), 1));
    }
}
