//! An Ollama server (`POST BASE/api/chat`, streamed as one JSON document a line).
//!
//! The form of requests, replies and errors is from memory of Ollama's API reference (docs.ollama.com). It was tested
//! against a local server that we wrote, not against Ollama.

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

/// `kind = "ollama"`: an Ollama server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OllamaSettings {
    /// The server's base URL, without `/api`. Default `http://127.0.0.1:11434`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key, which only hosted servers need. Empty (default) = requests have no key. Never printed.
    pub api_key: Secret,
}

impl Default for OllamaSettings {
    fn default() -> Self {
        Self {
            base_url: "http://127.0.0.1:11434".into(),
            api_key: Secret::default(),
        }
    }
}

impl OllamaSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        base_url(&self.base_url)?;
        key_header(AUTHORIZATION, "Bearer ", &self.api_key)?;
        Ok(())
    }
}

/// A provider that uses an Ollama server. The server has no content filter, so only the model itself refuses, in its text.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with text | the text |
/// | 200 with a line `error`, that breaks or ends before `done`, or has another form | unknown |
/// | 402 | exhausted |
/// | 429; 503 with `Retry-After` | throttled |
/// | other 5xx (503: too many requests wait), no connection, no answer in time | unknown |
/// | 3xx, 401, 403, 404 (the model was not pulled) | blocked |
/// | anything else | rejected, with the server's message |
#[derive(Debug)]
pub struct Ollama {
    endpoint: Endpoint,
}

impl Ollama {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &OllamaSettings) -> Result<Self, SettingsError> {
        let headers = key_header(AUTHORIZATION, "Bearer ", &settings.api_key)?;
        let endpoint = Endpoint::new(&settings.base_url, headers, &settings.api_key)?;
        Ok(Self { endpoint })
    }
}

impl Provider for Ollama {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(self.endpoint.ask(self, attempt, on_text))
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    model: String,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: String,
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: String,
}

impl Api for Ollama {
    fn url(&self, _: &str) -> Url {
        self.endpoint.at(&["api", "chat"])
    }

    fn body(&self, request: &Generate) -> Value {
        let system = request.system.as_ref();
        let system = system.map(|content| json!({"role": "system", "content": content}));
        let user = json!({"role": "user", "content": request.prompt});
        let messages: Vec<Value> = system.into_iter().chain([user]).collect();
        let mut options = json!({"num_predict": request.max_tokens});
        if let Some(temperature) = request.temperature {
            options["temperature"] = temperature.into();
        }
        if let Some(seed) = request.seed {
            options["seed"] = seed.into();
        }
        let mut body = json!({
            "model": request.model, "messages": messages, "stream": true, "options": options,
        });
        if let Some(schema) = &request.schema {
            body["format"] = schema.clone();
        }
        body
    }

    fn read(&self, event: &str, reply: &mut Reply) -> Result<(), Failure> {
        let line: Line = parse(event, "a line of a chat")?;
        if let Some(error) = line.error {
            return Err(unknown(format!("200, but then an error: {error}")));
        }
        if !line.model.is_empty() {
            reply.model = line.model;
        }
        let mut calls_a_tool = false;
        if let Some(message) = line.message {
            reply.text.push_str(&message.content);
            calls_a_tool = message.tool_calls.is_some_and(|calls| !calls.is_empty());
        }
        if line.done {
            // The server leaves the prompt's count out if it had the whole prompt in its cache.
            reply.usage = line.eval_count.map(|completion_tokens| Usage {
                prompt_tokens: line.prompt_eval_count.unwrap_or(0),
                completion_tokens,
                pictures: 0,
                video_seconds: 0,
            });
        }
        if calls_a_tool {
            reply.finish = Some(Finish::Tool);
        } else if line.done && reply.finish.is_none() {
            reply.finish = Some(match line.done_reason.as_deref() {
                Some("length") => Finish::CutOff,
                _ => Finish::Complete,
            });
        }
        Ok(())
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        answer.usual(&answer.body::<ErrorBody>().error)
    }
}
