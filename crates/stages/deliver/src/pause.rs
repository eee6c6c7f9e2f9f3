//! What a platform receives when an ad must stop.

use limbic_domain::{Slug, TenantId, Utc};
use serde::{Deserialize, Serialize};

/// An order to stop showing an ad that a platform has. As JSON it is the webhook's body and a line of the file:
/// `{"type": "ad.paused", "timestamp", "decision", "tenant", "campaign", "reason"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Always `ad.paused`.
    #[serde(rename = "type")]
    kind: String,
    /// Event time of the moment that the ad answered.
    pub timestamp: Utc,
    /// The id of the decision whose ad must stop, as the platform received it.
    pub decision: String,
    /// The tenant that owns the campaign.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: Slug,
    /// Why, in a sentence. It names no person.
    pub reason: String,
}

impl Pause {
    /// The order to stop the ad of `decision`.
    pub fn new(decision: &str, timestamp: Utc, tenant: &TenantId, campaign: &Slug, reason: String) -> Self {
        Self {
            kind: "ad.paused".to_owned(),
            timestamp,
            decision: decision.to_owned(),
            tenant: tenant.clone(),
            campaign: campaign.clone(),
            reason,
        }
    }

    /// The idempotency key: an ad is paused once.
    pub fn key(&self) -> String {
        Self::key_of(&self.decision)
    }

    /// The idempotency key of the order to stop the ad of `decision`.
    pub fn key_of(decision: &str) -> String {
        format!("{decision}.pause")
    }

    /// Its JSON, the same for every attempt.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a pause has string keys and no numbers that JSON cannot hold")
    }
}
