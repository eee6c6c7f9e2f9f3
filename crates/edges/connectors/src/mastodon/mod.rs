//! Mastodon: public posts of one instance, live by WebSocket or server-sent events, and from its timeline after each connection.
//!
//! What the server does is written from Mastodon's documentation (docs.joinmastodon.org: "streaming", "timelines", "Rate limits",
//! "Guidelines", read 2026-11-30):
//!
//! * An event has a type (`update`, `status.update`, `delete` and others) and a payload; a status comes as JSON, a deletion as the id
//!   that the post has on this instance. Lines of server-sent events that begin with `:` are signs of life.
//! * The stream does not repeat what happened before. So this connector first opens the stream, then reads the timeline from the last
//!   known id on (`min_id`, 40 posts a page, the `Link` header names the next page), and then the stream. What comes twice is removed.
//!   Nothing says when the server has begun to send; so the timeline is read again some seconds later.
//! * `X-RateLimit-Remaining` and `X-RateLimit-Reset` say how many requests are left. If none is, no request is sent until the reset.
//! * The streaming server can have a name of its own, which `GET /api/v2/instance` tells.
//!
//! * A token that does not permit `read:statuses` or `read` is refused with 403 ("This action is outside the authorized scopes"), and by
//!   the streaming server with an error in the stream. `GET /api/v1/apps/verify_credentials` names the permissions of the application
//!   (since 4.3).
//!
//! From memory: an id is a time in milliseconds, shifted by 16 bits, of when the post was written; so a post that arrives late from another
//! instance has an id below newer ones, and reading begins `rewind` before the last id.
//!
//! If the instance refuses a page of that reading, the next connection goes on at this page.
//!
//! A post's id here is a hash of its URI, which is the same on all instances and contains the author. Deletions name only the id on this
//! instance, so the connector remembers the latest posts. A deletion of another post is counted and left out.
//! A deletion that is made while the connector is not connected is missed: no timeline repeats it.

mod access;
mod component;
mod known;
mod live;
mod status;

use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::Backoff;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use crate::http::{Answer, Http, may_follow, refused, unavailable};
use crate::quota::Quota;
use crate::wanted::Wanted;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, MOST_BYTES, MissingScope, Page};
use known::Known;
use live::{Arrived, Live};
use status::{Problem, Status};

pub use component::{MastodonSettings, Timeline, Transport};

/// The social network's slug.
pub(crate) const NETWORK: &str = "mastodon";
/// The most posts of a page of the timeline that the server gives.
const TIMELINE_PAGE: &str = "40";
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 8 << 20;
/// How long after it was opened a stream has surely begun.
const SETTLES_IN: Duration = Duration::from_secs(5);
/// The bits of an id below its time in milliseconds.
const BITS_BELOW_TIME: u32 = 16;

/// Reads public posts of a Mastodon instance.
pub struct Mastodon {
    settings: MastodonSettings,
    base: Url,
    /// The source, for people.
    name: String,
    wanted: Wanted,
    http: Http,
    quota: Quota,
    known: Known,
    /// The address of the streaming server, when the instance has told it.
    streaming: Option<Url>,
    open: Option<Open>,
    /// Where the reading of the timeline failed that a new connection begins with.
    resumes: Option<Resume>,
    /// The clock of the caller.
    now: Instant,
    /// What ended the last connection, if the events before it were returned first.
    failed: Option<ConnectorError>,
}

/// An open stream.
struct Open {
    live: Live,
    /// The highest id that was read: the cursor of the caller.
    position: u64,
    /// The timeline is read from this id on, before the stream.
    catching_up: Option<u64>,
    /// When the timeline is read again, and from which id on.
    again: Option<(Instant, u64)>,
}

/// A place in the timeline at which reading goes on.
#[derive(Debug, Clone, Copy)]
struct Resume {
    /// The cursor of the caller there.
    position: u64,
    /// The next page has the posts behind this id.
    after: u64,
}

/// Where a status comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    New,
    Edited,
    Timeline,
}

