//! The models of this node: texts, pictures, videos, providers, and the cache of replies.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use limbic_domain::TenantId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::App;
use crate::auth::{Caller, Operator};
use crate::body::{one_json, receive};
use crate::budget::Share;
use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::video::{GeneratedVideo, VideoBody, check_video};

/// Maximum bytes of a request for a text.
const LIMIT: usize = 1 << 20;

/// The body of `POST /v1/generate`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateBody {
    /// The name of a route of the settings, or `PROVIDER/MODEL`.
    pub model: String,
    /// Instructions for the model.
    #[serde(default)]
    pub system: Option<String>,
    /// The prompt.
    pub prompt: String,
    /// Maximum number of tokens of the reply. Default 512.
    #[serde(default = "usual_tokens")]
    pub max_tokens: u32,
    /// Randomness, 0 to 2. Default: the provider's.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// The same seed and request give the same reply, if the provider supports it.
    #[serde(default)]
    pub seed: Option<i64>,
    /// A JSON Schema. The text of the reply is then a JSON document.
    #[serde(default)]
    pub schema: Option<Value>,
    /// Whether the text is sent while it arrives, as server-sent events.
    #[serde(default)]
    pub stream: bool,
    /// How the cache is used. Default `use`.
    #[serde(default)]
    pub cache: CacheMode,
    /// If it is present, a picture is asked for instead of a text, and `model` names a model that paints. Then `system`, `temperature`,
    /// `seed`, `schema` and `stream` have no meaning and are refused.
    #[serde(default)]
    pub picture: Option<PictureBody>,
    /// If it is present, a video advert is asked for: `prompt` says what it is for, and `model` names a model that makes clips. The answer is
    /// 202 until every clip is there: send the same request with the same key again. Fields for texts and pictures are refused.
    #[serde(default)]
    pub video: Option<VideoBody>,
}

/// The picture that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureBody {
    /// Pixels of the place that the picture is for. A model paints in the nearest proportions that it has.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// How much work the model does. Default `medium`.
    #[serde(default)]
    pub quality: PictureQuality,
}

/// How much work a model does for a picture. More costs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureQuality {
    /// Little.
    Low,
    /// As is usual.
    #[default]
    Medium,
    /// Much.
    High,
}

const fn usual_tokens() -> u32 {
    512
}

/// How a request uses the cache of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// A reply in the cache is used, and a new one is stored.
    #[default]
    Use,
    /// A new reply is asked for, and stored.
    Refresh,
    /// Nothing is read or stored.
    Off,
}

/// A reply of a language model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GeneratedText {
    /// The text.
    pub text: String,
    /// The model that wrote it, in the provider's form. Empty if unknown.
    pub model: String,
    /// The provider: the NAME of `[llm_providers.NAME]`.
    pub provider: String,
    /// Whether `max_tokens` ended the text.
    pub is_cut_off: bool,
    /// Tokens of the prompt, if the provider reports them.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the reply, if the provider reports them.
    pub completion_tokens: Option<u64>,
    /// What this request has cost, in millionths of the currency unit. 0 if no provider was asked for it.
    pub cost_micros: i64,
    /// The currency of the cost.
    pub currency: String,
    /// `provider`, `cache`, `stale` (from the cache, while a new one is asked for), `shared` (with an equal request) or `repeated` (the
    /// result of this idempotency key).
    pub source: String,
}

/// A picture of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GeneratedPicture {
    /// The name of its file in `GET /v1/pictures/{file}`.
    pub file: String,
    /// `image/png`, `image/jpeg` or `image/webp`.
    pub media_type: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The size of the file.
    pub bytes: u64,
    /// How it was made: a concept of the IPTC's vocabulary *Digital Source Type*. The file is as the provider sent it.
    pub digital_source: &'static str,
    /// The model that painted it, in the provider's form.
    pub model: String,
    /// The provider: the NAME of `[picture_providers.NAME]`.
    pub provider: String,
    /// What this request has cost, in millionths of the currency unit. 0 if no provider was asked for it.
    pub cost_micros: i64,
    /// The currency of the cost.
    pub currency: String,
    /// `provider`, or `repeated` (the result of this idempotency key).
    pub source: String,
}

