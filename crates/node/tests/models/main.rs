//! Language models over HTTP: a node, a provider's local server, and clients of two tenants.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod videos;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use limbic_node::settings::Overrides;
use limbic_node::{Node, Options, Settings, Verdict, check};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const ACME: &str = "4f1d8a0c9b7e6253f0a1b2c3d4e5f607";
const BEST: &str = "90b1c2d3e4f5061728394a5b6c7d8e9f";
const OPERATOR: &str = "cafe0123456789deadbeef0123456789";

/// An answer of the provider: the pieces of a text, or a status with a wait in seconds.
enum Act {
    Text(&'static str),
    Throttle(&'static str),
    /// A text, after this channel is closed.
    Wait(oneshot::Receiver<()>),
}

#[derive(Default)]
struct Script {
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<HeaderMap>>,
}

/// A local server that behaves as we remember `OpenAI`'s API. No recording of the real one was compared.
async fn complete(State(script): State<Arc<Script>>, headers: HeaderMap) -> Response {
    script.asked.lock().unwrap().push(headers);
    let act = script.acts.lock().unwrap().pop_front();
    let text = match act.unwrap_or(Act::Text("Warm bread.")) {
        Act::Text(text) => text,
        Act::Wait(closed) => {
            let _ = closed.await;
            "Warm bread."
        }
        Act::Throttle(wait) => {
            let error = json!({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}});
            return (
                StatusCode::TOO_MANY_REQUESTS,
                [("retry-after", wait)],
                error.to_string(),
            )
                .into_response();
        }
    };
    let chunk = |choices: Value, usage: Value| {
        format!(
            "data: {}\n\n",
            json!({"model": "small-1", "choices": choices, "usage": usage})
        )
    };
    let mut events: String = text
        .split_inclusive(' ')
        .map(|piece| chunk(json!([{"index": 0, "delta": {"content": piece}}]), Value::Null))
        .collect();
    events.push_str(&chunk(
        json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        Value::Null,
    ));
    events.push_str(&chunk(
        json!([]),
        json!({"prompt_tokens": 19, "completion_tokens": 10}),
    ));
    events.push_str("data: [DONE]\n\n");
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}

fn png() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 48, 32);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[90; 48 * 32]).unwrap();
    writer.finish().unwrap();
    file
}

/// The same for `OpenAI`'s Images API, as its reference describes it.
async fn paint(State(script): State<Arc<Script>>, headers: HeaderMap) -> Response {
    script.asked.lock().unwrap().push(headers);
    let act = script.acts.lock().unwrap().pop_front();
    if let Some(Act::Wait(closed)) = act {
        let _ = closed.await;
    }
    let usage = json!({"input_tokens": 19, "output_tokens": 10, "total_tokens": 29});
    let reply = json!({"created": 1_764_460_800, "data": [{"b64_json": BASE64_STANDARD.encode(png())}], "usage": usage});
    ([(header::CONTENT_TYPE, "application/json")], reply.to_string()).into_response()
}

