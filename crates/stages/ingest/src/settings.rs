//! The settings of the edge.

use std::collections::BTreeMap;

use limbic_domain::{ByteSize, HumanDuration, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Social networks whose users must consent before an ad may be chosen for them. A post from one of these that states
    /// no consent counts as `unknown`, which permits nothing.
    pub consent_required: Vec<Slug>,
    /// Your number in the Global Vendor List of the IAB's Transparency and Consent Framework. A consent string of TCF gives consent only to
    /// the vendors that it names, so without a number such a string can deny consent, and what it permits counts as `unknown`.
    pub tcf_vendor: Option<u16>,
    /// Fields of a post's `meta` that are kept, by social network; `"*"` is for networks without an entry. `url` is kept only
    /// if it is named here too, because the address of a post often contains its author's handle. Everything else is dropped at
    /// the edge. Name no field that can identify a person. Default: none.
    pub keep_fields: BTreeMap<String, Vec<String>>,
    /// The earliest accepted `created_at`, in RFC 3339.
    pub oldest: limbic_domain::Utc,
    /// How far ahead of this machine's clock a `created_at` may be. Default 5min.
    pub max_future: HumanDuration,
    /// Maximum number of posts in one request.
    pub request_items: usize,
    /// Maximum number of posts and outcomes that a tenant may send to one node, on average over a minute. Further requests are answered
    /// with 429 and `Retry-After`. 0 = no limit (default).
    pub items_per_minute: u64,
    /// Maximum bytes of records that a tenant may send to one node, on average over a minute. `0B` = no limit (default).
    pub bytes_per_minute: ByteSize,
    /// Whether posts may name subjects that no setting names. Otherwise (the default) a subject counts only if `affect.subjects` or a
    /// campaign of the tenant names it; posts are accepted without the others, which the answer counts as `unknown_subjects`. Each
    /// subject is an audience of its own, with its own feelings and series.
    pub open_subjects: bool,
    /// How long the latest statement of an outcome is remembered, so that a restatement corrects what it replaces. It is kept for
    /// at least this long and at most twice as long; a pause without records counts as an hour. At least 1s; default 28d.
    pub restatements: HumanDuration,
    /// How long the id of a post is remembered, so that a repeated post is recognised. It is kept for at least this long
    /// and at most twice as long; a pause without records counts as an hour. At least 1s; default 15d.
    pub remember: HumanDuration,
    /// Maximum number of ids that a partition remembers. If there are more, the oldest are forgotten early, and a warning says so.
    /// On Kafka an id takes about 50 bytes of memory, and as much again on each node that accepts posts, unless `seen` is Redis.
    /// At least 2; default 100000000.
    pub most_ids: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consent_required: Vec::new(),
            tcf_vendor: None,
            keep_fields: BTreeMap::new(),
            // 2000-01-01. No social posts existed before.
            oldest: limbic_domain::Utc::from_millis(946_684_800_000),
            max_future: HumanDuration::from_mins(5),
            request_items: 10_000,
            items_per_minute: 0,
            bytes_per_minute: ByteSize::from_bytes(0),
            open_subjects: false,
            restatements: HumanDuration::from_days(28),
            remember: HumanDuration::from_days(15),
            most_ids: 100_000_000,
        }
    }
}

impl Settings {
    /// Whether a post of `network` keeps this field of its `meta`, or its `url`.
    pub fn keeps(&self, network: &Slug, field: &str) -> bool {
        let of_network = self.keep_fields.get(network.as_str());
        let kept = of_network.or_else(|| self.keep_fields.get("*"));
        kept.is_some_and(|kept| kept.iter().any(|known| known == field))
    }
}
