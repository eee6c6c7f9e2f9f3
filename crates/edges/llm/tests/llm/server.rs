//! A local server that behaves as one provider's API, by script.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use limbic_domain::Utc;
use limbic_llm::{
    Attempt, Failure, Generate, Generated, Paint, Painted, Painter, Provider, Quality, SettingsError, Usage,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The key that the servers accept.
pub(crate) const KEY: &str = "sk-hidden";

/// The form of one provider's API, on the side of the server.
pub(crate) trait Form: Send + Sync + 'static {
    /// What it is a server for: `dyn Provider` or `dyn Painter`.
    type Provider: ?Sized;
    /// The path of a request to the model `small`, with its query.
    const PATH: &'static str;
    /// The path of the base URL.
    const BASE: &'static str;
    /// The header that carries the key, and its value.
    const KEY: (&'static str, &'static str);
    const CONTENT_TYPE: &'static str;
    /// Whether the API can refuse a request because of its content.
    const CAN_REFUSE: bool = true;

    /// The provider with the server's base URL.
    fn provider(base: &str, key: &str) -> Result<Arc<Self::Provider>, SettingsError>;

    /// The events of a text in these pieces, or the document with a picture, whose base64 is the pieces. Without an end, they stop before
    /// what ends a reply.
    fn events(pieces: &[&str], end: Option<End>) -> Vec<String>;

    /// An event that reports a failure, in a stream that has begun.
    fn failed() -> String;

    /// Status, headers and body of an error.
    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String);

    /// The body that we remember of the API for [`request`] or [`painting`].
    fn body() -> Value;
}

/// The form of an API for texts.
pub(crate) trait TextForm: Form<Provider = dyn Provider> {}
impl<F: Form<Provider = dyn Provider>> TextForm for F {}

/// The form of an API for pictures.
pub(crate) trait PictureForm: Form<Provider = dyn Painter> {
    /// What the server reports, or what a picture costs there.
    const USAGE: Usage;

    /// How the server refuses a request because of violence.
    fn refusal() -> Act;
}

/// How a text ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Complete,
    Length,
    Refused,
}

/// An error instead of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The rate is too high: a wait of 20 s is asked for.
    Throttled,
    /// The balance or the quota is used up.
    Exhausted,
    WrongKey,
    /// A field is wrong.
    Invalid,
    /// The model does not exist.
    NoModel,
    Server,
}

