//! A social post after the edge: normalised, with a pseudonym instead of the author.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ConsentState, PostRef, Pseudonym, Record, Slug, Utc};

/// A social post after the edge. Its envelope's `at` is [`Post::created_at`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Post {
    /// The post's id on its social network.
    #[serde(flatten)]
    pub post: PostRef,
    /// The pseudonym of the author.
    pub author: Pseudonym,
    /// The text as it was sent: valid Unicode, 1 character to 64 KiB.
    pub text: String,
    /// When it was written.
    pub created_at: Utc,
    /// BCP 47 language tag, if the network names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The network's id of the post that this one replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The network's id of the post that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repost_of: Option<String>,
    /// The web address of the post, if `ingest.keep_fields` names `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Subjects that the source named (`football`, `acme`), at most 16. The affect stage adds those that the text
    /// mentions ([`Reading::subjects`](crate::Reading::subjects)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// Whether the author agreed to receive ads that are chosen by what they write.
    #[serde(default)]
    pub consent: ConsentState,
    /// Whether the source states or suspects that the author is a minor.
    #[serde(default)]
    pub minor: bool,
    /// The network's number of this version of the post: 0 for the first one, a higher one after each edit.
    #[serde(default, skip_serializing_if = "is_first")]
    pub revision: u64,
    /// Further fields of the source that `ingest.keep_fields` names, unchanged, at most 16 KiB.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub meta: serde_json::Map<String, serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) const fn is_first(revision: &u64) -> bool {
    *revision == 0
}

/// The fields of a [`Post`] as they are on the wire, side by side. `#[serde(flatten)]` copies every name and value before it
/// reads them.
#[derive(Deserialize)]
#[serde(rename = "Post")]
struct Flat {
    network: Slug,
    id: String,
    author: Pseudonym,
    text: String,
    created_at: Utc,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    reply_to: Option<String>,
    #[serde(default)]
    repost_of: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    subjects: Vec<Slug>,
    #[serde(default)]
    consent: ConsentState,
    #[serde(default)]
    minor: bool,
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    meta: serde_json::Map<String, serde_json::Value>,
}

impl<'de> Deserialize<'de> for Post {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        Ok(Self {
            post: PostRef {
                network: flat.network,
                id: flat.id,
            },
            author: flat.author,
            text: flat.text,
            created_at: flat.created_at,
            lang: flat.lang,
            reply_to: flat.reply_to,
            repost_of: flat.repost_of,
            url: flat.url,
            subjects: flat.subjects,
            consent: flat.consent,
            minor: flat.minor,
            revision: flat.revision,
            meta: flat.meta,
        })
    }
}

impl Record for Post {
    const TYPE: &'static str = "post";
    const VERSION: u32 = 1;
}
