//! Facebook and Instagram: comments on the operator's own pages and accounts, asked over Meta's Graph API.
//!
//! What the server does is written from its documentation (developers.facebook.com: "Graph API: Rate Limiting", "Paginated Results",
//! "Handling Errors", "Object Comments", "Page Post Comments", "IG Media Comments", read 2026-11-30 as far as a search shows it), and
//! tested against a local server that we wrote:
//!
//! * Lists have pages with cursors. The last page is the one without `paging.next`; a page can have fewer things than its limit. Cursors
//!   are not stored, because they end when their thing is deleted. `next` is an address with the token in it: it is never followed, and
//!   the cursor is sent to our own address.
//! * `filter=stream` gives replies among comments, `order=reverse_chronological` the newest first.
//! * `X-App-Usage` and `X-Business-Use-Case-Usage` say how many percent of the limits are used, and in how many minutes access is regained.
//!   From 50 % on, requests slow down here; from 90 % on, none is sent.
//! * Errors have a code: 190 = the token has ended; 10 and 200 to 299 = a permission is missing, which many messages name; 4, 17, 32, 341, 368, 613 and 80000 to 80014 = too many requests; 1 and 2 = a failure.
//!
//! `GET /me/permissions` lists what the person behind a token has granted.
//!
//! From memory: tokens are accepted as `Authorization: Bearer`; the list of media of an account; the authors of comments (`from`) are shown
//! only to apps that may see them. Comments have no time of their last edit, so an edit is seen by its text, and has the time of this
//! node's clock as its revision. What the page or account itself writes is left out, as by the webhooks of Meta.

mod access;
mod component;
mod usage;

use std::time::{Duration, Instant};

use limbic_domain::{Secret, Utc, random};
use limbic_stream::Backoff;
use reqwest::Url;
use serde_json::{Value, json};

use crate::http::{Answer, Http, answered, refused, unavailable};
use crate::meta_id::post_id;
use crate::owned::{Comments, Forum, Post};
use crate::text::visible;
use crate::watch::{Marks, Thing};
use crate::{ConnectorError, Failure, MissingScope, Page};
use access::lacks;
use usage::Usage;

pub use component::MetaGraphSettings;

/// The source, for people.
const NAME: &str = "Meta's Graph API";
/// The most comments of a page.
const PAGE: &str = "100";
/// The most pages of the comments of a post.
const MOST_PAGES: usize = 10;
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;

/// Reads comments of pages and accounts.
pub struct MetaGraph {
    settings: MetaGraphSettings,
    url: Url,
    token: Secret,
    http: Http,
    usage: Usage,
    /// Until when no request is sent.
    stopped: Option<Instant>,
    /// The clock of the caller.
    now: Instant,
    /// Requests since they were counted last.
    cost: u64,
}

const FACEBOOK: &str = "facebook";
const INSTAGRAM: &str = "instagram";

/// The name of a thing: its network, and its id there.
fn split(name: &str) -> (&'static str, &str) {
    match name.split_once(' ') {
        Some((INSTAGRAM, id)) => (INSTAGRAM, id),
        Some((_, id)) => (FACEBOOK, id),
        None => (FACEBOOK, name),
    }
}

impl MetaGraph {
    fn new(settings: MetaGraphSettings, url: Url) -> Self {
        Self {
            url,
            token: settings.token.clone(),
            settings,
            http: Http::new(NAME),
            usage: Usage::default(),
            stopped: None,
            now: Instant::now(),
            cost: 0,
        }
    }

    /// One request below the version, counted in the cost, with the usage that the answer states.
    fn request(&mut self, path: &str, query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        self.spare()?;
        let mut url = self.url.clone();
        url.set_path(&format!("/{}/{path}", self.settings.version));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.cost += 1;
        let token = self.token.reveal();
        let answer = self
            .http
            .ask(LONGEST_ANSWER, |client| client.get(url).bearer_auth(token))?;
        self.usage.note(&answer.headers);
        Ok(answer)
    }

