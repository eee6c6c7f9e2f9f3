//! Mistral's chat completions API (`POST BASE/chat/completions`, streamed).
//!
//! The form of requests, replies and errors is from memory of Mistral's API reference (docs.mistral.ai/api). It was tested
//! against a local server that we wrote, not against Mistral. It resembles `OpenAI`'s API, but has other names
//! (`random_seed`), other ends (`model_length`, `error`), contents in parts, and other forms of errors.

use limbic_domain::{ConnectionUrl, Secret};
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::provider::{Attempt, Failure, OnText, Pending, Provider};
use crate::server::{
    Api, Endpoint, ErrorAnswer, Finish, Reply, SettingsError, base_url, key_header, parse, unknown,
};
use crate::{Generate, Usage};

mod component;

/// The highest temperature that the API accepts.
const MAX_TEMPERATURE: f64 = 1.5;

/// `kind = "mistral"`: Mistral's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MistralSettings {
    /// The API's base URL. Default `https://api.mistral.ai/v1`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Never printed.
    pub api_key: Secret,
}

impl Default for MistralSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.mistral.ai/v1".into(),
            api_key: Secret::default(),
        }
    }
}

impl MistralSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        base_url(&self.base_url)?;
        if self.api_key.is_empty() {
            return Err(SettingsError::NoKey);
        }
        key_header(AUTHORIZATION, "Bearer ", &self.api_key)?;
        Ok(())
    }
}

/// A provider that uses Mistral's API.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with text | the text |
/// | 200 that ends with `error`, that breaks or ends before its end, or has another form | unknown |
/// | 402 | exhausted |
/// | 429; 503 with `Retry-After` | throttled |
/// | other 5xx, no connection, no answer in time | unknown |
/// | 3xx, 401, 403, 404 | blocked |
/// | anything else (422: a field is wrong) | rejected, with the server's message |
#[derive(Debug)]
pub struct Mistral {
    endpoint: Endpoint,
}

impl Mistral {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &MistralSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let headers = key_header(AUTHORIZATION, "Bearer ", &settings.api_key)?;
        let endpoint = Endpoint::new(&settings.base_url, headers, &settings.api_key)?;
        Ok(Self { endpoint })
    }
}

impl Provider for Mistral {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(self.endpoint.ask(self, attempt, on_text))
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    model: String,
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
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
    content: Option<Content>,
}

/// A text, or parts. The parts of models that think contain their thoughts, which are not part of the reply.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// `{"message": "…"}`, or `{"detail": …}` with a text, or with a list if fields are wrong.
#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    detail: Option<Value>,
}

impl Api for Mistral {
    fn url(&self, _: &str) -> Url {
        self.endpoint.at(&["chat", "completions"])
    }

    fn body(&self, request: &Generate) -> Value {
        let system = request.system.as_ref();
        let system = system.map(|content| json!({"role": "system", "content": content}));
        let user = json!({"role": "user", "content": request.prompt});
        let messages: Vec<Value> = system.into_iter().chain([user]).collect();
        let mut body = json!({
            "model": request.model, "messages": messages, "max_tokens": request.max_tokens, "stream": true,
        });
        if let Some(temperature) = request.temperature {
            body["temperature"] = temperature.min(MAX_TEMPERATURE).into();
        }
        if let Some(seed) = request.seed {
            // The API accepts no negative seed.
            body["random_seed"] = seed.unsigned_abs().into();
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
        let chunk: Chunk = parse(event, "a chat completion")?;
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
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Err(unknown("200, but without a choice"));
        };
        match choice.delta.and_then(|delta| delta.content) {
            None => {}
            Some(Content::Text(text)) => reply.text.push_str(&text),
            Some(Content::Parts(parts)) => {
                for part in parts.into_iter().filter(|part| part.kind == "text") {
                    reply.text.push_str(&part.text.unwrap_or_default());
                }
            }
        }
        if let Some(reason) = choice.finish_reason {
            reply.finish = Some(match reason.as_str() {
                "length" | "model_length" => Finish::CutOff,
                "tool_calls" => Finish::Tool,
                "error" => Finish::Failed("200, but the model failed".to_owned()),
                _ => Finish::Complete,
            });
        }
        Ok(())
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        let body = answer.body::<ErrorBody>();
        let message = match body.message.or(body.detail) {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        answer.usual(&message)
    }
}
