//! LinkedIn: posts of the operator's own organisations, and their comments.
//!
//! What the server does is written from its documentation (learn.microsoft.com/linkedin: "Posts API", "Comments API", "Rate limits", read
//! 2026-11-30 as far as a search shows it), and tested against a local server that we wrote:
//!
//! * Each request has `LinkedIn-Version: YYYYMM` and `X-Restli-Protocol-Version: 2.0.0`. A version that has ended is refused.
//! * Posts of an organisation are found by `q=author`, comments under `socialActions/{urn}/comments`. Urns in addresses are encoded.
//! * Limits are per day, for the app and for the member, and end at midnight UTC. They are neither published nor stated in headers; a request
//!   above them is answered with 429. So requests are counted here, and spread over the day.
//!
//! * A token that does not permit a request is answered with 403 and the code `ACCESS_DENIED`. Posts need `r_organization_social`, comments
//!   `r_organization_social_feed`.
//!
//! From memory: the fields of posts and comments, and of pages (`start`, `count`); `commentsSummary` of a comment with replies; the order of
//! comments is not stated, so each turn reads all comments of the watched posts, at most 1,000 each.
//!
//! An edit is seen by `lastModified`, a deletion by a comment that a complete list does not have any more.

mod component;
mod text;

use std::time::Duration;

use limbic_domain::{Secret, Utc};
use limbic_stream::Backoff;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde_json::{Value, json};

use crate::access::{Scope, collect, said};
use crate::http::{Http, unavailable};
use crate::owned::{Comments, Forum, Post};
use crate::text::visible;
use crate::watch::{Marks, Thing};
use crate::{ConnectorError, Failure, MissingScope, Page};

pub use component::LinkedInSettings;

/// The social network's slug.
const NETWORK: &str = "linkedin";
/// The source, for people.
const NAME: &str = "LinkedIn";
/// The most posts or comments of a page.
const PAGE: usize = 100;
/// The most pages of the comments of a post.
const MOST_PAGES: usize = 10;
/// The most comments of a post whose replies are read in one turn.
const MOST_WITH_REPLIES: usize = 20;
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;
/// What the token must permit.
const POSTS: Scope = Scope {
    name: "r_organization_social",
    wider: &[],
    needed_for: "posts of organisations",
    how: HOW,
};
const COMMENTS: Scope = Scope {
    name: "r_organization_social_feed",
    wider: &[],
    needed_for: "comments",
    how: HOW,
};
const HOW: &str = "request the product \"Community Management API\" for the app (linkedin.com/developers, Products), let a member who \
                   administers the organisation sign in with this permission, wait five minutes, and set `token`";
/// What is encoded in a urn of a path.
const OF_URN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Reads posts of organisations, and their comments.
pub struct LinkedIn {
    settings: LinkedInSettings,
    url: Url,
    token: Secret,
    http: Http,
    /// Requests since they were counted last.
    cost: u64,
}

impl LinkedIn {
    fn new(settings: LinkedInSettings, url: Url) -> Self {
        Self {
            url,
            token: settings.token.clone(),
            settings,
            http: Http::new(NAME),
            cost: 0,
        }
    }

