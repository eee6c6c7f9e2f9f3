//! Servers with `OpenAI`'s chat completions API (`POST BASE/chat/completions`, streamed).
//!
//! The form of requests, replies and errors is from memory of `OpenAI`'s API reference (platform.openai.com/docs). It was tested
//! against a local server that we wrote, not against `OpenAI`.

use limbic_domain::{ConnectionUrl, Secret};
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::provider::{Attempt, Failure, FailureKind, OnText, Pending, Provider, Spent};
use crate::server::{
    Api, Endpoint, ErrorAnswer, Finish, Reply, SettingsError, base_url, key_header, parse, unknown,
};
use crate::{Generate, Usage};

mod component;

/// `kind = "openai"`: a server with `OpenAI`'s chat completions API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAiSettings {
    /// The API's base URL, for instance `https://api.openai.com/v1`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Empty = requests have no key. Never printed.
    #[serde(default)]
    pub api_key: Secret,
    /// The name of the field that limits the reply. Default `max_tokens`, which compatible servers read.
    #[serde(default)]
    pub limit_field: LimitField,
}

/// The field of a request that limits the tokens of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitField {
    /// `max_tokens`.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which the reasoning models of `OpenAI` need.
    MaxCompletionTokens,
}

impl LimitField {
    const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

impl OpenAiSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        base_url(&self.base_url)?;
        key_header(AUTHORIZATION, "Bearer ", &self.api_key)?;
        Ok(())
    }
}

/// A provider that uses `OpenAI`'s chat completions API.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with text | the text |
/// | 200 with a refusal, or ended by a content filter; an error `content_policy_violation` | refused, with the model's message |
/// | 200 with anything else, a stream that breaks or ends before its end | unknown |
/// | 402; an error `insufficient_quota` or `billing_hard_limit_reached` | exhausted |
/// | 429; 503 or 529 with `Retry-After` | throttled for `Retry-After`, or `retry-after-ms` |
/// | 408, 409, 425, other 5xx, no connection, no answer in time | unknown |
/// | 3xx, 401, 403, 404 | blocked: the key, the account, the model or the address is wrong |
/// | anything else | rejected, with the server's message |
#[derive(Debug)]
pub struct OpenAiCompatible {
    endpoint: Endpoint,
    limit_field: LimitField,
}

impl OpenAiCompatible {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &OpenAiSettings) -> Result<Self, SettingsError> {
        let headers = key_header(AUTHORIZATION, "Bearer ", &settings.api_key)?;
        Ok(Self {
            endpoint: Endpoint::new(&settings.base_url, headers, &settings.api_key)?,
            limit_field: settings.limit_field,
        })
    }
}

impl Provider for OpenAiCompatible {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(self.endpoint.ask(self, attempt, on_text))
    }
}

/// A chunk of a stream, or a whole completion.
#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    model: String,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: Problem,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<Value>,
    /// Of pictures alone.
    #[serde(default)]
    moderation_details: Option<Moderation>,
}

#[derive(Deserialize, Default)]
struct Moderation {
    /// `input` or `output`.
    #[serde(default)]
    moderation_stage: String,
}

impl Problem {
    fn is(&self, name: &str) -> bool {
        self.kind.as_deref() == Some(name) || self.code.as_ref().and_then(Value::as_str) == Some(name)
    }
}

impl Api for OpenAiCompatible {
    fn url(&self, _: &str) -> Url {
        self.endpoint.at(&["chat", "completions"])
    }

    fn body(&self, request: &Generate) -> Value {
        let system = request.system.as_ref();
        let system = system.map(|content| json!({"role": "system", "content": content}));
        let user = json!({"role": "user", "content": request.prompt});
        let messages: Vec<Value> = system.into_iter().chain([user]).collect();
        let mut body = json!({
            "model": request.model, "messages": messages,
            "stream": true, "stream_options": {"include_usage": true},
        });
        body[self.limit_field.name()] = request.max_tokens.into();
        if let Some(temperature) = request.temperature {
            body["temperature"] = temperature.into();
        }
        if let Some(seed) = request.seed {
            body["seed"] = seed.into();
        }
        if let Some(schema) = &request.schema {
            let named = json!({"name": "reply", "strict": true, "schema": schema});
            body["response_format"] = json!({"type": "json_schema", "json_schema": named});
        }
        body
    }

    fn read(&self, event: &str, reply: &mut Reply) -> Result<(), Failure> {
        if event.trim() == "[DONE]" {
            return Ok(());
        }
        let chunk: Completion = parse(event, "a chat completion")?;
        if let Some(error) = chunk.error {
            return Err(unknown(format!("200, but then an error: {}", error.message)));
        }
        if !chunk.model.is_empty() {
            reply.model = chunk.model;
        }
        if let Some(usage) = chunk.usage {
            reply.usage = Some(Usage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
                pictures: 0,
                video_seconds: 0,
            });
        }
        // The chunk with the usage has an empty list.
        let choices = chunk
            .choices
            .ok_or_else(|| unknown("200, but without a choice"))?;
        if let Some(choice) = choices.into_iter().next() {
            if let Some(delta) = choice.delta {
                reply.text.push_str(&delta.content.unwrap_or_default());
                reply.refusal.push_str(&delta.refusal.unwrap_or_default());
            }
            if let Some(reason) = choice.finish_reason {
                reply.finish = Some(match reason.as_str() {
                    "length" => Finish::CutOff,
                    "content_filter" => Finish::Refused("a content filter ended the text".to_owned()),
                    "tool_calls" | "function_call" => Finish::Tool,
                    _ => Finish::Complete,
                });
            }
        }
        Ok(())
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        failure(answer)
    }
}

/// What an error of `OpenAI` means, of any of its APIs.
pub(crate) fn failure(answer: &ErrorAnswer<'_>) -> Failure {
    let error = answer.body::<ErrorBody>().error;
    if error.is("insufficient_quota") || error.is("billing_hard_limit_reached") {
        return answer.means(FailureKind::Exhausted, &error.message);
    }
    let is_refusal = ["content_policy_violation", "content_filter", "moderation_blocked"];
    if is_refusal.into_iter().any(|name| error.is(name)) {
        let failure = answer.means(FailureKind::Refused, &error.message);
        // Of a picture that was painted and then blocked, it is not known whether it is billed.
        let is_painted = error
            .moderation_details
            .is_some_and(|details| details.moderation_stage == "output");
        return if is_painted {
            failure.spending(Spent::Unknown)
        } else {
            failure
        };
    }
    answer.usual(&error.message)
}
