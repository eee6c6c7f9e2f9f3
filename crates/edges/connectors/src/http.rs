//! HTTP requests of connectors.
//!
//! A connector has a runtime of its own that works only while the connector waits for an answer. So an open answer whose connector is
//! not pulled is not read, and pressure reaches the server.

use std::time::Duration;

use limbic_domain::Utc;
use limbic_http::explain;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::{ConnectorError, Failure};

/// How long a request may take, with its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time in which bytes that have arrived are taken.
const MOMENT: Duration = Duration::from_millis(2);
/// How long a pull waits for the first bytes of a stream.
const WAIT: Duration = Duration::from_millis(500);

/// An HTTP client. It does not follow redirects.
pub(crate) struct Http {
    /// The source, for people.
    name: String,
    open: Option<Open>,
}

struct Open {
    runtime: Runtime,
    client: Client,
}

/// A complete answer with the status 200 to 399.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http {
    /// `name` is the source, for people. Nothing is opened before the first request, so that the runtime begins and ends on the
    /// connector's thread.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            open: None,
        }
    }

    fn open(&mut self) -> Result<&Open, ConnectorError> {
        if self.open.is_none() {
            let failed = |error: String| unavailable(&self.name, error, Failure::Connection, None);
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| failed(error.to_string()))?;
            let client = Client::builder()
                .user_agent(concat!("limbic/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .connect_timeout(PATIENCE)
                .build()
                .map_err(|error| failed(explain(error)))?;
            self.open = Some(Open { runtime, client });
        }
        Ok(self.open.as_ref().expect("it was opened above"))
    }

    /// Sends a request and reads the whole answer, at most `longest` bytes.
    pub(crate) fn send(
        &mut self,
        longest: usize,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Answer, ConnectorError> {
        let name = self.name.clone();
        let Open { runtime, client } = self.open()?;
        let failed = |detail: String| unavailable(&name, detail, Failure::Connection, None);
        let request = request(client);
        runtime.block_on(async {
            let whole = async {
                let mut response = request.send().await.map_err(|error| failed(explain(error)))?;
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let mut body = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(|error| failed(explain(error)))? {
                    if body.len() + chunk.len() > longest {
                        return Err(failed(format!("the answer has more than {longest} bytes")));
                    }
                    body.extend_from_slice(&chunk);
                }
                if status >= 400 {
                    return Err(answered(&name, status, &headers, &body));
                }
                Ok(Answer {
                    status,
                    headers,
                    body,
                })
            };
            let seconds = PATIENCE.as_secs();
            timeout(PATIENCE, whole)
                .await
                .unwrap_or_else(|_| Err(failed(format!("no whole answer in {seconds} s"))))
        })
    }

    /// Opens an answer that does not end. The server must answer 200.
    pub(crate) fn stream(
        &mut self,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Response, ConnectorError> {
        let name = self.name.clone();
        let Open { runtime, client } = self.open()?;
        let request = request(client);
        runtime.block_on(async {
            let failed = |detail: String| unavailable(&name, detail, Failure::Connection, None);
            let opened = timeout(PATIENCE, request.send()).await;
            let response = opened
                .map_err(|_| failed(format!("no answer in {} s", PATIENCE.as_secs())))?
                .map_err(|error| failed(explain(error)))?;
            let status = response.status().as_u16();
            if status == 200 {
                return Ok(response);
            }
            let headers = response.headers().clone();
            let body = timeout(PATIENCE, response.bytes()).await;
            let body = body.ok().and_then(Result::ok).unwrap_or_default();
            Err(answered(&name, status, &headers, &body))
        })
    }

    /// The next bytes of an open answer. `None` if there are none now; if `is_patient`, within half a second.
    pub(crate) fn chunk(
        &mut self,
        response: &mut Response,
        is_patient: bool,
    ) -> Result<Option<Vec<u8>>, String> {
        let Open { runtime, .. } = self.open().map_err(|error| error.to_string())?;
        let wait = if is_patient { WAIT } else { MOMENT };
        match runtime.block_on(async { timeout(wait, response.chunk()).await }) {
            Err(_) => Ok(None),
            Ok(Ok(Some(bytes))) => Ok(Some(bytes.to_vec())),
            Ok(Ok(None)) => Err("the server ended the stream".to_owned()),
            Ok(Err(error)) => Err(explain(error)),
        }
    }
}

pub(crate) fn unavailable(
    name: &str,
    detail: String,
    failure: Failure,
    retry_after: Option<Duration>,
) -> ConnectorError {
    ConnectorError::Unavailable {
        source_name: name.to_owned(),
        detail,
        failure,
        retry_after,
    }
}

pub(crate) fn refused(name: &str, detail: String) -> ConnectorError {
    ConnectorError::Refused {
        source_name: name.to_owned(),
        detail,
    }
}

/// The error for an answer that is not the wanted one.
pub(crate) fn answered(name: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> ConnectorError {
    let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
    let detail = format!("it answered {status} {}", body.trim())
        .trim_end()
        .to_owned();
    let wait = retry_after(headers, Utc::now());
    match status {
        429 => unavailable(name, detail, Failure::RateLimit, wait),
        400..=499 if status != 408 => refused(name, detail),
        _ => unavailable(name, detail, Failure::Server, wait),
    }
}

/// The wait that `Retry-After` states, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Utc) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = u64::try_from(now.as_millis()).unwrap_or(0);
    Some(at.saturating_sub(Duration::from_millis(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, "2026-11-30T09:00:00Z".parse().unwrap())
        };
        assert_eq!(wait(" 120 "), Some(Duration::from_mins(2)));
        assert_eq!(
            wait("Mon, 30 Nov 2026 09:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(wait("Mon, 30 Nov 2026 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), Utc::now()), None);
    }
}
