//! A server that behaves as the X API v2.
//!
//! From its documentation (docs.x.com, read 2026-11-30 as far as a search shows it: "Handling disconnections", "Filtered stream", "Update
//! stream rules", "Posts lookup", "Place objects", "Recent search pagination", "Rate limits", "Batch compliance"): rules with tags, the matching rules of each post; one
//! object a line and empty lines as signs of life; `backfill_minutes`; pages of the search, newest first, with tokens that do not end; jobs
//! with addresses for the upload and the result; three headers with the quota of each part; 429 without one.
//!
//! From memory: the messages before an end of the stream, and their fields.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use limbic_domain::Utc;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::feed::{Feed, Listening, PATIENCE, Served, Wire};
use super::http::{self, Request};
use super::x_compliance::{Compliance, kind_of, refuse};
use crate::suite::Fault;

/// The token that is right.
pub(crate) const TOKEN: &str = "the-bearer-token";

pub(crate) struct XServer {
    pub(crate) listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) feed: Arc<Feed>,
    /// By their ids.
    pub(crate) places: Mutex<BTreeMap<String, Value>>,
    /// The failures of the next of them.
    pub(crate) lookup_faults: Mutex<VecDeque<Fault>>,
    /// The ids of questions about posts by their ids.
    pub(crate) lookups: Mutex<Vec<String>>,
    /// By their ids.
    pub(crate) posts: Mutex<BTreeMap<u64, Value>>,
    /// Id, value and tag.
    pub(crate) rules: Mutex<Vec<(String, String, String)>>,
    pub(crate) changes: AtomicUsize,
    /// The queries of searches.
    pub(crate) searches: Mutex<Vec<String>>,
    /// The ids of posts that are gone, with the reason.
    pub(crate) gone: Mutex<BTreeMap<String, &'static str>>,
    pub(crate) jobs: Mutex<Vec<Job>>,
    /// Where the upload of jobs is, if not here.
    pub(crate) upload: Mutex<Option<String>>,
    /// Requests that are left of a path, and when there are more again, in seconds since 1970.
    pub(crate) quotas: Mutex<BTreeMap<&'static str, (u64, i64)>>,
    /// Requests although none was left.
    pub(crate) violations: AtomicUsize,
    pub(crate) compliance: Compliance,
    /// The body of 403 to requests of a part.
    pub(crate) refusals: Mutex<BTreeMap<&'static str, Value>>,
    /// Whether streams send nothing at all, not even signs of life.
    pub(crate) is_mute: AtomicBool,
    address: Mutex<String>,
}

#[derive(Default)]
pub(crate) struct Job {
    pub(crate) ids: BTreeSet<String>,
    looks: usize,
}

impl Shared {
    /// Adds the places of posts, as the expansion asks for them.
    fn include(&self, body: &mut Value, posts: &[&Value]) {
        let places = self.places.lock();
        let ids = posts.iter().filter_map(|post| post["geo"]["place_id"].as_str());
        let found: Vec<Value> = ids.filter_map(|id| places.get(id).cloned()).collect();
        if !found.is_empty() {
            body["includes"] = json!({"places": found});
        }
    }

    /// A version that no rule matches any more: it is not in the stream.
    pub(crate) fn write_silently(&self, id: u64, post: Value) {
        self.posts.lock().insert(id, post);
    }
}

fn asks_for_places(request: &Request) {
    let fields = request.parameter("tweet.fields").unwrap();
    assert!(fields.split(',').any(|field| field == "geo"), "{fields}");
    assert_eq!(request.parameter("expansions").as_deref(), Some("geo.place_id"));
    assert!(!request.parameter("place.fields").unwrap().contains("geo"));
}

fn lookup(shared: &Shared, stream: &TcpStream, headers: &[(&str, String)], request: &Request) -> Served {
    asks_for_places(request);
    let ids = request.parameter("ids").unwrap();
    shared.lookups.lock().push(ids.clone());
    if let Some(Fault::Status(status, _)) = shared.lookup_faults.lock().pop_front() {
        return http::answer(stream, status, headers, b"{\"title\": \"busy\"}");
    }
    let ids: Vec<&str> = ids.split(',').collect();
    assert!((1..=100).contains(&ids.len()));
    let posts = shared.posts.lock();
    let found = |id: &&str| posts.get(&id.parse::<u64>().unwrap());
    let data: Vec<&Value> = ids.iter().filter_map(found).collect();
    let errors: Vec<Value> = ids
        .iter()
        .filter(|id| found(id).is_none())
        .map(|id| {
            json!({"value": id, "title": "Not Found Error", "resource_type": "tweet", "parameter": "ids", "resource_id": id,
                "type": "https://api.twitter.com/2/problems/resource-not-found"})
        })
        .collect();
    let mut body = json!({});
    shared.include(&mut body, &data);
    for (name, list) in [("data", json!(data)), ("errors", json!(errors))] {
        if list != json!([]) {
            body[name] = list;
        }
    }
    http::answer(stream, 200, headers, body.to_string().as_bytes())
}

