//! What every request passes: the checks of its address, a time limit, and the headers of its answer.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::App;
use crate::problem::Problem;
use crate::refusal::Refusal;

/// Longest text of a refusal that is passed on, in bytes.
const LONGEST_REFUSAL: usize = 4 << 10;

/// Headers of every answer: no other page may show it in a frame, no cache may keep it, no browser may guess its type.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
/// Of an answer that is not a page.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Passes a request on if its address is right. Every refusal is a [`Problem`].
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let settings = &app.context.settings;
    let checked = check(&app, request.uri(), request.headers());
    let mut response = match checked {
        Err(problem) => problem.into_response(),
        Ok(()) => match tokio::time::timeout(settings.timeout.get(), next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::busy(
                Refusal::Slow,
                format!(
                    "the request took longer than {}: retry it, or ask for less",
                    settings.timeout
                ),
            )
            .into_response(),
        },
    };
    Refusal::count(&response, &app.context.meters.requests_refused);
    if is_text_of_a_refusal(&response) {
        response = as_problem(response).await;
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    response
}

fn check(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let has_nul = |text: &str| text.contains("%00");
    if has_nul(uri.path()) || uri.query().is_some_and(has_nul) {
        let detail = "the path or a parameter contains %00 (U+0000), which no name contains: remove it";
        return Err(Problem::bad_request(detail));
    }
    // In HTTP/2 the host is part of the request's address.
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str().as_bytes()));
    let host = host.map(|host| String::from_utf8_lossy(host).to_ascii_lowercase());
    if let Some(host) = &host
        && !is_expected(host, app)
    {
        let detail = "this node does not serve the host of the request: use its address, or add the host to the setting api.hosts";
        return Err(
            Problem::new(StatusCode::MISDIRECTED_REQUEST, "unexpected host", detail).because(Refusal::Host),
        );
    }
    let origin = headers.get(header::ORIGIN);
    let is_foreign =
        origin.is_some_and(|origin| !is_own(origin, host.as_deref(), &app.context.settings.hosts));
    // A browser names the page that asks, if it is a page of another site.
    let is_cross = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site");
    let is_visit = headers
        .get("sec-fetch-mode")
        .is_some_and(|mode| mode == "navigate");
    if is_foreign || (is_cross && !is_visit) {
        let detail = "a web page of another site sent this request: send it from a program, or from the page of this node";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign origin", detail).because(Refusal::Origin));
    }
    Ok(())
}

/// Whether this node serves the host. A page of another site can give its own name the address of this node, and a browser then treats
/// both as one. The request still has that name. An address cannot be given to another site.
fn is_expected(host: &str, app: &App) -> bool {
    let settings = &app.context.settings;
    if settings.hosts.is_empty() && !app.context.keys.is_empty() {
        // The page of another site has no key.
        return true;
    }
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let is_address = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok();
    is_address
        || name == "localhost"
        || name.ends_with(".localhost")
        || settings
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the origin is the host that the request names, or a host of the settings, for a proxy that changes the request's host.
fn is_own(origin: &HeaderValue, host: Option<&str>, hosts: &[String]) -> bool {
    let origin = origin.to_str().unwrap_or("").to_ascii_lowercase();
    let of_origin = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let Some(of_origin) = of_origin else {
        return false;
    };
    let authority = of_origin.parse::<Authority>().ok();
    let name = authority.as_ref().map(Authority::host);
    Some(of_origin) == host
        || hosts
            .iter()
            .any(|known| Some(&*known.to_ascii_lowercase()) == name)
}

/// Whether the answer is a refusal of a library, as plain text or without a body.
fn is_text_of_a_refusal(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    is_text && (status.is_client_error() || status.is_server_error())
}

async fn as_problem(response: Response<Body>) -> Response {
    let status = response.status();
    let allow = response.headers().get(header::ALLOW).cloned();
    let text = to_bytes(response.into_body(), LONGEST_REFUSAL)
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = match text.trim() {
        _ if status.is_server_error() => {
            "the server failed, not your request; its log has the cause".to_owned()
        }
        "" => "the request is not valid: /openapi.json describes every request".to_owned(),
        text => format!("{text}: /openapi.json describes every request"),
    };
    let title = match status.as_u16() {
        400 | 422 => "bad request",
        405 => "method not allowed",
        500 => "internal error",
        _ => "refused",
    };
    let mut response = Problem::new(status, title, detail).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
