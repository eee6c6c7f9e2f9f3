//! Accepts posts and outcomes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use limbic_domain::Utc;
use limbic_ingest::{Edge, EdgeError, Receipt};
use serde_json::{Value, json};

use crate::App;
use crate::auth::Caller;
use crate::problem::Problem;

type Items = Vec<Result<Value, String>>;

pub(crate) async fn posts(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let trace = trace_of(&headers);
    take(app, headers, body, move |edge, items| {
        edge.accept_posts(&tenant, items, Some(&trace))
    })
    .await
}

pub(crate) async fn outcomes(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let trace = trace_of(&headers);
    take(app, headers, body, move |edge, items| {
        edge.accept_outcomes(&tenant, items, Some(&trace))
    })
    .await
}

pub(crate) async fn watermark(
    State(app): State<App>,
    Caller(_): Caller,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let value: Value = serde_json::from_slice(&body).map_err(|error| not_json(&error))?;
    let at = value.get("at").and_then(Value::as_str);
    let at = at.ok_or_else(|| {
        let detail = "`at` is missing: give the time before which no more posts come, for instance {\"at\": \"2026-11-29T12:00:00Z\"}";
        Problem::bad_request(detail).of_field("at")
    })?;
    let at: Utc = at
        .parse()
        .map_err(|error| Problem::bad_request(format!("{error}")).of_field("at"))?;
    write(app, move |edge| edge.heartbeat(at)).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"at": at}))))
}

/// Reads the items of a body, passes them to the edge, and returns the receipt.
async fn take(
    app: App,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
    accept: impl FnOnce(&Edge, Items) -> Result<Receipt, EdgeError> + Send + 'static,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let limit = app.context.settings.max_body.as_usize();
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body too large",
            format!("the body exceeds {limit} bytes: send the posts in several requests"),
        ),
        _ => Problem::bad_request("the body ended early: send it again"),
    })?;
    let lines = is_lines(&headers)?;
    let (receipt, single) = write(app, move |edge| {
        let (items, single) = match items(&body, lines) {
            Ok(items) => items,
            Err(problem) => return Ok(Err(problem)),
        };
        accept(edge, items).map(|receipt| Ok((receipt, single)))
    })
    .await??;
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

/// Runs a call that blocks until it is durable, outside the tokio threads. Refuses the call if too many are already
/// waiting.
async fn write<T: Send + 'static>(
    app: App,
    call: impl FnOnce(&Edge) -> Result<T, EdgeError> + Send + 'static,
) -> Result<T, Problem> {
    let edge: Arc<Edge> = app.context.edge.clone().ok_or_else(|| {
        let detail = "this node accepts no posts: send them to another node";
        Problem::new(StatusCode::NOT_FOUND, "not accepted here", detail)
    })?;
    let permit = Arc::clone(&app.writers).try_acquire_owned();
    let permit =
        permit.map_err(|_| Problem::busy("too many requests are being written: retry after a second"))?;
    let done = tokio::task::spawn_blocking(move || {
        let done = call(&edge);
        drop(permit);
        done
    });
    match done.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(edge_problem(error)),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

fn edge_problem(error: EdgeError) -> Problem {
    match error {
        EdgeError::TooMany { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too many items", error.to_string())
        }
        EdgeError::Heartbeat(wrong) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid item", wrong.problem)
                .of_field(wrong.field)
        }
        EdgeError::UnknownTenant(_) => {
            Problem::new(StatusCode::FORBIDDEN, "unknown tenant", error.to_string())
        }
        EdgeError::Log(error) if error.retry() == limbic_domain::Retry::WithBackoff => {
            tracing::warn!(%error, "the log did not accept a request");
            Problem::busy(format!(
                "{error}; nothing was lost: send the same request again, duplicates are removed"
            ))
        }
        EdgeError::Log(error) => Problem::internal(&error),
    }
}

/// Whether the body is JSON Lines.
fn is_lines(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(false);
    };
    let text = given.to_str().unwrap_or("");
    match text
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "application/json" | "text/json" | "" | "application/x-www-form-urlencoded" => Ok(false),
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" | "application/ndjson" => {
            Ok(true)
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported media type",
            format!("`{text}`: send application/json (one object or an array) or application/x-ndjson"),
        )),
    }
}

/// The items of a body, and whether it was a single object.
fn items(body: &[u8], lines: bool) -> Result<(Items, bool), Problem> {
    if lines {
        let items: Items = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
            .map(|line| {
                serde_json::from_slice(line)
                    .map_err(|error| format!("not JSON: {error}: send one JSON object a line"))
            })
            .collect();
        return if items.is_empty() {
            Err(Problem::bad_request("the body is empty: send one JSON object a line").of_field("body"))
        } else {
            Ok((items, false))
        };
    }
    match serde_json::from_slice(body) {
        Ok(Value::Array(items)) => Ok((items.into_iter().map(Ok).collect(), false)),
        Ok(Value::Object(fields)) => Ok((vec![Ok(Value::Object(fields))], true)),
        Ok(_) => Err(Problem::bad_request(
            "the body is neither an object nor an array: send one post, or an array of posts",
        )
        .of_field("body")),
        Err(error) => Err(not_json(&error)),
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!(
        "the body is not JSON: {error} (for JSON Lines, say content-type: application/x-ndjson)"
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
