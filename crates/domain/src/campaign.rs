//! What an advertiser wants.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Direction, Micros, Record, Slug};

/// Where creatives run, and what fits there. Counted in graphemes (extended grapheme clusters, UAX #29).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The platform's name, for instance `webhook` or `file`.
    pub name: Slug,
    /// Most graphemes in a headline.
    pub headline: usize,
    /// Most graphemes in a body.
    pub body: usize,
}

/// What the creatives of a campaign must say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brief {
    /// The product or service, as it is to be named.
    pub product: String,
    /// One sentence on what it is good for.
    pub promise: String,
    /// What the person is asked to do ("Try it today").
    pub call_to_action: String,
    /// Where a click leads.
    pub link: String,
    /// Further values that templates may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its name, unique within its tenant.
    pub id: Slug,
    /// What its creatives say.
    pub brief: Brief,
    /// Subjects of the audiences it wants; empty = every subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// Moments it wants; absent = both directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Where it runs.
    pub platforms: Vec<Platform>,
    /// What one delivery costs at most.
    #[serde(default)]
    pub bid: Micros,
}

/// The envelope's `at` is when the campaign was published.
impl Record for Campaign {
    const TYPE: &'static str = "campaign";
    const VERSION: u32 = 1;
}
