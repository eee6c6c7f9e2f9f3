//! Accepts posts and outcomes.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use limbic_domain::{TenantId, Utc};
use limbic_ingest::{Edge, EdgeError, Receipt, incoming};
use serde_json::{Value, json};

use crate::App;
use crate::auth::Caller;
use crate::body::{Received, receive};
use crate::items::{self, Indivisible, Items};
use crate::problem::Problem;
use crate::refusal::Refusal;

/// Maximum bytes of a watermark.
const WATERMARK_LIMIT: usize = 4 << 10;

/// An item of a request, or why it cannot be read.
type Item = Result<Value, String>;

pub(crate) async fn posts(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let trace = trace_of(&headers);
    let of = tenant.clone();
    take(app, of, headers, body, move |edge, items| {
        edge.accept_posts(&tenant, items, Some(&trace))
    })
    .await
}

pub(crate) async fn deletions(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let trace = trace_of(&headers);
    let of = tenant.clone();
    take(app, of, headers, body, move |edge, items| {
        edge.accept_deletions(&tenant, items, Some(&trace))
    })
    .await
}

pub(crate) async fn outcomes(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let trace = trace_of(&headers);
    let of = tenant.clone();
    take(app, of, headers, body, move |edge, items| {
        edge.accept_outcomes(&tenant, items, Some(&trace))
    })
    .await
}

pub(crate) async fn watermark(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    is_lines(&headers)?;
    let received = receive(&app, &tenant, &headers, body, WATERMARK_LIMIT).await?;
    let (body, _share) = received.decoded()?;
    let value = incoming::json(&body).map_err(|problem| unreadable(&problem))?;
    let at = value.get("at").and_then(Value::as_str);
    let at = at.ok_or_else(|| {
        let detail = "`at` is missing: give the time before which no more posts come, for instance {\"at\": \"2026-11-29T12:00:00Z\"}";
        Problem::bad_request(detail).of_field("at")
    })?;
    let at: Utc = at
        .parse()
        .map_err(|error| Problem::bad_request(format!("{error}")).of_field("at"))?;
    let whose = tenant.clone();
    write(app, &tenant, move |edge| Ok(edge.heartbeat(&whose, at)?)).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"at": at}))))
}

/// Receives a body, passes its items to the edge, and returns the receipt.
async fn take(
    app: App,
    tenant: TenantId,
    headers: HeaderMap,
    body: Body,
    accept: impl FnOnce(&Edge, &mut dyn Iterator<Item = Item>) -> Result<Receipt, EdgeError> + Send + 'static,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let lines = is_lines(&headers)?;
    let received = receive(
        &app,
        &tenant,
        &headers,
        body,
        app.context.settings.max_body.as_usize(),
    )
    .await?;
    let (receipt, single) = write(app, &tenant, move |edge| {
        read_items(edge, received, lines, accept)
    })
    .await?;
    match receipt.rejected.first() {
        // A single post that is not valid is an error of the request.
        Some(rejection) if single => {
            let title = "invalid item";
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, title, rejection.problem.clone());
            Err(problem.of_field(rejection.field.clone()))
        }
        _ => Ok((StatusCode::ACCEPTED, Json(receipt))),
    }
}

/// Reads the items of a body one by one and passes them to the edge. Returns the receipt, and whether the body was a single object.
fn read_items(
    edge: &Edge,
    received: Received,
    lines: bool,
    accept: impl FnOnce(&Edge, &mut dyn Iterator<Item = Item>) -> Result<Receipt, EdgeError>,
) -> Result<(Receipt, bool), Failure> {
    let (body, _share) = received.decoded()?;
    let most = edge.most_items();
    let items = if lines {
        items::lines(&body, most)
    } else {
        items::json(&body, most)
    };
    let items = items.map_err(|error| match error {
        Indivisible::TooMany => Failure::Edge(EdgeError::TooMany { limit: most }),
        Indivisible::Empty if lines => Problem::bad_request("the body is empty: send one JSON object a line")
            .of_field("body")
            .into(),
        Indivisible::Empty => Problem::bad_request("the body is empty: send one post, or an array of posts")
            .of_field("body")
            .into(),
        Indivisible::NeitherObjectNorArray => Problem::bad_request(
            "the body is neither an object nor an array: send one post, or an array of posts",
        )
        .of_field("body")
        .into(),
        Indivisible::Malformed(at) => unreadable(&format!(
            "is not JSON: the array is not well-formed at byte {at}: send a complete array"
        ))
        .into(),
    })?;
    match items {
        Items::One(range) => {
            let item = incoming::json(&body[range]).map_err(|problem| unreadable(&problem))?;
            let receipt = accept(edge, &mut std::iter::once(Ok(item)))?;
            Ok((receipt, true))
        }
        Items::Many(ranges) => {
            let mut items = ranges.into_iter().map(|range| incoming::json(&body[range]));
            Ok((accept(edge, &mut items)?, false))
        }
    }
}

