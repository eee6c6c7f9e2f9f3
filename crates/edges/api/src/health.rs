//! Liveness, readiness, and metrics for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use limbic_stream::runtime::Health;
use prometheus::{Encoder as _, TextEncoder};
use serde_json::{Value, json};

use crate::App;
use crate::problem::Problem;

/// Liveness: answers while the process runs.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Readiness: 200 if every stage of this node has its partitions and the view answers, otherwise 503 with the reasons.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let mut waiting: Vec<String> = Vec::new();
    let mut stages = serde_json::Map::new();
    for (name, status) in (app.context.statuses)() {
        let (word, problem) = match status.health {
            Health::Running => ("running", None),
            Health::Starting => ("starting", Some("starting".to_owned())),
            Health::Waiting(why) => ("waiting", Some(why)),
            Health::Stopped => ("stopped", Some("stopped".to_owned())),
            Health::Failed(why) => ("failed", Some(why)),
        };
        if let Some(problem) = problem {
            waiting.push(format!("{name}: {problem}"));
        }
        stages.insert(
            name,
            json!({"health": word, "partitions": status.partitions.len()}),
        );
    }
    if let Ok(store) = &app.context.store
        && let Err(error) = store.ping().await
    {
        waiting.push(format!("view: {error}"));
    }
    let status = if waiting.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body: Value = json!({"ready": waiting.is_empty(), "waiting_for": waiting, "stages": stages});
    (status, Json(body)).into_response()
}

pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&app.context.registry.gather(), &mut text)
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
