//! Outcomes of decisions: deliveries, impressions, clicks, conversions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Record;

/// The kind of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The ad platform accepted the ad. Written by the deliver stage, never by the API.
    Delivered,
    /// The ad platform refused the ad permanently. Written by the deliver stage, never by the API.
    Refused,
    /// The ad was chosen but not sent: its subject was put on hold in between. Written by the deliver stage, never by the API.
    Withdrawn,
    /// The platform stopped showing the ad, because its subject was put on hold. Written by the deliver stage, never by the API.
    Paused,
    /// A person saw the ad.
    Impression,
    /// A person clicked the ad.
    Click,
    /// A person did what the advertiser wants.
    Conversion,
    /// A person closed, hid or reported the ad.
    Dismissal,
}

/// An event that a decision caused. Its envelope's `at` is the time of the event, and its `id` is a function of decision
/// and key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The decision's id.
    pub decision: String,
    /// The kind of the event.
    pub kind: OutcomeKind,
    /// The value of a conversion in the campaign's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The sender's idempotency key. A second outcome with the same key is a duplicate.
    pub key: String,
    /// The ad platform's message, for a refusal; the reason, for a withdrawal or a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record for Outcome {
    const TYPE: &'static str = "outcome";
    const VERSION: u32 = 1;
}
