//! Names of tenants, people, posts and audiences, and ids that are functions of their causes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name does not have the form that its type requires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a valid {what}: {rule}")]
pub struct InvalidId {
    /// The kind of name.
    pub what: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// The name that was given, at most 40 characters of it.
    pub given: String,
}

impl InvalidId {
    fn new(what: &'static str, rule: &'static str, given: &str) -> Self {
        Self {
            what,
            rule,
            given: given.chars().take(40).collect(),
        }
    }
}

/// A short lower-case name: 1 to 64 of `a-z 0-9 - _ .`, starting with a letter or digit.
///
/// Social networks, ad platforms, campaigns, segments and templates have such names. They are safe in a key, a path and a
/// URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Arc<str>);

impl Slug {
    const RULE: &'static str = "1 to 64 of a-z, 0-9, '-', '_', '.', the first a letter or digit";

    /// Returns an error if the text is not a slug.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        if Self::is_valid(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new("name", Self::RULE, text))
        }
    }

    fn is_valid(text: &str) -> bool {
        let is_letter_or_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        text.len() <= 64
            && text.bytes().next().is_some_and(is_letter_or_digit)
            && text
                .bytes()
                .all(|b| is_letter_or_digit(b) || matches!(b, b'-' | b'_' | b'.'))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tenant that a row belongs to: a [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Slug);

impl TenantId {
    /// Returns an error if the text is not a slug.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        Slug::new(text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for TenantId {
    /// `default`: the tenant of an installation with only one tenant.
    fn default() -> Self {
        Self(Slug("default".into()))
    }
}

/// A person after the edge: 32 lower-case hexadecimal digits of a keyed hash of social network and author. The key
/// belongs to the tenant (BLAKE3 in its keyed mode). After the edge, nothing can compute the author from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(Arc<str>);

impl Pseudonym {
    /// The pseudonym of `author` on `network` under the tenant's secret `key`.
    pub fn of(key: &[u8; 32], network: &Slug, author: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher
            .update(network.as_str().as_bytes())
            .update(&[0])
            .update(author.as_bytes());
        Self(hasher.finalize().to_hex()[..32].into())
    }

    /// Returns an error if the text is not 32 lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        if text.len() == 32
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(
                "pseudonym",
                "32 lower-case hexadecimal digits",
                text,
            ))
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An audience: `segment:subject`, two slugs. A segment of people (`everyone`, `fans`...) × the subject of their
/// feelings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudienceId(Arc<str>);

impl AudienceId {
    /// The audience of `segment` for `subject`.
    pub fn of(segment: &Slug, subject: &Slug) -> Self {
        Self(format!("{}:{}", segment.as_str(), subject.as_str()).into())
    }

    /// Returns an error if the text is not two slugs with a colon between them.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        match text.split_once(':') {
            Some((segment, subject)) if Slug::is_valid(segment) && Slug::is_valid(subject) => {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidId::new("audience", "segment:subject, two slugs", text)),
        }
    }

    /// `segment:subject`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segment's slug.
    pub fn segment(&self) -> &str {
        self.0.split_once(':').map_or("", |(segment, _)| segment)
    }

    /// The subject's slug.
    pub fn subject(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, subject)| subject)
    }
}

/// Reads a name from text without a copy of the text.
pub(crate) struct TextVisitor<T, E>(pub(crate) fn(&str) -> Result<T, E>);

impl<T, E: fmt::Display> de::Visitor<'_> for TextVisitor<T, E> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<F: de::Error>(self, text: &str) -> Result<T, F> {
        (self.0)(text).map_err(F::custom)
    }
}

macro_rules! text_id {
    ($($name:ident, $example:literal;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(Self::new))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "examples": [$example]})
            }
        }
    )*};
}

text_id! {
    Slug, "bluesky";
    TenantId, "default";
    Pseudonym, "9f86d081884c7d659a2feaa0c55ad015";
    AudienceId, "everyone:football";
}

/// The id of a post on its social network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PostRef {
    /// The social network's slug, for instance `bluesky`.
    pub network: Slug,
    /// The network's own id of the post, 1 to 512 bytes.
    pub id: String,
}

impl fmt::Display for PostRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.id)
    }
}

/// An id that is a function of its causes: the first 128 bits of BLAKE3 over `kind` and `causes`, each preceded by its
/// length, as 32 hexadecimal digits. The same causes always give the same id, on every machine.
pub fn event_id(kind: &str, causes: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&kind).chain(causes) {
        hasher
            .update(&(part.len() as u64).to_le_bytes())
            .update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_depends_on_where_one_cause_ends() {
        assert_ne!(event_id("r", &["ab", "c"]), event_id("r", &["a", "bc"]));
        assert_eq!(event_id("r", &["ab", "c"]), event_id("r", &["ab", "c"]));
    }

    #[test]
    fn a_pseudonym_needs_the_tenants_key() {
        let network = Slug::new("bluesky").unwrap();
        let a = Pseudonym::of(&[1; 32], &network, "ada");
        assert_ne!(a, Pseudonym::of(&[2; 32], &network, "ada"));
        assert_eq!(Pseudonym::new(a.as_str()).unwrap(), a);
        assert!(Pseudonym::new("ada").is_err());
    }

    #[test]
    fn a_slug_is_safe_in_a_key_a_path_and_a_url() {
        for bad in ["", "Upper", "a/b", "a:b", "-a", "ä", &"x".repeat(65)] {
            assert!(Slug::new(bad).is_err(), "{bad}");
        }
        assert!(Slug::new("x").is_ok());
    }
}
