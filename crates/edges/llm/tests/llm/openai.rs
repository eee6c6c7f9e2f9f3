//! `OpenAI`'s chat completions API. A local server that behaves as we remember `OpenAI`'s API. No recording of the real one was compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{LimitField, OpenAiCompatible, OpenAiSettings, Provider, SettingsError};
use serde_json::{Value, json};

use crate::server::{Act, End, Fault, Form, KEY, Server, schema, sse};

pub(crate) struct OpenAi;

fn settings(base: &str, key: &str) -> OpenAiSettings {
    OpenAiSettings {
        base_url: base.into(),
        api_key: Secret::new(key),
        ..OpenAiSettings::default()
    }
}

fn chunk(choices: &Value, usage: &Value) -> String {
    sse(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_741_569_952, "model": "small-1",
        "service_tier": "default", "choices": choices, "usage": usage,
    }))
}

fn choice(delta: &Value, finish: Option<&str>) -> Value {
    json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}])
}

fn failure(message: &str, kind: &str, code: Option<&str>) -> String {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}}).to_string()
}

impl Form for OpenAi {
    type Provider = dyn Provider;
    const PATH: &'static str = "/v1/chat/completions";
    const BASE: &'static str = "/v1/";
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer sk-hidden");
    const CONTENT_TYPE: &'static str = "text/event-stream; charset=utf-8";

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Provider>, SettingsError> {
        Ok(Arc::new(OpenAiCompatible::new(&settings(base, key))?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let start = json!({"role": "assistant", "content": "", "refusal": null});
        let mut events = vec![chunk(&choice(&start, None), &Value::Null)];
        for piece in pieces {
            events.push(chunk(&choice(&json!({"content": piece}), None), &Value::Null));
        }
        let Some(end) = end else { return events };
        let finish = match end {
            End::Complete => "stop",
            End::Length => "length",
            End::Refused => {
                events.push(chunk(
                    &choice(&json!({"refusal": "I cannot help."}), None),
                    &Value::Null,
                ));
                "stop"
            }
        };
        events.push(chunk(&choice(&json!({}), Some(finish)), &Value::Null));
        let usage = json!({"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
            "completion_tokens_details": {"reasoning_tokens": 0}});
        events.push(chunk(&json!([]), &usage));
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn failed() -> String {
        format!(
            "data: {}\n\n",
            failure("The server had an error", "server_error", None)
        )
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        let invalid = "invalid_request_error";
        match fault {
            Fault::Throttled => {
                let body = failure(
                    "Rate limit reached for small",
                    "requests",
                    Some("rate_limit_exceeded"),
                );
                let headers = vec![
                    ("retry-after", "20"),
                    ("x-ratelimit-limit-requests", "60"),
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "20s"),
                ];
                (429, headers, body)
            }
            Fault::Exhausted => {
                let text = "You exceeded your current quota, please check your plan and billing details.";
                // As we remember, the real one also sends a wait, which does not help.
                (
                    429,
                    vec![("retry-after", "1")],
                    failure(text, "insufficient_quota", Some("insufficient_quota")),
                )
            }
            Fault::WrongKey => (
                401,
                vec![],
                failure("Incorrect API key provided", invalid, Some("invalid_api_key")),
            ),
            Fault::Invalid => (400, vec![], failure("We could not parse the body", invalid, None)),
            Fault::NoModel => (
                404,
                vec![],
                failure("The model does not exist", invalid, Some("model_not_found")),
            ),
            Fault::Server => (
                500,
                vec![],
                failure("The server had an error", "server_error", None),
            ),
        }
    }

    fn body() -> Value {
        json!({
            "model": "small", "max_tokens": 40, "temperature": 1.75, "seed": 7,
            "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "You write one line."},
                {"role": "user", "content": "An ad for bread."},
            ],
            "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "strict": true, "schema": schema()}},
        })
    }
}

#[test]
fn a_server_that_does_not_stream_is_understood() {
    let server = Server::<OpenAi>::start();
    let whole = r#"{"id": "chatcmpl-1", "object": "chat.completion", "model": "small-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Warm bread."}}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}}"#;
    let (result, pieces) = server.result(Act::Json(whole));
    assert_eq!(result.unwrap().text, "Warm bread.");
    assert_eq!(pieces, ["Warm bread."]);
}

#[test]
fn reasoning_models_get_the_name_of_the_limit_that_they_read() {
    let server = Server::<OpenAi>::start();
    let settings = OpenAiSettings {
        limit_field: LimitField::MaxCompletionTokens,
        ..settings(&server.base, KEY)
    };
    let provider = OpenAiCompatible::new(&settings).unwrap();
    let (result, _) = server.ask(&provider, std::time::Duration::from_mins(1));
    result.unwrap();
    let (_, body) = &server.requests()[0];
    assert_eq!(body["max_completion_tokens"], 40);
    assert!(body.get("max_tokens").is_none(), "{body}");
}

#[test]
fn a_key_that_the_server_repeats_in_its_stream_is_not_revealed() {
    let server = Server::<OpenAi>::start();
    let error = format!(
        "data: {}\n\n",
        failure(&format!("the key {KEY} is blocked"), "server_error", None)
    );
    let (result, _) = server.result(Act::Raw(Box::leak(error.into_boxed_str())));
    assert_eq!(
        result.unwrap_err().detail,
        "200, but then an error: the key *** is blocked"
    );
}

#[test]
fn a_server_without_a_key_gets_no_header() {
    let server = Server::<OpenAi>::start();
    let provider = OpenAi::provider(&server.base, "").unwrap();
    let (result, _) = server.ask(&*provider, std::time::Duration::from_mins(1));
    result.unwrap();
    assert!(!server.requests()[0].0.contains_key("authorization"));
}
