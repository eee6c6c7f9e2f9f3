//! An ad platform in one page: a billboard that shows the delivered ads.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use limbic_deliver::{AdPlatform, Answer, Delivery, Pause, PlatformLimits};
use limbic_domain::Utc;

/// Maximum number of characters on the billboard.
const WIDTH: usize = 20;

/// The billboard: headlines by decision, so that each decision is shown once.
#[derive(Default)]
struct Billboard {
    shown: Mutex<BTreeMap<String, String>>,
}

impl AdPlatform for Billboard {
    fn limits(&self) -> PlatformLimits {
        PlatformLimits {
            concurrency: 1,
            ..PlatformLimits::default()
        }
    }

    fn deliver(&self, deliveries: &[&Delivery], _now: Utc) -> Vec<Answer> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = |delivery: &&Delivery| {
            let headline = &delivery.creative.rendering.headline;
            if headline.chars().count() > WIDTH {
                let detail = format!("`{headline}` has more than {WIDTH} characters");
                return Answer::Rejected { detail };
            }
            shown.insert(delivery.decision.clone(), headline.clone());
            Answer::Applied(())
        };
        deliveries.iter().map(answer).collect()
    }

    fn pause(&self, pauses: &[&Pause], _now: Utc) -> Vec<Answer> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for pause in pauses {
            shown.remove(&pause.decision);
        }
        vec![Answer::Applied(()); pauses.len()]
    }
}

/// A delivery, as the deliver stage builds it from a decision.
fn delivery(decision: &str, headline: &str) -> Result<Delivery, serde_json::Error> {
    serde_json::from_value(serde_json::json!({
        "type": "ad.decided", "timestamp": "2026-11-29T12:00:00Z", "decision": decision, "tenant": "default",
        "campaign": "spring", "audience": "everyone:football", "people": ["a".repeat(32)], "price": 250_000,
        "creative": {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering": {
            "platform": "billboard", "headline": headline, "body": "Try a pair.", "link": "https://example.com"}},
    }))
}

/// Delivers two ads, the first one twice. Returns the billboard and the last answer.
fn run() -> Result<(Vec<String>, Answer), serde_json::Error> {
    let billboard = Billboard::default();
    let now = Utc::from_millis(0);
    let first = delivery("spring.1", "Acme Boots")?;
    billboard.deliver(&[&first], now);
    billboard.deliver(&[&first], now);
    let long = delivery("spring.2", "Boots for every weather and every road")?;
    let answer = billboard.deliver(&[&long], now).remove(0);
    let shown = billboard
        .shown
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok((shown.into_values().collect(), answer))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (shown, answer) = run()?;
    writeln!(std::io::stdout(), "shown: {shown:?}\nlast answer: {answer:?}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_has_one_effect_and_a_headline_that_does_not_fit_is_rejected() {
        let Ok((shown, answer)) = run() else {
            panic!("the deliveries are valid")
        };
        assert_eq!(shown, ["Acme Boots"]);
        assert!(matches!(answer, Answer::Rejected { detail } if detail.contains("more than 20")));
    }
}
