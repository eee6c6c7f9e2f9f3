//! Ads that a person looks at before they run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Creative, Record, Rendering, Slug, TenantId, Utc, event_id};

/// Which ads wait for a person. Later values are stricter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ReviewMode {
    /// No ad waits.
    #[default]
    None,
    /// Texts that an AI model wrote wait.
    AiTexts,
    /// Every text waits until a person has approved it for the tenant.
    NewTexts,
    /// Every ad waits for a verdict of its own: a text that was approved for another campaign or platform waits again.
    All,
}

impl ReviewMode {
    /// Whether no ad waits.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether an ad of this origin may not run before it is approved.
    pub const fn demands_review(self, ai_generated: bool) -> bool {
        match self {
            Self::None => false,
            Self::AiTexts => ai_generated,
            Self::NewTexts | Self::All => true,
        }
    }
}

/// Why an ad need not wait for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRule {
    /// A person approved this ad.
    Person,
    /// A person approved another ad of the tenant with the same headline, body and link, and nobody rejected these texts.
    SameText,
    /// The settings name its template among those whose texts need no review.
    Template,
}

/// The approval that an ad has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Why it need not wait.
    pub rule: ApprovalRule,
    /// Who approved the texts: the API key, as in [`Release::by`](crate::Release::by). Absent if no person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, by the wall clock. Absent if no person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Utc>,
    /// The id of the ad whose texts the person changed into these. Absent if the texts are as they were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_from: Option<String>,
}

/// An ad that passed every rule of the safety gate except that nobody has approved it yet.
///
/// The envelope's `at` is the time of the first moment that it was written for. The key in the topic is
/// `TENANT/CAMPAIGN/CREATIVE/request`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewRequest {
    /// The campaign.
    pub campaign: Slug,
    /// The ad.
    pub creative: Creative,
    /// The id of the first moment that it was written for.
    pub moment: String,
}

impl Record for ReviewRequest {
    const TYPE: &'static str = "review_request";
    const VERSION: u32 = 1;
}

impl ReviewRequest {
    /// The key of a request in the topic.
    pub fn key(tenant: &TenantId, campaign: &Slug, creative: &str) -> String {
        format!("{tenant}/{campaign}/{creative}/request")
    }
}

/// What a person decided about an ad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Approve,
    /// It may run with other texts. They pass platform fit, brand kit and safety gate like all texts.
    Edit {
        /// One line.
        headline: String,
        /// One line.
        body: String,
    },
    /// It never runs.
    Reject {
        /// Why, at most 500 characters.
        reason: String,
    },
}

impl Verdict {
    /// As in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Edit { .. } => "edit",
            Self::Reject { .. } => "reject",
        }
    }
}

/// A verdict that a later one replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EarlierVerdict {
    /// What was decided.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Who decided.
    pub by: String,
    /// When.
    pub at: Utc,
}

/// The decision of a person about an ad, with who and when. The latest one counts.
///
/// The key in the topic is `TENANT/CAMPAIGN/CREATIVE/verdict`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewVerdict {
    /// The campaign.
    pub campaign: Slug,
    /// The id of the ad.
    pub creative: String,
    /// The [`text_id`] of the texts that it approves or rejects: those of the person after an edit.
    pub text: String,
    /// What was decided.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Who decided: the API key, as in [`Release::by`](crate::Release::by).
    pub by: String,
    /// When, by the wall clock.
    pub at: Utc,
    /// What was decided before, the latest last, at most [`ReviewVerdict::MOST_EARLIER`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierVerdict>,
}

impl Record for ReviewVerdict {
    const TYPE: &'static str = "review_verdict";
    const VERSION: u32 = 1;
}

impl ReviewVerdict {
    /// How many earlier verdicts are kept.
    pub const MOST_EARLIER: usize = 16;

    /// The key of a verdict in the topic.
    pub fn key(tenant: &TenantId, campaign: &Slug, creative: &str) -> String {
        format!("{tenant}/{campaign}/{creative}/verdict")
    }
}

/// The id of the texts that a person sees in an ad, with the address behind it: the same in every campaign and on every platform.
pub fn text_id(rendering: &Rendering) -> String {
    event_id("text", &[&rendering.headline, &rendering.body, &rendering.link])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stricter_mode_demands_at_least_as_much() {
        let modes = [
            ReviewMode::None,
            ReviewMode::AiTexts,
            ReviewMode::NewTexts,
            ReviewMode::All,
        ];
        for pair in modes.windows(2) {
            assert!(pair[0] < pair[1]);
            for ai_generated in [false, true] {
                assert!(pair[0].demands_review(ai_generated) <= pair[1].demands_review(ai_generated));
            }
        }
        assert!(ReviewMode::AiTexts.demands_review(true) && !ReviewMode::AiTexts.demands_review(false));
    }

    #[test]
    fn a_verdict_is_one_flat_table() {
        let verdict: Verdict =
            serde_json::from_str(r#"{"verdict": "reject", "reason": "too loud"}"#).unwrap();
        assert_eq!(
            (verdict.name(), serde_json::to_string(&verdict).unwrap().as_str()),
            ("reject", r#"{"verdict":"reject","reason":"too loud"}"#)
        );
        assert!(serde_json::from_str::<Verdict>(r#"{"verdict": "edit", "headline": "h"}"#).is_err());
    }
}
