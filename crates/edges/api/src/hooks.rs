//! Requests of sources that send by themselves.
//!
//! Such a source has no API key: it proves with a signature that it has sent a request. So the body is read within the limits of the
//! tenant, and not decompressed, because the signature is of the bytes as they arrive.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use limbic_domain::TenantId;
use limbic_ingest::EdgeError;

use crate::App;
use crate::body::receive;
use crate::ingest::edge_problem;
use crate::problem::Problem;

/// A request of a source.
#[derive(Debug)]
pub struct HookRequest {
    /// The name of the connector.
    pub name: String,
    /// Whether it is a POST. Otherwise it is a GET.
    pub is_post: bool,
    /// The query, as it arrived.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it arrived.
    pub body: Vec<u8>,
}

/// Why a request is not accepted.
#[derive(Debug)]
pub enum HookRefusal {
    /// It does not prove that the source has sent it.
    NotProven(String),
    /// It is not a request of this source.
    NotUnderstood(String),
    /// It asks to agree to something that nobody here wants.
    NotWanted(String),
    /// A person has paused the connector.
    Paused,
    /// The edge does not accept now.
    Edge(EdgeError),
}

/// `GET` and `POST /v1/hooks/{name}`. The answer 200 means that the posts are durable.
pub(crate) async fn take(
    State(app): State<App>,
    Path(name): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let connectors = &app.context.connectors;
    let tenant: TenantId = connectors.receives(&name).ok_or_else(|| {
        let detail = "no connector of this node receives requests under this name: `limbic connect list` shows the connectors";
        Problem::new(StatusCode::NOT_FOUND, "not found", detail)
    })?;
    let limit = app.context.settings.max_body.as_usize();
    let received = receive(&app, &tenant, &headers, body, limit).await?;
    let turn = app
        .writers
        .try_take(&tenant)
        .ok_or_else(Problem::too_many_writers)?;
    let connectors = std::sync::Arc::clone(connectors);
    let done = tokio::task::spawn_blocking(move || {
        let (body, _share) = received.raw()?;
        let request = HookRequest {
            name,
            is_post: method == Method::POST,
            query: uri.query().unwrap_or_default().to_owned(),
            headers,
            body,
        };
        let done = connectors.receive(&request);
        drop(turn);
        done.map_err(problem)
    });
    match done.await {
        Ok(answer) => Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], answer?).into_response()),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

fn problem(refusal: HookRefusal) -> Problem {
    match refusal {
        HookRefusal::NotProven(detail) => Problem::new(StatusCode::UNAUTHORIZED, "not proven", detail),
        HookRefusal::NotUnderstood(detail) => Problem::bad_request(detail).of_field("body"),
        HookRefusal::NotWanted(detail) => Problem::new(StatusCode::NOT_FOUND, "not wanted", detail),
        HookRefusal::Paused => {
            let detail = "a person has paused this connector: send the same request again later";
            let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "paused", detail);
            problem.retry_after = Some(300);
            problem
        }
        HookRefusal::Edge(error) => edge_problem(error),
    }
}
