//! What came of a decision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Record;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The platform took the creative. Written by the deliver stage, never by the API.
    Delivered,
    /// The platform refused the creative for good. Written by the deliver stage, never by the API.
    Refused,
    /// The creative was seen.
    Impression,
    /// It was clicked.
    Click,
    /// It led to what the advertiser wants.
    Conversion,
    /// It was closed, hidden or reported.
    Dismissal,
}

/// What came of a decision. Its envelope's `at` is when it happened, its `id` a function of decision and key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The decision's id.
    pub decision: String,
    /// What happened.
    pub kind: OutcomeKind,
    /// Its value in the campaign's currency, for a conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The sender's idempotency key: the same key is the same outcome.
    pub key: String,
    /// What the platform said, for a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record for Outcome {
    const TYPE: &'static str = "outcome";
    const VERSION: u32 = 1;
}
