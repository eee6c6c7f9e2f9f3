//! What a campaign's policy has learned, as other processes read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PolicyVersion, Record, Slug};

/// What a campaign's policy has learned. The optimize stage publishes it to the compacted topic `posteriors`, keyed
/// `tenant/campaign`: the latest record of a key is what a bidder chooses with and what a page shows. It follows the stage's own
/// state by about ten seconds of event time. The envelope's `at` is the event time that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Posterior {
    /// The campaign.
    pub campaign: Slug,
    /// The policy that learned it. A snapshot is only of use to a policy of the same version.
    pub policy: PolicyVersion,
    /// All that the policy has learned, in the policy's own form: an engine of the same version restores it to the last bit.
    /// Absent if it is larger than 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The size of the snapshot in bytes, absent or not.
    pub snapshot_bytes: u64,
}

impl Record for Posterior {
    const TYPE: &'static str = "posterior";
    const VERSION: u32 = 1;
}
