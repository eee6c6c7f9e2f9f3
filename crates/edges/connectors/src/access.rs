//! Permissions (scopes) that a source has not given, as its own answers say.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::ConnectorError;
use crate::http::Answer;

/// A permission that a connector needs, and the source has not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permission `{scope}` is missing, which is needed for {needed_for} ({said}): {how}")]
pub struct MissingScope {
    /// Its name, as the provider calls it.
    pub scope: String,
    /// What the connector needs it for.
    pub needed_for: &'static str,
    /// How a person gets it.
    pub how: &'static str,
    /// What the provider has said.
    pub said: String,
}

/// A permission of a provider.
pub(crate) struct Scope {
    pub(crate) name: &'static str,
    /// Permissions that contain it.
    pub(crate) wider: &'static [&'static str],
    pub(crate) needed_for: &'static str,
    pub(crate) how: &'static str,
}

impl Scope {
    /// Whether it is among the permissions that were given.
    pub(crate) fn is_in<'a>(&self, mut given: impl Iterator<Item = &'a str>) -> bool {
        given.any(|given| given == self.name || self.wider.contains(&given))
    }

    pub(crate) fn missing(&self, said: impl Into<String>) -> MissingScope {
        MissingScope {
            scope: self.name.to_owned(),
            needed_for: self.needed_for,
            how: self.how,
            said: said.into(),
        }
    }

    /// As [`Self::missing`], under the name that the provider states, unless that is empty.
    pub(crate) fn missing_as(&self, name: String, said: impl Into<String>) -> MissingScope {
        let known = self.missing(said);
        if name.is_empty() {
            return known;
        }
        MissingScope { scope: name, ..known }
    }

    /// The error of a source.
    pub(crate) fn error(&self, source: &str, said: impl Into<String>) -> ConnectorError {
        error(source, self.missing(said))
    }
}

pub(crate) fn error(source: &str, missing: MissingScope) -> ConnectorError {
    ConnectorError::MissingScope {
        source_name: source.to_owned(),
        missing,
    }
}

/// Splits a result into the permissions that are missing and other errors.
pub(crate) fn collect<T>(
    result: Result<T, ConnectorError>,
    missing: &mut Vec<MissingScope>,
) -> Result<Option<T>, ConnectorError> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(ConnectorError::MissingScope { missing: scope, .. }) => {
            if missing.iter().all(|known| known.scope != scope.scope) {
                missing.push(scope);
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The beginning of what a provider says, for people.
pub(crate) fn said(status: u16, message: &str) -> String {
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("it answered {status} {}", message.trim())
        .trim_end()
        .to_owned()
}

/// Whether an answer says that the token has too few permissions (RFC 6750, section 3.1): `error="insufficient_scope"` in
/// `WWW-Authenticate`. Returns the permissions that it names, or an empty text.
pub(crate) fn insufficient_scope(headers: &HeaderMap) -> Option<String> {
    headers.get_all(WWW_AUTHENTICATE).iter().find_map(|challenge| {
        let challenge = challenge.to_str().ok()?;
        let error = attribute(challenge, "error")?;
        error
            .eq_ignore_ascii_case("insufficient_scope")
            .then(|| attribute(challenge, "scope").unwrap_or_default())
    })
}

/// As [`insufficient_scope`], of an answer.
pub(crate) fn is_insufficient(answer: &Answer) -> bool {
    insufficient_scope(&answer.headers).is_some()
}

/// An attribute of a challenge, at most 200 characters. What is inside quotes is no attribute.
fn attribute(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c == '=' || c.is_whitespace());
        if rest.is_empty() {
            return None;
        }
        let is_end = |c: char| matches!(c, ',' | '=' | '"') || c.is_whitespace();
        let (word, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let (value, after) = match after.trim_start().strip_prefix('=').map(str::trim_start) {
            // The scheme, or a quote out of place.
            None => ("", after.strip_prefix('"').unwrap_or(after)),
            Some(value) => match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => value.split_at(value.find(is_end).unwrap_or(value.len())),
            },
        };
        if word == name {
            return Some(value.chars().filter(|c| !c.is_control()).take(200).collect());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes_of(challenges: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        insufficient_scope(&headers)
    }

    #[test]
    fn a_challenge_names_the_scopes_that_are_missing_in_every_spelling() {
        let named = |scope: &str| Some(scope.to_owned());
        assert_eq!(
            scopes_of(&[r#"Bearer realm="reddit", error="insufficient_scope", scope="read history""#]),
            named("read history")
        );
        assert_eq!(
            scopes_of(&[
                r#"Bearer realm="x", error_description="no scope = none", error=insufficient_scope"#
            ]),
            named("")
        );
        assert_eq!(
            scopes_of(&[
                "Basic realm=\"a\"",
                "Bearer scope = \"read\" , error = \"INSUFFICIENT_SCOPE\""
            ]),
            named("read")
        );
        for other in [
            "Bearer realm=\"insufficient_scope\"",
            "Bearer error=\"invalid_token\", scope=\"read\"",
            "Bearer error_description=\"error=insufficient_scope\", x",
            "error",
            "",
        ] {
            assert_eq!(scopes_of(&[other]), None, "{other}");
        }
        assert_eq!(scopes_of(&[]), None);
    }
}
