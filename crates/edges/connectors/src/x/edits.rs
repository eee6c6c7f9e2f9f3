//! Edits that the compliance streams tell of: the new version is read by its id.
//!
//! The filtered stream brings an edit only if it matches a rule. What is stored of a post must follow every edit.

use std::time::Duration;

use limbic_domain::Utc;
use serde_json::Value;

use super::position::Position;
use super::{DAY, NAME, Pull, SEARCH_AGAIN, X};
use crate::http::unavailable;
use crate::{ConnectorError, Failure, Page};

/// The most posts of one request.
const MOST_AT_ONCE: usize = 100;
/// The wait after X has refused to show posts by their ids: a person has to change something first.
const AFTER_REFUSAL: Duration = Duration::from_hours(1);
/// The most edits that wait.
const MOST_WAITING: usize = 1_000;

/// Adds edits that are to be read.
pub(super) fn wait_for(found: Vec<String>, position: &mut Position, page: &mut Page) {
    for id in found {
        if position.edits.contains(&id) {
            page.drop_one("known");
        } else if position.edits.len() < MOST_WAITING {
            position.edits.push(id);
        } else {
            page.drop_one("an edit while too many others wait");
        }
    }
}

impl X {
    /// Reads edited versions, as many as one request and the budget of the day allow. A failure stops nothing else: it is counted, and
    /// they are read later.
    pub(super) fn read_edits(&mut self, position: &mut Position, pull: &mut Pull<'_>) {
        let left = position
            .spent
            .left(self.settings.posts_per_day(), DAY, Utc::now());
        let most = MOST_AT_ONCE.min(usize::try_from(left).unwrap_or(usize::MAX));
        let is_early = self.edits_from.is_some_and(|from| self.now < from);
        if position.edits.is_empty() || most == 0 || is_early {
            return;
        }
        let count = position.edits.len().min(most);
        let ids: Vec<String> = position.edits[..count].to_vec();
        match self.look_up(&ids) {
            Ok(mut answer) => {
                position.edits.drain(..count);
                let includes = answer["includes"].take();
                let posts = match answer["data"].take() {
                    Value::Array(posts) => posts,
                    _ => Vec::new(),
                };
                // Deleted since, or shown to others only: the streams tell of that too.
                for _ in posts.len()..count {
                    pull.page.drop_one("an edit that X does not show");
                }
                for post in posts {
                    position.spent.count(1, DAY, Utc::now());
                    self.take(post, &includes, pull);
                }
                pull.page.has_more |= !position.edits.is_empty();
            }
            Err(error) => {
                pull.page.drop_one("a question about edits that failed");
                tracing::warn!(%error, "X was not asked for edited posts");
                let wait = match error {
                    ConnectorError::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
                    _ => AFTER_REFUSAL,
                };
                self.edits_from = Some(self.now + wait.max(SEARCH_AGAIN));
            }
        }
    }

    fn look_up(&mut self, ids: &[String]) -> Result<Value, ConnectorError> {
        let answer = self.api.lookup(ids)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("its answer is not a list of posts: {error}");
            unavailable(NAME, detail, Failure::Server, None)
        })
    }
}
