//! What a platform receives.

use limbic_domain::{
    AudienceId, Creative, Decision, DecisionResult, Envelope, Micros, Pseudonym, Slug, TenantId, Utc,
};
use serde::{Deserialize, Serialize};

/// A decision on its way to a platform. As JSON it is the webhook's body and a line of the file:
/// `{"type": "ad.decided", "timestamp", "decision", "tenant", "campaign", "audience", "creative", "people", "price"}`.
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
}

impl Delivery {
    /// The delivery that a decision asks for; `None` if it chose nothing.
    pub fn of(decided: Envelope<Decision>) -> Option<Self> {
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
        })
    }

    /// The platform it is for.
    pub const fn platform(&self) -> &Slug {
        &self.creative.rendering.platform
    }

    /// Its JSON, the same for every attempt.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a delivery has string keys and finite numbers")
    }
}