impl XServer {
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

    /// A new post, or a version of one.
    pub(crate) fn write(&self, id: u64, post: Value, tag: &str) {
        let mut line = json!({"data": post, "matching_rules": [{"id": "1", "tag": tag}]});
        self.shared.include(&mut line, &[&post]);
        let line = line.to_string();
        self.shared.posts.lock().insert(id, post);
        self.shared.feed.publish(id as i64, line);
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> Served {
    let request = http::read(&stream)?;
    // Addresses outside the API prove themselves.
    if let Some(job) = request.path.strip_prefix("/storage/") {
        assert_eq!(
            request.header("authorization"),
            None,
            "the token is not sent there"
        );
        return storage(shared, &stream, &request, job.parse()?);
    }
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return http::answer(
            &stream,
            401,
            &[],
            b"{\"title\": \"Unauthorized\", \"status\": 401}",
        );
    }
    let part = match (request.method.as_str(), request.path.as_str()) {
        (_, "/2/tweets/search/stream/rules") => "rules",
        ("GET", "/2/tweets/search/stream") => "stream",
        ("GET", "/2/tweets/search/recent") => "search",
        ("GET", "/2/tweets") => "lookup",
        (_, path) if path.starts_with("/2/compliance/jobs") => "jobs",
        ("GET", path) if kind_of(path).is_some() => "compliance",
        other => panic!("{other:?} is not an address of X"),
    };
    if let Some(body) = shared.refusals.lock().get(part) {
        return http::answer(&stream, 403, &[], body.to_string().as_bytes());
    }
    let mut headers = Vec::new();
    if let Some((left, reset)) = shared.quotas.lock().get_mut(part) {
        headers.push(("x-rate-limit-limit", "450".to_owned()));
        headers.push(("x-rate-limit-remaining", left.saturating_sub(1).to_string()));
        headers.push(("x-rate-limit-reset", reset.to_string()));
        if *left == 0 {
            shared.violations.fetch_add(1, Ordering::SeqCst);
            return http::answer(&stream, 429, &headers, b"{\"title\": \"Too Many Requests\"}");
        }
        *left -= 1;
    }
    match part {
        "rules" => rules(shared, &stream, &headers, &request),
        "stream" => filtered(shared, stream, &headers, &request),
        "lookup" => lookup(shared, &stream, &headers, &request),
        "search" => search(shared, &stream, &headers, &request),
        "compliance" => compliance(shared, stream, &headers, &request),
        _ => jobs(shared, &stream, &headers, &request),
    }
}

fn rules(shared: &Shared, stream: &TcpStream, headers: &[(&str, String)], request: &Request) -> Served {
    let mut rules = shared.rules.lock();
    if request.method == "GET" {
        let data: Vec<Value> = rules
            .iter()
            .map(|(id, value, tag)| json!({"id": id, "value": value, "tag": tag}))
            .collect();
        let mut body = json!({"meta": {"sent": Utc::now(), "result_count": data.len()}});
        if !data.is_empty() {
            body["data"] = data.into();
        }
        return http::answer(stream, 200, headers, body.to_string().as_bytes());
    }
    shared.changes.fetch_add(1, Ordering::SeqCst);
    let change: Value = serde_json::from_slice(&request.body)?;
    if let Some(ids) = change["delete"]["ids"].as_array() {
        rules.retain(|(id, ..)| !ids.iter().any(|gone| gone == id.as_str()));
        return http::answer(
            stream,
            200,
            headers,
            b"{\"meta\": {\"summary\": {\"deleted\": 1}}}",
        );
    }
    for rule in change["add"].as_array().unwrap() {
        let (value, tag) = (rule["value"].as_str().unwrap(), rule["tag"].as_str().unwrap());
        if value.contains('(') {
            let body = json!({"meta": {"summary": {"created": 0, "not_created": 1, "valid": 0, "invalid": 1}}, "errors": [{
                "value": value, "title": "UnprocessableEntity", "details": ["missing a closing parenthesis (at position 1)"],
                "type": "https://api.x.com/2/problems/invalid-rules"}]});
            return http::answer(stream, 201, headers, body.to_string().as_bytes());
        }
        let id = (1_000 + shared.changes.load(Ordering::SeqCst) * 100 + rules.len()).to_string();
        rules.push((id, value.to_owned(), tag.to_owned()));
    }
    http::answer(
        stream,
        201,
        headers,
        b"{\"meta\": {\"summary\": {\"created\": 1}}}",
    )
}

/// Lines in chunks. Each line comes in two pieces.
struct LinesOverHttp<'a> {
    stream: TcpStream,
    shared: &'a Shared,
}

