//! Google's Gemini API. A local server that behaves as we remember Google's API. No recording of the real one was compared.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::{Secret, Utc};
use limbic_llm::{Attempt, FailureKind, Gemini as Real, GeminiSettings, Generate, Provider, SettingsError};
use serde_json::{Value, json};

use crate::server::{Act, End, Fault, Form, Server, request, schema, sse};

pub(crate) struct Gemini;

fn chunk(text: &str, finish: Option<&str>) -> String {
    let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    let mut usage = json!({"promptTokenCount": 19, "totalTokenCount": 19});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
        usage = json!({"promptTokenCount": 19, "candidatesTokenCount": 6, "thoughtsTokenCount": 4, "totalTokenCount": 29});
    }
    sse(
        &json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "small-1", "responseId": "r1"}),
    )
}

fn failure(code: u16, status: &str, message: &str, details: &Value) -> String {
    json!({"error": {"code": code, "message": message, "status": status, "details": details}}).to_string()
}

fn quota(id: &str, delay: &str) -> String {
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaId": id,
            "quotaDimensions": {"location": "global", "model": "small"}, "quotaValue": "250"}]},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]);
    failure(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota",
        &details,
    )
}

impl Form for Gemini {
    type Provider = dyn Provider;
    const PATH: &'static str = "/v1beta/models/small:streamGenerateContent?alt=sse";
    const BASE: &'static str = "/v1beta";
    const KEY: (&'static str, &'static str) = ("x-goog-api-key", "sk-hidden");
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Provider>, SettingsError> {
        Ok(Arc::new(Real::new(&GeminiSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let mut events: Vec<String> = pieces.iter().map(|piece| chunk(piece, None)).collect();
        match end {
            None => {}
            Some(End::Complete) => events.push(chunk("", Some("STOP"))),
            Some(End::Length) => events.push(chunk("", Some("MAX_TOKENS"))),
            Some(End::Refused) => events.push(chunk("", Some("SAFETY"))),
        }
        events
    }

    fn failed() -> String {
        format!(
            "data: {}\n\n",
            failure(503, "UNAVAILABLE", "The model is overloaded", &json!([]))
        )
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        let none = json!([]);
        match fault {
            Fault::Throttled => (
                429,
                vec![],
                quota("GenerateRequestsPerMinutePerProjectPerModel", "20s"),
            ),
            Fault::Exhausted => (
                429,
                vec![],
                quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "22s"),
            ),
            Fault::WrongKey => {
                let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
                    "domain": "googleapis.com"}]);
                (
                    400,
                    vec![],
                    failure(400, "INVALID_ARGUMENT", "API key not valid", &details),
                )
            }
            Fault::Invalid => (
                400,
                vec![],
                failure(400, "INVALID_ARGUMENT", "contents is not specified", &none),
            ),
            Fault::NoModel => (
                404,
                vec![],
                failure(404, "NOT_FOUND", "models/small is not found", &none),
            ),
            Fault::Server => (
                503,
                vec![],
                failure(503, "UNAVAILABLE", "The model is overloaded", &none),
            ),
        }
    }

    fn body() -> Value {
        json!({
            "systemInstruction": {"parts": [{"text": "You write one line."}]},
            "contents": [{"role": "user", "parts": [{"text": "An ad for bread."}]}],
            "generationConfig": {"maxOutputTokens": 40, "temperature": 1.75, "seed": 7,
                "responseMimeType": "application/json", "responseJsonSchema": schema()},
        })
    }
}

#[test]
fn a_blocked_prompt_is_refused() {
    let server = Server::<Gemini>::start();
    let blocked = r#"data: {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 19}}"#;
    let blocked: &'static str = Box::leak(format!("{blocked}\n\n").into_boxed_str());
    let failure = server.result(Act::Raw(blocked)).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(failure.detail, "the prompt is blocked: PROHIBITED_CONTENT");
}

#[test]
fn a_long_seed_is_sent_as_32_bits() {
    let server = Server::<Gemini>::start();
    let request = Generate {
        seed: Some(i64::from(u32::MAX) + 8),
        ..request()
    };
    let attempt = Attempt {
        key: "draft-1",
        request: &request,
        now: Utc::from_millis(0),
        deadline: Duration::from_mins(1),
    };
    let provider = server.provider();
    let mut ignore = |_: &str| {};
    server
        .runtime
        .block_on(provider.generate(attempt, &mut ignore))
        .unwrap();
    assert_eq!(server.requests()[0].1["generationConfig"]["seed"], 7);
}

#[test]
fn a_wait_with_a_fraction_is_read_from_the_body() {
    let server = Server::<Gemini>::start();
    let failure = server.result(Act::Error(Fault::Throttled)).0.unwrap_err();
    assert_eq!(
        failure.kind,
        FailureKind::Throttled(Some(Duration::from_secs(20)))
    );
    // The quota of the day names a wait too, after which it is still used up.
    let failure = server.result(Act::Error(Fault::Exhausted)).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Exhausted);
}

#[test]
fn thoughts_are_not_part_of_the_text_and_their_tokens_are_counted() {
    let server = Server::<Gemini>::start();
    let thought = sse(&json!({"candidates": [{"content": {"parts": [{"text": "hm", "thought": true}]}}]}));
    let whole = format!(
        "{thought}{}",
        Gemini::events(&["Warm bread."], Some(End::Complete)).concat()
    );
    let generated = server
        .result(Act::Raw(Box::leak(whole.into_boxed_str())))
        .0
        .unwrap();
    assert_eq!(generated.text, "Warm bread.");
    assert_eq!(generated.usage.unwrap().completion_tokens, 10);
}
