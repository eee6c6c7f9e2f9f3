//! A deletion on the social network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Pseudonym, Record, Slug, Utc};

/// A post was deleted on its social network, or everything of an author.
///
/// It follows what it deletes: the stage `ingest` writes it to `posts`, under the author's key, and the stage `affect` passes it on to
/// `readings`. So a reader of either topic has seen the post when it reads the deletion. The envelope's `at` is
/// [`Deletion::deleted_at`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deletion {
    /// The social network's slug, for instance `bluesky`.
    pub network: Slug,
    /// The network's own id of the deleted post. `None`: the author's account is gone, and so are all its posts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The pseudonym of the author.
    pub author: Pseudonym,
    /// When the network deleted it.
    pub deleted_at: Utc,
}

impl Record for Deletion {
    const TYPE: &'static str = "deletion";
    const VERSION: u32 = 1;
}