/// The concept of a picture that a model alone has made.
pub const BY_A_MODEL: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// A part of a running request.
#[derive(Debug)]
pub enum GenerateEvent {
    /// More text.
    Text(String),
    /// Discard the text so far: its provider failed, and another provider starts.
    Restart,
    /// The end.
    Done(Result<GeneratedText, GenerateError>),
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GenerateError {
    /// A field of the request is wrong.
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// A limit of the tenant is reached.
    OverLimit {
        /// Which one, and what to do.
        detail: String,
        /// Seconds after which there is room. `None` = never for this request.
        retry_after: Option<u32>,
    },
    /// A model or a content filter refuses the request.
    Refused(String),
    /// Every provider refuses the form of the request, and what it says.
    Rejected(String),
    /// No provider gave a text.
    Failed {
        /// What they answered.
        detail: String,
        /// Seconds after which another attempt can help, if it is known.
        retry_after: Option<u32>,
    },
    /// This node cannot ask, and what to do.
    Unavailable(String),
    /// This node has no language models, and what to do.
    NotHere(String),
}

impl GenerateError {
    fn problem(self) -> Problem {
        match self {
            Self::Invalid { field, detail } => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad request", detail).of_field(field)
            }
            Self::OverLimit { detail, retry_after } => {
                let mut problem = Problem::too_many_requests(Refusal::Quota, detail);
                problem.retry_after = retry_after;
                problem
            }
            Self::Refused(detail) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail),
            Self::Rejected(detail) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "rejected", detail),
            Self::Failed { detail, retry_after } => {
                let mut problem = Problem::new(StatusCode::BAD_GATEWAY, "no reply", detail);
                problem.retry_after = retry_after;
                problem
            }
            Self::Unavailable(detail) => Problem::busy(Refusal::Database, detail),
            Self::NotHere(detail) => Problem::new(StatusCode::NOT_FOUND, "not found", detail),
        }
    }
}

/// Who looks at the providers.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    /// The tenant whose spending is shown. `None` = the key of an operator, who is not a tenant.
    pub tenant: Option<&'a TenantId>,
    /// Whether the viewer may see what requests of all tenants have caused.
    pub is_operator: bool,
}

/// The language models of a node.
pub trait LanguageModels: Send + Sync {
    /// Begins a request. `key` is its idempotency key. The last event is [`GenerateEvent::Done`]. If the receiver is dropped, the
    /// request goes on, because it is paid.
    fn generate(
        &self,
        tenant: &TenantId,
        key: Option<String>,
        body: GenerateBody,
    ) -> mpsc::UnboundedReceiver<GenerateEvent>;

    /// Begins a request for a picture, whose body has one. `key` is its idempotency key. If the receiver is dropped, the request goes on,
    /// because it is paid.
    fn paint(
        &self,
        tenant: &TenantId,
        key: String,
        body: GenerateBody,
        picture: PictureBody,
    ) -> oneshot::Receiver<Result<GeneratedPicture, GenerateError>>;

    /// Begins a request for a video, whose body has one, or continues the one with this idempotency key. It comes soon, with the state of each
    /// clip. If the receiver is dropped, the clips go on, because they are paid.
    fn film(
        &self,
        tenant: &TenantId,
        key: String,
        body: GenerateBody,
        video: VideoBody,
    ) -> oneshot::Receiver<Result<GeneratedVideo, GenerateError>>;

    /// The providers, their prices, and what the tenant has spent. Numbers and problems of attempts are of all tenants, so only
    /// operators get them.
    fn providers(&self, viewer: Viewer<'_>) -> Value;

    /// The cached replies of a tenant.
    fn cache(&self, tenant: &TenantId) -> Value;

    /// Deletes the cached replies of a tenant, and returns what they were.
    fn clear_cache(&self, tenant: &TenantId) -> Value;

    /// The whole cache.
    fn cache_health(&self) -> Value;
}

/// A node without language models.
impl LanguageModels for () {
    fn generate(
        &self,
        _: &TenantId,
        _: Option<String>,
        _: GenerateBody,
    ) -> mpsc::UnboundedReceiver<GenerateEvent> {
        let (sender, events) = mpsc::unbounded_channel();
        let detail =
            "this node has no language models: add [llm_providers.NAME] and a route in [llm] to its settings";
        let _ = sender.send(GenerateEvent::Done(Err(GenerateError::NotHere(
            detail.to_owned(),
        ))));
        events
    }

    fn paint(
        &self,
        _: &TenantId,
        _: String,
        _: GenerateBody,
        _: PictureBody,
    ) -> oneshot::Receiver<Result<GeneratedPicture, GenerateError>> {
        let (sender, painted) = oneshot::channel();
        let detail = "this node has no models that paint: add [picture_providers.NAME] and a route in [llm] to its settings";
        let _ = sender.send(Err(GenerateError::NotHere(detail.to_owned())));
        painted
    }

    fn film(
        &self,
        _: &TenantId,
        _: String,
        _: GenerateBody,
        _: VideoBody,
    ) -> oneshot::Receiver<Result<GeneratedVideo, GenerateError>> {
        let (sender, filmed) = oneshot::channel();
        let detail = "this node has no models that make clips: add [video_providers.NAME] and a route in [llm] to its settings";
        let _ = sender.send(Err(GenerateError::NotHere(detail.to_owned())));
        filmed
    }

    fn providers(&self, _: Viewer<'_>) -> Value {
        json!({"items": []})
    }

    fn cache(&self, _: &TenantId) -> Value {
        json!({"entries": 0, "bytes": 0})
    }

    fn clear_cache(&self, _: &TenantId) -> Value {
        json!({"entries": 0, "bytes": 0})
    }

