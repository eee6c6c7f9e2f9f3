//! The provider with a server that behaves as the published API documents, with and without failures.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use limbic_domain::{Secret, Utc};
use limbic_llm::{Generate, Generated, OpenAiCompatible, OpenAiSettings, Provider, Providing};
use limbic_stream::outbox::{Answer, Call, Conclusion, Enqueue, Limits, Outbox};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Batch, Outputs, Stage, StageError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What the server does with a request.
enum Reply {
    Answer(u16, Vec<(&'static str, &'static str)>, String),
    Hang,
}

#[derive(Default)]
struct Model {
    script: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<(HeaderMap, Value)>>,
}

/// A running server.
struct Server {
    runtime: Runtime,
    model: Arc<Model>,
    base: String,
}

async fn complete(State(model): State<Arc<Model>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = serde_json::from_slice(&body).unwrap();
    model.requests.lock().unwrap().push((headers, body));
    let reply = model.script.lock().unwrap().pop_front();
    match reply {
        None => completion("Warm bread.").into_response(),
        Some(Reply::Answer(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Some(Reply::Hang) => std::future::pending().await,
    }
}

/// A reply as in the API's reference.
fn completion(text: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_741_569_952, "model": "small-1",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": text, "refusal": null, "annotations": []}}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
    })
    .to_string()
}

fn failure(message: &str, kind: &str) -> String {
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}}).to_string()
}

impl Server {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let model = Arc::new(Model::default());
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(Arc::clone(&model));
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let base = format!("http://{}/v1/", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { runtime, model, base }
    }

    fn provider(&self) -> OpenAiCompatible {
        let settings = OpenAiSettings {
            base_url: self.base.as_str().into(),
            api_key: Secret::new("sk-hidden"),
        };
        OpenAiCompatible::new(&settings, self.runtime.handle().clone()).unwrap()
    }

    fn will(&self, status: u16, headers: &[(&'static str, &'static str)], body: impl Into<String>) {
        let reply = Reply::Answer(status, headers.to_vec(), body.into());
        self.model.script.lock().unwrap().push_back(reply);
    }

