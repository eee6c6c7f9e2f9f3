//! Google's Gemini API (`POST BASE/models/MODEL:streamGenerateContent?alt=sse`).
//!
//! The form of requests, replies and errors is from memory of Google's API reference (ai.google.dev). It was tested
//! against a local server that we wrote, not against Google.

use std::time::Duration;

use limbic_domain::{ConnectionUrl, Secret};
use reqwest::Url;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::provider::{Attempt, Failure, FailureKind, OnText, Pending, Provider};
use crate::server::{
    Api, Endpoint, ErrorAnswer, Finish, Reply, SettingsError, base_url, key_header, parse, unknown,
};
use crate::{Generate, Usage};

mod component;

const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// `kind = "gemini"`: Google's Gemini API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeminiSettings {
    /// The API's base URL. Default `https://generativelanguage.googleapis.com/v1beta`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Never printed.
    pub api_key: Secret,
}

impl Default for GeminiSettings {
    fn default() -> Self {
        Self {
            base_url: "https://generativelanguage.googleapis.com/v1beta".into(),
            api_key: Secret::default(),
        }
    }
}

impl GeminiSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        check_access(&self.base_url, &self.api_key)
    }
}

/// Returns an error if no request of this API can be sent with these. Sends nothing.
pub(crate) fn check_access(base: &ConnectionUrl, key: &Secret) -> Result<(), SettingsError> {
    base_url(base)?;
    if key.is_empty() {
        return Err(SettingsError::NoKey);
    }
    key_header(KEY, "", key)?;
    Ok(())
}

/// The endpoint of this API, with the key in its header. Opens no connection.
pub(crate) fn endpoint(base: &ConnectionUrl, key: &Secret) -> Result<Endpoint, SettingsError> {
    check_access(base, key)?;
    Endpoint::new(base, key_header(KEY, "", key)?, key)
}

/// A provider that uses Google's Gemini API.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with text | the text |
/// | 200 with `blockReason`, or ended by `SAFETY`, `RECITATION`, `PROHIBITED_CONTENT` and similar reasons | refused |
/// | 200 that breaks or ends before its end, or has another form | unknown |
/// | 402; 429 because of a quota of the day | exhausted, also if it names a wait: the quota starts again at midnight |
/// | other 429; 503 with `Retry-After` | throttled, for the `retryDelay` of the body if there is one |
/// | other 5xx, no connection, no answer in time | unknown |
/// | 3xx, 401, 403, 404; 400 because of the key (`API_KEY_INVALID`) or the account (`FAILED_PRECONDITION`) | blocked |
/// | anything else | rejected, with the server's message |
#[derive(Debug)]
pub struct Gemini {
    endpoint: Endpoint,
}

impl Gemini {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &GeminiSettings) -> Result<Self, SettingsError> {
        let endpoint = endpoint(&settings.base_url, &settings.api_key)?;
        Ok(Self { endpoint })
    }
}

impl Provider for Gemini {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(self.endpoint.ask(self, attempt, on_text))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    usage_metadata: Option<Tokens>,
    #[serde(default)]
    model_version: String,
    #[serde(default)]
    error: Option<Problem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Content,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
    /// Whether it is a thought, which is not part of the reply.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Feedback {
    #[serde(default)]
    pub(crate) block_reason: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Tokens {
    #[serde(default, rename = "promptTokenCount")]
    prompt: u64,
    #[serde(default, rename = "candidatesTokenCount")]
    candidates: u64,
    #[serde(default, rename = "thoughtsTokenCount")]
    thoughts: u64,
}

impl Tokens {
    pub(crate) const fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt,
            completion_tokens: self.candidates.saturating_add(self.thoughts),
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
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

/// One of the standard details of an error; each has only some of the fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    retry_delay: Option<String>,
    #[serde(default)]
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Violation {
    #[serde(default)]
    quota_id: String,
}

impl Api for Gemini {
    fn url(&self, model: &str) -> Url {
        let mut url = self
            .endpoint
            .at(&["models", &format!("{model}:streamGenerateContent")]);
        url.set_query(Some("alt=sse"));
        url
    }

    fn body(&self, request: &Generate) -> Value {
        let mut config = json!({"maxOutputTokens": request.max_tokens});
        if let Some(temperature) = request.temperature {
            config["temperature"] = temperature.into();
        }
        if let Some(seed) = request.seed {
            // The API accepts 32 bits.
            config["seed"] = (seed as i32).into();
        }
        if let Some(schema) = &request.schema {
            config["responseMimeType"] = "application/json".into();
            config["responseJsonSchema"] = schema.clone();
        }
        let mut body = json!({
            "contents": [{"role": "user", "parts": [{"text": request.prompt}]}],
            "generationConfig": config,
        });
        if let Some(system) = &request.system {
            body["systemInstruction"] = json!({"parts": [{"text": system}]});
        }
        body
    }

    fn read(&self, event: &str, reply: &mut Reply) -> Result<(), Failure> {
        let response: Response = parse(event, "a response with candidates")?;
        if let Some(error) = response.error {
            return Err(unknown(format!(
                "200, but then {}: {}",
                error.status, error.message
            )));
        }
        if !response.model_version.is_empty() {
            reply.model = response.model_version;
        }
        if let Some(tokens) = response.usage_metadata {
            reply.usage = Some(tokens.usage());
        }
        if let Some(reason) = response
            .prompt_feedback
            .and_then(|feedback| feedback.block_reason)
        {
            reply.finish = Some(Finish::Refused(format!("the prompt is blocked: {reason}")));
            return Ok(());
        }
        let Some(candidate) = response.candidates.into_iter().next() else {
            return Ok(());
        };
        for part in candidate.content.parts.iter().filter(|part| !part.thought) {
            reply.text.push_str(&part.text);
        }
        reply.finish = candidate.finish_reason.map(|reason| match reason.as_str() {
            "STOP" | "FINISH_REASON_UNSPECIFIED" => Finish::Complete,
            "MAX_TOKENS" => Finish::CutOff,
            "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" => Finish::Tool,
            "OTHER" | "MALFORMED_FUNCTION_CALL" | "MALFORMED_RESPONSE" => {
                Finish::Failed(format!("200, but the model failed: {reason}"))
            }
            _ => Finish::Refused(format!("the text is blocked: {reason}")),
        });
        Ok(())
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        failure(answer)
    }
}

/// What an error of the Gemini API means, of any of its methods.
pub(crate) fn failure(answer: &ErrorAnswer<'_>) -> Failure {
    let Problem {
        message,
        status,
        details,
    } = answer.body::<ErrorBody>().error;
    let is_of_the_key = details.iter().any(|detail| detail.reason == "API_KEY_INVALID");
    match answer.status {
        400 if is_of_the_key || status == "FAILED_PRECONDITION" => {
            answer.means(FailureKind::Blocked, &message)
        }
        429 => {
            let mut quotas = details.iter().flat_map(|detail| &detail.violations);
            if quotas.any(|violation| violation.quota_id.contains("PerDay")) {
                return answer.means(FailureKind::Exhausted, &message);
            }
            let delay = details.iter().find_map(|detail| detail.retry_delay.as_deref());
            let wait = delay.and_then(seconds).or(answer.wait);
            answer.means(FailureKind::Throttled(wait), &message)
        }
        _ => answer.usual(&message),
    }
}

/// A duration in the JSON form of Protocol Buffers: seconds with a fraction, and `s`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
