//! Servers with `OpenAI`'s chat completions API (`POST BASE/chat/completions`, not streamed).

use std::time::Duration;

use limbic_domain::{ConnectionUrl, Secret, Utc};
use limbic_http::explain;
use limbic_stream::outbox::{Answer, Call, excerpt, retry_after};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::{Generate, Generated, Provider};

mod component;

/// Maximum bytes of a reply: far more than any model writes.
const REPLY_BYTES: usize = 4 << 20;

/// `kind = "openai"`: a server with `OpenAI`'s chat completions API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAiSettings {
    /// The API's base URL, for instance `https://api.openai.com/v1`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Empty = requests have no key. Never printed.
    #[serde(default)]
    pub api_key: Secret,
}

impl OpenAiSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        completions(&self.base_url)?;
        self.headers()?;
        Ok(())
    }

    fn headers(&self) -> Result<HeaderMap, SettingsError> {
        let mut headers = HeaderMap::new();
        if !self.api_key.is_empty() {
            let value = format!("Bearer {}", self.api_key.reveal());
            let mut value = HeaderValue::from_str(&value).map_err(|_| SettingsError::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// Settings that are not valid.
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
    /// The HTTP client cannot be built.
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
}

/// A provider that uses `OpenAI`'s chat completions API.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with text | applied |
/// | 200 with a refusal, or ended by a content filter | rejected, with the model's message |
/// | 200 with anything else | unknown: the request is repeated |
/// | 429; 503 or 529 with `Retry-After` | retry after `Retry-After`, or `retry-after-ms` |
/// | 408, 409, 425, other 5xx, no connection, no answer in time | unknown: the request is repeated |
/// | 401 to 404 | blocked: the key, the account, the model or the address is wrong |
/// | anything else | rejected, with the server's message |
#[derive(Debug)]
pub struct OpenAiCompatible {
    client: Client,
    url: Url,
    handle: Handle,
}

impl OpenAiCompatible {
    /// A provider whose requests run on `handle`. The handle's runtime must outlive the provider.
    pub fn new(settings: &OpenAiSettings, handle: Handle) -> Result<Self, SettingsError> {
        let headers = settings.headers()?;
        let client = Client::builder()
            .user_agent(concat!("limbic/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .build()
            .map_err(SettingsError::Client)?;
        Ok(Self {
            client,
            url: completions(&settings.base_url)?,
            handle,
        })
    }

    async fn ask(&self, call: &Call<Generate>) -> Answer<Generated> {
        let request = self
            .client
            .post(self.url.clone())
            .timeout(call.deadline)
            .header("idempotency-key", &*call.key)
            .json(&Body::of(&call.request));
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return unknown(explain(error)),
        };
        let status = response.status();
        let wait = wait(response.headers(), call.now);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= REPLY_BYTES => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return unknown(format!("{status}: the reply exceeds {REPLY_BYTES} bytes")),
                Ok(None) => break,
                Err(error) => return unknown(explain(error)),
            }
        }
        if status == StatusCode::OK {
            return read(&body);
        }
        triage(status, wait, &body)
    }
}

impl Provider for OpenAiCompatible {
    fn generate(&self, call: &Call<Generate>) -> Answer<Generated> {
        self.handle.block_on(self.ask(call))
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    max_tokens: u32,
    temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> Body<'a> {
    fn of(request: &'a Generate) -> Self {
        let system = request.system.as_deref().map(|content| Message {
            role: "system",
            content,
        });
        let user = Message {
            role: "user",
            content: &request.prompt,
        };
        Self {
            model: &request.model,
            messages: system.into_iter().chain([user]).collect(),
            max_tokens: request.max_tokens,
            temperature: request.temperature,
            seed: request.seed,
        }
    }
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    model: String,
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Reply,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize, Default)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Converts a reply with status 200.
fn read(body: &[u8]) -> Answer<Generated> {
    let completion: Completion = match serde_json::from_slice(body) {
        Ok(completion) => completion,
        Err(error) => return unknown(format!("200, but not a chat completion: {error}")),
    };
    let Some(choice) = completion.choices.into_iter().next() else {
        return unknown("200, but without a choice".to_owned());
    };
    if let Some(refusal) = choice.message.refusal.filter(|refusal| !refusal.is_empty()) {
        return rejected(format!("the model refuses: {}", excerpt(&refusal)));
    }
    let finish = choice.finish_reason.unwrap_or_default();
    match (finish.as_str(), choice.message.content) {
        ("content_filter", _) => rejected("a content filter ended the text".to_owned()),
        ("tool_calls" | "function_call", _) => {
            rejected("the model calls a tool, which this provider does not support".to_owned())
        }
        (_, Some(text)) if !text.trim().is_empty() => {
            let usage = completion.usage.unwrap_or_default();
            Answer::Applied(Generated {
                text,
                model: completion.model,
                is_cut_off: finish == "length",
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
            })
        }
        _ => unknown("200, but without text".to_owned()),
    }
}

/// Converts a reply with another status.
fn triage(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Answer<Generated> {
    let detail = format!("{}: {}", status.as_u16(), words(body));
    match status.as_u16() {
        429 => Answer::RetryAfter { wait, detail },
        503 | 529 if wait.is_some() => Answer::RetryAfter { wait, detail },
        408 | 409 | 425 | 500..=599 => unknown(detail),
        401..=404 => Answer::Blocked { detail },
        _ => rejected(detail),
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
}

/// The server's message, or the start of the body.
fn words(body: &[u8]) -> String {
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => excerpt(&failure.error.message),
        Err(_) => excerpt(&String::from_utf8_lossy(body)),
    }
}

fn wait(headers: &HeaderMap, now: Utc) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let millis = text("retry-after-ms").and_then(|value| value.trim().parse().ok());
    millis
        .map(Duration::from_millis)
        .or_else(|| text("retry-after").and_then(|value| retry_after(value, now)))
}

const fn unknown(detail: String) -> Answer<Generated> {
    Answer::Unknown { detail }
}

const fn rejected(detail: String) -> Answer<Generated> {
    Answer::Rejected { detail }
}

fn completions(base: &ConnectionUrl) -> Result<Url, SettingsError> {
    let url = format!("{}/chat/completions", base.reveal().trim_end_matches('/'));
    let url = Url::parse(&url)
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
