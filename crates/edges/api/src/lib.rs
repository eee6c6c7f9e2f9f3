//! The HTTP API: accepts posts and outcomes, returns the results of the stages, and serves a page for people.
//!
//! It is not a stage and has no state: it writes accepted items and released holds to the log, and reads from the view, the time series and
//! the counts of the log.
//!
//! ```text
//!  POST /v1/posts, /v1/outcomes ──▶ edge ──▶ topic intake        202 = durable
//!  GET  /v1/readings, /v1/moments, … ◀── view (SQLite or PostgreSQL)
//!  GET  /v1/series                   ◀── time series (SQLite or InfluxDB)
//!  GET  /v1/counts                   ◀── counts in the log's commits
//!  POST /v1/generate          ──▶ models ──▶ text or picture
//! ```
//!
//! | module | paths |
//! |---|---|
//! | [`ingest`](self) | `POST /v1/posts`, `/v1/outcomes`, `/v1/watermark` |
//! | `read` | `GET /v1/posts/{network}/{id}`, `/v1/readings`, `/v1/moments`, `/v1/creatives`, `/v1/decisions/{id}`, `/v1/series` |
//! | `counts` | `GET /v1/counts`: exact, so that a caller can check that no record was lost or processed twice |
//! | `limits` | `GET /v1/limits`: what this node has refused and closed, by reason, and how full it is |
//! | `status` | `GET /v1/audiences`, `/v1/campaigns`, `/v1/platforms`, `/v1/sources`: the state of audiences, what campaigns have chosen with what result, how deliveries stand, what was accepted and rejected of each social network; `GET /v1/explain`: why an ad, or why none |
//! | `generate` | `POST /v1/generate`: a text by a language model, whole or as server-sent events, or a picture; `GET /v1/providers`, `GET` and `DELETE /v1/cache`, `GET /v1/cache/health` |
//! | `reviews` | `GET /v1/reviews`: ads that wait for a person, and what was decided; `POST` and `DELETE /v1/reviews/{id}` decide and forget |
//! | `pictures` | `GET /v1/pictures/{file}`: the drawn picture of an ad, without a key, for ad platforms; `GET /v1/clips/{file}`: a clip of a model |
//! | `holds` | `GET /v1/holds`: subjects for which no ad runs, and why; `DELETE /v1/holds/{subject}` ends a hold before its time |
//! | `hooks` | `GET`, `POST /v1/hooks/{name}`: requests of sources that send by themselves, with their own signatures |
//! | `components` | `GET /v1/components`: what this node runs, and which stores it has opened |
//! | `health` | `/healthz`, `/readyz`, `/metrics` |
//! | `openapi` | `/openapi.json`, generated from the record types |
//! | `guard` | before every path: `Host` and `Origin`, the time limit, the headers of the answer |
//! | `server` | the connections: how many, their deadlines, TLS ([`serve`]) |
//!
//! Memory is bounded: `body` receives bodies within a budget of bytes, `items` divides them without reading them, and the edge reads
//! one item at a time. `turns` bounds how many requests run at a time. One tenant has at most half of each.
//!
//! Every error has the same form:
//!
//! ```
//! use axum::http::StatusCode;
//! use limbic_api::Problem;
//!
//! let detail = "1001 is not between 1 and 1000";
//! let problem = Problem::new(StatusCode::BAD_REQUEST, "bad request", detail).of_field("limit");
//! let body = serde_json::to_value(&problem)?;
//! assert_eq!((&body["status"], &body["field"]), (&400.into(), &"limit".into()));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # Laws
//!
//! * An answer of "accepted" means durable.
//! * Every error is `application/problem+json` (RFC 9457) and says what to do. If the store of a path is not open on this
//!   node, the error gives the reason.
//! * Every refusal because of a limit is counted by its reason.
//! * No handler blocks an async thread. Calls of the log run on the blocking pool. Their number is limited, and further
//!   requests are refused.
//! * Every read belongs to one tenant. Totals of all tenants need an operator's key.
//! * Everything that a stranger can make large is bounded before it is in memory: connections, heads, bodies, items, answers.

mod auth;
mod body;
mod budget;
mod components;
mod connectors;
mod counts;
mod descriptors;
pub mod explain;
mod generate;
mod guard;
mod health;
mod holds;
mod hooks;
mod ingest;
mod items;
mod limits;
mod meters;
mod openapi;
mod page;
mod pictures;
mod problem;
mod read;
mod refusal;
mod reviews;
mod server;
mod settings;
mod status;
mod turns;
mod video;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use limbic_domain::TenantId;
use limbic_ingest::Edge;
use limbic_metrics::SeriesReader;
use limbic_stream::runtime::StageStatus;
use limbic_stream::{Log, StageSpec};
use limbic_views::Store;

use budget::Budget;
use refusal::Refusal;
use turns::Turns;

pub use components::ComponentView;
pub use connectors::Connectors;
pub use descriptors::raise_limit as raise_descriptor_limit;
pub use generate::{
    BY_A_MODEL, CacheMode, GenerateBody, GenerateError, GenerateEvent, GeneratedPicture, GeneratedText,
    LanguageModels, PictureBody, PictureQuality, Viewer,
};
pub use hooks::{HookRefusal, HookRequest};
pub use meters::ApiMeters;
pub use problem::Problem;
pub use reviews::{DiffPiece, JudgeEdits, ReviewBody, ReviewState, ReviewView, TextChange};
pub use server::{Tls, TlsError, TlsSettings, serve};
pub use settings::{InvalidSetting, Settings};
pub use status::campaign_view;
pub use video::{
    CLIPS_NOTE, ClipState, GeneratedClip, GeneratedVideo, PromptVersion, VideoBody, VideoScene, VideoScript,
    VideoShape,
};

