//! An audience whose feeling has moved enough to act on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AudienceId, ConsentState, Emotions, IntentKind, PostRef, Pseudonym, Record, Utc};

/// Which way an audience moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the pleasant.
    Up,
    /// Towards the unpleasant.
    Down,
}

/// Whether an audience left its usual mood or came back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    /// The mood is another one than before.
    #[default]
    Change,
    /// The mood is as usual again, after a change. Nothing new has happened, so no ad is made for it.
    Return,
}

impl MomentKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    const fn is_change(&self) -> bool {
        matches!(self, Self::Change)
    }
}

/// The statistical evidence for a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The test's name and version, for instance `e-detector-2`.
    pub test: String,
    /// The test's statistic. Of `e-detector-2` it is a sum of e-values, each of them weighed by its part of the budget of false
    /// alarms; of `e-detector-1` it is a sum of e-values.
    pub statistic: f64,
    /// What it had to exceed.
    pub threshold: f64,
    /// How many posts it looked at since the last moment.
    pub posts: u64,
}

/// An audience's decayed state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoodSummary {
    /// Mean valence in `[-1, 1]`.
    pub valence: f64,
    /// Mean arousal in `[0, 1]`.
    pub arousal: f64,
    /// Mean of each emotion.
    pub emotions: Emotions,
    /// Share of recent posts with distress, in `[0, 1]`.
    pub distress: f64,
    /// Share of recent posts that are offensive, in `[0, 1]`, among those in which that is read. 0 if there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offence: f64,
    /// The same for posts that attack people because of a group that they belong to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hate: f64,
    /// Decayed number of posts behind these means.
    pub weight: f64,
}

/// -0 is zero, and NaN is not: it is written, and the safety gate sees it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// The posts since a change began, each of them once and with the same weight.
///
/// The decayed state of an audience follows a sudden change slowly: minutes after a tragedy it is still cheerful. These posts are
/// what the audience writes *now*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// When the change most likely began: the time of its first post.
    pub since: Utc,
    /// How many posts.
    pub posts: u64,
    /// How many of them show distress of their author.
    pub distressed: u64,
    /// How many of them name a death, a disaster or violence.
    pub sensitive_events: u64,
    /// How many of them are in a language in which neither can be read.
    pub unread: u64,
    /// How many of them nearly repeat a text that was just written.
    #[serde(default)]
    pub copied: u64,
    /// How many of them come from accounts that post like programs.
    #[serde(default)]
    pub automated: u64,
    /// In how many of them offence or hate is read.
    #[serde(default, skip_serializing_if = "is_none")]
    pub judged: u64,
    /// How many of those are offensive.
    #[serde(default, skip_serializing_if = "is_none")]
    pub offensive: u64,
    /// How many of those attack people because of a group that they belong to.
    #[serde(default, skip_serializing_if = "is_none")]
    pub hateful: u64,
    /// How many of them have each intention. Posts in which it is not read are in none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<IntentKind, u64>,
    /// How many of them name each brand of the settings, at most 8 brands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub brands: BTreeMap<String, u64>,
    /// Plain means over these posts. `weight` is the number of posts that have a valence: those meant ironically have none.
    pub mood: MoodSummary,
    /// Standard error of the mean valence; 2 (the length of the scale) with fewer than two posts.
    pub valence_error: f64,
}

impl Change {
    /// The intention that most of these posts have, among those with one; [`IntentKind::None`] if none has one.
    pub fn intent(&self) -> IntentKind {
        let counted = self.intents.iter();
        let meant = counted.filter(|(kind, count)| **kind != IntentKind::None && **count > 0);
        // Of equal counts, the intention that is listed first.
        let most = meant.rev().max_by_key(|(_, count)| **count);
        most.map_or(IntentKind::None, |(kind, _)| *kind)
    }
}

/// A person whom the moment could reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recipient {
    /// Who.
    pub person: Pseudonym,
    /// Decayed maximum of their distress scores, in `[0, 1]`, rounded up to thousandths.
    pub distress: f64,
    /// Consent as last stated.
    pub consent: ConsentState,
    /// Whether any source ever said or suspected that they are a minor.
    pub minor: bool,
    /// Decayed mean valence of their posts up to the last one here, in `[-1, 1]`, rounded down to hundredths. Of records without it: 0.
    #[serde(default)]
    pub valence: f64,
}

/// An audience whose feeling has moved. Its envelope's `at` is the time of the post that tipped it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Which audience.
    pub audience: AudienceId,
    /// Whether it left its usual mood or came back to it. Of records without it: `change`.
    #[serde(default, skip_serializing_if = "MomentKind::is_change")]
    pub kind: MomentKind,
    /// Which way.
    pub direction: Direction,
    /// The posts since the change began: what the audience feels now.
    pub change: Change,
    /// The audience's decayed state, with the posts before the change.
    pub mood: MoodSummary,
    /// Mean valence before the change: what is usual in this hour of the week, or the level since an earlier change.
    pub baseline: f64,
    /// Why it is believed.
    pub evidence: Evidence,
    /// The post that tipped the test.
    pub trigger: PostRef,
    /// People who spoke most recently, newest first, at most 256.
    pub people: Vec<Recipient>,
}

impl Record for Moment {
    const TYPE: &'static str = "moment";
    const VERSION: u32 = 1;
}
