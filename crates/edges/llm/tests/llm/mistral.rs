//! Mistral's API. A local server that behaves as we remember Mistral's API. No recording of the real one was compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{Mistral as Real, MistralSettings, Provider, SettingsError};
use serde_json::{Value, json};

use crate::server::{Act, End, Fault, Form, Server, schema, sse};

pub(crate) struct Mistral;

fn chunk(delta: &Value, finish: Option<&str>, usage: Option<Value>) -> String {
    let mut chunk = json!({
        "id": "cmpl-1", "object": "chat.completion.chunk", "created": 1_741_569_952, "model": "small-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    });
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    sse(&chunk)
}

impl Form for Mistral {
    type Provider = dyn Provider;
    const PATH: &'static str = "/v1/chat/completions";
    const BASE: &'static str = "/v1";
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer sk-hidden");
    const CONTENT_TYPE: &'static str = "text/event-stream; charset=utf-8";
    const CAN_REFUSE: bool = false;

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Provider>, SettingsError> {
        Ok(Arc::new(Real::new(&MistralSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let mut events = vec![chunk(&json!({"role": "assistant", "content": ""}), None, None)];
        for piece in pieces {
            events.push(chunk(&json!({"content": piece}), None, None));
        }
        let finish = match end {
            None => return events,
            Some(End::Length) => "length",
            Some(End::Complete | End::Refused) => "stop",
        };
        let usage = json!({"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29});
        events.push(chunk(&json!({"content": ""}), Some(finish), Some(usage)));
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn failed() -> String {
        chunk(&json!({"content": ""}), Some("error"), None)
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        let message = |text: &str, kind: &str| {
            json!({"object": "error", "message": text, "type": kind, "param": null, "code": null}).to_string()
        };
        match fault {
            Fault::Throttled => (
                429,
                vec![("retry-after", "20")],
                message("Requests rate limit exceeded", "rate_limited"),
            ),
            Fault::Exhausted => (402, vec![], message("Payment required", "payment_required")),
            Fault::WrongKey => (401, vec![], json!({"detail": "Unauthorized"}).to_string()),
            Fault::Invalid => {
                let wrong = json!({"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]});
                (422, vec![], wrong.to_string())
            }
            Fault::NoModel => (404, vec![], json!({"detail": "Not Found"}).to_string()),
            Fault::Server => (500, vec![], message("Internal server error", "internal_error")),
        }
    }

    fn body() -> Value {
        json!({
            // The highest temperature of this API is 1.5.
            "model": "small", "max_tokens": 40, "temperature": 1.5, "random_seed": 7, "stream": true,
            "messages": [
                {"role": "system", "content": "You write one line."},
                {"role": "user", "content": "An ad for bread."},
            ],
            "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "strict": true, "schema": schema()}},
        })
    }
}

#[test]
fn thoughts_are_not_part_of_the_text() {
    let server = Server::<Mistral>::start();
    let parts = chunk(
        &json!({"content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "bread is warm"}]},
            {"type": "text", "text": "Warm bread."},
        ]}),
        Some("stop"),
        None,
    );
    let (result, _) = server.result(Act::Raw(Box::leak(parts.into_boxed_str())));
    let generated = result.unwrap();
    assert_eq!((generated.text.as_str(), generated.usage), ("Warm bread.", None));
}
