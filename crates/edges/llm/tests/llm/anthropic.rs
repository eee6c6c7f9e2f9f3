//! Anthropic's Messages API. A local server that behaves as we remember Anthropic's API. No recording of the real one was compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{Anthropic as Real, AnthropicSettings, FailureKind, Provider, SettingsError};
use serde_json::{Value, json};

use crate::server::{Act, End, Fault, Form, Server, schema};

pub(crate) struct Anthropic;

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn failure(kind: &str, message: &str) -> String {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).to_string()
}

impl Form for Anthropic {
    type Provider = dyn Provider;
    const PATH: &'static str = "/v1/messages";
    const BASE: &'static str = "";
    const KEY: (&'static str, &'static str) = ("x-api-key", "sk-hidden");
    const CONTENT_TYPE: &'static str = "text/event-stream; charset=utf-8";

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Provider>, SettingsError> {
        Ok(Arc::new(Real::new(&AnthropicSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let usage = json!({"input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1});
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "small-1", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage});
        let mut events = vec![
            event(&json!({"type": "message_start", "message": message})),
            event(
                &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
            event(&json!({"type": "ping"})),
        ];
        for piece in pieces {
            let delta = json!({"type": "text_delta", "text": piece});
            events.push(event(
                &json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            ));
        }
        let reason = match end {
            None => return events,
            Some(End::Complete) => "end_turn",
            Some(End::Length) => "max_tokens",
            Some(End::Refused) => "refusal",
        };
        events.push(event(&json!({"type": "content_block_stop", "index": 0})));
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        events.push(event(
            &json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 10}}),
        ));
        events.push(event(&json!({"type": "message_stop"})));
        events
    }

    fn failed() -> String {
        format!(
            "event: error\ndata: {}\n\n",
            failure("overloaded_error", "Overloaded")
        )
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        match fault {
            Fault::Throttled => {
                let headers = vec![
                    ("retry-after", "20"),
                    ("anthropic-ratelimit-requests-limit", "50"),
                    ("anthropic-ratelimit-requests-remaining", "0"),
                    ("anthropic-ratelimit-requests-reset", "1970-01-01T00:00:20Z"),
                ];
                (
                    429,
                    headers,
                    failure("rate_limit_error", "This request would exceed your rate limit"),
                )
            }
            Fault::Exhausted => (
                402,
                vec![],
                failure("billing_error", "There is an issue with your billing"),
            ),
            Fault::WrongKey => (401, vec![], failure("authentication_error", "invalid x-api-key")),
            Fault::Invalid => (
                400,
                vec![],
                failure("invalid_request_error", "messages: Field required"),
            ),
            Fault::NoModel => (404, vec![], failure("not_found_error", "model: small")),
            Fault::Server => (529, vec![], failure("overloaded_error", "Overloaded")),
        }
    }

    fn body() -> Value {
        json!({
            // The highest temperature of this API is 1. It has no seed.
            "model": "small", "max_tokens": 40, "temperature": 1.0, "stream": true, "system": "You write one line.",
            "messages": [{"role": "user", "content": "An ad for bread."}],
            "output_config": {"format": {"type": "json_schema", "schema": schema()}},
        })
    }
}

#[test]
fn every_request_names_the_version_of_the_api() {
    let server = Server::<Anthropic>::start();
    server
        .result(Act::Text(vec!["Warm bread."], End::Complete))
        .0
        .unwrap();
    assert_eq!(server.requests()[0].0["anthropic-version"], "2023-06-01");
}

#[test]
fn a_thought_is_not_part_of_the_text() {
    let server = Server::<Anthropic>::start();
    let thought = event(
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
    );
    let (result, pieces) = server.result(Act::Raw(Box::leak(thought.into_boxed_str())));
    assert_eq!(result.unwrap_err().kind, FailureKind::Unknown);
    assert_eq!(pieces, Vec::<String>::new(), "a thought is not part of the text");
}
