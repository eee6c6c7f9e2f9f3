//! The topics between the stages, with their keys. All keys except those of `intake` start with `TENANT/`.
//!
//! | topic | key | why it exists |
//! |---|---|---|
//! | `intake` | as in the destination topic | A record is *accepted* when it is durable here. The ingest stage removes duplicates, exactly, on the way to `posts` and `outcomes`. |
//! | `posts`, `readings` | author | A person's state is in one partition. |
//! | `feelings`, `moments`, `drafts` | audience | The authors of an audience are spread over all partitions of `readings`. `feelings` brings them into one partition. |
//! | `creatives`, `decisions`, `outcomes` | campaign | A campaign's policy and its outcomes are in one partition. |
//! | `campaigns`, `posteriors` | campaign | Compacted: stages read the latest value of each key as a table. |
//! | `holds` | subject | Compacted, as above. |
//! | `status` | `audience/…`, `campaign/…`, `platform/…` | Compacted: what stages publish about their state for people. The view keeps the latest value of each key. |
//! | `connectors` | `NAME/position`, `NAME/pause` | Compacted, as above. How far connectors have read, and which are paused. |
//! | `reviews` | `CAMPAIGN/CREATIVE/request`, `…/verdict` | Compacted, as above. Ads that wait for a person, and what people decided. |
//! | `texts` | `CAMPAIGN/ORDER` | Compacted, as above. What language models wrote for campaigns. |
//! | `withdrawals` | person | Compacted, as above. People who took something back, for an hour. |
//! | `backgrounds` | `CAMPAIGN/ORDER` | Compacted, as above. What models painted for campaigns; the files are on the node. |
//! | `progress` | `default/STAGE/PARTITION` | Compacted, as above. It is about the node, not about a tenant. |

/// Posts and outcomes that the edge accepted, before duplicates are removed.
pub const INTAKE: &str = "intake";
/// Social posts ([`Post`](crate::Post)), and their deletions ([`Deletion`](crate::Deletion)).
pub const POSTS: &str = "posts";
/// The affect of each post ([`Reading`](crate::Reading)), and the deletions of posts ([`Deletion`](crate::Deletion)).
pub const READINGS: &str = "readings";
/// The feeling of a person towards an audience's subject ([`Feeling`](crate::Feeling)).
pub const FEELINGS: &str = "feelings";
/// Changes of an audience's mood ([`Moment`](crate::Moment)).
pub const MOMENTS: &str = "moments";
/// Ads before the safety gate ([`Draft`](crate::Draft)).
pub const DRAFTS: &str = "drafts";
/// Ads that the safety gate cleared ([`CreativeSet`](crate::CreativeSet)).
pub const CREATIVES: &str = "creatives";
/// Choices, suppressions and hold-outs ([`Decision`](crate::Decision)).
pub const DECISIONS: &str = "decisions";
/// Results of decisions ([`Outcome`](crate::Outcome)).
pub const OUTCOMES: &str = "outcomes";

/// Every topic whose records stages consume, in the order of the data flow.
pub const ALL: [&str; 9] = [
    INTAKE, POSTS, READINGS, FEELINGS, MOMENTS, DRAFTS, CREATIVES, DECISIONS, OUTCOMES,
];

/// What advertisers want ([`Campaign`](crate::Campaign)), as the settings or a control plane publish it. Compacted.
pub const CAMPAIGNS: &str = "campaigns";
/// What each campaign's policy has learned, as the optimize stage publishes it. Compacted.
pub const POSTERIORS: &str = "posteriors";

/// Subjects for which no ad runs until a stated time ([`Hold`](crate::Hold)). Compacted.
pub const HOLDS: &str = "holds";

/// What stages publish about their state for people ([`AudienceStatus`](crate::AudienceStatus),
/// [`CampaignStatus`](crate::CampaignStatus), [`PlatformStatus`](crate::PlatformStatus)). Compacted.
pub const STATUS: &str = "status";

/// How far stages have read the posts that the edge accepted ([`Progress`](crate::Progress)). Compacted.
pub const PROGRESS: &str = "progress";

/// How far each connector has read its source, and whether it is paused ([`ConnectorPosition`](crate::ConnectorPosition),
/// [`ConnectorPause`](crate::ConnectorPause)). Compacted.
pub const CONNECTORS: &str = "connectors";

/// Ads that wait for a person ([`ReviewRequest`](crate::ReviewRequest)), and what people decided
/// ([`ReviewVerdict`](crate::ReviewVerdict)). Compacted.
pub const REVIEWS: &str = "reviews";

/// What language models wrote for campaigns ([`WrittenTexts`](crate::WrittenTexts)). Compacted.
pub const TEXTS: &str = "texts";

/// People who deleted a post or their account, for a time ([`Withdrawal`](crate::Withdrawal)). Compacted.
pub const WITHDRAWALS: &str = "withdrawals";

/// What models painted for campaigns ([`PaintedBackground`](crate::PaintedBackground)). Compacted.
pub const BACKGROUNDS: &str = "backgrounds";

/// Every compacted topic. They have no dead-letter topics: a stage that reads one record by record skips what it cannot read.
pub const COMPACTED: [&str; 10] = [
    CAMPAIGNS,
    POSTERIORS,
    HOLDS,
    STATUS,
    PROGRESS,
    CONNECTORS,
    REVIEWS,
    TEXTS,
    WITHDRAWALS,
    BACKGROUNDS,
];

/// Topics between two stages only. Their records are deleted when every stage that reads them has read them.
pub const TRANSIENT: [&str; 3] = [INTAKE, FEELINGS, DRAFTS];

/// The dead-letter topic of `topic`.
pub fn dead(topic: &str) -> String {
    format!("{topic}.dead")
}
