//! REST: posts and outcomes in; readings, moments, creatives, decisions, series and counts out; and the page that shows
//! it all to a person.
//!
//! | module | what it answers |
//! |---|---|
//! | [`ingest`](self) | `POST /v1/posts`, `/v1/outcomes`, `/v1/watermark` |
//! | `read` | `GET /v1/posts/{network}/{id}`, `/v1/readings`, `/v1/moments`, `/v1/creatives`, `/v1/decisions/{id}`, `/v1/series` |
//! | `counts` | `GET /v1/counts`: exact, so that a stranger can check that nothing was lost or doubled |
//! | `health` | `/healthz`, `/readyz`, `/metrics` |
//! | `openapi` | `/openapi.json`, from the types of the house |
//!
//! Invariants: an answer of "accepted" means durable; every error is `application/problem+json` (RFC 9457) that says what to
//! do; no handler blocks a tokio thread (the log is called on the blocking pool, behind a semaphore that refuses rather
//! than queues for ever); every read belongs to one tenant.

mod auth;
mod counts;
mod health;
mod ingest;
mod openapi;
mod page;
mod problem;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use limbic_domain::{ByteSize, HumanDuration, TenantId};
use limbic_ingest::Edge;
use limbic_metrics::SeriesReader;
use limbic_stream::runtime::StageStatus;
use limbic_stream::{Log, StageSpec};
use limbic_views::Store;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use problem::Problem;

/// The settings of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Largest request body. Default 16MiB.
    pub max_body: ByteSize,
    /// Most requests that write to the log at once; further ones are answered 503 with `Retry-After`. Default 256.
    pub writers: usize,
    /// Longest time that a request may take. Default 30s.
    pub timeout: HumanDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body: ByteSize::from_mebibytes(16),
            writers: 256,
            timeout: HumanDuration::from_secs(30),
        }
    }
}

/// What the handlers need.
pub struct Context {
    /// The edge; `None` in a process that takes nothing in.
    pub edge: Option<Arc<Edge>>,
    /// The view; `None` in a process that answers no questions.
    pub store: Option<Store>,
    /// The time series, likewise.
    pub series: Option<SeriesReader>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Every stage of the house, running here or not.
    pub stages: Vec<StageSpec>,
    /// How the stages that run here are.
    pub statuses: Box<dyn Fn() -> Vec<(String, StageStatus)> + Send + Sync>,
    /// What Prometheus sees.
    pub registry: prometheus::Registry,
    /// API keys, hashed (BLAKE3), and the tenant each speaks for. Empty = whoever can connect is the tenant `default`.
    pub keys: BTreeMap<[u8; 32], TenantId>,
    /// The settings.
    pub settings: Settings,
}

/// What the handlers share.
#[derive(Clone)]
struct App(Arc<Inner>);

struct Inner {
    context: Context,
    writers: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The hash under which an API key is kept.
pub fn hash_key(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// The API over `context`.
pub fn router(context: Context) -> Router {
    let max_body = context.settings.max_body.as_usize();
    let timeout = context.settings.timeout.get();
    let writers = Arc::new(Semaphore::new(context.settings.writers));
    let app = App(Arc::new(Inner { context, writers }));
    Router::new()
        .route("/", get(page::show))
        .route("/v1/posts", post(ingest::posts))
        .route("/v1/posts/{network}/{id}", get(read::post_by_network))
        .route("/v1/posts/{id}", get(read::post))
        .route("/v1/outcomes", post(ingest::outcomes).get(read::outcomes))
        .route("/v1/watermark", post(ingest::watermark))
        .route("/v1/readings", get(read::readings))
        .route("/v1/moments", get(read::moments))
        .route("/v1/creatives", get(read::creatives))
        .route("/v1/decisions", get(read::decisions))
        .route("/v1/decisions/{id}", get(read::decision))
        .route("/v1/series", get(read::series))
        .route("/v1/counts", get(counts::show))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::show))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(max_body))
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            timeout,
        ))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .with_state(app)
}
