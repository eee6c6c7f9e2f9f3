//! YouTube: comments and replies of channels and videos, asked over the YouTube Data API v3.
//!
//! What the server does is written from its documentation (developers.google.com/youtube: "`CommentThreads`: list", "Comments: list",
//! "Errors", read 2026-11-30 as far as a search shows it), and tested against a local server that we wrote:
//!
//! * `commentThreads.list` gives the threads of a channel (`allThreadsRelatedToChannelId`) or a video (`videoId`), newest first, at most 100
//!   a page, with `nextPageToken`. `comments.list` gives the replies of a thread, or comments by their ids. Each request costs one unit.
//! * A project has 10,000 units a day. No header says how many are left, so they are counted here, and requests are spread over the day.
//!   When they are spent, the answer is 403 with the reason `quotaExceeded`.
//! * A key without the API is answered with 403 and the reason `accessNotConfigured` (`SERVICE_DISABLED`, `API_KEY_SERVICE_BLOCKED` in
//!   google.rpc.ErrorInfo); a token with too few permissions with `insufficientPermissions`.
//! * A channel or a video without comments is answered with 403 (`commentsDisabled`) or 404.
//!
//! From memory: a thread contains up to five of its replies; the day of the quota begins at midnight in California; the order of threads is
//! that of their first comments; a list of ids has at most 50.
//!
//! A reply to an old thread is found when it is the thread's turn to be asked about. A comment that is not among those that were asked about
//! is deleted. If none of more than ten is there, the answer is doubted, and they are asked about again.
//!
//! Push notifications ([`push`]) tell of new videos only, never of comments. They are a hint: the video's threads are asked for at once and
//! some more times, and a channel's threads contain those of its new videos anyway.

mod comment;
mod component;
mod push;
mod threads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{Secret, Utc};
use limbic_stream::Backoff;
use reqwest::Url;
use serde_json::Value;

use crate::access::{self, Scope, collect, insufficient_scope, said};
use crate::http::{Answer, Http, answered, unavailable};
use crate::watch::{Asked, Marks, News, Thing};
use crate::{ConnectorError, Failure, MissingScope, Page};
use component::DAY;
use push::{Early, Push, Subscriptions};
use threads::{add, items};

pub use component::YouTubeSettings;
pub use push::YouTubePushSettings;

/// The source, for people.
const NAME: &str = "YouTube";
/// How many comments one question is about.
const ASKED_ABOUT: usize = 50;
/// What the project of the key, and the key, must permit.
const API: Scope = Scope {
    name: "YouTube Data API v3",
    wider: &[],
    needed_for: "comments",
    how: "in the project of the key at console.cloud.google.com, enable \"YouTube Data API v3\" (APIs & Services, Library), and add it to \
          the API restrictions of the key (APIs & Services, Credentials)",
};
/// What a token must permit that takes the place of a key.
const FORCE_SSL: Scope = Scope {
    name: "https://www.googleapis.com/auth/youtube.force-ssl",
    wider: &[],
    needed_for: "comments that not everybody sees",
    how: "set `key` to an API key (console.cloud.google.com, APIs & Services, Credentials), which reads public comments without it",
};
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
    /// What is pushed.
    pushed: Option<Pushed>,
    /// The clock of the caller.
    now: Instant,
}

/// What push notifications need.
struct Pushed {
    subscriptions: Subscriptions,
    early: Early,
}

/// What is read.
#[derive(Debug, Clone)]
struct Place {
    id: String,
    is_channel: bool,
    /// The place whose mark says how far it was read.
    mark: String,
}