struct Scene {
    folder: tempfile::TempDir,
    script: Arc<Script>,
    studio: Arc<videos::Studio>,
    base: String,
    _runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let script = Arc::new(Script::default());
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/v1/images/generations", post(paint))
            .with_state(Arc::clone(&script));
        let studio = Arc::new(videos::Studio::default());
        let router = router.merge(videos::routes(Arc::clone(&studio)));
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            folder: tempfile::tempdir().unwrap(),
            script,
            studio,
            base,
            _runtime: runtime,
        }
    }

    fn settings(&self, more: &str) -> Settings {
        let base = &self.base;
        let text = format!(
            "[affect]
engine = 'lexicon'
[tenants.acme]
api_keys = ['{ACME}']
[tenants.best]
api_keys = ['{BEST}']
[api]
operator_keys = ['{OPERATOR}']
[llm_providers.own]
kind = 'openai'
base_url = '{base}'
api_key = 'sk-hidden'
[llm]
routes = [{{ model = 'ads', chain = [{{ provider = 'own', model = 'small' }}] }}]
deadline = '10s'
prices = [{{ provider = 'own', model = 'small', input = 2_000_000, output = 3_000_000 }}]
{more}"
        );
        load(self.folder.path(), &text).unwrap()
    }

    fn open(&self, more: &str) -> Running {
        let options = Options {
            stages: vec!["none".to_owned()],
            listen: Some("127.0.0.1:0".to_owned()),
        };
        let node = Node::open(&self.settings(more), &options).unwrap();
        Running {
            address: node.address.unwrap(),
            node,
        }
    }

    fn asked(&self) -> usize {
        self.script.asked.lock().unwrap().len()
    }

    /// Waits until the provider has this many requests.
    fn until_asked(&self, count: usize) {
        let start = Instant::now();
        while self.asked() < count {
            assert!(start.elapsed() < Duration::from_mins(2), "it was not asked");
            std::thread::yield_now();
        }
    }

    fn will(&self, act: Act) {
        self.script.acts.lock().unwrap().push_back(act);
    }
}

fn load(folder: &Path, text: &str) -> anyhow::Result<Settings> {
    let file = folder.join("limbic.toml");
    std::fs::write(&file, text).unwrap();
    let overrides = Overrides {
        config: Some(file),
        data: Some(folder.join("data")),
        ..Overrides::default()
    };
    Settings::load(&overrides, &[])
}

struct Running {
    node: Node,
    address: SocketAddr,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The problem's detail.
    fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self.json()
    }
}

impl Running {
    /// Sends a request in HTTP 1.0, whose answer ends with the connection.
    fn send(&self, key: &str, start: &str, headers: &str, body: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).unwrap();
        let request = format!(
            "{start} HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{headers}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    fn generate(&self, key: &str, headers: &str, body: &Value) -> Answer {
        self.send(key, "POST /v1/generate", headers, &body.to_string())
    }

    fn get(&self, key: &str, path: &str) -> Answer {
        self.send(key, &format!("GET {path}"), "", "")
    }

    fn close(self) {
        assert!(self.node.close().unwrap());
    }
}

fn request() -> Value {
    json!({"model": "ads", "prompt": "An ad for bread.", "max_tokens": 40})
}

/// 19 tokens of the prompt and 10 of the reply.
const COST: i64 = 19 * 2 + 10 * 3;

#[test]
fn a_text_is_answered_with_its_cost_and_a_repeated_key_is_not_paid_again_also_after_a_restart() {
    let scene = Scene::new();
    let node = scene.open("");
    let key = "idempotency-key: draft-1\r\n";
    let first = node.generate(ACME, key, &request());
    let mut expected = json!({
        "text": "Warm bread.", "model": "small-1", "provider": "own", "is_cut_off": false, "prompt_tokens": 19,
        "completion_tokens": 10, "cost_micros": COST, "currency": "USD", "source": "provider",
    });
    assert_eq!((first.status, first.json()), (200, expected.clone()));
    let providers = node.get(ACME, "/v1/providers").json();
    assert_eq!(providers["spent_today"]["settled"], COST, "{providers}");
    assert_eq!(
        node.get(BEST, "/v1/providers").json()["spent_today"]["settled"],
        0
    );
    node.close();

    let node = scene.open("");
    let again = node.generate(ACME, key, &request());
    expected["cost_micros"] = 0.into();
    expected["source"] = "repeated".into();
    assert_eq!(again.json(), expected);
    assert_eq!(scene.asked(), 1);
    let providers = node.get(ACME, "/v1/providers").json();
    assert_eq!(providers["spent_today"]["settled"], COST, "{providers}");
    node.close();
}

/// A provider that paints, and its model.
fn studio(scene: &Scene) -> String {
    let price = "[llm.default_price]\ninput = 2_000_000\noutput = 3_000_000\n";
    format!(
        "{price}[picture_providers.studio]\nkind = 'openai'\nbase_url = '{}'\n",
        scene.base
    )
}

