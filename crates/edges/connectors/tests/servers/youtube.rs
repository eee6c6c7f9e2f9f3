//! A server that behaves as the YouTube Data API v3.
//!
//! From its documentation (developers.google.com/youtube: "`CommentThreads`: list", "Comments: list", "Errors", read 2026-11-30 as far as a
//! search shows it): threads of a channel or a video, newest first, at most 100 a page; replies by their parent; comments by their ids;
//! the reasons of 403. From memory: up to five replies in a thread, and at most 50 ids.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::feed::{Feed, Listening, Served};
use super::http::{self, Request};
use crate::suite::Fault;

/// The key that is right.
pub(crate) const KEY: &str = "the-api-key";
/// A channel, and a video without comments.
pub(crate) const CHANNEL: &str = "UCchannel";
pub(crate) const QUIET: &str = "quiet-video";

pub(crate) struct YouTubeServer {
    pub(crate) listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) feed: Arc<Feed>,
    /// Threads by their numbers: the comment, and replies.
    pub(crate) threads: Mutex<BTreeMap<u64, (Value, Vec<Value>)>>,
    /// The requests of threads of a place.
    pub(crate) listings: AtomicUsize,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// The answer to every request: its headers and its body.
    pub(crate) refusal: Mutex<Option<(Option<&'static str>, Value)>>,
    /// Units that are left.
    pub(crate) units: Mutex<Option<u64>>,
    /// Whether the answers about ids are empty.
    pub(crate) is_forgetful: AtomicBool,
}

impl YouTubeServer {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let listening = Listening::start(Arc::clone(&shared.feed), move |stream| serve(&of_thread, &stream));
        Self { listening, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }
}

fn refuse(stream: &TcpStream, status: u16, reason: &str) -> Served {
    let body = json!({"error": {"code": status, "message": reason, "errors": [{"reason": reason, "domain": "youtube"}]}});
    http::answer(stream, status, &[], body.to_string().as_bytes())
}

fn serve(shared: &Shared, stream: &TcpStream) -> Served {
    let request = http::read(stream)?;
    assert!(!request.query.contains(KEY), "a key in an address is in logs");
    if request.header("x-goog-api-key") != Some(KEY) {
        return refuse(stream, 400, "keyInvalid");
    }
    shared.requests.lock().push(request.clone());
    if let Some((challenge, body)) = shared.refusal.lock().clone() {
        let headers: Vec<_> = challenge
            .map(|challenge| ("www-authenticate", challenge.to_owned()))
            .into_iter()
            .collect();
        return http::answer(stream, 403, &headers, body.to_string().as_bytes());
    }
    if let Some(left) = shared.units.lock().as_mut() {
        if *left == 0 {
            return refuse(stream, 403, "quotaExceeded");
        }
        *left -= 1;
    }
    assert_eq!(request.parameter("textFormat").as_deref(), Some("plainText"));
    let ids = request.parameter("id");
    let ids: Option<Vec<&str>> = ids.as_deref().map(|ids| ids.split(',').collect());
    assert!(ids.as_ref().is_none_or(|ids| ids.len() <= 50));
    let threads = shared.threads.lock();
    let is_forgetful = shared.is_forgetful.load(Ordering::SeqCst);
    let wanted = |id: &Value| {
        ids.as_ref()
            .is_some_and(|ids| !is_forgetful && ids.iter().any(|wanted| id == wanted))
    };
    match request.path.as_str() {
        "/youtube/v3/commentThreads" if ids.is_some() => {
            let found = threads
                .values()
                .filter(|(top, _)| wanted(&top["id"]))
                .map(thread)
                .collect();
            list(stream, found, None, None)
        }
        "/youtube/v3/comments" if ids.is_some() => {
            let replies = threads.values().flat_map(|(_, replies)| replies);
            list(
                stream,
                replies.filter(|reply| wanted(&reply["id"])).cloned().collect(),
                None,
                None,
            )
        }
        "/youtube/v3/comments" => {
            let parent = request.parameter("parentId").unwrap();
            let (_, replies) = threads
                .values()
                .find(|(top, _)| top["id"] == parent.as_str())
                .unwrap();
            list(stream, replies.clone(), None, None)
        }
        "/youtube/v3/commentThreads" => {
            drop(threads);
            of_place(shared, stream, &request)
        }
        other => panic!("{other} is not an address of YouTube"),
    }
}

/// A thread with up to five replies.
fn thread((top, replies): &(Value, Vec<Value>)) -> Value {
    let newest: Vec<&Value> = replies.iter().rev().take(5).collect();
    json!({"id": top["id"], "snippet": {"channelId": CHANNEL, "videoId": video(top), "topLevelComment": top, "totalReplyCount": replies.len()},
        "replies": {"comments": newest}})
}

/// The video of a comment.
fn video(comment: &Value) -> &str {
    comment["snippet"]["videoId"].as_str().unwrap_or("a-video")
}

fn of_place(shared: &Shared, stream: &TcpStream, request: &Request) -> Served {
    if request.parameter("videoId").as_deref() == Some(QUIET) {
        return refuse(stream, 403, "commentsDisabled");
    }
    let of_video = request.parameter("videoId");
    if of_video.is_none() {
        let channel = request.parameter("allThreadsRelatedToChannelId").unwrap();
        if channel != CHANNEL {
            return refuse(stream, 404, "channelNotFound");
        }
        shared.listings.fetch_add(1, Ordering::SeqCst);
    }
    assert_eq!(request.parameter("order").as_deref(), Some("time"));
    let fault = shared.feed.fault();
    match fault {
        Some(Fault::Status(status, wait)) => {
            let wait: Vec<_> = wait
                .map(|wait| ("retry-after", wait.to_string()))
                .into_iter()
                .collect();
            return http::answer(stream, status, &wait, b"busy");
        }
        Some(Fault::CloseAfter(_)) => return Ok(()),
        _ => {}
    }
    // A cache without the newest threads.
    let late = if matches!(fault, Some(Fault::Silent(_))) {
        3
    } else {
        0
    };
    let begin: usize = request
        .parameter("pageToken")
        .map_or(0, |token| token.trim_start_matches("page-").parse().unwrap());
    let threads = shared.threads.lock();
    let is_there =
        |(top, _): &&(Value, Vec<Value>)| of_video.as_deref().is_none_or(|wanted| video(top) == wanted);
    let listed = || threads.values().rev().filter(is_there).skip(late);
    let page: Vec<Value> = listed().skip(begin).take(100).map(thread).collect();
    let next = (begin + 100 < listed().count()).then(|| format!("page-{}", begin + 100));
    list(stream, page, next, fault)
}

#[expect(clippy::needless_pass_by_value, reason = "an answer is made once and sent")]
fn list(mut stream: &TcpStream, items: Vec<Value>, next: Option<String>, fault: Option<Fault>) -> Served {
    let mut body = json!({"kind": "youtube#commentThreadListResponse", "pageInfo": {"totalResults": items.len()}, "items": items});
    if let Some(next) = next {
        body["nextPageToken"] = next.into();
    }
    let body = body.to_string();
    if matches!(fault, Some(Fault::CutInFrame(_))) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        return Ok(stream.write_all(&body.as_bytes()[..body.len() / 2])?);
    }
    http::answer(stream, 200, &[], body.as_bytes())
}