    /// A page of a list of a network, and the cursor of the next one.
    fn page(
        &mut self,
        (network, object): (&str, &str),
        edge: &str,
        query: &[(&str, &str)],
    ) -> Result<(Vec<Value>, Option<String>), ConnectorError> {
        let answer = self.request(&format!("{object}/{edge}"), query)?;
        if let Some(wait) = self.usage.wait() {
            self.stopped = Some(self.now + wait);
        }
        if answer.status >= 300 {
            return Err(self.judged(&answer, network, edge));
        }
        let mut list: Value = serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("its answer is not a list: {error}");
            unavailable(NAME, detail, Failure::Server, None)
        })?;
        let paging = &list["paging"];
        let next = paging["next"].as_str().and(paging["cursors"]["after"].as_str());
        let next = next.map(str::to_owned);
        match list["data"].take() {
            Value::Array(data) => Ok((data, next)),
            _ => Err(unavailable(
                NAME,
                "its answer has no `data`".to_owned(),
                Failure::Server,
                None,
            )),
        }
    }

    /// Refuses a request while a limit is nearly used up.
    fn spare(&mut self) -> Result<(), ConnectorError> {
        let Some(stopped) = self.stopped else {
            return Ok(());
        };
        let wait = stopped.saturating_duration_since(self.now);
        if wait.is_zero() {
            self.stopped = None;
            self.usage.forget();
            return Ok(());
        }
        let detail = format!("only {} % of its limits are left", self.usage.left());
        Err(unavailable(NAME, detail, Failure::RateLimit, Some(wait)))
    }

    /// What an answer of 300 or more to a request of an edge means.
    fn judged(&self, answer: &Answer, network: &str, edge: &str) -> ConnectorError {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said: String = body["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        let code = body["error"]["code"].as_i64();
        let detail = format!("it answered {} {said}", answer.status);
        match code {
            Some(190 | 102) => refused(
                NAME,
                format!("{detail}: the token has ended: create another one, and set `token`"),
            ),
            Some(4 | 17 | 32 | 341 | 368 | 613 | 80_000..=80_014) => {
                unavailable(NAME, detail, Failure::RateLimit, self.usage.wait())
            }
            Some(10 | 200..=299) => lacks(answer, network, edge)
                .unwrap_or_else(|| answered(NAME, answer.status, &answer.headers, &answer.body)),
            Some(1 | 2) => unavailable(NAME, detail, Failure::Server, None),
            _ => answered(NAME, answer.status, &answer.headers, &answer.body),
        }
    }
}

/// The id and the time of a thing. Meta writes times as `2026-11-20T10:00:00+0000`.
fn id_and_time(thing: &Value) -> Option<(&str, Utc)> {
    let id = thing["id"].as_str();
    let id =
        id.filter(|id| (1..=100).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit() || b == b'_'))?;
    let time = thing["created_time"]
        .as_str()
        .or_else(|| thing["timestamp"].as_str())?;
    let time = match time.strip_suffix("+0000") {
        Some(time) => format!("{time}Z").parse(),
        None => time.parse(),
    };
    Some((id, time.ok()?))
}

/// A comment under the post of this name, whose owner is left out.
fn comment(comment: &Value, post: &str, owner: &str) -> Result<Thing, &'static str> {
    let (network, post_of_network) = split(post);
    let (id, written) = id_and_time(comment).ok_or("a comment without an id or a time")?;
    let author = comment["from"]["id"].as_str().filter(|author| !author.is_empty());
    let author = author.ok_or("without an author")?;
    if author == owner {
        return Err("of the page itself");
    }
    let text = comment["message"].as_str().or_else(|| comment["text"].as_str());
    let text = visible(text.unwrap_or_default());
    let parent = comment["parent"]["id"]
        .as_str()
        .or_else(|| comment["parent_id"].as_str());
    let parent = parent.unwrap_or(post_of_network);
    Ok(Thing {
        name: format!("{network} {id}"),
        place: post.to_owned(),
        author: author.to_owned(),
        written,
        version: random::hash(text.as_bytes()),
        revision: None,
        post: (!text.trim().is_empty()).then(|| json!({"text": text, "reply_to": post_id(network, parent)})),
    })
}

impl Forum for MetaGraph {
    fn name(&self) -> &str {
        NAME
    }

