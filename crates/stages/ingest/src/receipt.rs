//! The answer to a request.

use limbic_domain::Slug;
use serde::{Deserialize, Serialize};

/// The result of a request. Every item is in exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// The number of items that this request made durable.
    pub accepted: u64,
    /// The number of items that were durable before.
    pub duplicates: u64,
    /// The items that were rejected, with the reasons.
    pub rejected: Vec<Rejection>,
    /// The subjects that posts named and this node does not know. The posts were accepted without them.
    #[serde(flatten)]
    pub lost: LostSubjects,
    /// Fields of `meta`, and `url`, that `ingest.keep_fields` does not keep. The posts were accepted without them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_fields: u64,
}

/// Subjects that posts named and this node does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LostSubjects {
    /// The number of times that a post named one.
    #[serde(rename = "unknown_subjects", default, skip_serializing_if = "is_zero")]
    pub mentions: u64,
    /// The number of posts that named at least one.
    #[serde(rename = "posts_without_subjects", default, skip_serializing_if = "is_zero")]
    pub posts: u64,
    /// The first of them, at most five, each once.
    #[serde(
        rename = "examples_of_unknown_subjects",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub examples: Vec<Slug>,
}

impl LostSubjects {
    const MOST_EXAMPLES: usize = 5;

    /// Adds what one post has lost.
    pub(crate) fn add_post(&mut self, unknown: Vec<Slug>) {
        self.mentions += unknown.len() as u64;
        self.posts += u64::from(!unknown.is_empty());
        self.name(unknown);
    }

    /// Adds what the posts of another request have lost.
    pub fn add(&mut self, other: Self) {
        self.mentions += other.mentions;
        self.posts += other.posts;
        self.name(other.examples);
    }

    fn name(&mut self, unknown: Vec<Slug>) {
        for subject in unknown {
            if self.examples.len() < Self::MOST_EXAMPLES && !self.examples.contains(&subject) {
                self.examples.push(subject);
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A rejected item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its position in the request, from 0.
    pub index: usize,
    /// The field that is wrong, or `body` for the whole item.
    pub field: String,
    /// The problem, and what was expected.
    pub problem: String,
}