/// What the server does with a request.
pub(crate) enum Act {
    Text(Vec<&'static str>, End),
    /// The same, one byte at a time.
    Bytes(Vec<&'static str>, End),
    /// Sends the pieces, and breaks the connection.
    Break(Vec<&'static str>),
    /// Sends the pieces, and closes the connection as if the reply were complete.
    Stop(Vec<&'static str>),
    /// Sends the pieces, then a failure as an event.
    Fail(Vec<&'static str>),
    /// Sends the pieces, then nothing.
    Stall(Vec<&'static str>),
    /// Sends this text with status 200.
    Raw(&'static str),
    /// Sends this JSON document with status 200, as a server that does not stream.
    Json(&'static str),
    Error(Fault),
    /// Answers with this status and body.
    Answer(u16, &'static str),
    /// Answers with this status and the header that carries the key, after this many letters.
    Echo(u16, usize),
    Hang,
}

struct Script {
    acts: Mutex<VecDeque<Act>>,
    requests: watch::Sender<Vec<(HeaderMap, Value)>>,
}

/// A running server.
pub(crate) struct Server<F> {
    pub(crate) runtime: Runtime,
    pub(crate) base: String,
    script: Arc<Script>,
    _form: std::marker::PhantomData<F>,
}

async fn answer<F: Form>(
    State(script): State<Arc<Script>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // As we remember of the real one, the server first looks at the key, the path and the body.
    let (name, value) = F::KEY;
    if headers.get(name).is_some_and(|given| given != value) {
        return error::<F>(Fault::WrongKey);
    }
    if uri.path_and_query().unwrap().as_str() != F::PATH {
        return error::<F>(Fault::NoModel);
    }
    let Ok(body) = serde_json::from_slice(&body) else {
        return error::<F>(Fault::Invalid);
    };
    script
        .requests
        .send_modify(|requests| requests.push((headers, body)));
    let act = script.acts.lock().unwrap().pop_front();
    match act.unwrap_or(Act::Text(vec!["Warm ", "bread."], End::Complete)) {
        Act::Text(pieces, end) => streamed::<F>(F::events(&pieces, Some(end)), Last::End),
        Act::Bytes(pieces, end) => {
            let bytes = F::events(&pieces, Some(end)).concat().into_bytes();
            let chunks = bytes.into_iter().map(|byte| Ok(Bytes::from(vec![byte])));
            let chunks = chunks.collect::<Vec<Result<Bytes, io::Error>>>();
            respond::<F>(Body::from_stream(stream::iter(chunks)))
        }
        Act::Break(pieces) => streamed::<F>(F::events(&pieces, None), Last::Break),
        Act::Stop(pieces) => streamed::<F>(F::events(&pieces, None), Last::End),
        Act::Fail(pieces) => {
            let mut events = F::events(&pieces, None);
            events.push(F::failed());
            streamed::<F>(events, Last::End)
        }
        Act::Stall(pieces) => streamed::<F>(F::events(&pieces, None), Last::Stall),
        Act::Raw(text) => respond::<F>(Body::from(text)),
        Act::Json(text) => ([("content-type", "application/json")], text).into_response(),
        Act::Error(fault) => error::<F>(fault),
        Act::Answer(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Act::Echo(status, before) => {
            let text = format!("{}{value}", "x".repeat(before));
            (StatusCode::from_u16(status).unwrap(), text).into_response()
        }
        Act::Hang => std::future::pending().await,
    }
}

enum Last {
    End,
    Break,
    Stall,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the last step belongs to one answer"
)]
fn streamed<F: Form>(events: Vec<String>, last: Last) -> Response {
    use futures_util::StreamExt as _;
    let events = events.into_iter().map(|event| Ok(Bytes::from(event)));
    let mut events = events.collect::<Vec<Result<Bytes, io::Error>>>();
    if matches!(last, Last::Break) {
        events.push(Err(io::Error::other("the connection breaks")));
    }
    // Each event is a write of its own, which is sent before the next one.
    let events = stream::iter(events).then(|event| async {
        tokio::task::yield_now().await;
        event
    });
    let body = match last {
        Last::End | Last::Break => Body::from_stream(events),
        Last::Stall => Body::from_stream(events.chain(stream::pending())),
    };
    respond::<F>(body)
}

fn respond<F: Form>(body: Body) -> Response {
    ([("content-type", F::CONTENT_TYPE)], body).into_response()
}

fn error<F: Form>(fault: Fault) -> Response {
    let (status, headers, body) = F::error(fault);
    let mut response = (
        StatusCode::from_u16(status).unwrap(),
        [("content-type", "application/json")],
        body,
    )
        .into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

impl<F: Form> Server<F> {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let script = Arc::new(Script {
            acts: Mutex::default(),
            requests: watch::channel(Vec::new()).0,
        });
        let router = Router::new()
            .fallback(answer::<F>)
            .with_state(Arc::clone(&script));
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let base = format!("http://{}{}", listener.local_addr().unwrap(), F::BASE);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            runtime,
            base,
            script,
            _form: std::marker::PhantomData,
        }
    }

    pub(crate) fn will(&self, act: Act) {
        self.script.acts.lock().unwrap().push_back(act);
    }

    pub(crate) fn requests(&self) -> Vec<(HeaderMap, Value)> {
        self.script.requests.borrow().clone()
    }

    /// Returns when it has received this many requests.
    pub(crate) async fn has_received(&self, count: usize) {
        let mut requests = self.script.requests.subscribe();
        requests
            .wait_for(|requests| requests.len() >= count)
            .await
            .unwrap();
    }

    pub(crate) fn provider(&self) -> Arc<F::Provider> {
        F::provider(&self.base, KEY).unwrap()
    }
}

impl<F: PictureForm> Server<F> {
    /// The painter's result of one act of the server.
    pub(crate) fn painted(&self, act: Act) -> Result<Painted, Failure> {
        self.will(act);
        self.paint(&*self.provider(), Duration::from_mins(1))
    }

    pub(crate) fn paint(&self, painter: &dyn Painter, deadline: Duration) -> Result<Painted, Failure> {
        self.paint_within(painter, &painting(), deadline)
    }

    pub(crate) fn paint_this(&self, painter: &dyn Painter, request: &Paint) -> Result<Painted, Failure> {
        self.paint_within(painter, request, Duration::from_mins(1))
    }

    fn paint_within(
        &self,
        painter: &dyn Painter,
        request: &Paint,
        deadline: Duration,
    ) -> Result<Painted, Failure> {
        let attempt = Attempt {
            key: "draft-1",
            request,
            now: Utc::from_millis(0),
            deadline,
        };
        self.runtime.block_on(painter.paint(attempt))
    }
}

impl<F: TextForm> Server<F> {
    /// The provider's result of one act of the server, and the pieces that it passed on.
    pub(crate) fn result(&self, act: Act) -> (Result<Generated, Failure>, Vec<String>) {
        self.will(act);
        self.ask(&*self.provider(), Duration::from_mins(1))
    }

    pub(crate) fn ask(
        &self,
        provider: &dyn Provider,
        deadline: Duration,
    ) -> (Result<Generated, Failure>, Vec<String>) {
        let request = request();
        let attempt = Attempt {
            key: "draft-1",
            request: &request,
            now: Utc::from_millis(0),
            deadline,
        };
        let mut pieces = Vec::new();
        let mut on_text = |piece: &str| pieces.push(piece.to_owned());
        let result = self.runtime.block_on(provider.generate(attempt, &mut on_text));
        (result, pieces)
    }
}

/// A request for a picture.
pub(crate) fn painting() -> Paint {
    Paint {
        model: "small".to_owned(),
        prompt: "A loaf of bread on a table.".to_owned(),
        width: 1200,
        height: 628,
        quality: Quality::High,
    }
}

/// A request with all fields.
pub(crate) fn request() -> Generate {
    Generate {
        model: "small".to_owned(),
        system: Some("You write one line.".to_owned()),
        prompt: "An ad for bread.".to_owned(),
        max_tokens: 40,
        temperature: Some(1.75),
        seed: Some(7),
        schema: Some(schema()),
    }
}

pub(crate) fn schema() -> Value {
    json!({"type": "object", "properties": {"line": {"type": "string"}}, "required": ["line"], "additionalProperties": false})
}

/// An event of a stream of server-sent events.
pub(crate) fn sse(data: &Value) -> String {
    format!("data: {data}\n\n")
}
