//! The posterior of a campaign's policy: what the policy has learned, for other processes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PolicyVersion, Record, Slug};

/// What a campaign's policy has learned. The optimize stage publishes it to the compacted topic `posteriors`, keyed
/// `tenant/campaign`. The latest record of a key is for bidders and pages. It is about ten seconds of event time behind
/// the stage's own state. The envelope's `at` is the event time of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Posterior {
    /// The campaign.
    pub campaign: Slug,
    /// The policy that learned it. Only a policy of the same version can use the snapshot.
    pub policy: PolicyVersion,
    /// The policy's whole state in its own format. An engine of the same version restores it exactly. Absent if it is
    /// larger than 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The size of the snapshot in bytes, also if the snapshot is absent.
    pub snapshot_bytes: u64,
}

impl Record for Posterior {
    const TYPE: &'static str = "posterior";
    const VERSION: u32 = 1;
}
