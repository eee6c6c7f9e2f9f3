//! A server that behaves as LinkedIn's Community Management API.
//!
//! From its documentation (learn.microsoft.com/linkedin: "Posts API", "Comments API", "Rate limits", read 2026-11-30 as far as a search shows
//! it): versioned headers, encoded urns in addresses, posts by their author, comments of posts and of comments, 429 above a limit that no
//! header states. From memory: the fields, `start` and `count`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::feed::{Feed, Listening, Served};
use super::http::{self, Request};
use crate::suite::Fault;

/// The token that is right.
pub(crate) const TOKEN: &str = "the-access-token";
/// The organisation.
pub(crate) const ORGANIZATION: &str = "2414183";

pub(crate) struct LinkedInServer {
    pub(crate) listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) feed: Arc<Feed>,
    pub(crate) posts: Mutex<Vec<Value>>,
    /// The comments under a urn, by their numbers.
    pub(crate) comments: Mutex<BTreeMap<String, BTreeMap<u64, Value>>>,
    /// The requests of comments of posts.
    pub(crate) listings: AtomicUsize,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// What the token permits. Empty = everything.
    pub(crate) scopes: Mutex<Vec<&'static str>>,
    /// Requests that are left.
    pub(crate) left: Mutex<Option<u64>>,
}

impl LinkedInServer {
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

fn refuse(stream: &TcpStream, status: u16, message: &str) -> Served {
    let body = json!({"status": status, "message": message});
    http::answer(stream, status, &[], body.to_string().as_bytes())
}

fn serve(shared: &Shared, mut stream: &TcpStream) -> Served {
    let request = http::read(stream)?;
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return refuse(stream, 401, "The token used in the request has expired");
    }
    if request.header("linkedin-version") != Some("202611") {
        return refuse(stream, 426, "Requested version 202001 is not active");
    }
    assert_eq!(request.header("x-restli-protocol-version"), Some("2.0.0"));
    shared.requests.lock().push(request.clone());
    let scopes = shared.scopes.lock().clone();
    let (scope, method) = if request.path.ends_with("/comments") {
        ("r_organization_social_feed", "socialActions.comments.GET_ALL")
    } else {
        ("r_organization_social", "posts.FINDER-author")
    };
    if !scopes.is_empty() && !scopes.contains(&scope) {
        let body = json!({"status": 403, "serviceErrorCode": 100, "code": "ACCESS_DENIED",
            "message": format!("Not enough permissions to access: {method}.20261101")});
        return http::answer(stream, 403, &[], body.to_string().as_bytes());
    }
    if let Some(left) = shared.left.lock().as_mut() {
        if *left == 0 {
            return refuse(
                stream,
                429,
                "Resource level throttle APPLICATION DAY limit for calls to this resource is reached.",
            );
        }
        *left -= 1;
    }
    let number = |name: &str| request.parameter(name).unwrap().parse::<usize>().unwrap();
    let (start, count) = (number("start"), number("count"));
    assert!(count <= 100);
    if request.path == "/rest/posts" {
        assert_eq!(request.parameter("q").as_deref(), Some("author"));
        let author = format!("urn:li:organization:{ORGANIZATION}");
        assert_eq!(request.parameter("author"), Some(author));
        let posts = shared.posts.lock();
        return list(
            stream,
            posts.iter().rev().skip(start).take(count).cloned().collect(),
            None,
        );
    }
    let urn = request.path.strip_prefix("/rest/socialActions/").unwrap();
    let urn = urn.strip_suffix("/comments").unwrap();
    assert!(!urn.contains([':', '(', ',']), "{urn} is not encoded");
    let urn = percent_encoding::percent_decode_str(urn)
        .decode_utf8()?
        .into_owned();
    let mut fault = None;
    if !urn.starts_with("urn:li:comment:") {
        shared.listings.fetch_add(1, Ordering::SeqCst);
        fault = shared.feed.fault();
    }
    match fault {
        Some(Fault::Status(status, wait)) => {
            let wait: Vec<_> = wait
                .map(|wait| ("retry-after", wait.to_string()))
                .into_iter()
                .collect();
            return http::answer(stream, status, &wait, b"{\"message\": \"busy\"}");
        }
        Some(Fault::CloseAfter(_)) => return Ok(()),
        _ => {}
    }
    // A cache without the newest comments.
    let late = if matches!(fault, Some(Fault::Silent(_))) {
        3
    } else {
        0
    };
    let comments = shared.comments.lock();
    let all: Vec<&Value> = comments
        .get(&urn)
        .into_iter()
        .flat_map(BTreeMap::values)
        .collect();
    let all = &all[..all.len().saturating_sub(late)];
    let page: Vec<Value> = all
        .iter()
        .skip(start)
        .take(count)
        .map(|comment| (*comment).clone())
        .collect();
    if matches!(fault, Some(Fault::CutInFrame(_))) {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n{\"elements\": [{\"act")?;
        return Ok(());
    }
    list(stream, page, Some(start))
}

#[expect(clippy::needless_pass_by_value, reason = "an answer is made once and sent")]
fn list(stream: &TcpStream, elements: Vec<Value>, start: Option<usize>) -> Served {
    let body =
        json!({"paging": {"start": start, "count": elements.len(), "links": []}, "elements": elements});
    http::answer(stream, 200, &[], body.to_string().as_bytes())
}