impl Mastodon {
    fn new(settings: MastodonSettings, base: Url, wanted: Wanted) -> Self {
        let name = format!("Mastodon at {}", base.host_str().unwrap_or_default());
        Self {
            http: Http::new(name.clone()),
            known: Known::new(settings.remember),
            settings,
            base,
            name,
            wanted,
            quota: Quota::default(),
            streaming: None,
            open: None,
            resumes: None,
            now: Instant::now(),
            failed: None,
        }
    }

    /// Asks the instance, unless its quota is spent. The answer can have any status.
    fn ask(&mut self, path: &str, query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        if let Some(wait) = self.quota.wait(Utc::now()) {
            let detail = "the quota of requests is spent".to_owned();
            return Err(unavailable(&self.name, detail, Failure::RateLimit, Some(wait)));
        }
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let token = self.settings.token.as_ref();
        let answer = self.http.ask(LONGEST_ANSWER, |client| {
            let request = client.get(url);
            match token {
                Some(token) => request.bearer_auth(token.reveal()),
                None => request,
            }
        })?;
        self.quota.note(&answer.headers, Utc::now());
        Ok(answer)
    }

    /// A page of the timeline, oldest first, and the id that the next page begins at.
    fn timeline(&mut self, query: &[(&str, &str)]) -> Result<(Vec<Listed>, Option<u64>), ConnectorError> {
        let path = match &self.settings.tag {
            Some(tag) => format!("/api/v1/timelines/tag/{tag}"),
            None => "/api/v1/timelines/public".to_owned(),
        };
        let part = self.settings.timeline.parameter();
        let query: Vec<(&str, &str)> = part
            .map(|part| (part, "true"))
            .into_iter()
            .chain(query.iter().copied())
            .collect();
        let answer = self.ask(&path, &query)?;
        if let Some(error) = self.lacks(&answer) {
            return Err(error);
        }
        let answer = answer.checked(&self.name)?;
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("the timeline is not a list: {error}");
            unavailable(&self.name, detail, Failure::Server, None)
        })?;
        let mut listed: Vec<Listed> = listed.into_iter().map(Listed::of).collect();
        listed.sort_by_key(|listed| listed.id);
        let highest = listed.last().and_then(|listed| listed.id);
        let next = min_id_of_link(&answer.headers).or(highest);
        Ok((listed, next))
    }

    /// Where the source begins by itself: at its newest post.
    fn beginning(&mut self) -> Result<u64, ConnectorError> {
        let (listed, _) = self.timeline(&[("limit", "1")])?;
        let newest = listed.last().and_then(|listed| listed.id).unwrap_or(0);
        Ok(newest.saturating_sub(ids_in(self.settings.catch_up.get())))
    }

    /// The streaming server that the instance names, or the instance.
    fn streaming(&mut self) -> Result<Url, ConnectorError> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Instance {
            configuration: Configuration,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Configuration {
            urls: Urls,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Urls {
            streaming: Option<String>,
        }
        if let Some(known) = &self.streaming {
            return Ok(known.clone());
        }
        let answer = self.ask("/api/v2/instance", &[])?;
        // An instance before version 4 has no such page.
        let named = if answer.status == 404 {
            None
        } else {
            let answer = answer.checked(&self.name)?;
            let instance: Instance = serde_json::from_slice(&answer.body).unwrap_or_default();
            instance.configuration.urls.streaming
        };
        let named = named.and_then(|named| named.parse::<Url>().ok());
        let address = named
            .filter(|named| may_follow(named, &self.base))
            .unwrap_or_else(|| self.base.clone());
        self.streaming = Some(address.clone());
        Ok(address)
    }

    fn connect(&mut self, position: u64) -> Result<Open, ConnectorError> {
        let address = self.streaming()?;
        let live = Live::open(&self.settings, &address, &mut self.http, &self.name)?;
        let resumes = self.resumes.take().filter(|resumes| resumes.position == position);
        let begins_after = match resumes {
            // Otherwise a quota that is smaller than the rewind would never reach its end.
            Some(resumes) => resumes.after,
            None => position.saturating_sub(ids_in(self.settings.rewind.get())),
        };
        Ok(Open {
            live,
            position,
            catching_up: Some(begins_after),
            again: Some((self.now + SETTLES_IN, position)),
        })
    }

    /// One page of the timeline. The last one is empty.
    fn catch_up(&mut self, open: &mut Open, after: u64, page: &mut Page) -> Result<(), ConnectorError> {
        let min_id = after.to_string();
        let (listed, next) = self.timeline(&[("limit", TIMELINE_PAGE), ("min_id", &min_id)])?;
        for Listed { id, status } in listed {
            match (id, status) {
                (Some(id), Ok(status)) => {
                    self.take_status(&status, id, Origin::Timeline, open.position, page);
                    open.position = open.position.max(id);
                }
                (_, Err(problem)) => page.items.push(Item::Unreadable(problem)),
                (None, Ok(_)) => page.items.push(Item::Unreadable(
                    "a post whose id is not a number: the server is not Mastodon".to_owned(),
                )),
            }
        }
        // A page that leads nowhere is the last one too.
        open.catching_up = next.filter(|next| *next > after);
        if let Some((_, from)) = &mut open.again {
            *from = after.max(*from);
        }
        page.has_more = true;
        Ok(())
    }

    /// The events that are there, or those of the next half second.
    fn read(&mut self, open: &mut Open, page: &mut Page, most: usize) -> Result<(), String> {
        let (mut events, mut bytes) = (0, 0);
        while events < most && bytes < MOST_BYTES {
            match open.live.receive(&mut self.http, events == 0) {
                Ok(Arrived::Nothing) => break,
                Ok(Arrived::Event { name, payload }) => {
                    bytes += payload.len();
                    self.take_event(&name, &payload, open, page);
                }
                Err(problem) if events == 0 => return Err(problem),
                // First the events before it, so that a server that often fails is read nevertheless.
                Err(problem) => {
                    self.failed = Some(unavailable(&self.name, problem, Failure::Connection, None));
                    break;
                }
            }
            events += 1;
        }
        page.has_more = events == most || bytes >= MOST_BYTES;
        Ok(())
    }

    fn take_event(&mut self, name: &str, payload: &str, open: &mut Open, page: &mut Page) {
        let origin = match name {
            "update" => Origin::New,
            "status.update" => Origin::Edited,
            "delete" => return self.take_deletion(payload, page),
            _ => return page.drop_one("another kind of event"),
        };
        let listed = serde_json::from_str(payload).map(Listed::of);
        match listed {
            Ok(Listed {
                id: Some(id),
                status: Ok(status),
            }) => {
                self.take_status(&status, id, origin, open.position, page);
                // An edit has the id of its post, which can be old.
                open.position = open.position.max(id);
            }
            Ok(Listed {
                status: Err(problem), ..
            }) => page.items.push(Item::Unreadable(problem)),
            Ok(Listed { id: None, .. }) => page.items.push(Item::Unreadable(
                "an event whose post has no number as its id".to_owned(),
            )),
            Err(error) => page
                .items
                .push(Item::Unreadable(format!("the payload of `{name}`: {error}"))),
        }
    }

    fn take_deletion(&mut self, payload: &str, page: &mut Page) {
        let known = payload.trim().parse().ok().and_then(|id| self.known.take(id));
        let Some(known) = known else {
            return page.drop_one("deletion of an unknown post");
        };
        let deletion = json!({
            "network": NETWORK, "id": known.post, "author": known.author, "deleted_at": Utc::now(),
        });
        page.items.push(Item::Deletion(deletion));
    }

    fn take_status(&mut self, status: &Status, id: u64, origin: Origin, position: u64, page: &mut Page) {
        let is_known = self.known.has(id);
        // The first version that this connector brings counts as the first one, even if it was edited before.
        let is_first = match origin {
            Origin::New => true,
            Origin::Edited => false,
            Origin::Timeline => status.edited_at().is_none() || (!is_known && id > position),
        };
        let parent = status.in_reply_to().and_then(|parent| self.known.post(parent));
        let (author, post_id) = (status.author(), status.post_id());
        let is_edit = !is_first;
        let gone = |page: &mut Page| {
            let deletion =
                json!({"network": NETWORK, "id": post_id, "author": author, "deleted_at": Utc::now()});
            page.items.push(Item::Deletion(deletion));
        };
        match status.post(parent, is_edit) {
            Ok(post) if self.wanted.has(post["text"].as_str().unwrap_or_default()) => {
                self.known.note(id, &post_id, &author);
                page.items.push(Item::Post(post));
            }
            // A text that nobody wants any more: the earlier one is not the author's any more.
            Ok(_) | Err(Problem::LeftOut(_)) if is_edit && is_known => gone(page),
            Ok(_) => page.drop_one("not wanted"),
            Err(Problem::LeftOut(reason)) => page.drop_one(reason),
            Err(Problem::Malformed(problem)) => page.items.push(Item::Unreadable(problem)),
        }
    }
}

