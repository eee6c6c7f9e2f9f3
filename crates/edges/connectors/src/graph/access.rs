//! What a token of Meta must permit.

use serde_json::Value;

use super::{FACEBOOK, INSTAGRAM, MetaGraph, NAME, split};
use crate::access::{Scope, collect, said};
use crate::http::Answer;
use crate::owned::Forum as _;
use crate::{ConnectorError, MissingScope, Page};

/// What the token must permit, by network and edge.
const SCOPES: [(&str, &str, Scope); 4] = [
    (FACEBOOK, "feed", scope("pages_read_engagement", "posts of pages")),
    (
        FACEBOOK,
        "comments",
        scope("pages_read_user_content", "comments of people on pages"),
    ),
    (INSTAGRAM, "media", scope("instagram_basic", "media of accounts")),
    (
        INSTAGRAM,
        "comments",
        scope("instagram_manage_comments", "comments on media"),
    ),
];

const fn scope(name: &'static str, needed_for: &'static str) -> Scope {
    Scope {
        name,
        wider: &[],
        needed_for,
        how: "add the permission to the app (developers.facebook.com, App Review, Permissions and Features; for pages of other businesses it \
              needs Advanced Access), create a new token with it, and set `token`",
    }
}

/// The error of an answer to a request of an edge that says that a permission is missing. Many messages name it.
pub(super) fn lacks(answer: &Answer, network: &str, edge: &str) -> Option<ConnectorError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = body["error"]["message"].as_str().unwrap_or_default();
    let named = SCOPES.iter().find(|(.., scope)| message.contains(scope.name));
    let asked = SCOPES
        .iter()
        .find(|(of, known, _)| *of == network && *known == edge);
    let (.., scope) = named.or(asked)?;
    Some(scope.error(NAME, said(answer.status, message)))
}

impl MetaGraph {
    /// What the token permits, if Meta says so; then the posts of each page and account, and the comments of one of them.
    pub(super) fn access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let mut missing = self.not_granted()?;
        let mut page = Page::default();
        for owner in self.owners() {
            let Some(posts) = collect(self.posts(&owner, &mut page), &mut missing)? else {
                continue;
            };
            if let Some(post) = posts.first() {
                let (network, id) = split(&post.name);
                let query = [
                    ("fields", "id"),
                    ("limit", "1"),
                    ("filter", "stream"),
                    ("order", "reverse_chronological"),
                ];
                // Instagram knows neither filter nor order.
                let query = if network == FACEBOOK {
                    &query[..]
                } else {
                    &query[..2]
                };
                collect(self.page((network, id), "comments", query), &mut missing)?;
            }
        }
        Ok(missing)
    }

    /// The permissions that the person behind the token has not granted. A page's token is not told: then its requests show it.
    fn not_granted(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let answer = self.request("me/permissions", &[])?;
        let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(granted) = list["data"].as_array().filter(|_| answer.status == 200) else {
            return Ok(Vec::new());
        };
        let is_granted = |one: &&Value| one["status"] == "granted";
        let granted: Vec<&str> = granted
            .iter()
            .filter(is_granted)
            .filter_map(|one| one["permission"].as_str())
            .collect();
        let is_asked = |network: &str| match network {
            FACEBOOK => !self.settings.pages.is_empty(),
            _ => !self.settings.accounts.is_empty(),
        };
        let missing = SCOPES
            .iter()
            .filter(|(network, _, scope)| is_asked(network) && !scope.is_in(granted.iter().copied()));
        let missing =
            missing.map(|(.., scope)| scope.missing(format!("the token permits {}", granted.join(", "))));
        Ok(missing.collect())
    }
}
