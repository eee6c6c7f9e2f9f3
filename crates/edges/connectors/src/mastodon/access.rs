//! What a token of Mastodon must permit.

use serde_json::Value;

use super::Mastodon;
use crate::access::{Scope, collect, is_insufficient, said};
use crate::http::Answer;
use crate::{ConnectorError, MissingScope};

/// What the token must permit.
const READ: Scope = Scope {
    name: "read:statuses",
    wider: &["read"],
    needed_for: "timelines and streams",
    how: "open Preferences, Development and the application on the instance, tick `read:statuses`, submit, regenerate the access token, \
          and set `token`",
};
impl Mastodon {
    /// The error of an answer that says that the token permits too little, or that the instance demands one.
    pub(super) fn lacks(&self, answer: &Answer) -> Option<ConnectorError> {
        if answer.status < 400 {
            return None;
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = body["error"].as_str().unwrap_or_default();
        let has_token = self.settings.token.is_some();
        let is_lacking = match answer.status {
            403 => is_insufficient(answer) || message.contains("authorized scopes"),
            // Some instances show public timelines to people with an account only.
            401 | 422 => !has_token || message.contains("required scopes"),
            _ => false,
        };
        is_lacking.then(|| READ.error(&self.name, said(answer.status, message)))
    }

    /// What the application permits, if the instance says so, and then the newest post of the timeline.
    pub(super) fn access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let mut missing = Vec::new();
        if self.settings.token.is_some() {
            let answer = self.ask("/api/v1/apps/verify_credentials", &[])?;
            let app: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            // Since version 4.3, with the permissions that the application has.
            if let Some(scopes) = app["scopes"].as_array().filter(|_| answer.status == 200) {
                let given = || scopes.iter().filter_map(Value::as_str);
                if !READ.is_in(given()) {
                    let given: Vec<&str> = given().collect();
                    missing.push(READ.missing(format!("the application has {}", given.join(", "))));
                }
            }
        }
        collect(self.timeline(&[("limit", "1")]), &mut missing)?;
        Ok(missing)
    }
}