    fn network(&self, name: &str) -> &'static str {
        split(name).0
    }

    fn id_of(&self, name: &str) -> String {
        let (network, id) = split(name);
        post_id(network, id)
    }

    fn owners(&self) -> Vec<String> {
        let pages = self.settings.pages.iter().map(|id| format!("{FACEBOOK} {id}"));
        let accounts = self
            .settings
            .accounts
            .iter()
            .map(|id| format!("{INSTAGRAM} {id}"));
        pages.chain(accounts).collect()
    }

    fn posts(&mut self, owner: &str, page: &mut Page) -> Result<Vec<Post>, ConnectorError> {
        let (network, id) = split(owner);
        let (edge, fields) = match network {
            FACEBOOK => ("feed", "id,created_time,message,from"),
            _ => ("media", "id,timestamp"),
        };
        let most = self.settings.watch_posts.to_string();
        let (found, _) = self.page((network, id), edge, &[("fields", fields), ("limit", &most)])?;
        let mut posts = Vec::new();
        for post in found {
            let Some((post_of_network, written)) = id_and_time(&post) else {
                page.drop_one("a post without an id or a time");
                continue;
            };
            let name = format!("{network} {post_of_network}");
            // A visitor's post on a page is read too.
            let thing = match comment(&post, &name, id) {
                Ok(mut thing) if network == FACEBOOK => {
                    owner.clone_into(&mut thing.place);
                    if let Some(post) = thing.post.as_mut().and_then(Value::as_object_mut) {
                        post.remove("reply_to");
                    }
                    Some(thing)
                }
                _ => None,
            };
            posts.push(Post {
                name,
                written: written.as_millis(),
                thing,
                has_comments: true,
                owner: owner.to_owned(),
            });
        }
        posts.sort_by_key(|post| std::cmp::Reverse(post.written));
        Ok(posts)
    }

    fn comments(
        &mut self,
        post: &Post,
        marks: &Marks,
        wants_all: bool,
        page: &mut Page,
    ) -> Result<Comments, ConnectorError> {
        let (network, id) = split(&post.name);
        let owner = split(&post.owner).1;
        let mut query = match network {
            FACEBOOK => vec![
                ("fields", "id,message,created_time,from,parent{id}"),
                ("filter", "stream"),
                ("order", "reverse_chronological"),
            ],
            _ => vec![(
                "fields",
                "id,text,timestamp,from,parent_id,replies.limit(100){id,text,timestamp,from,parent_id}",
            )],
        };
        query.push(("limit", PAGE));
        let mut comments = Comments::default();
        let mut after: Option<String> = None;
        for number in 0..MOST_PAGES {
            let mut query = query.clone();
            query.extend(after.as_deref().map(|after| ("after", after)));
            let (found, next) = self.page((network, id), "comments", &query)?;
            for element in &found {
                let replies = element["replies"]["data"].as_array();
                for one in std::iter::once(element).chain(replies.into_iter().flatten()) {
                    match comment(one, &post.name, owner) {
                        Ok(thing) => comments.things.push(thing),
                        Err(reason) => page.drop_one(reason),
                    }
                }
            }
            after = next;
            if after.is_none() {
                comments.is_complete = true;
                break;
            }
            let oldest = comments.things.last().map(|thing| thing.written);
            let is_behind = oldest.is_some_and(|oldest| !marks.wants(&post.name, oldest));
            if is_behind && !wants_all {
                break;
            }
            if number + 1 == MOST_PAGES && !is_behind {
                page.drop_one("more comments of a post than are read in one turn");
            }
        }
        Ok(comments)
    }

    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        self.access()
    }

    fn take_cost(&mut self) -> u64 {
        std::mem::take(&mut self.cost)
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    fn pace(&self) -> Duration {
        self.usage.pace()
    }

    /// The documentation says "wait and retry": these waits are our own choice.
    fn schedule(&self, failure: Failure) -> Backoff {
        match failure {
            Failure::Connection | Failure::Server => {
                Backoff::new(Duration::from_secs(2), Duration::from_mins(5))
            }
            Failure::RateLimit => Backoff::new(Duration::from_mins(5), Duration::from_hours(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_both_networks_are_read_and_the_owner_is_left_out() {
        let facebook = json!({"id": "5_7", "message": "What a\u{200b} goal!", "created_time": "2026-11-20T10:00:00+0000",
            "from": {"id": "77", "name": "Ann"}, "parent": {"id": "5_6"}});
        let thing = comment(&facebook, "facebook 104_5", "104").unwrap();
        assert_eq!(thing.name, "facebook 5_7");
        assert_eq!(thing.written.to_string(), "2026-11-20T10:00:00.000Z");
        assert_eq!(
            thing.post.unwrap(),
            json!({"text": "What a goal!", "reply_to": post_id("facebook", "5_6")})
        );
        let instagram = json!({"id": "179", "text": "goal", "timestamp": "2026-11-20T10:00:00+0000", "from": {"id": "8"}});
        let thing = comment(&instagram, "instagram 178", "1784").unwrap();
        assert_eq!(thing.post.unwrap()["reply_to"], post_id("instagram", "178"));
        for (wrong, owner, said) in [
            (json!({"id": "../x"}), "1", "a comment without an id or a time"),
            (
                json!({"id": "1", "created_time": "2026-11-20T10:00:00+0000"}),
                "1",
                "without an author",
            ),
            (facebook, "77", "of the page itself"),
        ] {
            assert_eq!(comment(&wrong, "facebook 1", owner).unwrap_err(), said);
        }
    }
}
