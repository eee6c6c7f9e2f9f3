//! HTTP requests of connectors.
//!
//! A connector has a runtime of its own that works only while the connector waits for an answer. So an open answer whose connector is
//! not pulled is not read, and pressure reaches the server.

use std::net::IpAddr;
use std::time::Duration;

use limbic_domain::{ConnectionUrl, Utc};
use limbic_http::explain;
use limbic_stream::outbox;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::poll::LONGEST_WAIT;
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

/// A complete answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The answer, if its status is below 400. `name` is the source, for people.
    pub(crate) fn checked(self, name: &str) -> Result<Self, ConnectorError> {
        if self.status >= 400 {
            return Err(answered(name, self.status, &self.headers, &self.body));
        }
        Ok(self)
    }
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

    /// Sends a request and reads the whole answer, at most `longest` bytes. Its status is below 400.
    pub(crate) fn send(
        &mut self,
        longest: usize,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Answer, ConnectorError> {
        self.ask(longest, request)?.checked(&self.name)
    }

    /// As [`Self::send`], with an answer of any status.
    pub(crate) fn ask(
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
        let opened = self.try_stream(request)?;
        opened.map_err(|answer| answered(&self.name, answer.status, &answer.headers, &answer.body))
    }

    /// As [`Self::stream`]. An answer with another status than 200 is returned whole.
    pub(crate) fn try_stream(
        &mut self,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Result<Response, Answer>, ConnectorError> {
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
                return Ok(Ok(response));
            }
            let headers = response.headers().clone();
            let body = timeout(PATIENCE, response.bytes()).await;
            let body = body.ok().and_then(Result::ok).unwrap_or_default().into();
            Ok(Err(Answer {
                status,
                headers,
                body,
            }))
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

/// The wait that `Retry-After` states, a day at most.
fn retry_after(headers: &HeaderMap, now: Utc) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    outbox::retry_after(text, now).map(|wait| wait.min(LONGEST_WAIT))
}

/// The address of an API to which a secret is sent: encrypted, or on this machine.
pub(crate) fn checked_url(setting: &str, url: &ConnectionUrl) -> Result<Url, limbic_component::Error> {
    let address: Url = url
        .reveal()
        .parse()
        .map_err(|error| format!("{setting}: `{url}` is not an address: {error}"))?;
    let is_local = matches!(address.host_str(), Some("localhost" | "127.0.0.1"));
    if address.scheme() != "https" && !(is_local && address.scheme() == "http") {
        return Err(format!(
            "{setting}: {url} is not encrypted, and the secret would be sent: begin with https://"
        )
        .into());
    }
    Ok(address)
}

/// Whether the server at `base` may name this address, which is then asked: never in the clear if the server is encrypted, and never
/// inside this network if the server is outside.
pub(crate) fn may_follow(named: &Url, base: &Url) -> bool {
    let is_encrypted = |url: &Url| matches!(url.scheme(), "https" | "wss");
    named.has_host() && (is_encrypted(named) || !is_encrypted(base)) && (is_inside(base) || !is_inside(named))
}

/// Whether an address is one of this machine or of a private network, as far as its text says so: names are not resolved.
pub(crate) fn is_inside(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    // A name with a final dot is the same name.
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => {
            let [first, second, ..] = address.octets();
            // Addresses that providers share between their customers (RFC 6598).
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || is_shared
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_unique_local()
                || address.is_unspecified()
                || address.to_ipv4_mapped().is_some()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost") || host.ends_with(".internal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_inside_this_network_is_recognised() {
        let is_inside = |url: &str| is_inside(&url.parse().unwrap());
        for inside in [
            "http://localhost/",
            "http://localhost./",
            "http://127.1.2.3/",
            "http://10.0.0.1/",
            "http://10.0.0.1./",
            "http://100.64.0.1/",
            "http://100.127.255.254/",
            "http://169.254.169.254/",
            "http://[::1]/",
            "http://[fd00::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://metadata.internal/",
            "http://metadata.internal./",
            "http://0/",
        ] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in [
            "https://example.com/",
            "http://93.184.216.34/",
            "http://100.63.0.1/",
            "http://100.128.0.1/",
            "http://[2001:db8::1]/",
        ] {
            assert!(!is_inside(outside), "{outside}");
        }
    }

    #[test]
    fn a_named_address_is_not_followed_in_the_clear_nor_into_this_network() {
        let may = |named: &str, base: &str| may_follow(&named.parse().unwrap(), &base.parse().unwrap());
        assert!(may("wss://streaming.one.example", "https://one.example"));
        assert!(may("ws://127.0.0.1:4000", "http://localhost:3000"));
        for (named, base) in [
            ("ws://streaming.one.example", "https://one.example"),
            ("wss://10.0.0.1", "https://one.example"),
            ("wss://localhost.", "https://one.example"),
            ("ws://metadata.internal", "http://one.example"),
            ("data:x", "http://one.example"),
        ] {
            assert!(!may(named, base), "{named} of {base}");
        }
    }

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date_and_a_day_at_most() {
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
        for long in [
            "86401",
            "99999999999999999999999",
            "Wed, 30 Dec 2026 09:00:00 GMT",
        ] {
            assert_eq!(wait(long), Some(LONGEST_WAIT), "{long}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Utc::now()), None);
    }
}