/// Why a place brings nothing.
enum Trouble {
    /// This place alone. The reason is counted.
    OfPlace(&'static str),
    /// The whole source.
    OfSource(ConnectorError),
}

impl YouTube {
    fn new(settings: &YouTubeSettings, url: Url, push: Option<Arc<Push>>) -> Self {
        let place = |is_channel: bool| {
            move |id: &String| Place {
                id: id.clone(),
                is_channel,
                mark: id.clone(),
            }
        };
        let now = Instant::now();
        let pushed = push.map(|push| Pushed {
            subscriptions: Subscriptions::new(push, now),
            early: Early::new(settings.interval.get()),
        });
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
            pushed,
            now,
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
}

/// What an answer of 300 or more means.
fn judged(answer: &Answer) -> Trouble {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let reason = body["error"]["errors"][0]["reason"].as_str().unwrap_or_default();
    let limited = |wait: Option<Duration>| {
        let detail = format!("it answered {} {reason}", answer.status);
        Trouble::OfSource(unavailable(NAME, detail, Failure::RateLimit, wait))
    };
    // The newer form of Google's errors has its reasons in `details` (google.rpc.ErrorInfo).
    let details = body["error"]["details"].as_array().into_iter().flatten();
    let mut reasons = details
        .filter_map(|detail| detail["reason"].as_str())
        .chain([reason]);
    let lacks = |scope: &Scope, named: String| {
        let message = body["error"]["message"].as_str().unwrap_or_default();
        let missing = scope.missing_as(named, said(answer.status, message));
        Trouble::OfSource(access::error(NAME, missing))
    };
    if let Some(named) = insufficient_scope(&answer.headers) {
        return lacks(&FORCE_SSL, named);
    }
    let is_lacking = reasons.find_map(|reason| match reason {
        "accessNotConfigured" | "SERVICE_DISABLED" | "API_KEY_SERVICE_BLOCKED" => Some(&API),
        "insufficientPermissions" | "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => Some(&FORCE_SSL),
        _ => None,
    });
    if let Some(scope) = is_lacking {
        return lacks(scope, String::new());
    }
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

    fn errand_in(&self) -> Option<Duration> {
        let Pushed { subscriptions, early } = self.pushed.as_ref()?;
        let due = subscriptions
            .due_at(self.now)
            .into_iter()
            .chain(early.due_at())
            .min();
        Some(due.map_or(Duration::MAX, |at| at.saturating_duration_since(self.now)))
    }

    fn errand(
        &mut self,
        marks: &Marks,
        may_ask: bool,
        page: &mut Page,
    ) -> Result<Vec<Thing>, ConnectorError> {
        let mut things = Vec::new();
        let Some(Pushed { subscriptions, early }) = &mut self.pushed else {
            return Ok(things);
        };
        subscriptions.step(early, self.now, page);
        let Some((video, channel)) = early.next(self.now) else {
            return Ok(things);
        };
        if !may_ask {
            page.drop_one("an early question that would cost too much of the day's units");
            return Ok(things);
        }
        let place = Place {
            id: video,
            is_channel: false,
            mark: channel,
        };
        match self.threads(&place, marks, page, &mut things) {
            Ok(()) => Ok(things),
            Err(Trouble::OfSource(error)) => Err(error),
            Err(Trouble::OfPlace(reason)) => {
                page.drop_one(reason);
                if let Some(pushed) = &mut self.pushed {
                    pushed.early.forget(&place.id);
                }
                Ok(things)
            }
        }
    }

    /// One thread of the first place.
    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let mut missing = Vec::new();
        let Some(place) = self.places.first().cloned() else {
            return Ok(missing);
        };
        let parameter = if place.is_channel {
            "allThreadsRelatedToChannelId"
        } else {
            "videoId"
        };
        let query = [
            ("part", "id"),
            ("maxResults", "1"),
            ("order", "time"),
            (parameter, &*place.id),
        ];
        match self.list("commentThreads", &query) {
            // The place is not there, or is closed: that is not a matter of permissions.
            Ok(_) | Err(Trouble::OfPlace(_)) => {}
            Err(Trouble::OfSource(error)) => drop(collect::<()>(Err(error), &mut missing)?),
        }
        Ok(missing)
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
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
