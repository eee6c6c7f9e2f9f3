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
/// It is printed without its user information and query (`postgres://***@db/limbic`), because both can contain a
/// password.
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

    /// The part before `://`, or empty.
    pub fn scheme(&self) -> &str {
        self.reveal().split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.reveal().split_once("://") else {
            return if self.is_embedded() {
                f.write_str(self.reveal())
            } else {
                fmt::Display::fmt(&self.0, f)
            };
        };
        // A password may contain `?` or `@`. So the last `@` ends the user information, and the query can only start
        // after it.
        let (user, address) = rest
            .rsplit_once('@')
            .map_or(("", rest), |(_, address)| ("***@", address));
        let (address, query) = address
            .split_once('?')
            .map_or((address, ""), |(address, _)| (address, "?***"));
        write!(f, "{scheme}://{user}{address}{query}")
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
            ("postgres://u:pass@db/x", "postgres://***@db/x"),
            ("postgres://u:p@s?s@db:5432/x", "postgres://***@db:5432/x"),
            ("postgres://db/x?password=hunter2", "postgres://db/x?***"),
            ("kafka://a:9092,b:9092", "kafka://a:9092,b:9092"),
            ("embedded", "embedded"),
            ("hunter2", "***"),
        ] {
            let url = ConnectionUrl::new(text);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("\"{shown}\""));
        }
    }
}