/// Why a call of the edge failed.
enum Failure {
    Edge(EdgeError),
    Request(Problem),
}

impl From<EdgeError> for Failure {
    fn from(error: EdgeError) -> Self {
        Self::Edge(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Request(problem)
    }
}

/// Runs a call that blocks until it is durable, outside the tokio threads. Refuses the call if too many are already
/// waiting.
async fn write<T: Send + 'static>(
    app: App,
    tenant: &TenantId,
    call: impl FnOnce(&Edge) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Problem> {
    let edge: Arc<Edge> = app.context.edge.clone().ok_or_else(|| {
        let detail = "this node accepts no posts: send them to another node";
        Problem::new(StatusCode::NOT_FOUND, "not accepted here", detail)
    })?;
    let turn = app.writers.try_take(tenant);
    let turn = turn.ok_or_else(Problem::too_many_writers)?;
    let done = tokio::task::spawn_blocking(move || {
        let done = call(&edge);
        drop(turn);
        done
    });
    match done.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Failure::Edge(error))) => Err(edge_problem(error)),
        Ok(Err(Failure::Request(problem))) => Err(problem),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

pub(crate) fn edge_problem(error: EdgeError) -> Problem {
    match error {
        EdgeError::TooMany { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too many items", error.to_string())
                .because(Refusal::Items)
        }
        EdgeError::Quota { wait } => {
            let mut problem = Problem::too_many_requests(Refusal::Quota, error.to_string());
            problem.retry_after = u32::try_from(wait.as_secs()).ok();
            problem
        }
        EdgeError::Heartbeat(wrong) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid item", wrong.problem)
                .of_field(wrong.field)
        }
        EdgeError::UnknownTenant(_) => {
            Problem::new(StatusCode::FORBIDDEN, "unknown tenant", error.to_string())
        }
        EdgeError::Log(error) if error.retry() == limbic_domain::Retry::WithBackoff => Problem::log_busy(
            &error,
            "nothing was lost: send the same request again, duplicates are removed",
        ),
        EdgeError::Log(error) => Problem::internal(&error),
    }
}

/// Whether the body is JSON Lines. Another type than JSON is refused: a web page can send a form or plain text to any address
/// without asking, but JSON only to its own.
fn is_lines(headers: &HeaderMap) -> Result<bool, Problem> {
    let given = headers.get(header::CONTENT_TYPE);
    let text = given.map_or("", |given| given.to_str().unwrap_or(""));
    let kind = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match &*kind {
        "application/json" | "text/json" => Ok(false),
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" | "application/ndjson" => {
            Ok(true)
        }
        _ => {
            let found = if given.is_some() {
                "this content-type is not known"
            } else {
                "the header content-type is missing"
            };
            Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported media type",
                format!("{found}: send application/json (one object or an array) or application/x-ndjson"),
            ))
        }
    }
}

fn unreadable(problem: &str) -> Problem {
    Problem::bad_request(format!(
        "the body {problem} (for JSON Lines, say content-type: application/x-ndjson)"
    ))
    .of_field("body")
}

/// Distinguishes the traces of one millisecond.
static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// The request's W3C trace context if it is well-formed, otherwise a new one, so that every chain of records has a trace.
fn trace_of(headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let well_formed = |text: &&str| {
        text.len() == 55
            && text.split('-').map(str::len).eq([2, 32, 16, 2])
            && text
                .bytes()
                .all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if let Some(given) = given.filter(well_formed) {
        return given.to_owned();
    }
    let n = NEXT
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        .to_string();
    let id = limbic_domain::event_id(
        "trace",
        &[
            &Utc::now().as_millis().to_string(),
            &std::process::id().to_string(),
            &n,
        ],
    );
    format!("00-{id}-{}-01", &id[..16])
}