impl LinesOverHttp<'_> {
    fn write(&mut self, bytes: &[u8]) -> Served {
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        Ok(self.stream.write_all(&chunk)?)
    }
}

impl Wire for LinesOverHttp<'_> {
    fn send(&mut self, event: String) -> Result<bool, Box<dyn std::error::Error>> {
        // Where a chunk ends can be within a character.
        let (first, second) = event.as_bytes().split_at(event.len() / 2);
        self.write(first)?;
        self.write(&[second, b"\r\n"].concat())?;
        Ok(true)
    }

    fn live(&mut self) -> Served {
        if self.shared.feed.is_stopped() {
            return Err("the server ends".into());
        }
        if self.shared.is_mute.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.write(b"\r\n")
    }

    fn close(&mut self) -> Served {
        let error = json!({"errors": [{
            "title": "operational-disconnect", "disconnect_type": "UpstreamOperationalDisconnect",
            "detail": "This stream has been disconnected for operational reasons.",
            "type": "https://api.x.com/2/problems/operational-disconnect"}]});
        self.write(format!("{error}\r\n").as_bytes())?;
        Ok(self.stream.write_all(b"0\r\n\r\n")?)
    }

    fn cut(&mut self) -> Served {
        // A chunk of 4,096 bytes, of which some are sent.
        Ok(self.stream.write_all(b"1000\r\n{\"data\": {\"id\": \"12")?)
    }
}

fn filtered(shared: &Shared, mut stream: TcpStream, headers: &[(&str, String)], request: &Request) -> Served {
    let fault = shared.feed.fault();
    if let Some(Fault::Status(status, wait)) = fault {
        let mut headers = headers.to_vec();
        headers.extend(wait.map(|wait| ("retry-after", wait.to_string())));
        shared.feed.note(&request.query);
        return http::answer(&stream, status, &headers, b"{\"title\": \"busy\"}");
    }
    asks_for_places(request);
    stream.set_write_timeout(Some(PATIENCE))?;
    let minutes: Option<i64> = request
        .parameter("backfill_minutes")
        .map(|text| text.parse().unwrap());
    assert!(minutes.is_none_or(|minutes| (1..=5).contains(&minutes)));
    let since = minutes.map(|minutes| id_of(Utc::now().plus_millis(-60_000 * minutes)) as i64);
    let place = shared.feed.place(since);
    begin(&mut stream, headers)?;
    shared.feed.note(&request.query);
    let mut wire = LinesOverHttp { stream, shared };
    shared.feed.send_over(&mut wire, place, fault.as_ref())
}

/// The head of a stream.
fn begin(stream: &mut TcpStream, headers: &[(&str, String)]) -> Served {
    let mut head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n".to_owned();
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    Ok(stream.write_all(format!("{head}\r\n").as_bytes())?)
}

fn compliance(
    shared: &Shared,
    mut stream: TcpStream,
    headers: &[(&str, String)],
    request: &Request,
) -> Served {
    if !shared.compliance.is_agreed.load(Ordering::SeqCst) {
        return refuse(&stream);
    }
    let kind = kind_of(&request.path).unwrap();
    let (feed, place) = shared.compliance.asked(kind, request);
    let fault = feed.fault();
    if let Some(Fault::Status(status, _)) = fault {
        return http::answer(&stream, status, headers, b"{\"title\": \"busy\"}");
    }
    stream.set_write_timeout(Some(PATIENCE))?;
    begin(&mut stream, headers)?;
    feed.send_over(&mut LinesOverHttp { stream, shared }, place, fault.as_ref())
}

/// The lowest id of a time.
pub(crate) fn id_of(time: Utc) -> u64 {
    ((time.as_millis() - 1_288_834_974_657) as u64) << 22
}

