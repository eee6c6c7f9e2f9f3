//! What a platform receives.

use limbic_domain::{
    AudienceId, Creative, Decision, DecisionResult, Envelope, Micros, Pseudonym, Slug, TenantId, Utc,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DrawnPicture;

/// How a platform finds whom to show an ad to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// The delivery names people, as the tenant's pseudonyms. Only a platform that knows these pseudonyms can use them.
    #[default]
    People,
    /// The delivery names no people, but the context: where people read about the subject, the platform shows the ad.
    Context,
}

/// What a moment is about, for a platform that addresses contexts. It is about an audience, and says nothing of any person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryContext {
    /// The subject.
    pub subject: String,
    /// The segment of people whose posts changed.
    pub segment: String,
    /// `up` or `down`, with the strongest emotion if one stands out: `up joy`.
    pub feeling: String,
    /// When the mood changed, in event time.
    pub at: Utc,
}

impl DeliveryContext {
    fn of(decided: &Envelope<Decision>) -> Self {
        let audience = &decided.data.audience;
        let feeling = decided
            .data
            .context
            .keys()
            .find_map(|name| name.strip_prefix("feeling="));
        Self {
            subject: audience.subject().to_owned(),
            segment: audience.segment().to_owned(),
            feeling: feeling.unwrap_or_default().to_owned(),
            at: decided.at,
        }
    }
}

/// What a platform receives of a delivery.
#[derive(Debug, Serialize)]
pub struct DeliveryBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Utc,
    decision: &'a str,
    tenant: &'a TenantId,
    campaign: &'a Slug,
    audience: &'a AudienceId,
    creative: &'a Creative,
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<&'a [Pseudonym]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a DeliveryContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a DrawnPicture>,
    price: Micros,
}

/// A decision on its way to a platform. The platform gets its [`DeliveryBody`] as JSON, the webhook's body and a line of the file:
/// `{"type": "ad.decided", "timestamp", "decision", "tenant", "campaign", "audience", "creative", "people", "price"}`, with
/// `"picture": {"url", "file", "sha256", "type", "width", "height", "bytes", "alt", "source"}` if the ad has one. With
/// [`Addressing::Context`] it has `"context": {"subject", "segment", "feeling", "at"}` instead of `people`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Always `ad.decided`.
    #[serde(rename = "type")]
    kind: String,
    /// Event time of the moment that the ad answers.
    pub timestamp: Utc,
    /// The decision's id: the idempotency key, and the id that outcomes must name.
    pub decision: String,
    /// The tenant that owns campaign and people.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: Slug,
    /// The audience that the moment belongs to.
    pub audience: AudienceId,
    /// The ad to show.
    pub creative: Creative,
    /// The people to show it to, as the tenant's pseudonyms; never empty when a stage sends it.
    pub people: Vec<Pseudonym>,
    /// The most that the delivery may cost.
    pub price: Micros,
    /// What the moment is about. Absent in deliveries that an earlier version of the program stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<DeliveryContext>,
    /// The drawn picture. The stage stores deliveries without it, and adds it to what a platform gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<DrawnPicture>,
}

impl Delivery {
    /// The delivery that a decision asks for; `None` if it chose nothing.
    pub fn of(decided: Envelope<Decision>) -> Option<Self> {
        let context = DeliveryContext::of(&decided);
        let DecisionResult::Chosen(chosen) = decided.data.result else {
            return None;
        };
        Some(Self {
            kind: "ad.decided".to_owned(),
            timestamp: decided.at,
            decision: decided.id,
            tenant: decided.tenant,
            campaign: decided.data.campaign,
            audience: decided.data.audience,
            creative: chosen.creative,
            people: chosen.people,
            price: chosen.price,
            context: Some(context),
            picture: None,
        })
    }

    /// The platform it is for.
    pub const fn platform(&self) -> &Slug {
        &self.creative.rendering.platform
    }

    /// What a platform receives that addresses its ads in this way.
    pub fn body(&self, to: Addressing) -> DeliveryBody<'_> {
        DeliveryBody {
            kind: &self.kind,
            timestamp: self.timestamp,
            decision: &self.decision,
            tenant: &self.tenant,
            campaign: &self.campaign,
            audience: &self.audience,
            creative: &self.creative,
            people: (to == Addressing::People).then_some(&self.people),
            context: self.context.as_ref().filter(|_| to == Addressing::Context),
            picture: self.picture.as_ref(),
            price: self.price,
        }
    }

    /// The JSON of [`Self::body`], the same for every attempt.
    pub fn json(&self, to: Addressing) -> Vec<u8> {
        serde_json::to_vec(&self.body(to)).expect("a delivery has string keys and finite numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        serde_json::from_value(serde_json::json!({
            "type": "ad.decided", "timestamp": "2026-11-29T12:00:00Z", "decision": "spring.1", "tenant": "default",
            "campaign": "spring", "audience": "fans:football", "people": ["0123456789abcdef0123456789abcdef"], "price": 250_000,
            "creative": {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering": {
                "platform": "file", "headline": "Acme Boots", "body": "Try a pair.", "link": "https://example.com"}}
        }))
        .unwrap()
    }

    #[test]
    fn a_platform_gets_people_or_a_context_and_never_both() {
        let mut delivery = delivery();
        let people = String::from_utf8(delivery.json(Addressing::People)).unwrap();
        delivery.context = Some(DeliveryContext {
            subject: "football".into(),
            segment: "fans".into(),
            feeling: "up joy".into(),
            at: delivery.timestamp,
        });
        let with_context = String::from_utf8(delivery.json(Addressing::People)).unwrap();
        assert_eq!(
            with_context, people,
            "a platform that knows people learns no feeling"
        );
        let context: serde_json::Value = serde_json::from_slice(&delivery.json(Addressing::Context)).unwrap();
        assert_eq!(context["context"]["feeling"], "up joy");
        assert_eq!(context["context"]["subject"], "football");
        assert!(context.get("people").is_none() && !context.to_string().contains("0123456789abcdef"));
    }

    #[test]
    fn a_delivery_that_an_earlier_version_stored_is_read() {
        let stored = serde_json::to_string(&delivery()).unwrap();
        assert!(!stored.contains("context"));
        assert_eq!(serde_json::from_str::<Delivery>(&stored).unwrap(), delivery());
    }
}
