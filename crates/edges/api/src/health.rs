//! Liveness, readiness, and metrics for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use limbic_stream::runtime::Health;
use prometheus::{Encoder as _, TextEncoder};
use serde_json::{Value, json};

use crate::auth::Operator;
use crate::problem::Problem;
use crate::{App, descriptors};

/// Liveness: answers while the process runs.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Readiness: 200 if every stage of this node has its partitions and the view answers, otherwise 503. Operators see the reasons.
pub(crate) async fn ready(State(app): State<App>, operator: Option<Operator>) -> Response {
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
    waiting.extend(descriptors::problem().map(str::to_owned));
    let status = if waiting.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body: Value = match operator {
        Some(Operator) => json!({"ready": waiting.is_empty(), "waiting_for": waiting, "stages": stages}),
        None => json!({"ready": waiting.is_empty()}),
    };
    (status, Json(body)).into_response()
}

pub(crate) async fn metrics(State(app): State<App>, _: Operator) -> Result<Response, Problem> {
    let meters = &app.context.meters;
    meters.body_bytes.set(app.bodies.taken() as i64);
    meters.answer_bytes.set(app.answers.taken() as i64);
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&app.context.registry.gather(), &mut text)
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
