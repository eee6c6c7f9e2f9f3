//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::refusal::Refusal;

/// An error for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The HTTP status.
    #[serde(serialize_with = "number")]
    pub status: StatusCode,
    /// The kind of problem, from a fixed list.
    pub title: &'static str,
    /// The problem, and what to do.
    pub detail: String,
    /// The field or parameter that is wrong, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Seconds to wait before a retry: the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
    /// The encodings of bodies that the node reads: the header `Accept-Encoding`.
    #[serde(skip)]
    pub(crate) accept_encoding: Option<&'static str>,
    /// Under which reason the answer is counted.
    #[serde(skip)]
    pub(crate) refusal: Option<Refusal>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// What the parser of parameters says, in the words of the API.
fn in_plain_words(problem: &str) -> String {
    if problem == "invalid digit found in string" || problem == "cannot parse integer from empty string" {
        return "is not a whole number: give for instance 100".to_owned();
    }
    if problem.starts_with("number too large") {
        return "is too large: give for instance 100".to_owned();
    }
    if let Some(name) = problem.strip_prefix("duplicate field ") {
        return format!("{name} is given more than once: give it once");
    }
    format!("{problem}: correct it, or leave the parameter out")
}

impl Problem {
    /// A problem without a field.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            field: None,
            retry_after: None,
            accept_encoding: None,
            refusal: None,
        }
    }

    /// Adds the field that is wrong.
    #[must_use]
    pub fn of_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Counts the answer under this reason.
    #[must_use]
    pub(crate) fn because(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail)
    }

    /// A wrong parameter behind the `?`.
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    pub(crate) fn of_query(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let said = text
            .strip_prefix("Failed to deserialize query string: ")
            .unwrap_or(&text);
        // "NAME: PROBLEM", and "unknown field `NAME`, expected …" without a name in front of it or with it.
        let (name, problem) = said.split_once(": ").unwrap_or(("query", said));
        if let Some(unknown) = problem.strip_prefix("unknown field `")
            && let Some((unknown, known)) = unknown.split_once('`')
        {
            let known = known
                .trim_start_matches(", expected ")
                .trim_start_matches("one of ");
            let detail = format!("there is no parameter `{unknown}`: the parameters are {known}");
            return Self::bad_request(detail).of_field(unknown);
        }
        Self::bad_request(in_plain_words(problem)).of_field(name)
    }

    pub(crate) fn busy(refusal: Refusal, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).because(refusal);
        problem.retry_after = Some(1);
        problem
    }

    pub(crate) fn too_many_writers() -> Self {
        let detail = "too many requests are being written: retry after a second";
        Self::busy(Refusal::Writers, detail)
    }

    /// This tenant sends too much at a time.
    pub(crate) fn too_many_requests(refusal: Refusal, detail: impl Into<String>) -> Self {
        let mut problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", detail).because(refusal);
        problem.retry_after = Some(1);
        problem
    }

    /// The log cannot serve the request now. The cause goes to the log, because it can name folders and servers.
    pub(crate) fn log_busy(cause: &limbic_stream::Error, to_do: &str) -> Self {
        tracing::warn!(%cause, "the log did not serve a request");
        Self::busy(Refusal::Log, format!("the log does not answer: {to_do}"))
    }

    /// An internal error. The cause goes to the log, not to the caller.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        let detail = "the server failed, not your request; its log has the cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let (accept_encoding, refusal) = (self.accept_encoding, self.refusal);
        let mut response = (status, Json(self)).into_response();
        if let Some(refusal) = refusal {
            response.extensions_mut().insert(refusal);
        }
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(encodings) = accept_encoding {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encodings));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(crate) async fn not_found(uri: Uri) -> Problem {
    let detail = format!(
        "the path {} does not exist: /openapi.json lists all paths",
        uri.path()
    );
    Problem::new(StatusCode::NOT_FOUND, "not found", detail)
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{method} is not allowed at {}: /openapi.json lists the methods",
        uri.path()
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail)
}
