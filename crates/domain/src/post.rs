//! A social post, normalised, its author already a pseudonym.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConsentState, PostRef, Pseudonym, Record, Slug, Utc};

/// A social post behind the edge. Its envelope's `at` is [`Post::created_at`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Post {
    /// Which post, on which social network.
    #[serde(flatten)]
    pub post: PostRef,
    /// Who wrote it.
    pub author: Pseudonym,
    /// What was written: valid Unicode, 1 character to 64 KiB, as it came.
    pub text: String,
    /// When it was written.
    pub created_at: Utc,
    /// BCP 47 language tag, where the network names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The network's id of the post it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The network's id of the post it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repost_of: Option<String>,
    /// Where it can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Subjects that the source named (`football`, `acme`), at most 16. Those that the text mentions are found when the
    /// post is read ([`Reading::subjects`](crate::Reading::subjects)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// Whether its author agreed to be shown ads on the ground of what they write.
    #[serde(default)]
    pub consent: ConsentState,
    /// Whether the source says or suspects that its author is a minor.
    #[serde(default)]
    pub minor: bool,
    /// Whatever else the source said, untouched, at most 16 KiB.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub meta: serde_json::Map<String, serde_json::Value>,
}

impl Record for Post {
    const TYPE: &'static str = "post";
    const VERSION: u32 = 1;
}
