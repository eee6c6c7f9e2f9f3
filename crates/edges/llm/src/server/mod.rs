//! What all providers over HTTP share: one request, its reply, and the meaning of its errors.
//!
//! ```text
//!  Generate ──Api::body──▶ POST ──▶ 200: bytes ──Frames──▶ events ──Api::read──▶ Reply ──▶ Generated
//!                            │  └─▶ other: ErrorAnswer ──Api::failure──▶ Failure
//!  Paint ──PictureApi::body──┘  └─▶ 200: a document ──PictureApi::read──▶ base64 ──▶ bytes ──▶ Painted
//! ```
//!
//! Jobs use the same endpoint: [`Endpoint::document`] for their start and their state, [`Endpoint::download`] for the file.

mod frames;
mod picture;
mod reply;
mod triage;

use std::time::Duration;

use limbic_domain::{ConnectionUrl, Secret, Utc};
use limbic_http::explain;
use limbic_stream::outbox::retry_after;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use crate::provider::{Attempt, Failure, FailureKind, OnText, Spent};
use crate::{Generate, Generated};
pub(crate) use frames::Frames;
pub(crate) use picture::{Encoded, PictureApi};
pub(crate) use reply::{Finish, Reply};
pub(crate) use triage::ErrorAnswer;

/// Maximum bytes of a reply: far more than any model writes.
const REPLY_BYTES: usize = 4 << 20;

/// The form of one provider's API.
pub(crate) trait Api: Send + Sync {
    /// The URL of a request to `model`.
    fn url(&self, model: &str) -> Url;

    /// The body of the request.
    fn body(&self, request: &Generate) -> Value;

    /// Reads one event of a streamed reply, or a whole reply that is not streamed.
    fn read(&self, event: &str, reply: &mut Reply) -> Result<(), Failure>;

    /// What a status other than 200 means.
    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure;
}

/// Settings of a provider that are not valid.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The base URL is not valid.
    #[error("base_url: {0}")]
    Url(String),
    /// The key contains characters that an HTTP header cannot contain.
    #[error(
        "api_key: it contains characters that an HTTP header cannot contain: copy it again, without line ends"
    )]
    Key,
    /// There is no key, and the provider needs one.
    #[error("api_key: it is empty, and this provider refuses requests without a key: set it")]
    NoKey,
    /// There is no wait between two questions.
    #[error("poll_every: must be at least 1ms, for instance 10s")]
    Pace,
    /// A host is not valid.
    #[error("download_hosts: `{0}` is not a host: write HOST or HOST:PORT, in small letters")]
    Host(String),
    /// The HTTP client cannot be built.
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
}

/// The address of an API, and a client whose requests carry its key.
#[derive(Debug)]
pub(crate) struct Endpoint {
    client: Client,
    base: Url,
    key: Secret,
}

