//! The compliance streams of the X API v2.
//!
//! From its documentation (docs.x.com: "Compliance streams: introduction", "Stream Posts compliance data", "Compliance Data Objects", read
//! 2026-11-30 as far as a search shows it): four partitions of events of posts and four of accounts, `backfill_minutes` or `start_time`, the
//! names of events, and 403 without an agreement. From memory: the fields of the events of accounts.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use limbic_domain::Utc;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::feed::Feed;
use super::http::Request;

#[derive(Default)]
pub(crate) struct Compliance {
    feeds: Mutex<BTreeMap<(String, u8), Arc<Feed>>>,
    /// Whether the account has an agreement.
    pub(crate) is_agreed: AtomicBool,
}

/// The fields of an event of a post.
pub(crate) fn of_post(id: &str, author: &str) -> Value {
    json!({"tweet": {"id": id, "author_id": author}, "event_at": Utc::now()})
}

/// The fields of an event of an edit: the versions, the newest last.
pub(crate) fn of_edit(first: &str, versions: &[&str]) -> Value {
    json!({"tweet": {"id": versions.last().unwrap()}, "initial_tweet_id": first, "edit_tweet_ids": versions, "event_at": Utc::now()})
}

/// The fields of an event of an account.
pub(crate) fn of_account(id: &str) -> Value {
    json!({"user": {"id": id}, "event_at": Utc::now()})
}

impl Compliance {
    /// The events of a partition.
    pub(crate) fn feed(&self, kind: &str, partition: u8) -> Arc<Feed> {
        let mut feeds = self.feeds.lock();
        Arc::clone(feeds.entry((kind.to_owned(), partition)).or_default())
    }

    /// The queries of all connections so far.
    pub(crate) fn queries(&self) -> Vec<String> {
        let feeds = self.feeds.lock();
        feeds.values().flat_map(|feed| feed.queries()).collect()
    }

    /// Publishes an event. The id decides the partition.
    pub(crate) fn publish(&self, event: &str, fields: &Value) {
        let kind = if event.starts_with("user_") || event == "scrub_geo" {
            "users"
        } else {
            "tweets"
        };
        let id = &fields[if kind == "users" { "user" } else { "tweet" }]["id"];
        let id: u64 = id.as_str().unwrap().parse().unwrap();
        let at = Utc::now().as_millis();
        let line = json!({"data": {event: fields}}).to_string();
        self.feed(kind, (id % 4) as u8 + 1).publish(at, line);
    }

    /// The events of a request, and the place where it begins.
    pub(crate) fn asked(&self, kind: &str, request: &Request) -> (Arc<Feed>, usize) {
        let partition: u8 = request.parameter("partition").unwrap().parse().unwrap();
        assert!((1..=4).contains(&partition), "{}", request.query);
        let feed = self.feed(kind, partition);
        let minutes: Option<i64> = request
            .parameter("backfill_minutes")
            .map(|text| text.parse().unwrap());
        let time = request.parameter("start_time").map(|text| {
            assert!(
                text.len() == 20 && text.ends_with('Z'),
                "{text} is not YYYY-MM-DDTHH:mm:ssZ"
            );
            text.parse::<Utc>().unwrap().as_millis()
        });
        assert!(minutes.is_none_or(|minutes| (1..=5).contains(&minutes) && time.is_none()));
        let since = minutes
            .map(|minutes| Utc::now().as_millis() - 60_000 * minutes)
            .or(time);
        feed.note(&format!("{kind} {}", request.query));
        let place = feed.place(since);
        (feed, place)
    }
}

/// The kind of a path, if it is a compliance stream.
pub(crate) fn kind_of(path: &str) -> Option<&str> {
    path.strip_prefix("/2/")?.strip_suffix("/compliance/stream")
}

/// What X answers without an agreement.
pub(crate) fn refuse(stream: &TcpStream) -> super::feed::Served {
    let body = json!({"title": "Client Forbidden", "reason": "client-not-enrolled", "required_enrollment": "Enterprise"});
    super::http::answer(stream, 403, &[], body.to_string().as_bytes())
}
