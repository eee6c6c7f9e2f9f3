//! What stages publish about their state for people who ask why something happened, or did not.
//!
//! The topic `status` is compacted. The latest record of a key counts, and the stage `views` keeps it as a row.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AudienceId, Direction, MomentKind, MoodSummary, Record, Slug, TenantId, Utc};

/// What the test for a change does with the posts of an audience.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudiencePhase {
    /// There are too few posts to know what is usual. No moment can be found yet.
    Learning {
        /// Posts that count for what is usual. A post loses weight with its age, so the number can go down.
        posts: u64,
        /// How many are needed.
        needed: u64,
    },
    /// A change was found just before. Posts are not compared until the time `until`.
    Quiet {
        /// The end, in event time.
        until: Utc,
    },
    /// Posts are compared with what is usual.
    Watching,
    /// Posts are compared with the level since the last change, and with what was usual before it.
    Changed {
        /// When the change was found, in event time.
        since: Utc,
    },
}

/// The last change of an audience. A return to what is usual leads to no ad and is not kept here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LastMoment {
    /// The moment's id.
    pub id: String,
    /// Its event time.
    pub at: Utc,
    /// Whether the audience left its usual mood or came back to it.
    pub kind: MomentKind,
    /// Which way.
    pub direction: Direction,
    /// Mean valence before it, in `[-1, 1]`.
    pub before: f64,
    /// Mean valence of the posts since the change began, in `[-1, 1]`.
    pub after: f64,
    /// The number of those posts.
    pub posts: u64,
}

/// The state of an audience. The envelope's `at` is the time of its newest post. The key in the topic is
/// `TENANT/audience/AUDIENCE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AudienceStatus {
    /// The audience.
    pub audience: AudienceId,
    /// How many posts counted for it since `since`.
    pub posts: u64,
    /// The time of the first of them.
    pub since: Utc,
    /// What the audience feels now.
    pub mood: MoodSummary,
    /// Share of recent posts that nearly repeat a text of the hour before, in `[0, 1]`. The hour is `profile.change.window`; a post
    /// has half its weight after the same time.
    #[serde(default)]
    pub copied: f64,
    /// Share of recent posts by accounts that post like programs, in `[0, 1]`, with the same weights.
    #[serde(default)]
    pub automated: f64,
    /// The mean valence that is usual, in `[-1, 1]`. 0 before the first post.
    pub baseline: f64,
    /// What the test does with its posts.
    pub phase: AudiencePhase,
    /// The evidence for a change, as a part of what a moment needs: a moment is found at 1.
    pub evidence: f64,
    /// The direction for which there is more evidence.
    pub direction: Direction,
    /// How many posts the evidence is from.
    pub compared: u64,
    /// The last change since `since`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_moment: Option<LastMoment>,
}

impl AudienceStatus {
    /// The key in the topic.
    pub fn key(tenant: &TenantId, audience: &AudienceId) -> String {
        format!("{tenant}/audience/{audience}")
    }
}

impl Record for AudienceStatus {
    const TYPE: &'static str = "audience_status";
    const VERSION: u32 = 1;
}

/// What became of one ad of a campaign. Outcomes that are taken back are not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreativeStatus {
    /// The creative's id.
    pub creative: String,
    /// The ad platform.
    pub platform: Slug,
    /// Its tone.
    pub tone: Slug,
    /// The headline that people see.
    pub headline: String,
    /// How many decisions could have chosen it.
    pub offered: u64,
    /// How many decisions chose it.
    pub chosen: u64,
    /// Impressions that were attributed to it.
    pub impressions: u64,
    /// Clicks.
    pub clicks: u64,
    /// Conversions.
    pub conversions: u64,
    /// The value of the conversions.
    pub value: f64,
}

/// The decisions of a period of event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharePeriod {
    /// The time of its first decision.
    pub since: Utc,
    /// How many decisions chose an ad.
    pub decisions: u64,
    /// The mean probability of each creative over these decisions, by the creative's id. They add up to 1.
    pub shares: BTreeMap<String, f64>,
}

/// What a campaign has chosen, and what came of it. The envelope's `at` is the time of the newest decision or outcome. The key in
/// the topic is `TENANT/campaign/CAMPAIGN`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignStatus {
    /// The campaign.
    pub campaign: Slug,
    /// The time of the first decision that is counted.
    pub since: Utc,
    /// The creatives with the most decisions first, at most 32.
    pub creatives: Vec<CreativeStatus>,
    /// The shares over time, oldest first, at most 24 periods with an equal number of decisions, except the last.
    pub periods: Vec<SharePeriod>,
}

impl CampaignStatus {
    /// The key in the topic.
    pub fn key(tenant: &TenantId, campaign: &Slug) -> String {
        format!("{tenant}/campaign/{campaign}")
    }
}

impl Record for CampaignStatus {
    const TYPE: &'static str = "campaign_status";
    const VERSION: u32 = 1;
}

/// What an ad platform answered instead of accepting a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformProblem {
    /// When it answered, by the node's clock.
    pub at: Utc,
    /// Whether it refuses every delivery until a person acts: the address, the key or the account is wrong.
    pub blocked: bool,
    /// Its message.
    pub detail: String,
}

/// The deliveries of a tenant to an ad platform, from one partition. The envelope's `at` is the node's clock. The key in the topic
/// is `TENANT/platform/PLATFORM/PARTITION`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformStatus {
    /// The ad platform.
    pub platform: Slug,
    /// The partition. A reader adds up the numbers of all partitions.
    pub partition: u32,
    /// Deliveries that wait: for their first attempt, for another one, or for an answer.
    pub waiting: u64,
    /// Deliveries that the platform accepted.
    pub delivered: u64,
    /// Deliveries that it refused, or that were given up.
    pub refused: u64,
    /// Deliveries that were withdrawn before they were sent.
    pub withdrawn: u64,
    /// Decisions that became dead letters, because the platform is not set up or its queue is full.
    pub dead: u64,
    /// The problem that deliveries wait for. Absent if the platform's last answer accepted or refused a delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<PlatformProblem>,
    /// The last refusal of one of the tenant's deliveries, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<PlatformProblem>,
}

impl PlatformStatus {
    /// The key in the topic.
    pub fn key(tenant: &TenantId, platform: &Slug, partition: u32) -> String {
        format!("{tenant}/platform/{platform}/{partition}")
    }
}

impl Record for PlatformStatus {
    const TYPE: &'static str = "platform_status";
    const VERSION: u32 = 1;
}
