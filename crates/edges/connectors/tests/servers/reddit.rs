//! A server that behaves as Reddit's API.
//!
//! From memory of its documentation (reddit.com/dev/api, "Data API Wiki", OAuth2): tokens for a client id and secret; a name of the program in
//! `User-Agent`; listings of at most 100 things, newest first, and 1,000 in all, with `after`; `/api/info`; deleted things are not in
//! listings; the quota in headers, 429 without one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use base64::Engine as _;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::feed::{Feed, Listening, Served};
use super::http::{self, Request};
use crate::suite::Fault;

pub(crate) struct RedditServer {
    listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    feed: Arc<Feed>,
    /// By their numbers.
    pub(crate) things: Mutex<BTreeMap<u64, Value>>,
    /// The requests of listings.
    pub(crate) listings: AtomicUsize,
    pub(crate) tokens: AtomicUsize,
    /// Whether the answers to requests about things are empty.
    pub(crate) is_forgetful: AtomicBool,
    /// Requests about things.
    pub(crate) questions: Mutex<Vec<usize>>,
    /// What tokens permit. Empty = everything.
    pub(crate) scope: Mutex<String>,
    /// Whether the answer with a token does not say what it permits.
    pub(crate) is_silent: AtomicBool,
    /// How long a token is valid, in seconds.
    pub(crate) validity: AtomicU64,
    /// Requests that are left.
    pub(crate) quota: Mutex<Option<u64>>,
    /// Requests although none was left.
    pub(crate) violations: AtomicUsize,
}

impl RedditServer {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        shared.validity.store(86_400, Ordering::SeqCst);
        let of_thread = Arc::clone(&shared);
        let listening = Listening::start(Arc::clone(&shared.feed), move |stream| serve(&of_thread, &stream));
        Self { listening, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.shared.feed.plan(fault);
    }
}

fn serve(shared: &Shared, stream: &TcpStream) -> Served {
    let request = http::read(stream)?;
    assert_eq!(
        request.header("user-agent"),
        Some("linux:limbic:test (by /u/ann)")
    );
    if request.path == "/api/v1/access_token" {
        return token(shared, stream, &request);
    }
    let current = format!("Bearer token-{}", shared.tokens.load(Ordering::SeqCst));
    assert_eq!(request.parameter("raw_json").as_deref(), Some("1"));
    if request.header("authorization") != Some(&current) {
        return http::answer(
            stream,
            401,
            &[],
            b"{\"message\": \"Unauthorized\", \"error\": 401}",
        );
    }
    let scope = shared.scope.lock().clone();
    if !scope.is_empty() && !scope.split(' ').any(|scope| scope == "read") {
        let challenge = "Bearer realm=\"reddit\", error=\"insufficient_scope\"".to_owned();
        let body = b"{\"message\": \"Forbidden\", \"error\": 403}";
        return http::answer(stream, 403, &[("www-authenticate", challenge)], body);
    }
    let mut headers = Vec::new();
    if let Some(left) = shared.quota.lock().as_mut() {
        headers.push(("x-ratelimit-remaining", format!("{}.0", left.saturating_sub(1))));
        headers.push(("x-ratelimit-used", "1".to_owned()));
        headers.push(("x-ratelimit-reset", "540".to_owned()));
        if *left == 0 {
            shared.violations.fetch_add(1, Ordering::SeqCst);
            return http::answer(stream, 429, &headers, b"Too Many Requests");
        }
        *left -= 1;
    }
    let is_gone = |thing: &Value| thing["data"]["author"] == "[deleted]";
    if request.path == "/api/info" {
        let names = request.parameter("id").unwrap();
        let names: Vec<&str> = names.split(',').collect();
        assert!(names.len() <= 100);
        shared.questions.lock().push(names.len());
        let things = shared.things.lock();
        let found = things
            .values()
            .filter(|thing| names.contains(&thing["data"]["name"].as_str().unwrap()))
            .filter(|_| !shared.is_forgetful.load(Ordering::SeqCst));
        return listing(stream, &headers, found.cloned().collect(), None, None);
    }
    let kind = match request.path.as_str() {
        "/r/football+tennis/new" => "t3_",
        "/r/football+tennis/comments" => "t1_",
        other => panic!("{other} is not an address of Reddit"),
    };
    shared.listings.fetch_add(1, Ordering::SeqCst);
    let fault = shared.feed.fault();
    if let Some(Fault::Status(status, wait)) = fault {
        let wait: Vec<_> = wait
            .map(|wait| ("retry-after", wait.to_string()))
            .into_iter()
            .collect();
        return http::answer(stream, status, &wait, b"{\"message\": \"busy\"}");
    }
    if matches!(fault, Some(Fault::CloseAfter(_))) {
        return Ok(());
    }
    let limit: usize = request.parameter("limit").unwrap().parse()?;
    assert!(limit <= 100);
    let after = request.parameter("after");
    let things = shared.things.lock();
    let mut newest: Vec<&Value> = things
        .values()
        .rev()
        .filter(|thing| thing["data"]["name"].as_str().unwrap().starts_with(kind) && !is_gone(thing))
        .take(1_000)
        .collect();
    // A cache without the newest things.
    if matches!(fault, Some(Fault::Silent(_))) {
        newest = newest.into_iter().skip(3).collect();
    }
    let begin = after.and_then(|after| {
        newest
            .iter()
            .position(|thing| thing["data"]["name"] == after.as_str())
    });
    let begin = begin.map_or(0, |place| place + 1);
    let page: Vec<Value> = newest
        .iter()
        .skip(begin)
        .take(limit)
        .map(|thing| (*thing).clone())
        .collect();
    let next = (begin + page.len() < newest.len()).then(|| page.last().unwrap()["data"]["name"].clone());
    listing(stream, &headers, page, next, fault)
}

fn token(shared: &Shared, stream: &TcpStream, request: &Request) -> Served {
    let right = base64::prelude::BASE64_STANDARD.encode("app:secret");
    let is_right = request.header("authorization") == Some(&format!("Basic {right}"))
        && request.field("grant_type").as_deref() == Some("client_credentials")
        && request.method == "POST";
    if !is_right {
        return http::answer(
            stream,
            401,
            &[],
            b"{\"message\": \"Unauthorized\", \"error\": 401}",
        );
    }
    let number = shared.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    let mut body = json!({"access_token": format!("token-{number}"), "token_type": "bearer",
        "expires_in": shared.validity.load(Ordering::SeqCst)});
    if !shared.is_silent.load(Ordering::SeqCst) {
        let scope = shared.scope.lock().clone();
        body["scope"] = if scope.is_empty() {
            "*".into()
        } else {
            scope.into()
        };
    }
    http::answer(stream, 200, &[], body.to_string().as_bytes())
}

#[expect(clippy::needless_pass_by_value, reason = "an answer is made once and sent")]
fn listing(
    mut stream: &TcpStream,
    headers: &[(&str, String)],
    children: Vec<Value>,
    after: Option<Value>,
    fault: Option<Fault>,
) -> Served {
    let body = json!({"kind": "Listing", "data": {"children": children, "after": after, "before": null}})
        .to_string();
    if matches!(fault, Some(Fault::CutInFrame(_))) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        return Ok(stream.write_all(&body.as_bytes()[..body.len() / 2])?);
    }
    http::answer(stream, 200, headers, body.as_bytes())
}
