//! Texts of ads from a node's language model: ordered by the stage, paid by the ledger, kept in the log.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod orders;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::routing::post;
use limbic_domain::{Envelope, WrittenTexts, topics};
use limbic_node::{Node, Settings};
use orders::{decision, load, open, serve, until, values};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A local server that behaves as we remember `OpenAI`'s API. No recording of the real one was compared.
async fn complete(
    State(asked): State<Arc<AtomicUsize>>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    asked.fetch_add(1, Ordering::SeqCst);
    let text = json!({"texts": [
        {"headline": "Acme Boots keep feet warm", "body": "Whatever the weather does.", "tone": "bright", "appeal": "benefit",
            "call_to_action": "none"},
        {"headline": "Boots for 3 seasons", "body": "Acme Boots.", "tone": "bright", "appeal": "benefit", "call_to_action": "none"},
    ]});
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"model": "small-1", "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let delta = json!([{"index": 0, "delta": {"content": text.to_string()}}]);
    let end = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    let usage = json!({"prompt_tokens": 19, "completion_tokens": 10});
    let events = [
        chunk(delta, Value::Null),
        chunk(end, Value::Null),
        chunk(json!([]), usage),
        "data: [DONE]\n\n".to_owned(),
    ];
    ([(header::CONTENT_TYPE, "text/event-stream")], events.concat())
}

fn settings(folder: &Path, base: &str) -> anyhow::Result<Settings> {
    let text = format!(
        "[affect]
engine = 'lexicon'
[creative.generate]
model = 'ads'
[ad_platforms.file]
kind = 'file'
path = 'ads.jsonl'
[[campaigns]]
id = 'spring'
bid = 1000
direction = 'up'
platforms = [{{ name = 'file', headline = 60, body = 180 }}]
[campaigns.brief]
product = 'Acme Boots'
promise = 'Warm feet in any weather'
call_to_action = 'Try a pair'
link = 'https://example.com/boots'
[llm]
routes = [{{ model = 'ads', chain = [{{ provider = 'own', model = 'small' }}] }}]
deadline = '10s'
prices = [{{ provider = 'own', model = 'small', input = 2_000_000, output = 3_000_000 }}]
[llm_providers.own]
kind = 'openai'
base_url = '{base}'
"
    );
    load(folder, &text)
}

fn written(node: &Node) -> Vec<Envelope<WrittenTexts>> {
    values(node, topics::TEXTS)
}

#[test]
fn a_campaign_in_use_gets_texts_that_are_asked_for_and_paid_once() {
    let runtime = Runtime::new().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/v1/chat/completions", post(complete))
        .with_state(Arc::clone(&asked));
    let base = serve(&runtime, router);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &base).unwrap();

    let node = open(&settings).unwrap();
    node.log.publish(vec![decision("m1"), decision("m2")]).unwrap();
    until("no texts came", || !written(&node).is_empty());
    let texts = written(&node).remove(0);
    assert_eq!(texts.data.model.as_deref(), Some("own/small-1"));
    assert_eq!(texts.data.texts.len(), 1);
    assert_eq!(texts.data.texts[0].headline, "Acme Boots keep feet warm");
    assert_eq!(
        texts.data.problems,
        ["text 2: its headline has the number 3, which is not in the brief"]
    );
    assert!(node.close().unwrap());

    let node = open(&settings).unwrap();
    node.log.publish(vec![decision("m3")]).unwrap();
    assert!(node.close().unwrap());
    let node = open(&settings).unwrap();
    assert_eq!(written(&node).len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(node.close().unwrap());
}

#[test]
fn a_model_without_a_route_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[creative.generate]\nmodel = 'nothing'\n";
    let error = load(folder.path(), text).unwrap_err().to_string();
    assert!(error.contains("creative.generate.model = nothing"), "{error}");
}