    fn cache_health(&self) -> Value {
        json!({"status": "off", "entries": 0, "bytes": 0})
    }
}

/// `POST /v1/generate`.
pub(crate) async fn generate(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let received = receive(&app, &tenant, &headers, body, LIMIT).await?;
    // It computes, so it runs outside the async threads.
    let read = tokio::task::spawn_blocking(move || {
        let (bytes, share) = received.decoded()?;
        Ok::<_, Problem>((one_json::<GenerateBody>(&bytes)?, share))
    });
    let (body, share) = read.await.map_err(|panic| Problem::internal(&panic))??;
    if let Some(video) = body.video.clone() {
        let key = check_video(key, &body)?;
        let filmed = app.context.models.film(&tenant, key, body, video);
        // The request is in memory until its reply ends, and so is its share.
        let _share = share;
        let filmed = filmed.await.map_err(|error| Problem::internal(&error))?;
        return filmed
            .map(GeneratedVideo::into_response)
            .map_err(GenerateError::problem);
    }
    if let Some(picture) = body.picture {
        let key = check_picture(key, &body)?;
        let painted = app.context.models.paint(&tenant, key, body, picture);
        // The request is in memory until its reply ends, and so is its share.
        let _share = share;
        let painted = painted.await.map_err(|error| Problem::internal(&error))?;
        return painted
            .map(|picture| Json(picture).into_response())
            .map_err(GenerateError::problem);
    }
    let is_streamed = body.stream;
    let mut events = Arc::clone(&app.context.models).generate(&tenant, key, body);
    if is_streamed {
        return Ok(streamed(events, share));
    }
    // The request is in memory until its reply ends, and so is its share.
    let _share = share;
    while let Some(event) = events.recv().await {
        if let GenerateEvent::Done(result) = event {
            return result
                .map(|text| Json(text).into_response())
                .map_err(GenerateError::problem);
        }
    }
    Err(Problem::internal(&"a request for a text ended without a result"))
}

/// The idempotency key of a request for a picture. It is required: a picture can take longer than `api.timeout`, and the same request
/// with the same key gets the picture that was paid.
fn check_picture(key: Option<String>, body: &GenerateBody) -> Result<String, Problem> {
    let of_texts = [
        ("system", body.system.is_some()),
        ("temperature", body.temperature.is_some()),
        ("seed", body.seed.is_some()),
        ("schema", body.schema.is_some()),
        ("stream", body.stream),
    ];
    if let Some((field, _)) = of_texts.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Problem::bad_request(
            "it is for texts, and `picture` asks for a picture: remove one of them",
        )
        .of_field(field));
    }
    key.ok_or_else(|| {
        let detail = "a picture needs a key, because it can take longer than `api.timeout`: send a random UUID, and send the request again \
                      with it if there is no answer in time";
        Problem::bad_request(detail).of_field("idempotency-key")
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| {
        let detail = "it is not visible ASCII: give for instance a random UUID";
        Problem::bad_request(detail).of_field("idempotency-key")
    })?;
    Ok(Some(text.to_owned()))
}

/// The events of a request as server-sent events: `text`, `restart`, then `done` or `problem`. They hold the share of the request.
fn streamed(events: mpsc::UnboundedReceiver<GenerateEvent>, share: Share) -> Response {
    let body = stream::unfold((events, share), |(mut events, share)| async move {
        let event = events.recv().await?;
        let (name, data) = match event {
            GenerateEvent::Text(text) => ("text", json!({"text": text})),
            GenerateEvent::Restart => ("restart", json!({})),
            GenerateEvent::Done(Ok(text)) => ("done", json!(text)),
            GenerateEvent::Done(Err(error)) => ("problem", json!(error.problem())),
        };
        let frame = Bytes::from(format!("event: {name}\ndata: {data}\n\n"));
        Some((Ok::<_, std::convert::Infallible>(frame), (events, share)))
    });
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}

/// `GET /v1/providers`, with more fields for operators.
pub(crate) async fn providers(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    operator: Option<Operator>,
) -> Result<Json<Value>, Problem> {
    let is_operator = operator.is_some();
    let tenant = match caller {
        Ok(Caller(tenant)) => Some(tenant),
        Err(_) if is_operator => None,
        Err(problem) => return Err(problem),
    };
    Ok(Json(app.context.models.providers(Viewer {
        tenant: tenant.as_ref(),
        is_operator,
    })))
}

/// `GET /v1/cache`.
pub(crate) async fn cache(State(app): State<App>, Caller(tenant): Caller) -> Json<Value> {
    Json(app.context.models.cache(&tenant))
}

/// `DELETE /v1/cache`.
pub(crate) async fn clear_cache(State(app): State<App>, Caller(tenant): Caller) -> Json<Value> {
    Json(app.context.models.clear_cache(&tenant))
}

/// `GET /v1/cache/health`, for operators, because the numbers are totals of all tenants.
pub(crate) async fn cache_health(State(app): State<App>, _: Operator) -> Json<Value> {
    Json(app.context.models.cache_health())
}
