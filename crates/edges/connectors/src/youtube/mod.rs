//! YouTube: comments and replies of channels and videos, asked over the YouTube Data API v3.
//!
//! What the server does is written from its documentation (developers.google.com/youtube: "`CommentThreads`: list", "Comments: list",
//! "Errors", read 2026-11-30 as far as a search shows it), and tested against a local server that we wrote:
//!
//! * `commentThreads.list` gives the threads of a channel (`allThreadsRelatedToChannelId`) or a video (`videoId`), newest first, at most 100
//!   a page, with `nextPageToken`. `comments.list` gives the replies of a thread, or comments by their ids. Each request costs one unit.
//! * A project has 10,000 units a day. No header says how many are left, so they are counted here, and requests are spread over the day.
//!   When they are spent, the answer is 403 with the reason `quotaExceeded`.
//! * A channel or a video without comments is answered with 403 (`commentsDisabled`) or 404.
//!
//! From memory: a thread contains up to five of its replies; the day of the quota begins at midnight in California; the order of threads is
//! that of their first comments; a list of ids has at most 50.
//!
//! A reply to an old thread is found when it is the thread's turn to be asked about. A comment that is not among those that were asked about
//! is deleted. If none of more than ten is there, the answer is doubted, and they are asked about again.
//!
//! Push notifications (`WebSub`) tell of new videos only, never of comments, and are not received: a channel's threads contain those of its
//! new videos.

mod comment;
mod component;

use std::collections::HashMap;
use std::time::Duration;

use limbic_domain::{Secret, Utc};
use limbic_stream::Backoff;
use reqwest::Url;
use serde_json::Value;

use crate::http::{Answer, Http, answered, unavailable};
use crate::watch::{Asked, Marks, News, Thing};
use crate::{ConnectorError, Failure, Page};
use component::DAY;

pub use component::YouTubeSettings;

/// The source, for people.
const NAME: &str = "YouTube";
/// The most comments of a page.
const PAGE: &str = "100";
/// The most pages of a place in one turn.
const MOST_PAGES: usize = 20;
/// The most pages of the replies of a thread in one turn.
const MOST_REPLY_PAGES: usize = 5;
/// How many comments one question is about.
const ASKED_ABOUT: usize = 50;
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;

/// Reads comments of YouTube.
pub struct YouTube {
    url: Url,
    key: Secret,
    places: Vec<Place>,
    http: Http,
    /// Requests since they were counted last.
    cost: u64,
    /// How many replies of a thread were read. Threads with more replies are asked for them.
    replies: HashMap<String, u64>,
    most_threads: usize,
}

/// What is read.
#[derive(Debug, Clone)]
struct Place {
    id: String,
    is_channel: bool,
}

/// Why a place brings nothing.
enum Trouble {
    /// This place alone. The reason is counted.
    OfPlace(&'static str),
    /// The whole source.
    OfSource(ConnectorError),
}

impl YouTube {
    fn new(settings: &YouTubeSettings, url: Url) -> Self {
        let place = |is_channel: bool| {
            move |id: &String| Place {
                id: id.clone(),
                is_channel,
            }
        };
        let channels = settings.channels.iter().map(place(true));
        let videos = settings.videos.iter().map(place(false));
        Self {
            url,
            key: settings.key.clone(),
            places: channels.chain(videos).collect(),
            http: Http::new(NAME),
            cost: 0,
            replies: HashMap::new(),
            most_threads: settings.remember.max(1_000),
        }
    }

