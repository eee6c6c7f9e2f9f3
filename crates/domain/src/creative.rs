//! Ads ready to run, and what became of them at the safety gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AudienceId, Direction, Micros, MoodSummary, Pseudonym, Record, Slug};

/// The words of an ad, within the limits of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rendering {
    /// The platform it was made for.
    pub platform: Slug,
    /// The headline.
    pub headline: String,
    /// The body.
    pub body: String,
    /// Where a click leads.
    pub link: String,
}

/// One ad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Creative {
    /// A function of campaign, template and platform: the same copy is the same creative, whatever the moment,
    /// so that what is learnt about it is kept.
    pub id: String,
    /// Which template (or model) wrote it, for instance `template/celebrate-1`.
    pub generator: String,
    /// The creative factor it tries (tone), for instance `celebrate`, `calm`, `plain`.
    pub tone: Slug,
    /// What a person sees.
    pub rendering: Rendering,
}

/// Something the safety gate took out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removal {
    /// The rule, for instance `distress`, `consent`, `minor`, `sensitive_category`.
    pub rule: String,
    /// What was removed: `creative/ID` or `person/PSEUDONYM`.
    pub removed: String,
    /// One sentence for a person who asks.
    pub reason: String,
}

/// The creatives of one campaign for one moment: a draft before the safety gate, cleared behind it.
/// Its envelope's `at` is the moment's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreativeSet {
    /// The moment's id.
    pub moment: String,
    /// The campaign.
    pub campaign: Slug,
    /// What one delivery costs at most.
    pub bid: Micros,
    /// Whom it is for.
    pub audience: AudienceId,
    /// Which way the audience moved.
    pub direction: Direction,
    /// The audience's state.
    pub mood: MoodSummary,
    /// The people it may reach (before the gate: could reach).
    pub people: Vec<crate::Target>,
    /// The ads to choose from.
    pub creatives: Vec<Creative>,
    /// What the gate took out. Empty before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
    /// The version of the rules that cleared it; `None` before the gate. Nothing is decided without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_by: Option<String>,
}

impl CreativeSet {
    /// The people it may reach, by pseudonym.
    pub fn pseudonyms(&self) -> Vec<Pseudonym> {
        self.people.iter().map(|target| target.person.clone()).collect()
    }
}

impl Record for CreativeSet {
    const TYPE: &'static str = "creative_set";
    const VERSION: u32 = 1;
}
