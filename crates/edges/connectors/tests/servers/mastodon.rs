//! A server that behaves as an instance of Mastodon.
//!
//! From Mastodon's documentation (docs.joinmastodon.org: "streaming", "timelines", "Rate limits", "Instance", read 2026-11-30): events of a
//! stream have a type and a payload, as `event:` and `data:` lines with signs of life that begin with `:`, or as JSON over a
//! WebSocket; a deletion is the id on the instance. Timelines have at most 40 posts a page, newest first; `min_id` gives the posts
//! directly after an id, `Link` names the pages around. Three headers state the quota; without requests left the answer is 429.
//! `/api/v2/instance` names the streaming server. A wrong token is answered with 401.
//!
//! A token that does not permit a timeline is answered with 403; `apps/verify_credentials` names the permissions since 4.3.
//!
//! From memory: an id is a time in milliseconds, shifted by 16 bits. A stream does not repeat what was before it. The server cuts off a
//! reader that does not keep up.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use limbic_domain::Utc;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tungstenite::Message;

use super::feed::{Feed, Listening, Served, Wire};
use super::http::{self, Request};
use crate::suite::Fault;

/// Status and headers of an answer that is no timeline.
type Refusal = (u16, Vec<(&'static str, String)>);

pub(crate) struct Instance {
    pub(crate) listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    feed: Arc<Feed>,
    /// By their ids.
    statuses: Mutex<BTreeMap<u64, Value>>,
    /// The requests of timelines.
    pub(crate) timelines: Mutex<Vec<String>>,
    /// The answers to the next requests of timelines.
    pub(crate) refusals: Mutex<VecDeque<Refusal>>,
    /// Requests that are left, and when there are more again.
    pub(crate) quota: Mutex<Option<(u64, Utc)>>,
    /// Requests although none was left.
    pub(crate) violations: AtomicUsize,
    pub(crate) token: Mutex<Option<String>>,
    /// What the application of the token permits. Empty = everything.
    pub(crate) scopes: Mutex<Vec<&'static str>>,
    /// Whether the instance is older than version 4.3, and does not name the permissions.
    pub(crate) is_old: AtomicBool,
    /// How many events a new stream leaves out, as if it began late.
    pub(crate) late: AtomicUsize,
    address: Mutex<String>,
}

impl Instance {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let listening = Listening::start(Arc::clone(&shared.feed), move |stream| serve(&of_thread, stream));
        *shared.address.lock() = listening.address.to_string();
        Self { listening, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.shared.feed.plan(fault);
    }

    pub(crate) fn queries(&self) -> Vec<String> {
        self.shared.feed.queries()
    }

    /// A new post, or a changed one.
    pub(crate) fn write(&self, id: u64, status: Value, event: &str) {
        let payload = status.to_string();
        self.shared.statuses.lock().insert(id, status);
        self.announce(event, &payload);
    }

    pub(crate) fn delete(&self, id: u64) {
        self.shared.statuses.lock().remove(&id);
        self.announce("delete", &id.to_string());
    }

    /// An event in the streams alone.
    pub(crate) fn announce(&self, event: &str, payload: &str) {
        let event = json!({"stream": ["public:local"], "event": event, "payload": payload});
        self.shared.feed.publish(0, event.to_string());
    }

    pub(crate) fn status(&self, id: u64) -> Value {
        self.shared.statuses.lock()[&id].clone()
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> Served {
    if http::is_upgrade(&stream)? {
        let place = shared.feed.place(None) + shared.late.swap(0, Ordering::SeqCst);
        let fault = shared.feed.fault();
        let (mut socket, query) = shared.feed.accept(stream, "/api/v1/streaming", fault.as_ref())?;
        assert!(
            query.contains("stream=public%3Alocal") || query.contains("stream=hashtag"),
            "{query}"
        );
        let encode = |event: String| Some(Message::Text(event.into()));
        return shared.feed.send(&mut socket, place, fault.as_ref(), encode);
    }
    let request = http::read(&stream)?;
    let token = shared
        .token
        .lock()
        .as_ref()
        .map(|token| format!("Bearer {token}"));
    if token.is_some() && request.header("authorization") != token.as_deref() {
        let body = json!({"error": "The access token is invalid"}).to_string();
        return http::answer(&stream, 401, &[], body.as_bytes());
    }
    let scopes = shared.scopes.lock().clone();
    match request.path.as_str() {
        "/api/v1/apps/verify_credentials" => {
            let mut body = json!({"name": "limbic", "website": null});
            if !shared.is_old.load(Ordering::SeqCst) {
                body["scopes"] = json!(scopes);
            }
            http::answer(&stream, 200, &[], body.to_string().as_bytes())
        }
        path if path.contains("/timelines/")
            && !scopes.is_empty()
            && !scopes
                .iter()
                .any(|scope| matches!(*scope, "read" | "read:statuses")) =>
        {
            let body = json!({"error": "This action is outside the authorized scopes"}).to_string();
            http::answer(&stream, 403, &[], body.as_bytes())
        }
        "/api/v2/instance" => {
            let address = format!("ws://{}", shared.address.lock());
            let body = json!({"configuration": {"urls": {"streaming": address}}}).to_string();
            http::answer(&stream, 200, &[], body.as_bytes())
        }
        "/api/v1/timelines/public" | "/api/v1/timelines/tag/cup" => timeline(shared, &stream, &request),
        "/api/v1/streaming/public/local" | "/api/v1/streaming/hashtag" => events(shared, stream, &request),
        other => panic!("{other} is not an address of Mastodon"),
    }
}

fn timeline(shared: &Shared, stream: &TcpStream, request: &Request) -> Served {
    shared.timelines.lock().push(request.query.clone());
    if let Some((status, headers)) = shared.refusals.lock().pop_front() {
        return http::answer(stream, status, &headers, b"{\"error\": \"Too many requests\"}");
    }
    let mut headers = Vec::new();
    if let Some((left, resets_at)) = shared.quota.lock().as_mut() {
        headers.push(("X-RateLimit-Limit", "300".to_owned()));
        headers.push(("X-RateLimit-Remaining", left.saturating_sub(1).to_string()));
        headers.push(("X-RateLimit-Reset", resets_at.to_string()));
        if *left == 0 {
            shared.violations.fetch_add(1, Ordering::SeqCst);
            return http::answer(stream, 429, &headers, b"{\"error\": \"Too many requests\"}");
        }
        *left -= 1;
    }
    let number = |name: &str| request.parameter(name).map(|text| text.parse::<u64>().unwrap());
    let limit = number("limit").unwrap_or(20);
    assert!(limit <= 40 && (request.parameter("local").is_some() || request.path.contains("tag")));
    let statuses = shared.statuses.lock();
    let newest = number("min_id").is_none();
    let listed: Vec<(&u64, &Value)> = match number("min_id") {
        Some(after) => statuses.range(after + 1..).take(limit as usize).collect(),
        None => statuses.iter().rev().take(limit as usize).collect(),
    };
    let highest = listed.iter().map(|(id, _)| **id).max();
    if let Some(highest) = highest {
        let address = shared.address.lock();
        headers.push((
            "Link",
            format!("<http://{address}/x?max_id=1>; rel=\"next\", <http://{address}/x?limit=40&min_id={highest}>; rel=\"prev\""),
        ));
    }
    let mut body: Vec<&Value> = listed.into_iter().map(|(_, status)| status).collect();
    if !newest {
        body.reverse();
    }
    let body = serde_json::to_vec(&body)?;
    http::answer(stream, 200, &headers, &body)
}

/// Server-sent events in chunks.
struct Chunks(TcpStream);

impl Chunks {
    fn write(&mut self, text: &str) -> Served {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        Ok(self.0.write_all(chunk.as_bytes())?)
    }
}

impl Wire for Chunks {
    fn send(&mut self, event: String) -> Result<bool, Box<dyn std::error::Error>> {
        let event: Value = serde_json::from_str(&event)?;
        let (name, payload) = (
            event["event"].as_str().unwrap(),
            event["payload"].as_str().unwrap(),
        );
        self.write(&format!("event: {name}\ndata: {payload}\n\n"))?;
        Ok(true)
    }

    fn live(&mut self) -> Served {
        self.write(":thump\n")
    }

    fn close(&mut self) -> Served {
        Ok(self.0.write_all(b"0\r\n\r\n")?)
    }

    fn cut(&mut self) -> Served {
        // A chunk of 4,096 bytes, of which some are sent.
        Ok(self.0.write_all(b"1000\r\nevent: update\ndata: {\"id")?)
    }
}

fn events(shared: &Shared, stream: TcpStream, request: &Request) -> Served {
    stream.set_write_timeout(Some(super::feed::PATIENCE))?;
    let place = shared.feed.place(None) + shared.late.swap(0, Ordering::SeqCst);
    let fault = shared.feed.fault();
    if let Some(Fault::Status(status, wait)) = fault {
        let wait: Vec<_> = wait
            .map(|wait| ("retry-after", wait.to_string()))
            .into_iter()
            .collect();
        shared.feed.note(&request.query);
        return http::answer(&stream, status, &wait, b"busy");
    }
    let mut wire = Chunks(stream);
    wire.0.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    shared.feed.note(&request.query);
    wire.write(":)\n")?;
    shared.feed.send_over(&mut wire, place, fault.as_ref())
}