    /// Asks for a list.
    fn list(&mut self, what: &str, query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let mut url = self.url.clone();
        url.set_path(&format!("/youtube/v3/{what}"));
        url.query_pairs_mut()
            .extend_pairs(query)
            .append_pair("textFormat", "plainText");
        self.cost += 1;
        let key = self.key.reveal();
        let answer = self.http.ask(LONGEST_ANSWER, |client| {
            client.get(url).header("x-goog-api-key", key)
        });
        let answer = answer.map_err(Trouble::OfSource)?;
        if answer.status >= 300 {
            return Err(judged(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("its answer is not a list: {error}");
            Trouble::OfSource(unavailable(NAME, detail, Failure::Server, None))
        })
    }

    /// The threads of a place behind its mark.
    fn threads(
        &mut self,
        place: &Place,
        marks: &Marks,
        page: &mut Page,
        things: &mut Vec<Thing>,
    ) -> Result<(), Trouble> {
        let filter = if place.is_channel {
            "allThreadsRelatedToChannelId"
        } else {
            "videoId"
        };
        let mut token: Option<String> = None;
        for number in 0..MOST_PAGES {
            let mut query = vec![
                ("part", "snippet,replies"),
                (filter, &place.id),
                ("order", "time"),
                ("maxResults", PAGE),
            ];
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let mut list = self.list("commentThreads", &query)?;
            let mut is_behind = false;
            for thread in items(&mut list) {
                let found = self.thread(&thread, &place.id, page, things)?;
                is_behind |= found.is_some_and(|written| !marks.wants(&place.id, written));
            }
            token = list["nextPageToken"].as_str().map(str::to_owned);
            if token.is_none() || is_behind || !marks.has(&place.id) {
                break;
            }
            if number + 1 == MOST_PAGES {
                page.drop_one("more new comments than are read in one turn");
            }
        }
        Ok(())
    }

    /// A thread with its replies. Returns when it began.
    fn thread(
        &mut self,
        thread: &Value,
        place: &str,
        page: &mut Page,
        things: &mut Vec<Thing>,
    ) -> Result<Option<Utc>, Trouble> {
        let snippet = &thread["snippet"];
        let video = snippet["videoId"].as_str();
        let top = add(&snippet["topLevelComment"], place, video, page, things);
        let (id, total) = (
            thread["id"].as_str().unwrap_or_default(),
            snippet["totalReplyCount"].as_u64().unwrap_or(0),
        );
        let inline = thread["replies"]["comments"].as_array();
        for reply in inline.into_iter().flatten() {
            add(reply, place, video, page, things);
        }
        let there = inline.map_or(0, Vec::len) as u64;
        let known = self.replies.get(id).copied().unwrap_or(0);
        if total > there.max(known) {
            self.more_replies(id, place, video, page, things)?;
        }
        if self.replies.len() >= self.most_threads {
            self.replies.clear();
        }
        self.replies.insert(id.to_owned(), total);
        Ok(top)
    }

    fn more_replies(
        &mut self,
        parent: &str,
        place: &str,
        video: Option<&str>,
        page: &mut Page,
        things: &mut Vec<Thing>,
    ) -> Result<(), Trouble> {
        let mut token: Option<String> = None;
        for number in 0..MOST_REPLY_PAGES {
            let mut query = vec![("part", "snippet"), ("parentId", parent), ("maxResults", PAGE)];
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let mut list = self.list("comments", &query)?;
            for reply in items(&mut list) {
                add(&reply, place, video, page, things);
            }
            token = list["nextPageToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
            if number + 1 == MOST_REPLY_PAGES {
                page.drop_one("more replies than are read in one turn");
            }
        }
        Ok(())
    }
}

fn items(list: &mut Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Adds a comment. Returns when it was written.
fn add(
    comment: &Value,
    place: &str,
    video: Option<&str>,
    page: &mut Page,
    things: &mut Vec<Thing>,
) -> Option<Utc> {
    match comment::thing(comment, place, video) {
        Ok(thing) => {
            let written = thing.written;
            // A reply can be in its thread and in a list of its own.
            if !things
                .iter()
                .rev()
                .take(600)
                .any(|known| known.name == thing.name)
            {
                things.push(thing);
            }
            Some(written)
        }
        Err(reason) => {
            page.drop_one(reason);
            None
        }
    }
}

/// What an answer of 300 or more means.
fn judged(answer: &Answer) -> Trouble {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let reason = body["error"]["errors"][0]["reason"].as_str().unwrap_or_default();
    let limited = |wait: Option<Duration>| {
        let detail = format!("it answered {} {reason}", answer.status);
        Trouble::OfSource(unavailable(NAME, detail, Failure::RateLimit, wait))
    };
    match reason {
        "commentsDisabled" => Trouble::OfPlace("a place whose comments are disabled"),
        "videoNotFound" | "channelNotFound" => Trouble::OfPlace("a place that is not there"),
        "quotaExceeded" | "dailyLimitExceeded" => limited(Some(DAY.next(Utc::now()))),
        "rateLimitExceeded" | "userRateLimitExceeded" => limited(None),
        _ => Trouble::OfSource(answered(NAME, answer.status, &answer.headers, &answer.body)),
    }
}

impl Asked for YouTube {
    fn name(&self) -> &str {
        NAME
    }

    fn network(&self, _: &str) -> &'static str {
        "youtube"
    }

    fn news(&mut self, marks: &Marks, page: &mut Page) -> Result<News, ConnectorError> {
        let mut news = News::default();
        for place in self.places.clone() {
            let before = news.things.len();
            match self.threads(&place, marks, page, &mut news.things) {
                Ok(()) => {}
                Err(Trouble::OfPlace(reason)) => page.drop_one(reason),
                Err(Trouble::OfSource(error)) if before == 0 => return Err(error),
                Err(Trouble::OfSource(error)) => {
                    news.things.truncate(before);
                    news.failed = Some(error);
                    break;
                }
            }
        }
        Ok(news)
    }

    fn again(&mut self, names: &[String], page: &mut Page) -> Result<Option<Vec<Thing>>, ConnectorError> {
        // The id of a reply contains that of its thread.
        let (replies, threads): (Vec<&str>, Vec<&str>) = names
            .iter()
            .map(String::as_str)
            .partition(|name| name.contains('.'));
        let mut things = Vec::new();
        if !threads.is_empty() {
            let query = [("part", "snippet,replies"), ("id", &*threads.join(","))];
            let mut list = self.list("commentThreads", &query).map_err(whole)?;
            for thread in items(&mut list) {
                let place = thread["snippet"]["videoId"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                self.thread(&thread, &place, page, &mut things).map_err(whole)?;
            }
        }
        if !replies.is_empty() {
            let query = [("part", "snippet"), ("id", &*replies.join(","))];
            let mut list = self.list("comments", &query).map_err(whole)?;
            for reply in items(&mut list) {
                add(&reply, "", None, page, &mut things);
            }
        }
        Ok(Some(things))
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

/// The error of a question that is about no place.
fn whole(trouble: Trouble) -> ConnectorError {
    match trouble {
        Trouble::OfSource(error) => error,
        Trouble::OfPlace(reason) => unavailable(NAME, reason.to_owned(), Failure::Server, None),
    }
}