    /// A page of a list.
    fn page(
        &mut self,
        path: &str,
        start: usize,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, ConnectorError> {
        let mut url = self.url.clone();
        url.set_path(path);
        url.query_pairs_mut()
            .extend_pairs(query)
            .append_pair("start", &start.to_string())
            .append_pair("count", &PAGE.to_string());
        self.cost += 1;
        let (token, version) = (self.token.reveal(), &self.settings.version);
        let answer = self.http.ask(LONGEST_ANSWER, |client| {
            client
                .get(url)
                .bearer_auth(token)
                .header("linkedin-version", version)
                .header("x-restli-protocol-version", "2.0.0")
        })?;
        if answer.status == 403 {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            if body["code"] == "ACCESS_DENIED" || body["serviceErrorCode"] == 100 {
                let scope = if path.ends_with("/comments") {
                    &COMMENTS
                } else {
                    &POSTS
                };
                let message = body["message"].as_str().unwrap_or_default();
                return Err(scope.error(NAME, said(answer.status, message)));
            }
        }
        let answer = answer.checked(NAME)?;
        let mut list: Value = serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("its answer is not a list: {error}");
            unavailable(NAME, detail, Failure::Server, None)
        })?;
        match list["elements"].take() {
            Value::Array(elements) => Ok(elements),
            _ => Err(unavailable(
                NAME,
                "its answer has no `elements`".to_owned(),
                Failure::Server,
                None,
            )),
        }
    }

    /// The comments under a urn: of a post, or the replies to a comment.
    fn under(&mut self, urn: &str, page: &mut Page) -> Result<(Vec<Value>, bool), ConnectorError> {
        let path = format!(
            "/rest/socialActions/{}/comments",
            utf8_percent_encode(urn, OF_URN)
        );
        let mut all = Vec::new();
        for number in 0..MOST_PAGES {
            let found = self.page(&path, number * PAGE, &[])?;
            let is_last = found.len() < PAGE;
            all.extend(found);
            if is_last {
                return Ok((all, true));
            }
        }
        page.drop_one("more comments of a post than are read in one turn");
        Ok((all, false))
    }
}

/// The urn of a comment.
fn name_of(comment: &Value, post: &str) -> Option<String> {
    if let Some(urn) = comment["commentUrn"].as_str() {
        return Some(urn.to_owned());
    }
    let object = comment["object"].as_str().unwrap_or(post);
    Some(format!("urn:li:comment:({object},{})", comment["id"].as_str()?))
}

fn comment(comment: &Value, post: &str, parent: Option<&str>) -> Result<Thing, &'static str> {
    let name = name_of(comment, post).filter(|name| name.len() <= 200);
    let name = name.ok_or("a comment without an id")?;
    let author = comment["actor"].as_str().filter(|actor| !actor.is_empty());
    let author = author.ok_or("without an author")?;
    let written = comment["created"]["time"].as_i64().filter(|time| *time > 0);
    let written = written.ok_or("a comment without a time")?;
    let changed = comment["lastModified"]["time"].as_i64().unwrap_or(written);
    let revision = if changed > written {
        changed.unsigned_abs()
    } else {
        0
    };
    let text = visible(comment["message"]["text"].as_str().unwrap_or_default());
    let post = (!text.trim().is_empty()).then(|| json!({"text": text, "reply_to": parent.unwrap_or(post)}));
    Ok(Thing {
        name,
        place: String::new(),
        author: author.to_owned(),
        written: Utc::from_millis(written),
        version: revision,
        revision: Some(revision),
        post,
    })
}

impl Forum for LinkedIn {
    fn name(&self) -> &str {
        NAME
    }

