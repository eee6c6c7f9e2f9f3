//! A local server with long-running operations, by script.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use limbic_domain::Secret;
use limbic_llm::VeoSettings;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::clip;
use crate::gemini::Gemini;
use crate::server::{Fault, Form as _, KEY};

/// What the server does with a request.
pub(crate) enum Act {
    /// Answers with 200 and this document.
    Json(Value),
    /// Answers with 200 and these bytes.
    Bytes(Vec<u8>),
    Error(Fault),
    /// Answers with this status, perhaps a header, and this body.
    Answer(u16, Option<(&'static str, String)>, &'static str),
    /// Sends these bytes, and breaks the connection.
    Break(Vec<u8>),
    Hang,
}

impl Act {
    /// The operation is not done.
    pub(crate) fn pending() -> Self {
        Self::Json(json!({"name": "models/small/operations/op1", "metadata": {"@type": "any"}}))
    }

    /// The operation is done, with this response.
    pub(crate) fn done(response: &Value) -> Self {
        Self::Json(json!({"name": "models/small/operations/op1", "done": true, "response": response}))
    }

    /// The operation is done, and its clip is at this address.
    pub(crate) fn clip_at(uri: &str) -> Self {
        Self::done(&json!({
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
            "generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]},
        }))
    }

    /// The clip of the operation was filtered.
    pub(crate) fn filtered() -> Self {
        let reasons = ["We could not make the video because of the policy on violence."];
        Self::done(
            &json!({"generateVideoResponse": {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": reasons}}),
        )
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::Answer(302, Some(("location", location.to_owned())), "")
    }
}

/// A request that the server has received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Acts {
    starts: VecDeque<Act>,
    polls: VecDeque<Act>,
    downloads: VecDeque<Act>,
}

struct Script {
    acts: Mutex<Acts>,
    seen: watch::Sender<Vec<Seen>>,
}

/// A running server.
pub(crate) struct Studio {
    pub(crate) runtime: Runtime,
    /// Scheme, host and port.
    pub(crate) origin: String,
    script: Arc<Script>,
}

async fn answer(
    State((script, origin)): State<(Arc<Script>, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().unwrap().as_str().to_owned();
    let has_wrong_key = headers
        .get("x-goog-api-key")
        .is_some_and(|given| given.to_str().unwrap() != KEY);
    script.seen.send_modify(|seen| {
        seen.push(Seen {
            method: method.clone(),
            path: path.clone(),
            headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        });
    });
    if has_wrong_key {
        return respond(Act::Error(Fault::WrongKey)).await;
    }
    let act = {
        let mut acts = script.acts.lock().unwrap();
        if method == Method::POST && path == "/v1beta/models/small:predictLongRunning" {
            let next = acts.starts.pop_front();
            next.unwrap_or_else(|| Act::Json(json!({"name": "models/small/operations/op1"})))
        } else if method == Method::GET && path == "/v1beta/models/small/operations/op1" {
            let next = acts.polls.pop_front();
            next.unwrap_or_else(|| Act::clip_at(&format!("{origin}/v1beta/files/clip1:download?alt=media")))
        } else if method == Method::GET && path.contains("/files/") {
            acts.downloads.pop_front().unwrap_or_else(|| Act::Bytes(clip(8)))
        } else {
            Act::Error(Fault::NoModel)
        }
    };
    respond(act).await
}

async fn respond(act: Act) -> Response {
    let json = [("content-type", "application/json; charset=UTF-8")];
    match act {
        Act::Json(document) => (json, document.to_string()).into_response(),
        // The type that is stated does not count.
        Act::Bytes(bytes) => ([("content-type", "video/mp4")], bytes).into_response(),
        Act::Error(fault) => {
            let (status, _, body) = Gemini::error(fault);
            (StatusCode::from_u16(status).unwrap(), json, body).into_response()
        }
        Act::Answer(status, header, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            if let Some((name, value)) = header {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Act::Break(bytes) => {
            let chunks = [Ok(Bytes::from(bytes)), Err(io::Error::other("it breaks"))];
            Body::from_stream(stream::iter(chunks)).into_response()
        }
        Act::Hang => std::future::pending().await,
    }
}

impl Studio {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let script = Arc::new(Script {
            acts: Mutex::default(),
            seen: watch::channel(Vec::new()).0,
        });
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .with_state((Arc::clone(&script), origin.clone()));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            runtime,
            origin,
            script,
        }
    }

    /// The settings of a provider that uses this server.
    pub(crate) fn settings(&self) -> VeoSettings {
        VeoSettings {
            base_url: format!("{}/v1beta", self.origin).as_str().into(),
            api_key: Secret::new(KEY),
            ..VeoSettings::default()
        }
    }

    pub(crate) fn on_start(&self, act: Act) {
        self.script.acts.lock().unwrap().starts.push_back(act);
    }

    pub(crate) fn on_poll(&self, act: Act) {
        self.script.acts.lock().unwrap().polls.push_back(act);
    }

    pub(crate) fn on_download(&self, act: Act) {
        self.script.acts.lock().unwrap().downloads.push_back(act);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.seen.borrow().clone()
    }

    fn count(&self, is_one: impl Fn(&Seen) -> bool) -> usize {
        self.seen().iter().filter(|seen| is_one(seen)).count()
    }

    /// How many jobs were ordered.
    pub(crate) fn starts(&self) -> usize {
        self.count(|seen| seen.method == Method::POST)
    }

    /// How many times it was asked for a state.
    pub(crate) fn polls(&self) -> usize {
        self.count(|seen| seen.path.contains("/operations/"))
    }
}
