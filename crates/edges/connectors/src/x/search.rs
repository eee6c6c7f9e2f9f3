//! Recent search: a part of the past, page by page.

use std::rc::Rc;
use std::time::Duration;

use limbic_domain::Utc;
use serde_json::Value;

use super::position::{Position, before, id_at};
use super::{DAY, NAME, Pull, X, walk_from};
use crate::http::unavailable;
use crate::{ConnectorError, Failure};

/// How many posts a page of the search can have.
const PAGE_OF_SEARCH: std::ops::RangeInclusive<u64> = 10..=100;
/// The most pages of the search that one pull asks for.
const MOST_PAGES: usize = 10;
/// How long the search has posts: 7 days, less 10 minutes because clocks differ.
const SEARCHED: Duration = Duration::from_mins(7 * 24 * 60 - 10);

/// A post with its id, and what came beside it.
type Found = (u64, Value, Rc<Value>);

impl X {
    /// Pages of the search, oldest post first. Without more pages, the walk is over. On an error, the pages before it are in `pull`, so
    /// that a quota that is too small for all pages is enough for some.
    pub(super) fn search(
        &mut self,
        position: &mut Position,
        pull: &mut Pull<'_>,
    ) -> Result<(), ConnectorError> {
        // On an error the walk stays where it was.
        let walk = position.walk.clone();
        let mut walk = walk.unwrap_or_else(|| walk_from(before(position.id, self.settings.rewind.get())));
        let oldest = before(id_at(Utc::now()), SEARCHED);
        // Pages after the first one are asked for with the same beginning.
        if walk.after < oldest && walk.rule == 0 && walk.token.is_none() {
            pull.page.drop_one("a gap that is older than the search keeps");
            walk.after = oldest;
        }
        let (mut found, mut failed): (Vec<Found>, _) = (Vec::new(), None);
        let (after, until) = (walk.after.to_string(), walk.until.map(|until| until.to_string()));
        for _ in 0..MOST_PAGES {
            let Some(rule) = self.settings.rules.get(walk.rule) else {
                break;
            };
            let left = position
                .spent
                .left(self.settings.posts_per_day(), DAY, Utc::now());
            if left == 0 {
                break;
            }
            let most = left
                .clamp(*PAGE_OF_SEARCH.start(), *PAGE_OF_SEARCH.end())
                .to_string();
            let mut query = vec![
                ("query", rule.as_str()),
                ("max_results", &most),
                ("since_id", &after),
            ];
            query.extend(until.as_deref().map(|until| ("until_id", until)));
            query.extend(walk.token.as_deref().map(|token| ("next_token", token)));
            let answer = match self.api.search(&query) {
                Ok(answer) => answer,
                // The rules can be others than when the token was stored.
                Err(ConnectorError::Refused { .. }) if walk.token.is_some() => {
                    (walk.token, walk.rule) = (None, 0);
                    continue;
                }
                Err(error) if !found.is_empty() => {
                    failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            let mut answer: Value = serde_json::from_slice(&answer.body).map_err(|error| {
                let detail = format!("its answer is not a page of posts: {error}");
                unavailable(NAME, detail, Failure::Server, None)
            })?;
            let includes = Rc::new(answer["includes"].take());
            if let Value::Array(posts) = answer["data"].take() {
                for post in posts {
                    position.spent.count(1, DAY, Utc::now());
                    let id = post["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
                    found.push((id, post, Rc::clone(&includes)));
                }
            }
            walk.token = answer["meta"]["next_token"].as_str().map(str::to_owned);
            if walk.token.is_none() {
                walk.rule += 1;
            }
        }
        found.sort_by_key(|(id, ..)| *id);
        found.dedup_by_key(|(id, ..)| *id);
        walk.highest = found
            .last()
            .map_or(walk.highest, |(id, ..)| walk.highest.max(*id));
        for (_, post, includes) in found {
            self.take(post, &includes, pull);
        }
        if walk.rule < self.settings.rules.len() {
            position.walk = Some(walk);
            pull.page.has_more = true;
        } else {
            position.walk = None;
            position.id = position.id.max(walk.highest);
        }
        failed.map_or(Ok(()), Err)
    }
}