    fn network(&self, _: &str) -> &'static str {
        NETWORK
    }

    fn owners(&self) -> Vec<String> {
        self.settings.organizations.clone()
    }

    fn posts(&mut self, owner: &str, page: &mut Page) -> Result<Vec<Post>, ConnectorError> {
        let author = format!("urn:li:organization:{owner}");
        let query = [("q", "author"), ("author", &*author), ("sortBy", "CREATED")];
        let mut posts = Vec::new();
        for post in self.page("/rest/posts", 0, &query)? {
            let name = post["id"]
                .as_str()
                .filter(|name| name.starts_with("urn:li:") && name.len() <= 200);
            let time = |name: &str| post[name].as_i64().filter(|time| *time > 0);
            let written = time("publishedAt").or_else(|| time("createdAt"));
            let (Some(name), Some(written)) = (name, written) else {
                page.drop_one("a post without an id or a time");
                continue;
            };
            // Drafts, and posts for chosen members, are not for everyone.
            let is_public = post["lifecycleState"] == "PUBLISHED" && post["visibility"] == "PUBLIC";
            if !is_public {
                page.drop_one("not public");
                continue;
            }
            let changed = time("lastModifiedAt").unwrap_or(written);
            // Publication itself counts as a change some moments after the creation.
            let revision = if post["lifecycleStateInfo"]["isEditedByAuthor"] == true {
                changed.unsigned_abs()
            } else {
                0
            };
            let text = text::plain(post["commentary"].as_str().unwrap_or_default());
            let text = visible(&text);
            let url = format!("https://www.linkedin.com/feed/update/{name}/");
            let thing = self.settings.posts.then(|| Thing {
                name: name.to_owned(),
                place: author.clone(),
                author: author.clone(),
                written: Utc::from_millis(written),
                version: revision,
                revision: Some(revision),
                post: (!text.trim().is_empty()).then(|| json!({"text": text, "url": url})),
            });
            posts.push(Post {
                name: name.to_owned(),
                written,
                thing,
                has_comments: self.settings.comments,
                owner: owner.to_owned(),
            });
        }
        posts.sort_by_key(|post| std::cmp::Reverse(post.written));
        Ok(posts)
    }

    fn comments(
        &mut self,
        post: &Post,
        _: &Marks,
        _: bool,
        page: &mut Page,
    ) -> Result<Comments, ConnectorError> {
        let (found, mut is_complete) = self.under(&post.name, page)?;
        let mut things = Vec::new();
        let mut with_replies = 0;
        for element in found {
            let thing = match comment(&element, &post.name, None) {
                Ok(thing) => thing,
                Err(reason) => {
                    page.drop_one(reason);
                    continue;
                }
            };
            let summary = &element["commentsSummary"];
            let replies = summary["aggregatedTotalComments"]
                .as_u64()
                .or_else(|| summary["totalFirstLevelComments"].as_u64());
            if replies.unwrap_or(0) > 0 {
                with_replies += 1;
                if with_replies > MOST_WITH_REPLIES {
                    page.drop_one("more comments with replies than are asked for them in one turn");
                    is_complete = false;
                } else {
                    let (replies, is_whole) = self.under(&thing.name, page)?;
                    is_complete &= is_whole;
                    for reply in replies {
                        match comment(&reply, &post.name, Some(&thing.name)) {
                            Ok(reply) => things.push(reply),
                            Err(reason) => page.drop_one(reason),
                        }
                    }
                }
            }
            things.push(thing);
        }
        for thing in &mut things {
            thing.place.clone_from(&post.name);
        }
        Ok(Comments { things, is_complete })
    }

    /// The posts of an organisation, and the comments of one of them.
    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let mut missing = Vec::new();
        let mut page = Page::default();
        for owner in self.owners() {
            let Some(posts) = collect(self.posts(&owner, &mut page), &mut missing)? else {
                continue;
            };
            if let Some(post) = posts.first().filter(|_| self.settings.comments) {
                collect(self.under(&post.name, &mut page), &mut missing)?;
            }
        }
        Ok(missing)
    }

    fn take_cost(&mut self) -> u64 {
        std::mem::take(&mut self.cost)
    }

    /// The documentation states no waits: these are our own choice.
    fn schedule(&self, failure: Failure) -> Backoff {
        match failure {
            Failure::Connection | Failure::Server => {
                Backoff::new(Duration::from_secs(2), Duration::from_mins(5))
            }
            Failure::RateLimit => Backoff::new(Duration::from_mins(1), Duration::from_hours(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_names_its_comment_and_an_edit_has_its_time() {
        let reply = json!({"id": "7", "object": "urn:li:activity:5", "actor": "urn:li:person:ann", "message": {"text": "What a\u{200b} goal!"},
            "created": {"time": 1_700_000_000_000_i64}, "lastModified": {"time": 1_700_000_060_000_i64}});
        let thing = comment(
            &reply,
            "urn:li:share:1",
            Some("urn:li:comment:(urn:li:activity:5,6)"),
        )
        .unwrap();
        assert_eq!(thing.name, "urn:li:comment:(urn:li:activity:5,7)");
        assert_eq!(thing.revision, Some(1_700_000_060_000));
        assert_eq!(
            thing.post.unwrap(),
            json!({"text": "What a goal!", "reply_to": "urn:li:comment:(urn:li:activity:5,6)"})
        );
        for (wrong, said) in [
            (json!({"actor": "a"}), "a comment without an id"),
            (json!({"id": "1"}), "without an author"),
            (
                json!({"id": "1", "actor": "a", "created": {"time": "soon"}}),
                "a comment without a time",
            ),
        ] {
            assert_eq!(comment(&wrong, "p", None).unwrap_err(), said);
        }
    }
}