fn picture() -> Value {
    json!({"model": "studio/small", "prompt": "A loaf of bread.", "picture": {"width": 1200, "height": 628, "quality": "low"}})
}

#[test]
fn a_picture_is_a_file_of_the_node_that_a_repeated_key_does_not_pay_again() {
    let scene = Scene::new();
    let node = scene.open(&studio(&scene));
    let key = "idempotency-key: draft-1\r\n";
    let first = node.generate(ACME, key, &picture());
    assert_eq!(first.status, 200, "{}", first.body);
    let painted = first.json();
    let file = painted["file"].as_str().unwrap().to_owned();
    let mut expected = json!({
        "file": file, "media_type": "image/png", "width": 48, "height": 32, "bytes": png().len(),
        "digital_source": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "model": "small", "provider": "studio", "cost_micros": COST, "currency": "USD", "source": "provider",
    });
    assert_eq!(painted, expected);
    let shown = node.get(ACME, &format!("/v1/pictures/{file}"));
    assert_eq!(
        (shown.status, &*shown.headers["content-type"]),
        (200, "image/png")
    );
    expected["cost_micros"] = 0.into();
    expected["source"] = "repeated".into();
    assert_eq!(node.generate(ACME, key, &picture()).json(), expected);
    assert_eq!(scene.asked(), 1);
    let providers = node.get(ACME, "/v1/providers").json();
    assert_eq!(providers["spent_today"]["settled"], COST, "{providers}");
    node.close();
}

#[test]
fn two_requests_with_one_key_are_one_picture_also_while_it_is_painted() {
    let scene = Scene::new();
    let node = scene.open(&studio(&scene));
    let (open, closed) = oneshot::channel();
    scene.will(Act::Wait(closed));
    let key = "idempotency-key: draft-1\r\n";
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| node.generate(ACME, key, &picture()));
        scene.until_asked(1);
        let second = scope.spawn(|| node.generate(ACME, key, &picture()));
        drop(open);
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.json()["file"], second.json()["file"]);
    assert_eq!(scene.asked(), 1);
    node.close();
}

#[test]
fn a_wrong_request_for_a_picture_says_what_to_do() {
    let scene = Scene::new();
    let node = scene.open(&studio(&scene));
    let key = "idempotency-key: draft-1\r\n";
    let with = |field: &str, value: Value| {
        let mut body = picture();
        body[field] = value;
        body
    };
    for (key, body, said) in [
        ("", picture(), "a picture needs a key"),
        (key, with("stream", true.into()), "it is for texts"),
        (key, with("system", "Paint.".into()), "it is for texts"),
        (
            key,
            with("model", "own/small".into()),
            "makes texts: name a model for pictures",
        ),
        (key, with("prompt", " ".into()), "it is empty"),
        (key, with("picture", json!({"width": 0, "height": 1})), "0 pixels"),
        (
            key,
            with("picture", json!({"width": 9, "height": 9, "colour": "red"})),
            "colour",
        ),
    ] {
        let answer = node.generate(ACME, key, &body);
        assert!((400..500).contains(&answer.status), "{}", answer.body);
        assert!(answer.body.contains(said), "{said}: {}", answer.body);
    }
    assert_eq!(scene.asked(), 0);
    node.close();
}

#[test]
fn a_text_is_streamed_as_events() {
    let scene = Scene::new();
    let node = scene.open("");
    let mut streamed = request();
    streamed["stream"] = true.into();
    let answer = node.generate(ACME, "", &streamed);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let events: Vec<(&str, Value)> = answer
        .body
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap();
            (
                name,
                serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
            )
        })
        .collect();
    let (texts, last) = events.split_at(events.len() - 1);
    let text: String = texts
        .iter()
        .map(|(name, data)| {
            assert_eq!(*name, "text");
            data["text"].as_str().unwrap()
        })
        .collect();
    assert_eq!(text, "Warm bread.");
    assert_eq!((last[0].0, &last[0].1["cost_micros"]), ("done", &json!(COST)));

    streamed["model"] = "nothing".into();
    let answer = node.generate(ACME, "", &streamed);
    assert!(
        answer.body.starts_with("event: problem\ndata: {"),
        "{}",
        answer.body
    );
    node.close();
}