/// The resources of the handlers.
pub struct Context {
    /// Accepts posts and outcomes. `None` = this node accepts none.
    pub edge: Option<Arc<Edge>>,
    /// The view. `Err` = this node has not opened it; the text tells the caller why, and what to do.
    pub store: Result<Store, String>,
    /// The time series, in the same way.
    pub series: Result<SeriesReader, String>,
    /// The log, for counts and lag.
    pub log: Arc<dyn Log>,
    /// The connectors of this node.
    pub connectors: Arc<dyn Connectors>,
    /// The language models of this node.
    pub models: Arc<dyn LanguageModels>,
    /// Judges texts of ads that a person has edited.
    pub edits: Arc<dyn JudgeEdits>,
    /// Every component of the registry.
    pub components: Vec<ComponentView>,
    /// The topics and requirements of every stage, whether or not it runs here.
    pub stages: Vec<StageSpec>,
    /// The status of each stage that runs on this node.
    pub statuses: Box<dyn Fn() -> Vec<(String, StageStatus)> + Send + Sync>,
    /// The metrics that `/metrics` prints.
    pub registry: prometheus::Registry,
    /// Hashes (BLAKE3) of API keys, and the tenant of each. Empty = every caller belongs to the tenant `default`.
    pub keys: BTreeMap<[u8; 32], TenantId>,
    /// Hashes of the keys of reviewers, which are in `keys` too. A tenant without an entry has none: each of its keys may decide about
    /// ads.
    pub reviewer_keys: BTreeMap<TenantId, BTreeSet<[u8; 32]>>,
    /// Hashes of the keys of operators, who see the totals of all tenants.
    pub operator_keys: BTreeSet<[u8; 32]>,
    /// The metrics of connections and limits.
    pub meters: ApiMeters,
    /// The limits of requests.
    pub settings: Settings,
    /// The folder of the drawn pictures of ads. It need not exist.
    pub pictures: PathBuf,
}

/// The state that the handlers share.
#[derive(Clone)]
struct App(Arc<Inner>);

struct Inner {
    context: Context,
    /// Requests that write to the log.
    writers: Turns,
    /// Requests that read from the view, the series or the log.
    readers: Turns,
    /// One person decides about an ad at a time.
    deciding: Mutex<()>,
    /// Bytes of request bodies.
    bodies: Budget,
    /// Bytes of answers that clients have not taken.
    answers: Budget,
}

/// The most requests of a tenant that wait for their turn to read.
const WAITING_READS: usize = 32;

impl Inner {
    /// Waits for a turn to read.
    async fn turn_to_read(&self, tenant: &TenantId) -> Result<turns::Turn, Problem> {
        let turn = self.readers.take(tenant).await;
        turn.ok_or_else(|| {
            Problem::too_many_requests(
                Refusal::Reads,
                "many reads of this tenant wait already: send fewer at a time, and retry after a second",
            )
        })
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The hash of an API key, under which it is stored.
pub fn hash_key(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// The API over `context`, without the limits of connections that [`serve`] has.
pub fn router(context: Context) -> Router {
    build(context).0
}

fn build(context: Context) -> (Router, App) {
    let settings = &context.settings;
    let app = App(Arc::new(Inner {
        writers: Turns::new(settings.writers, 0),
        readers: Turns::new(settings.readers, WAITING_READS),
        deciding: Mutex::new(()),
        bodies: Budget::new(settings.bodies.get()),
        answers: Budget::new(settings.answers.get()),
        context,
    }));
    let review = get(reviews::show).post(reviews::decide).delete(reviews::forget);
    let router = Router::new()
        .route("/", get(page::show))
        .route("/v1/posts", post(ingest::posts))
        .route("/v1/posts/{network}/{id}", get(read::post_by_network))
        .route("/v1/posts/{id}", get(read::post))
        .route("/v1/deletions", post(ingest::deletions))
        .route("/v1/outcomes", post(ingest::outcomes).get(read::outcomes))
        .route("/v1/watermark", post(ingest::watermark))
        .route("/v1/readings", get(read::readings))
        .route("/v1/moments", get(read::moments))
        .route("/v1/creatives", get(read::creatives))
        .route("/v1/decisions", get(read::decisions))
        .route("/v1/decisions/{id}", get(read::decision))
        .route("/v1/audiences", get(status::audiences))
        .route("/v1/campaigns", get(status::campaigns))
        .route("/v1/campaigns/{id}", get(status::campaign))
        .route("/v1/platforms", get(status::platforms))
        .route("/v1/sources", get(status::sources))
        .route("/v1/explain", get(status::explain))
        .route("/v1/series", get(read::series))
        .route("/v1/counts", get(counts::show))
        .route("/v1/limits", get(limits::show))
        .route("/v1/holds", get(holds::show))
        .route("/v1/holds/{subject}", delete(holds::release))
        .route("/v1/reviews", get(reviews::list))
        .route("/v1/reviews/{id}", review)
        .route("/v1/components", get(components::show))
        .route("/v1/connectors", get(connectors::list))
        .route("/v1/connectors/{name}/pause", post(connectors::pause))
        .route("/v1/connectors/{name}/resume", post(connectors::resume))
        .route("/v1/generate", post(generate::generate))
        .route("/v1/providers", get(generate::providers))
        .route("/v1/cache", get(generate::cache).delete(generate::clear_cache))
        .route("/v1/cache/health", get(generate::cache_health))
        .route("/v1/hooks/{name}", get(hooks::take).post(hooks::take))
        .route("/v1/pictures/{file}", get(pictures::show))
        .route("/v1/clips/{file}", get(pictures::show_clip))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::show))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app.clone());
    (router, app)
}
