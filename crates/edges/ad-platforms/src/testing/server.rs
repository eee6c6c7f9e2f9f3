//! The test platform's server.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::io::{Cut, CuttingListener};
use super::{Behaviour, Chaos};
use crate::SigningKey;

/// Options of a [`PlatformServer`].
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// The port; 0 = a free one.
    pub port: u16,
    /// Require signatures of this key, otherwise answer 401.
    pub key: Option<SigningKey>,
    /// Whether a known key is answered with 409 instead of 200.
    pub conflict: bool,
    /// The behaviour after the end of the script.
    pub chaos: Chaos,
}

/// A received request.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Its idempotency key.
    pub key: String,
    /// Its headers, lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body, unparsed.
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Journal {
    script: VecDeque<Behaviour>,
    received: Vec<Received>,
    attempts: BTreeMap<String, u64>,
    effects: Vec<(String, Vec<u8>)>,
}

struct Shared {
    options: ServerOptions,
    journal: Mutex<Journal>,
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An ad platform on its own port.
///
/// `POST /ads` accepts a delivery, idempotent by `Idempotency-Key`: a known key with the same body is answered with 200
/// (or 409) and has no effect; with another body it is answered with 422. `GET /effects` returns `{"requests", "effects",
/// "keys": {KEY: ATTEMPTS}}`. The server stops when this value is dropped.
pub struct PlatformServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl PlatformServer {
    /// Starts the server on `handle`.
    pub fn start(handle: &Handle, options: ServerOptions) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            options,
            journal: Mutex::default(),
        });
        let router = Router::new()
            .route("/ads", post(take))
            .route("/effects", get(effects))
            .with_state(shared.clone());
        let listener = {
            let _guard = handle.enter();
            TcpListener::from_std(socket)?
        };
        let task = handle.spawn(async move {
            let service = router.into_make_service_with_connect_info::<Cut>();
            let served = axum::serve(CuttingListener(listener), service).await;
            if let Err(error) = served {
                tracing::error!(%error, "the test platform stopped");
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// The URL for deliveries.
    pub fn url(&self) -> String {
        format!("http://{}/ads", self.address)
    }

    /// The behaviour for the next requests, in order.
    pub fn script(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.journal().script.extend(behaviours);
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.journal().received.clone()
    }

    /// The accepted deliveries, in order: key and body.
    pub fn effects(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.journal().effects.clone()
    }
}

impl Drop for PlatformServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn effects(State(shared): State<Arc<Shared>>) -> Json<serde_json::Value> {
    let journal = shared.journal();
    Json(serde_json::json!({
        "requests": journal.received.len(),
        "effects": journal.effects.len(),
        "keys": journal.attempts,
    }))
}

async fn take(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (behaviour, answer) = match judge(&shared, &headers, &body) {
        Ok(judged) => judged,
        Err(refusal) => return refusal.into_response(),
    };
    match behaviour {
        Behaviour::Accept => answer.into_response(),
        Behaviour::Answer {
            status,
            retry_after,
            body,
        } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, body).into_response();
            if let Some(value) = retry_after.and_then(|value| value.parse().ok()) {
                response.headers_mut().insert("retry-after", value);
            }
            response
        }
        Behaviour::LoseAnswer | Behaviour::Reset => {
            cut.cut();
            StatusCode::OK.into_response()
        }
        Behaviour::Hang => std::future::pending().await,
    }
}

/// Records the request, with its effect if it has one, and returns the answer.
fn judge(
    shared: &Shared,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Behaviour, StatusCode), (StatusCode, &'static str)> {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let key = text("idempotency-key").to_owned();
    let mut journal = shared.journal();
    journal.received.push(Received {
        key: key.clone(),
        headers: headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body: body.to_vec(),
    });
    let is_signed = shared.options.key.as_ref().is_none_or(|signing| {
        let timestamp = text("webhook-timestamp").parse().unwrap_or(0);
        signing.verifies(text("webhook-signature"), text("webhook-id"), timestamp, body)
    });
    if !is_signed {
        return Err((StatusCode::UNAUTHORIZED, "no valid signature"));
    }
    if key.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "no idempotency key"));
    }
    let attempt = journal.attempts.entry(key.clone()).or_default();
    *attempt += 1;
    let by_chance = shared.options.chaos.behaviour(&key, *attempt);
    let behaviour = journal.script.pop_front().unwrap_or(by_chance);
    let takes = matches!(
        behaviour,
        Behaviour::Accept | Behaviour::LoseAnswer | Behaviour::Hang
    );
    let answer = if takes {
        take_effect(&mut journal, key, body, shared.options.conflict)
    } else {
        StatusCode::OK
    };
    Ok((behaviour, answer))
}

/// Accepts the delivery, unless its key is known.
fn take_effect(journal: &mut Journal, key: String, body: &[u8], conflict: bool) -> StatusCode {
    let known = journal.effects.iter().find(|(known, _)| *known == key);
    match known {
        None => {
            journal.effects.push((key, body.to_vec()));
            StatusCode::OK
        }
        Some((_, first)) if first != body => StatusCode::UNPROCESSABLE_ENTITY,
        Some(_) if conflict => StatusCode::CONFLICT,
        Some(_) => StatusCode::OK,
    }
}
