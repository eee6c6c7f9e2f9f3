//! Texts of ads that a language model wrote.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Brief, CallToAction, Direction, GeneratorVersion, Record, Slug, TenantId, event_id};

/// The texts of one ad, with the factors that the model declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenText {
    /// One line.
    pub headline: String,
    /// One line.
    pub body: String,
    /// The tone, one of those that the strategy allows.
    pub tone: Slug,
    /// What it appeals to.
    pub appeal: Slug,
    /// How it asks for something.
    pub call_to_action: CallToAction,
}

/// What a language model wrote for a campaign on an ad platform.
///
/// The envelope's `at` is the time of the decision that caused the order. The key in the topic is `TENANT/CAMPAIGN/ORDER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenTexts {
    /// The campaign.
    pub campaign: Slug,
    /// The ad platform whose limits the model was told.
    pub platform: Slug,
    /// The direction of the moments that the texts are for. Absent = both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The [`brief_id`] of the brief. Texts of another brief are not used.
    pub brief: String,
    /// The prompt strategy.
    pub strategy: Slug,
    /// The strategy's version, and the hash of the prompt that was sent.
    pub prompt: GeneratorVersion,
    /// The model, as `PROVIDER/MODEL`. Absent if there was no reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many times texts were ordered before, because none came.
    #[serde(default)]
    pub round: u32,
    /// The texts that passed every check. Empty if none did.
    #[serde(default)]
    pub texts: Vec<WrittenText>,
    /// Why others are left out, or why there was no reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Record for WrittenTexts {
    const TYPE: &'static str = "written_texts";
    const VERSION: u32 = 1;
}

impl WrittenTexts {
    /// The key of an order's texts in the topic.
    pub fn key(tenant: &TenantId, campaign: &Slug, order: &str) -> String {
        format!("{tenant}/{campaign}/{order}")
    }
}

/// The id of a brief: a function of all its fields.
pub fn brief_id(brief: &Brief) -> String {
    let fields = serde_json::to_string(brief).expect("a brief has string keys");
    event_id("brief", &[&fields])
}
