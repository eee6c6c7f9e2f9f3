//! A server that behaves as Meta's Graph API.
//!
//! From its documentation (developers.facebook.com: "Graph API: Rate Limiting", "Paginated Results", "Handling Errors", "Page Post
//! Comments", "IG Media Comments", read 2026-11-30 as far as a search shows it): pages with cursors, which end with their thing;
//! `paging.next`; `filter` and `order`; the headers with the usage; codes of errors. From memory: media of an account.

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

/// The token that is right.
pub(crate) const TOKEN: &str = "the-page-token";
/// A page of Facebook, and an account of Instagram.
pub(crate) const PAGE: &str = "104952";
pub(crate) const ACCOUNT: &str = "178414";

pub(crate) struct GraphServer {
    pub(crate) listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) feed: Arc<Feed>,
    /// The things under an address, by their numbers.
    pub(crate) things: Mutex<BTreeMap<String, BTreeMap<u64, Value>>>,
    /// The requests of comments.
    pub(crate) listings: AtomicUsize,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// Further headers of all answers.
    pub(crate) headers: Mutex<Vec<(&'static str, String)>>,
    /// The code of the next answers.
    pub(crate) error: Mutex<Option<i64>>,
    /// What the person behind the token has granted. `None` = everything, and Meta does not tell.
    pub(crate) granted: Mutex<Option<Vec<&'static str>>>,
    /// Whether the token is that of a page, whose permissions Meta does not tell.
    pub(crate) is_of_page: AtomicBool,
    address: Mutex<String>,
}

/// What a request of an address needs, and the message without it.
fn lacks(shared: &Shared, path: &str) -> Option<String> {
    let granted = shared.granted.lock().clone()?;
    let is_account = path.starts_with(ACCOUNT) || path.starts_with("179");
    let scope = match (path.rsplit('/').next()?, is_account) {
        ("feed", _) => "pages_read_engagement",
        ("media", _) => "instagram_basic",
        ("comments", true) => "instagram_manage_comments",
        ("comments", false) => "pages_read_user_content",
        _ => return None,
    };
    if granted.contains(&scope) {
        return None;
    }
    // Only some messages name the permission.
    Some(if scope == "pages_read_engagement" {
        format!("(#10) This endpoint requires the '{scope}' permission")
    } else {
        "(#200) Permissions error".to_owned()
    })
}

impl GraphServer {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let listening = Listening::start(Arc::clone(&shared.feed), move |stream| serve(&of_thread, &stream));
        *shared.address.lock() = listening.address.to_string();
        Self { listening, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    pub(crate) fn write(&self, under: &str, number: u64, thing: Value) {
        let mut things = self.shared.things.lock();
        things.entry(under.to_owned()).or_default().insert(number, thing);
    }
}

fn refuse(shared: &Shared, stream: &TcpStream, code: i64) -> Served {
    let headers = shared.headers.lock().clone();
    let body = json!({"error": {"message": "An error of the test", "type": "OAuthException", "code": code, "fbtrace_id": "x"}});
    http::answer(stream, 400, &headers, body.to_string().as_bytes())
}

fn serve(shared: &Shared, mut stream: &TcpStream) -> Served {
    let request = http::read(stream)?;
    assert!(!request.query.contains(TOKEN), "a token in an address is in logs");
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return refuse(shared, stream, 190);
    }
    shared.requests.lock().push(request.clone());
    if let Some(code) = shared.error.lock().take() {
        return refuse(shared, stream, code);
    }
    let path = request.path.strip_prefix("/v24.0/").unwrap().to_owned();
    if path == "me/permissions" {
        let granted = shared.granted.lock().clone();
        return match granted.filter(|_| !shared.is_of_page.load(Ordering::SeqCst)) {
            None => refuse(shared, stream, 100),
            Some(granted) => {
                let granted = granted
                    .iter()
                    .map(|scope| json!({"permission": scope, "status": "granted"}));
                let declined = json!({"permission": "email", "status": "declined"});
                let list: Vec<Value> = granted.chain([declined]).collect();
                http::answer(stream, 200, &[], json!({"data": list}).to_string().as_bytes())
            }
        };
    }
    if let Some(message) = lacks(shared, &path) {
        let code = if message.starts_with("(#10)") { 10 } else { 200 };
        let body =
            json!({"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "x"}});
        return http::answer(stream, 403, &[], body.to_string().as_bytes());
    }
    let limit: usize = request.parameter("limit").unwrap().parse()?;
    assert!(limit <= 100 && request.parameter("fields").is_some());
    let mut fault = None;
    if path.ends_with("/comments") {
        shared.listings.fetch_add(1, Ordering::SeqCst);
        fault = shared.feed.fault();
        if path.starts_with(PAGE) {
            assert_eq!(request.parameter("filter").as_deref(), Some("stream"));
            assert_eq!(
                request.parameter("order").as_deref(),
                Some("reverse_chronological")
            );
        }
    }
    match fault {
        Some(Fault::Status(status, wait)) => {
            let wait: Vec<_> = wait
                .map(|wait| ("retry-after", wait.to_string()))
                .into_iter()
                .collect();
            return http::answer(stream, status, &wait, b"{}");
        }
        Some(Fault::CloseAfter(_)) => return Ok(()),
        Some(Fault::CutInFrame(_)) => {
            return Ok(
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n{\"data\": [{\"id\"")?
            );
        }
        _ => {}
    }
    // A cache without the newest things.
    let late = if matches!(fault, Some(Fault::Silent(_))) {
        3
    } else {
        0
    };
    let things = shared.things.lock();
    let newest: Vec<(&u64, &Value)> = things.get(&path).into_iter().flatten().rev().skip(late).collect();
    let begin = match request.parameter("after") {
        None => 0,
        Some(after) => {
            let after: u64 = after.trim_start_matches("QVFI").parse()?;
            // A cursor ends with its thing.
            let Some(place) = newest.iter().position(|(number, _)| **number == after) else {
                drop(things);
                return refuse(shared, stream, 100);
            };
            place + 1
        }
    };
    let page: Vec<Value> = newest
        .iter()
        .skip(begin)
        .take(limit)
        .map(|(_, thing)| (*thing).clone())
        .collect();
    let mut body = json!({"data": page});
    if let Some((last, _)) = newest.iter().skip(begin).take(limit).next_back() {
        let cursor = format!("QVFI{last}");
        body["paging"] = json!({"cursors": {"before": "x", "after": cursor}});
        if begin + page.len() < newest.len() {
            let address = shared.address.lock();
            // Nobody must follow it.
            body["paging"]["next"] =
                format!("http://{address}/followed?access_token={TOKEN}&after={cursor}").into();
        }
    }
    let headers = shared.headers.lock().clone();
    http::answer(stream, 200, &headers, body.to_string().as_bytes())
}
