//! The topics that join the stages, and how each is keyed.
//!
//! Two were added to the plan of the house. `intake` is where the edge writes: a post or an outcome is *accepted*
//! once it is durable there, and the ingest stage removes duplicates on the way to `posts` and `outcomes`, exactly
//! once. `feelings` regroups what was read by author into what an audience feels, because an audience's authors
//! are spread over every partition of `readings`.

/// What the edge accepted, keyed as its destination will be.
pub const INTAKE: &str = "intake";
/// Social posts, normalised, keyed by author.
pub const POSTS: &str = "posts";
/// A post's affect, keyed by author.
pub const READINGS: &str = "readings";
/// A person's feeling towards an audience, keyed by audience.
pub const FEELINGS: &str = "feelings";
/// An audience whose feeling has moved, keyed by audience.
pub const MOMENTS: &str = "moments";
/// Creatives before the safety gate, keyed by campaign.
pub const DRAFTS: &str = "drafts";
/// Creatives that the safety gate let through, keyed by campaign.
pub const CREATIVES: &str = "creatives";
/// Choices, suppressions and their reasons, keyed by campaign.
pub const DECISIONS: &str = "decisions";
/// What came of decisions, keyed by campaign (which a decision's id names).
pub const OUTCOMES: &str = "outcomes";

/// Every topic whose records stages consume, upstream first.
pub const ALL: [&str; 9] = [
    INTAKE, POSTS, READINGS, FEELINGS, MOMENTS, DRAFTS, CREATIVES, DECISIONS, OUTCOMES,
];

/// What advertisers want, as the settings or a control plane publish it: compacted, keyed `tenant/campaign`.
pub const CAMPAIGNS: &str = "campaigns";
/// What each campaign's policy has learnt, as the optimize stage publishes it: compacted, keyed `tenant/campaign`.
pub const POSTERIORS: &str = "posteriors";

/// Every compacted topic: the latest value of each key, read as a table. No stage consumes one record by record, so they have
/// no dead-letter topics.
pub const COMPACTED: [&str; 2] = [CAMPAIGNS, POSTERIORS];

/// The dead-letter topic of `topic`.
pub fn dead(topic: &str) -> String {
    format!("{topic}.dead")
}