/// Waits until this is true.
fn until(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_memory_of_a_request_counts_until_its_reply_ends() {
    let scene = Scene::new();
    let node = scene.open("");
    let bodies = || node.get(OPERATOR, "/v1/limits").json()["taken"]["bodies"]["now"].clone();
    for (number, is_streamed) in [false, true].into_iter().enumerate() {
        let (close, closed) = oneshot::channel();
        scene.will(Act::Wait(closed));
        let mut body = request();
        body["stream"] = is_streamed.into();
        body["cache"] = "off".into();
        let answer = std::thread::scope(|threads| {
            let asking = threads.spawn(|| node.generate(ACME, "", &body));
            until("the provider is not asked", || scene.asked() == number + 1);
            assert_ne!(bodies(), 0, "streamed: {is_streamed}");
            drop(close);
            asking.join().unwrap()
        });
        assert!(answer.body.contains("Warm bread."), "{}", answer.body);
        until("the memory is not free", || bodies() == 0);
    }
    node.close();
}

#[test]
fn the_cache_belongs_to_a_tenant_and_its_totals_to_operators() {
    let scene = Scene::new();
    let node = scene.open("");
    for (key, source) in [(ACME, "provider"), (ACME, "cache"), (BEST, "provider")] {
        assert_eq!(node.generate(key, "", &request()).json()["source"], source);
    }
    assert_eq!(scene.asked(), 2);
    assert_eq!(node.get(ACME, "/v1/cache").json()["entries"], 1);
    assert_eq!(node.send(ACME, "DELETE /v1/cache", "", "").json()["entries"], 1);
    assert_eq!(node.get(ACME, "/v1/cache").json()["entries"], 0);
    assert_eq!(node.get(BEST, "/v1/cache").json()["entries"], 1);
    node.get(ACME, "/v1/cache/health").problem(403);
    let health = node.get(OPERATOR, "/v1/cache/health").json();
    assert_eq!(
        (
            &health["status"],
            &health["entries"],
            &health["hits"],
            &health["misses"]
        ),
        (&json!("ok"), &json!(1), &json!(1), &json!(2))
    );
    for path in ["/v1/providers", "/v1/cache"] {
        node.get("unknown", path).problem(401);
    }
    node.get(OPERATOR, "/v1/cache").problem(403);
    assert_eq!(node.generate("unknown", "", &request()).status, 401);
    node.close();
}

#[test]
fn a_wrong_request_a_limit_and_a_failing_provider_are_told_apart() {
    let scene = Scene::new();
    let node = scene.open("limits = { requests_per_minute = 1 }\ncache = { size = '0B' }");
    let wrong = |name: &str, value: Value| {
        let mut wrong = request();
        wrong[name] = value;
        let problem = node.generate(ACME, "", &wrong).problem(422);
        problem["field"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(wrong("model", "nothing".into()), "model");
    assert_eq!(wrong("prompt", "".into()), "prompt");
    assert_eq!(wrong("max_tokens", "many".into()), "max_tokens");
    assert_eq!(wrong("temprature", 1.into()), "temprature");
    node.send(ACME, "POST /v1/generate", "", "{").problem(422);
    assert_eq!(scene.asked(), 0);

    scene.will(Act::Throttle("30"));
    let failed = node.generate(ACME, "", &request());
    let problem = failed.problem(502);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("429: Rate limit reached"),
        "{problem}"
    );
    assert_eq!(failed.headers["retry-after"], "30");

    assert_eq!(
        node.generate(BEST, "", &request()).status,
        502,
        "the provider is paused for all"
    );
    let providers = node.get(BEST, "/v1/providers");
    let shown = &providers.json()["items"][0];
    assert_eq!(shown["state"], "paused");
    for hidden in ["in_flight", "answered", "failed", "problem"] {
        assert!(shown.get(hidden).is_none(), "{hidden} is of all tenants: {shown}");
    }
    assert!(!providers.body.contains("sk-hidden"));
    let all = node.get(OPERATOR, "/v1/providers").json();
    let shown = &all["items"][0];
    assert_eq!(
        (
            &shown["state"],
            &shown["in_flight"],
            &shown["answered"],
            &shown["failed"]
        ),
        (&json!("paused"), &json!(0), &json!(0), &json!(1))
    );
    assert_eq!(shown["problem"], "429: Rate limit reached");
    assert!(
        all.get("spent_today").is_none(),
        "an operator is not a tenant: {all}"
    );
    node.close();

    let node = scene.open("limits = { requests_per_minute = 1 }\ncache = { size = '0B' }");
    assert_eq!(node.generate(ACME, "", &request()).status, 200);
    let over = node.generate(ACME, "", &request());
    let problem = over.problem(429);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("llm.limits.requests_per_minute"),
        "{problem}"
    );
    let wait: u32 = over.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    node.close();
}

#[test]
fn a_node_without_providers_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let settings = load(folder.path(), "[affect]\nengine = 'lexicon'\n").unwrap();
    let options = Options {
        stages: vec!["none".to_owned()],
        listen: Some("127.0.0.1:0".to_owned()),
    };
    let node = Node::open(&settings, &options).unwrap();
    let running = Running {
        address: node.address.unwrap(),
        node,
    };
    let problem = running.generate("", "", &request()).problem(404);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("[llm_providers.NAME]"),
        "{problem}"
    );
    assert_eq!(running.get("", "/v1/providers").json(), json!({"items": []}));
    running.close();
}

