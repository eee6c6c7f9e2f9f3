//! How far a stage has read the posts that the edge accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Record, Slug, Utc};

/// How far a stage has read the posts of one partition number, measured by the time at which the edge accepted them. `ingest` and
/// `profile` publish it to the compacted topic `progress` at most once a second, while they read posts.
///
/// If `ingest` is ahead of `profile`, accepted posts wait unread. If both stand still at the same time, no posts come.
///
/// It is about the node and not about a tenant: the envelope has the default tenant, and the key is `default/STAGE/PARTITION`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The stage that has read the posts.
    pub stage: Slug,
    /// The partition number. The topics between `intake` and `readings` have the same partitions.
    pub partition: u32,
    /// The newest acceptance time of a post that the stage has read, by the wall clock of the edge.
    pub accepted_until: Utc,
}

impl Record for Progress {
    const TYPE: &'static str = "progress";
    const VERSION: u32 = 1;
}
