//! Anthropic's Messages API (`POST BASE/v1/messages`, streamed), with the header `anthropic-version: 2023-06-01`.
//!
//! The form of requests, replies and errors is from memory of Anthropic's API reference (platform.claude.com/docs). It was tested
//! against a local server that we wrote, not against Anthropic.

use limbic_domain::{ConnectionUrl, Secret};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::provider::{Attempt, Failure, FailureKind, OnText, Pending, Provider};
use crate::server::{
    Api, Endpoint, ErrorAnswer, Finish, Reply, SettingsError, base_url, key_header, parse, unknown,
};
use crate::{Generate, Usage};

mod component;

/// The highest temperature that the API accepts.
const MAX_TEMPERATURE: f64 = 1.0;

/// `kind = "anthropic"`: Anthropic's Messages API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnthropicSettings {
    /// The API's base URL, without `/v1`. Default `https://api.anthropic.com`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Never printed.
    pub api_key: Secret,
}

impl Default for AnthropicSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.anthropic.com".into(),
            api_key: Secret::default(),
        }
    }
}

impl AnthropicSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        base_url(&self.base_url)?;
        if self.api_key.is_empty() {
            return Err(SettingsError::NoKey);
        }
        self.headers()?;
        Ok(())
    }

    fn headers(&self) -> Result<HeaderMap, SettingsError> {
        let mut headers = key_header(HeaderName::from_static("x-api-key"), "", &self.api_key)?;
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        Ok(headers)
    }
}

/// A provider that uses Anthropic's Messages API. It has no seed.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with text | the text |
/// | 200 that ends with `refusal` | refused |
/// | 200 with an event `error`, that breaks or ends before its end, or has another form | unknown |
/// | 402 (`billing_error`); 400 because of the credit balance | exhausted |
/// | 429 (`rate_limit_error`); 529 (`overloaded_error`) or 503 with `Retry-After` | throttled |
/// | other 5xx, no connection, no answer in time | unknown |
/// | 3xx, 401, 403, 404 | blocked |
/// | anything else | rejected, with the server's message |
#[derive(Debug)]
pub struct Anthropic {
    endpoint: Endpoint,
}

impl Anthropic {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &AnthropicSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let endpoint = Endpoint::new(&settings.base_url, settings.headers()?, &settings.api_key)?;
        Ok(Self { endpoint })
    }
}

impl Provider for Anthropic {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(self.endpoint.ask(self, attempt, on_text))
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: End,
        #[serde(default)]
        usage: Option<Tokens>,
    },
    Error {
        error: Problem,
    },
    /// `ping`, the borders of blocks, and kinds that may be added: the documentation asks clients to ignore unknown ones.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct End {
    #[serde(default)]
    stop_reason: Option<String>,
}

/// Totals so far. The prompt's tokens are divided by their use of the provider's cache.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default, rename = "input_tokens")]
    input: Option<u64>,
    #[serde(default, rename = "cache_creation_input_tokens")]
    written_to_cache: Option<u64>,
    #[serde(default, rename = "cache_read_input_tokens")]
    read_from_cache: Option<u64>,
    #[serde(default, rename = "output_tokens")]
    output: u64,
}

impl Tokens {
    /// The usage with these totals. The last event of a message may leave out the prompt.
    fn over(&self, before: Option<Usage>) -> Usage {
        let written = self.written_to_cache.unwrap_or(0);
        let cached = written.saturating_add(self.read_from_cache.unwrap_or(0));
        let before = before.map_or(0, |usage| usage.prompt_tokens);
        Usage {
            prompt_tokens: self.input.map_or(before, |tokens| tokens.saturating_add(cached)),
            completion_tokens: self.output,
            pictures: 0,
            video_seconds: 0,
        }
    }
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: Problem,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl Api for Anthropic {
    fn url(&self, _: &str) -> Url {
        self.endpoint.at(&["v1", "messages"])
    }

    fn body(&self, request: &Generate) -> Value {
        let mut body = json!({
            "model": request.model, "max_tokens": request.max_tokens, "stream": true,
            "messages": [{"role": "user", "content": request.prompt}],
        });
        if let Some(system) = &request.system {
            body["system"] = system.as_str().into();
        }
        if let Some(temperature) = request.temperature {
            body["temperature"] = temperature.min(MAX_TEMPERATURE).into();
        }
        if let Some(schema) = &request.schema {
            body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
        }
        body
    }

    fn read(&self, event: &str, reply: &mut Reply) -> Result<(), Failure> {
        match parse(event, "an event of a message")? {
            Event::MessageStart { message } => {
                reply.model = message.model;
                reply.usage = message.usage.map(|usage| usage.over(None));
            }
            Event::ContentBlockDelta {
                delta: Delta::TextDelta { text },
            } => reply.text.push_str(&text),
            Event::MessageDelta { delta, usage } => {
                if let Some(usage) = usage {
                    reply.usage = Some(usage.over(reply.usage));
                }
                reply.finish = delta.stop_reason.map(|reason| match reason.as_str() {
                    "max_tokens" | "model_context_window_exceeded" => Finish::CutOff,
                    "refusal" => Finish::Refused("the model refuses".to_owned()),
                    "tool_use" | "pause_turn" => Finish::Tool,
                    _ => Finish::Complete,
                });
            }
            Event::Error { error } => {
                let Problem { kind, message } = error;
                return Err(unknown(format!("200, but then {kind}: {message}")));
            }
            Event::ContentBlockDelta { .. } | Event::Other => {}
        }
        Ok(())
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        let error = answer.body::<ErrorBody>().error;
        let is_without_credit = answer.status == 400 && error.message.contains("credit balance");
        if error.kind == "billing_error" || is_without_credit {
            return answer.means(FailureKind::Exhausted, &error.message);
        }
        answer.usual(&error.message)
    }
}