#[test]
fn only_a_node_with_providers_needs_a_timeout_above_the_deadline_of_models() {
    let folder = tempfile::tempdir().unwrap();
    let short = "[affect]\nengine = 'lexicon'\n[api]\ntimeout = '5s'\n";
    load(folder.path(), short).unwrap();
    let provider = "[llm_providers.own]\nkind = 'ollama'\n";
    let error = load(folder.path(), &format!("{short}{provider}"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("llm.deadline = 25s: must be below api.timeout = 5s"),
        "{error}"
    );
}

#[test]
fn a_check_names_a_provider_that_cannot_be_reached_and_a_model_without_a_price() {
    let scene = Scene::new();
    let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let more = format!(
        "[[llm.routes]]
model = 'other'
chain = [{{ provider = 'own', model = 'large' }}]
[llm_providers.gone]
kind = 'ollama'
base_url = 'http://{address}'
"
    );
    let settings = scene.settings("");
    let runtime = Runtime::new().unwrap();
    let wrong = |settings: &Settings| -> Vec<String> {
        let findings = check(settings, runtime.handle()).into_iter();
        let wrong = findings.filter_map(|finding| match finding.verdict {
            Verdict::Wrong(error) => Some(format!("{}: {error:#}", finding.what)),
            _ => None,
        });
        wrong
            .filter(|text| text.contains("llm") || text.contains("LLM"))
            .collect()
    };
    assert_eq!(wrong(&settings), Vec::<String>::new());
    let text = std::fs::read_to_string(scene.folder.path().join("limbic.toml")).unwrap();
    let text = text.replace(
        "routes = [{ model = 'ads', chain = [{ provider = 'own', model = 'small' }] }]\n",
        "",
    );
    let settings = load(scene.folder.path(), &format!("{text}{more}")).unwrap();
    let found = wrong(&settings);
    assert!(
        found
            .iter()
            .any(|text| text.contains("llm_providers.gone") && text.contains("cannot be reached")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|text| text.contains("`large` of `own`") && text.contains("llm.prices")),
        "{found:?}"
    );

    let text = text.replace("provider = 'own'", "provider = 'owm'");
    let error = load(scene.folder.path(), &text).unwrap_err().to_string();
    assert!(
        error.contains("llm.prices[0].provider: there is no provider `owm`: the providers are: own"),
        "{error}"
    );
}