    /// The provider's answer to one reply of the server.
    fn answer(&self, status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer<Generated> {
        self.will(status, headers, body);
        self.provider().generate(&call(Duration::from_mins(1)))
    }
}

fn request() -> Generate {
    Generate {
        model: "small".to_owned(),
        system: Some("You write one line.".to_owned()),
        prompt: "An ad for bread.".to_owned(),
        max_tokens: 40,
        temperature: 0.5,
        seed: None,
    }
}

fn call(deadline: Duration) -> Call<Generate> {
    Call {
        key: "draft-1".into(),
        request: Arc::new(request()),
        attempt: 1,
        now: Utc::from_millis(0),
        deadline,
    }
}

#[test]
fn a_request_is_sent_as_the_api_documents_and_its_text_comes_back() {
    let server = Server::start();
    let answer = server.provider().generate(&call(Duration::from_mins(1)));
    let expected = Generated {
        text: "Warm bread.".to_owned(),
        model: "small-1".to_owned(),
        is_cut_off: false,
        prompt_tokens: 19,
        completion_tokens: 10,
    };
    assert_eq!(answer, Answer::Applied(expected));
    let requests = server.model.requests.lock().unwrap();
    let (headers, body) = &requests[0];
    assert_eq!(headers["idempotency-key"], "draft-1");
    assert_eq!(headers["authorization"], "Bearer sk-hidden");
    let sent = json!({
        "model": "small", "max_tokens": 40, "temperature": 0.5,
        "messages": [{"role": "system", "content": "You write one line."}, {"role": "user", "content": "An ad for bread."}],
    });
    assert_eq!(*body, sent);
}

#[test]
fn a_throttled_request_waits_as_long_as_the_server_asks() {
    let server = Server::start();
    let body = failure("Rate limit reached for requests", "requests");
    let waits = [
        (429, vec![("retry-after", "20")], Some(20_000)),
        (
            429,
            vec![("retry-after", "20"), ("retry-after-ms", "1500")],
            Some(1_500),
        ),
        (429, vec![], None),
        (
            503,
            vec![("retry-after", "Thu, 01 Jan 1970 00:00:30 GMT")],
            Some(30_000),
        ),
    ];
    for (status, headers, millis) in waits {
        let expected = Answer::RetryAfter {
            wait: millis.map(Duration::from_millis),
            detail: format!("{status}: Rate limit reached for requests"),
        };
        assert_eq!(server.answer(status, &headers, &body), expected);
    }
}

#[test]
fn server_failures_are_unknown_account_errors_block_and_other_errors_are_rejected() {
    let server = Server::start();
    for status in [408, 409, 500, 502, 503, 504, 529] {
        let answer = server.answer(status, &[], &failure("The server had an error", "server_error"));
        let detail = format!("{status}: The server had an error");
        assert_eq!(answer, Answer::Unknown { detail });
    }
    for status in [400, 401, 403, 404, 422] {
        let is_of_the_account = matches!(status, 401 | 403 | 404);
        let answer = server.answer(
            status,
            &[],
            &failure("Incorrect API key provided", "invalid_request_error"),
        );
        let detail = format!("{status}: Incorrect API key provided");
        let expected = if is_of_the_account {
            Answer::Blocked { detail }
        } else {
            Answer::Rejected { detail }
        };
        assert_eq!(answer, expected);
    }
}

#[test]
fn a_timeout_and_a_missing_server_are_unknown_and_do_not_show_the_key() {
    let server = Server::start();
    server.model.script.lock().unwrap().push_back(Reply::Hang);
    let answer = server.provider().generate(&call(Duration::from_millis(50)));
    assert!(
        matches!(&answer, Answer::Unknown { detail } if detail.starts_with("no answer in time")),
        "{answer:?}"
    );
    let provider = server.provider();
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let settings = OpenAiSettings {
        base_url: format!("http://{}/v1", free.local_addr().unwrap()).into(),
        api_key: Secret::new("sk-hidden"),
    };
    drop(free);
    let nobody = OpenAiCompatible::new(&settings, server.runtime.handle().clone()).unwrap();
    let answer = nobody.generate(&call(Duration::from_mins(1)));
    assert!(
        matches!(&answer, Answer::Unknown { detail } if detail.starts_with("no connection")),
        "{answer:?}"
    );
    let shown = format!("{provider:?} {settings:?} {answer:?}");
    assert!(!shown.contains("sk-hidden"), "{shown}");
}

#[test]
fn an_invalid_completion_is_retried_and_a_refusal_is_not() {
    let server = Server::start();
    let choice = |choice: Value| json!({"model": "small-1", "choices": [choice]}).to_string();
    let broken = completion("Warm bread.");
    for (body, said) in [
        (&broken[..40], "not a chat completion"),
        ("<html>Bad gateway</html>", "not a chat completion"),
        ("", "not a chat completion"),
        ("{\"choices\": []}", "without a choice"),
        (&choice(json!({"message": {"content": null}})), "without text"),
        (&choice(json!({"message": {"content": " \n"}})), "without text"),
    ] {
        let answer = server.answer(200, &[], body);
        assert!(
            matches!(&answer, Answer::Unknown { detail } if detail.contains(said)),
            "{body}: {answer:?}"
        );
    }
    for (body, said) in [
        (
            json!({"message": {"content": null, "refusal": "I cannot help."}}),
            "I cannot help.",
        ),
        (
            json!({"message": {"content": "Wa"}, "finish_reason": "content_filter"}),
            "content filter",
        ),
        (
            json!({"message": {"content": null, "tool_calls": []}, "finish_reason": "tool_calls"}),
            "does not support",
        ),
    ] {
        let answer = server.answer(200, &[], &choice(body));
        assert!(
            matches!(&answer, Answer::Rejected { detail } if detail.contains(said)),
            "{answer:?}"
        );
    }
    let cut = choice(json!({"message": {"content": "Warm"}, "finish_reason": "length"}));
    assert!(matches!(
        server.answer(200, &[], &cut),
        Answer::Applied(Generated { is_cut_off: true, .. })
    ));
}

#[test]
fn invalid_settings_are_refused_with_a_correction() {
    let runtime = Runtime::new().unwrap();
    for (base_url, key, said) in [
        ("nonsense", "", "write https://HOST/v1"),
        ("ftp://example.com", "", "write https"),
        ("https://u:p@example.com/v1", "", "api_key"),
        ("https://example.com/v1", "two\nlines", "without line ends"),
    ] {
        let settings = OpenAiSettings {
            base_url: base_url.into(),
            api_key: Secret::new(key),
        };
        let error = OpenAiCompatible::new(&settings, runtime.handle().clone()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// Every record becomes a request; the text is the result.
struct Writing(Outbox<Generate>);

impl Stage for Writing {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            let new = Enqueue {
                destination: "model",
                key: "draft-1",
                order: None,
                at: record.timestamp,
            };
            self.0.enqueue(out, &record.cause(), &new, &request())?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.0.drive(partitions, now, out, |out, finished| {
            if let Conclusion::Applied(generated) = &finished.conclusion {
                out.emit_bytes(
                    &finished.cause,
                    "drafts",
                    finished.key,
                    finished.at,
                    generated.text.clone(),
                );
            }
        })
    }
}

#[test]
fn an_outbox_retries_server_failures_with_the_same_key() {
    let server = Server::start();
    server.will(429, &[("retry-after", "2")], failure("slow down", "requests"));
    server.will(500, &[], failure("The server had an error", "server_error"));
    server.will(200, &[], "{\"cho");
    let (base_url, handle) = (server.base.clone(), server.runtime.handle().clone());
    let build = move || {
        let settings = OpenAiSettings {
            base_url: base_url.as_str().into(),
            api_key: Secret::default(),
        };
        let provider = OpenAiCompatible::new(&settings, handle.clone()).unwrap();
        let limits = Limits {
            deadline: Duration::from_mins(1),
            ..Limits::default()
        };
        Writing(
            Outbox::new("llm")
                .destination("model", limits, Providing(provider))
                .answer_wait(Duration::from_mins(1)),
        )
    };
    let mut stage = Harness::new(build).once();
    stage.process([record("moments")]);
    for now in 0..4 {
        stage.tick(Utc::from_millis(now * 1_000_000));
    }
    assert_eq!(&stage.outputs()[0].1.value[..], b"Warm bread.");
    let requests = server.model.requests.lock().unwrap();
    let keys = requests
        .iter()
        .map(|(headers, _)| headers["idempotency-key"].to_str().unwrap());
    assert_eq!(keys.collect::<Vec<_>>(), ["draft-1"; 4]);
    assert!(
        requests
            .iter()
            .all(|(headers, _)| !headers.contains_key("authorization"))
    );
}