impl Endpoint {
    /// Sends nothing. `headers` contain `key`.
    pub(crate) fn new(base: &ConnectionUrl, headers: HeaderMap, key: &Secret) -> Result<Self, SettingsError> {
        let client = Client::builder()
            .user_agent(concat!("limbic/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .build()
            .map_err(SettingsError::Client)?;
        Ok(Self {
            client,
            base: base_url(base)?,
            key: key.clone(),
        })
    }

    /// The URL of a path below the base URL.
    pub(crate) fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Makes one attempt. A failure does not contain the key, also if the server repeats it.
    pub(crate) async fn ask(
        &self,
        api: &impl Api,
        attempt: Attempt<'_>,
        on_text: &mut OnText<'_>,
    ) -> Result<Generated, Failure> {
        let result = self.attempt(api, attempt, on_text).await;
        result.map_err(|failure| self.without_key_in(failure))
    }

    async fn attempt(
        &self,
        api: &impl Api,
        attempt: Attempt<'_>,
        on_text: &mut OnText<'_>,
    ) -> Result<Generated, Failure> {
        let url = api.url(&attempt.request.model);
        let body = api.body(attempt.request);
        let response = self
            .post(url, &body, attempt, |answer| api.failure(answer))
            .await?;
        receive(api, response, on_text).await
    }

    /// Sends a request. The result has the status 200.
    async fn post<R>(
        &self,
        url: Url,
        body: &Value,
        attempt: Attempt<'_, R>,
        failure: impl Fn(&ErrorAnswer<'_>) -> Failure,
    ) -> Result<Response, Failure> {
        let request = self.client.post(url).header("idempotency-key", attempt.key);
        let response = sent(request.json(body), attempt).await?;
        self.only_200(response, attempt.now, failure).await
    }

    /// The JSON document that answers a request: a `POST` of a body, else a `GET`. Its form is not checked.
    pub(crate) async fn document<R, E: From<Failure>>(
        &self,
        url: Url,
        body: Option<&Value>,
        attempt: Attempt<'_, R>,
        failure: impl Fn(&ErrorAnswer<'_>) -> E,
    ) -> Result<Vec<u8>, E> {
        let response = match body {
            Some(body) => {
                let request = self.client.post(url).header("idempotency-key", attempt.key);
                sent(request.json(body), attempt).await?
            }
            None => sent(self.client.get(url), attempt).await?,
        };
        let response = self.only_200(response, attempt.now, failure).await?;
        let reply = whole(response, REPLY_BYTES).await;
        Ok(reply.map_err(|failure| failure.spending(Spent::Unknown))?)
    }

    /// Downloads a file of at most this many bytes. A redirect is not followed.
    pub(crate) async fn download<R>(
        &self,
        url: Url,
        most: usize,
        attempt: Attempt<'_, R>,
        failure: impl Fn(&ErrorAnswer<'_>) -> Failure,
    ) -> Result<Download, Failure> {
        let response = sent(self.client.get(url), attempt).await?;
        if response.status().is_redirection() {
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            let status = response.status().as_u16();
            let location = location.ok_or_else(|| unknown(format!("{status}, but without a location")))?;
            return Ok(Download::Elsewhere(location.to_owned()));
        }
        let response = self.only_200(response, attempt.now, failure).await?;
        // A body that is shorter than the header says ends with an error.
        whole(response, most).await.map(Download::Whole)
    }

    /// The answer, if it has the status 200.
    async fn only_200<E: From<Failure>>(
        &self,
        response: Response,
        now: Utc,
        failure: impl Fn(&ErrorAnswer<'_>) -> E,
    ) -> Result<Response, E> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let wait = wait(response.headers(), now);
        let body = whole(response, REPLY_BYTES).await?;
        // A message is shortened, which could leave a part of the key.
        let body = self.without_key(&String::from_utf8_lossy(&body));
        Err(failure(&ErrorAnswer {
            status: status.as_u16(),
            wait,
            body: &body,
        }))
    }

    /// The failure without the key, also if the server has repeated it.
    pub(crate) fn without_key_in(&self, mut failure: Failure) -> Failure {
        failure.detail = self.without_key(&failure.detail);
        failure
    }

    fn without_key(&self, text: &str) -> String {
        if self.key.is_empty() {
            return text.to_owned();
        }
        text.replace(self.key.reveal(), "***")
    }
}

/// What a download gives.
#[derive(Debug)]
pub(crate) enum Download {
    /// The file.
    Whole(Vec<u8>),
    /// It is at another address, which can be relative.
    Elsewhere(String),
}

/// Sends a request, and returns when the head of its answer is there.
async fn sent<R>(request: RequestBuilder, attempt: Attempt<'_, R>) -> Result<Response, Failure> {
    request.timeout(attempt.deadline).send().await.map_err(|error| {
        let began = !error.is_connect() && !error.is_builder();
        let spent = if began { Spent::Unknown } else { Spent::Nothing };
        Failure::new(FailureKind::Unknown, explain(error)).spending(spent)
    })
}

/// Reads a reply with status 200.
async fn receive(
    api: &impl Api,
    mut response: Response,
    on_text: &mut OnText<'_>,
) -> Result<Generated, Failure> {
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut frames = Frames::of(content_type);
    let mut reply = Reply::default();
    let mut received = 0;
    let failed = loop {
        let events = match response.chunk().await {
            Ok(Some(chunk)) => {
                received += chunk.len();
                if received > REPLY_BYTES {
                    break Some(unknown(format!("200, but the reply exceeds {REPLY_BYTES} bytes")));
                }
                frames.push(&chunk)
            }
            Ok(None) => {
                let last = frames.end().into_iter().collect::<Vec<_>>();
                let read = last
                    .iter()
                    .try_for_each(|event| read(api, event, &mut reply, on_text));
                break read.err();
            }
            // A reply that has said how it ended is whole.
            Err(_) if reply.finish.is_some() => break None,
            Err(error) => break Some(unknown(explain(error))),
        };
        let read = events
            .iter()
            .try_for_each(|event| read(api, event, &mut reply, on_text));
        if let Err(failure) = read {
            break Some(failure);
        }
    };
    match failed {
        // The provider has begun: what it has spent is what it reported last, if it had finished.
        Some(failure) => Err(failure.spending(reply.spent())),
        None => reply.into_result(),
    }
}

/// Reads one event, and passes its new text on.
fn read(api: &impl Api, event: &str, reply: &mut Reply, on_text: &mut OnText<'_>) -> Result<(), Failure> {
    let before = reply.text.len();
    api.read(event, reply)?;
    match &reply.text[before..] {
        "" => {}
        piece => on_text(piece),
    }
    Ok(())
}

/// A body of at most this many bytes.
async fn whole(mut response: Response, most: usize) -> Result<Vec<u8>, Failure> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(unknown(format!("{status}: the reply exceeds {most} bytes")));
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(unknown(explain(error))),
        }
    }
}

pub(crate) fn unknown(detail: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Unknown, detail)
}

/// The JSON document of an event.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(event: &'a str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(event).map_err(|error| unknown(format!("200, but not {what}: {error}")))
}

/// The wait that the headers ask for: `retry-after-ms` (milliseconds; sent by `OpenAI`), else `retry-after`.
fn wait(headers: &HeaderMap, now: Utc) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let millis = text("retry-after-ms").and_then(|value| value.trim().parse().ok());
    millis
        .map(Duration::from_millis)
        .or_else(|| text("retry-after").and_then(|value| retry_after(value, now)))
}

/// A header that is never printed. No header if the key is empty.
pub(crate) fn key_header(name: HeaderName, prefix: &str, key: &Secret) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    if !key.is_empty() {
        let value = format!("{prefix}{}", key.reveal());
        let mut value = HeaderValue::from_str(&value).map_err(|_| SettingsError::Key)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Returns an error if no request can be sent to `base`.
pub(crate) fn base_url(base: &ConnectionUrl) -> Result<Url, SettingsError> {
    let url = Url::parse(base.reveal())
        .map_err(|error| SettingsError::Url(format!("not a URL ({error}): write https://HOST/v1")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SettingsError::Url(format!(
            "`{}` is not a scheme to post to: write https",
            url.scheme()
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::Url(
            "it contains a password: write it as api_key, which is never printed".to_owned(),
        ));
    }
    Ok(url)
}