fn search(shared: &Shared, mut stream: &TcpStream, headers: &[(&str, String)], request: &Request) -> Served {
    shared.searches.lock().push(request.query.clone());
    let fault = shared.feed.fault();
    match fault {
        Some(Fault::Status(status, wait)) => {
            let mut headers = headers.to_vec();
            headers.extend(wait.map(|wait| ("retry-after", wait.to_string())));
            return http::answer(stream, status, &headers, b"{\"title\": \"busy\"}");
        }
        Some(Fault::CloseAfter(_)) => return Ok(()),
        _ => {}
    }
    let number = |name: &str| request.parameter(name).map(|text| text.parse::<u64>().unwrap());
    asks_for_places(request);
    let most = number("max_results").unwrap();
    assert!((10..=100).contains(&most));
    let since = number("since_id").unwrap();
    assert!(
        since >= id_of(Utc::now().plus_millis(-7 * 86_400_000)),
        "`since_id` must be within 7 days"
    );
    let until = number("until_id").unwrap_or(u64::MAX);
    // A token names the last id of the page before it, in another form.
    let token = request.parameter("next_token");
    // A token belongs to its query, and names the last id of the page before it, in another form.
    let query = request.parameter("query").unwrap();
    let token = token.map(|token| {
        token
            .strip_prefix(&format!("b26v{}x", query.len()))
            .map(str::to_owned)
    });
    let token: Option<u64> = match token {
        Some(None) => return http::answer(stream, 400, headers, b"{\"title\": \"Invalid Request\"}"),
        Some(Some(id)) => Some(id.parse()?),
        None => None,
    };
    let before = token.map_or(until, |token| token.min(until));
    let posts = shared.posts.lock();
    let gone = shared.gone.lock();
    let found: Vec<(&u64, &Value)> = posts
        .range(since + 1..before)
        .rev()
        .filter(|(_, post)| {
            !gone.contains_key(post["edit_history_tweet_ids"][0].as_str().unwrap_or_default())
        })
        .collect();
    let page = &found[..found.len().min(most as usize)];
    let mut body = json!({"meta": {"result_count": page.len()}});
    if let (Some((newest, _)), Some((oldest, _))) = (page.first(), page.last()) {
        body["meta"]["newest_id"] = newest.to_string().into();
        body["meta"]["oldest_id"] = oldest.to_string().into();
        body["data"] = page.iter().map(|(_, post)| (*post).clone()).collect();
        let listed: Vec<&Value> = page.iter().map(|(_, post)| *post).collect();
        shared.include(&mut body, &listed);
        if page.len() < found.len() {
            body["meta"]["next_token"] = format!("b26v{}x{oldest}", query.len()).into();
        }
    }
    let body = body.to_string();
    if matches!(fault, Some(Fault::CutInFrame(_))) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        return Ok(stream.write_all(&body.as_bytes()[..body.len() / 2])?);
    }
    http::answer(stream, 200, headers, body.as_bytes())
}

fn jobs(shared: &Shared, stream: &TcpStream, headers: &[(&str, String)], request: &Request) -> Served {
    let mut jobs = shared.jobs.lock();
    if request.method == "GET" && request.path == "/2/compliance/jobs" {
        assert_eq!(request.parameter("type").as_deref(), Some("tweets"));
        return http::answer(stream, 200, headers, b"{\"meta\": {\"result_count\": 0}}");
    }
    let number = if request.method == "POST" {
        let wanted: Value = serde_json::from_slice(&request.body)?;
        assert_eq!(wanted["type"], "tweets");
        jobs.push(Job::default());
        jobs.len() - 1
    } else {
        let number: usize = request.path.rsplit('/').next().unwrap().parse()?;
        jobs[number].looks += 1;
        number
    };
    // The first look finds it at work.
    let status = match jobs[number].looks {
        0 => "created",
        1 => "in_progress",
        _ => "complete",
    };
    let here = format!("http://{}/storage/{number}", shared.address.lock());
    let upload = shared.upload.lock().clone().unwrap_or_else(|| here.clone());
    let body = json!({"data": {"id": number.to_string(), "type": "tweets", "name": "limbic", "status": status,
        "upload_url": upload, "download_url": here, "created_at": Utc::now()}});
    http::answer(stream, 200, headers, body.to_string().as_bytes())
}

fn storage(shared: &Shared, stream: &TcpStream, request: &Request, number: usize) -> Served {
    let mut jobs = shared.jobs.lock();
    let ids = &mut jobs[number].ids;
    if request.method == "PUT" {
        ids.extend(String::from_utf8_lossy(&request.body).lines().map(str::to_owned));
        return http::answer(stream, 200, &[], b"");
    }
    let mut body = String::new();
    for (id, reason) in shared.gone.lock().iter().filter(|(id, _)| ids.contains(*id)) {
        let line = json!({"id": id, "action": "delete", "created_at": "2026-11-20T10:00:00.000Z",
            "redacted_at": "2026-11-21T10:00:00.000Z", "reason": reason});
        let _ = writeln!(body, "{line}");
    }
    http::answer(stream, 200, &[], body.as_bytes())
}
