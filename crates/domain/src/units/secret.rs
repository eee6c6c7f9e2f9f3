//! Text that must not be printed.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// A secret: a password, token or key. It is printed and serialised as `***`, or as nothing if it is empty.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call it only where the secret is used, never for a log line, an error or an answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "password", "writeOnly": true})
    }
}

/// The address of a server: a URL that may contain credentials, or a word such as `embedded`.
///
/// Only its scheme and its hosts are printed (`postgres://***@db:5432/***`), because every other part can contain a password
/// or a token: the path of a webhook's URL often is one.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct ConnectionUrl(Secret);

impl ConnectionUrl {
    /// The value that means "in this process and its data folder".
    pub const EMBEDDED: &str = "embedded";

    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// The whole text. Call it only where the connection is opened.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// Whether it is `embedded` or empty. Both mean the same.
    pub fn is_embedded(&self) -> bool {
        matches!(self.reveal(), Self::EMBEDDED | "")
    }

    /// This address with `scheme` if it has none, for instance `localhost:9092` with `kafka://`. A single word other than
    /// `localhost` stays as it is, because it may be a misspelt `embedded`.
    #[must_use]
    pub fn or_scheme(self, scheme: &str) -> Self {
        let text = self.reveal();
        let is_address = text == "localhost" || text.contains([':', '.', '/']);
        if self.is_embedded() || text.contains("://") || !is_address {
            return self;
        }
        Self::new(format!("{scheme}://{text}"))
    }

    /// The part before `://`, or empty.
    pub fn scheme(&self) -> &str {
        self.reveal().split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl From<&str> for ConnectionUrl {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for ConnectionUrl {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_embedded() {
            return f.write_str(self.reveal());
        }
        let Some((scheme, rest)) = self.reveal().split_once("://") else {
            return fmt::Display::fmt(&self.0, f);
        };
        let (authority, further) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // An `@` behind the first `/`, `?` or `#` may end a password that contains this character. Then it is not known
        // where the host begins.
        if further.contains('@') {
            return write!(f, "{scheme}://***");
        }
        let (user, host) = authority
            .rsplit_once('@')
            .map_or(("", authority), |(_, host)| ("***@", host));
        let further = if further.len() > 1 { "/***" } else { "" };
        write!(f, "{scheme}://{user}{host}{further}")
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ConnectionUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ConnectionUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConnectionUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "connection-url"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, "*** *** \"***\"");
        assert_eq!(Secret::default().to_string(), "");
    }

    #[test]
    fn a_connection_is_shown_without_its_credentials() {
        for (text, shown) in [
            ("postgres://u:pass@db/x", "postgres://***@db/***"),
            ("postgres://u:p@ss@db:5432/x", "postgres://***@db:5432/***"),
            ("postgres://u:hunter?2@db:5432/x", "postgres://***"),
            ("postgres://u:hunter/2@db:5432/x", "postgres://***"),
            ("postgres://db/x?password=hunter@2", "postgres://***"),
            ("postgres://db/x?password=hunter2", "postgres://db/***"),
            (
                "https://hooks.example/services/hunter2",
                "https://hooks.example/***",
            ),
            ("https://hooks.example/", "https://hooks.example"),
            ("kafka://a:9092,b:9092", "kafka://a:9092,b:9092"),
            ("embedded", "embedded"),
            ("hunter2", "***"),
        ] {
            let url = ConnectionUrl::new(text);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("\"{shown}\""));
        }
    }

    #[test]
    fn an_address_without_a_scheme_gets_the_one_that_its_setting_has() {
        for (text, whole) in [
            ("localhost", "kafka://localhost"),
            ("broker:9092", "kafka://broker:9092"),
            ("10.0.0.1", "kafka://10.0.0.1"),
            ("redis://broker", "redis://broker"),
            ("embedded", "embedded"),
            ("embeded", "embeded"),
            ("", ""),
        ] {
            assert_eq!(ConnectionUrl::from(text).or_scheme("kafka").reveal(), whole);
        }
    }
}
