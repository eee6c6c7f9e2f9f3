//! What a source permits, as data.

use limbic_domain::HumanDuration;
use serde::{Deserialize, Serialize};

/// What the terms of a source say, as far as software must know it. Each connector has one in `terms.toml` of its folder. It is not
/// legal advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The source, for people.
    pub source: String,
    /// The documents that state the terms.
    pub documents: Vec<String>,
    /// Where these statements come from.
    pub basis: Basis,
    /// When they were written, as `YYYY-MM-DD`.
    pub stated_on: String,
    /// How the author of a post may be stored.
    pub author_ids: AuthorIds,
    /// How long posts may be kept. A node that keeps them longer does not start the connector. Absent = the terms name no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_posts_for: Option<HumanDuration>,
    /// How soon a post must be deleted after its deletion on the network. A node whose log keeps texts longer does not start the
    /// connector. Absent = the terms name no limit, and the post leaves the view as soon as the deletion arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_within: Option<HumanDuration>,
    /// What posts may be used for.
    pub purposes: Vec<String>,
    /// What posts may not be used for.
    pub not_for: Vec<String>,
    /// Under which licence the posts come.
    pub licence: String,
    /// What else a person must know.
    pub notes: String,
}

/// Where the statements of a manifest come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Somebody has read the documents on the stated day.
    Documents,
    /// From memory: read the documents before you use the source.
    Memory,
    /// The operator of the node has agreed on them with the provider of the posts.
    Operator,
}

/// How the author of a post may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorIds {
    /// As a pseudonym that only the tenant's key can compute. Limbic stores no other form.
    Pseudonym,
    /// Not at all: the node gives each post an author of its own.
    Never,
}

/// A manifest is not complete.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTerms {
    /// It is not a manifest.
    #[error("the terms of the source cannot be read: {0}")]
    Malformed(#[from] toml::de::Error),
    /// A statement is empty.
    #[error("the terms of the source do not say `{0}`")]
    Empty(&'static str),
}

impl Terms {
    /// Reads a manifest. Every statement must say something.
    pub fn parse(text: &str) -> Result<Self, InvalidTerms> {
        let terms: Self = toml::from_str(text)?;
        let is_empty = [
            ("source", terms.source.trim().is_empty()),
            (
                "documents",
                terms.documents.is_empty() && terms.basis != Basis::Operator,
            ),
            ("stated_on", terms.stated_on.parse::<jiff::civil::Date>().is_err()),
            ("purposes", terms.purposes.is_empty()),
            ("not_for", terms.not_for.is_empty()),
            ("licence", terms.licence.trim().is_empty()),
            ("notes", terms.notes.trim().is_empty()),
        ];
        match is_empty.into_iter().find(|(_, is_empty)| *is_empty) {
            Some((name, _)) => Err(InvalidTerms::Empty(name)),
            None => Ok(terms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_leaves_a_statement_out_is_refused() {
        let complete = include_str!("bluesky/terms.toml");
        assert!(Terms::parse(complete).is_ok());
        for line in complete.lines().filter(|line| line.contains(" = ")) {
            let (name, _) = line.split_once(" = ").unwrap();
            if matches!(name, "keep_posts_for" | "delete_within") {
                continue;
            }
            assert!(
                Terms::parse(&complete.replace(line, "")).is_err(),
                "without {name}"
            );
        }
    }
}