/// A status with its id on the instance.
struct Listed {
    id: Option<u64>,
    status: Result<Status, String>,
}

impl Listed {
    fn of(value: serde_json::Value) -> Self {
        Self {
            id: value["id"].as_str().and_then(|id| id.parse().ok()),
            status: serde_json::from_value(value).map_err(|error| format!("not a status: {error}")),
        }
    }
}

/// How far apart two ids are whose posts are this far apart in time.
fn ids_in(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    millis.saturating_mul(1 << BITS_BELOW_TIME)
}

/// The `min_id` of the address to which `Link` refers as `prev`: newer posts. Only this number is used, never the address.
fn min_id_of_link(headers: &reqwest::header::HeaderMap) -> Option<u64> {
    let links = headers.get(reqwest::header::LINK)?.to_str().ok()?;
    let newer = links.split(',').find(|link| link.contains("rel=\"prev\""))?;
    let address = newer.split_once('<')?.1.split_once('>')?.0;
    let address: Url = address.parse().ok()?;
    let (_, id) = address.query_pairs().find(|(name, _)| name == "min_id")?;
    id.parse().ok()
}

impl Connector for Mastodon {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let position: Option<u64> = match after {
            None => None,
            Some(cursor) => Some(cursor.0.parse().map_err(|_| ConnectorError::UnknownCursor {
                source_name: self.name.clone(),
                cursor: cursor.0.clone(),
            })?),
        };
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let is_there = position.is_some() && self.open.as_ref().map(|open| open.position) == position;
        if !is_there {
            self.open = None;
            let position = match position {
                Some(position) => position,
                None => self.beginning()?,
            };
            self.open = Some(self.connect(position)?);
        }
        let mut open = self.open.take().expect("it was opened above");
        let mut page = Page::default();
        if open.catching_up.is_none()
            && let Some((_, from)) = open.again.take_if(|(at, _)| *at <= self.now)
        {
            open.catching_up = Some(from);
        }
        if let Some(after) = open.catching_up {
            let caught_up = self.catch_up(&mut open, after, &mut page);
            if caught_up.is_err() && open.again.is_some() {
                let position = open.position;
                self.resumes = Some(Resume { position, after });
            }
            caught_up?;
        } else {
            let read = self.read(&mut open, &mut page, most);
            read.map_err(|problem| unavailable(&self.name, problem, Failure::Connection, None))?;
        }
        page.next = Some(Cursor(open.position.to_string()));
        page.quota_left = self.quota.left();
        if open.position > 0 {
            page.clock = Some(Utc::from_millis((open.position >> BITS_BELOW_TIME) as i64));
        }
        if self.failed.is_none() {
            self.open = Some(open);
        }
        Ok(page)
    }

    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        self.access()
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    fn reset(&mut self) {
        self.open = None;
        self.failed = None;
    }

    fn stalls_after(&self) -> Option<Duration> {
        Some(self.settings.stall_after.get())
    }

    fn wait_when_idle(&self) -> Duration {
        Duration::ZERO
    }

    /// The documentation states no schedule: these waits are our own choice.
    fn schedule(&self, failure: Failure) -> Backoff {
        match failure {
            Failure::Connection | Failure::Server => {
                Backoff::new(Duration::from_secs(1), Duration::from_mins(2))
            }
            Failure::RateLimit => Backoff::new(Duration::from_mins(1), Duration::from_mins(15)),
        }
    }
}

/// The error for a stream that cannot be asked for.
fn of_address(name: &str, detail: impl std::fmt::Display) -> ConnectorError {
    refused(name, detail.to_string())
}
