//! Pictures behind the texts of ads, from a node's model that paints: ordered by the stage, paid by the ledger, kept as files.
#![cfg(feature = "render")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod orders;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use limbic_domain::{Envelope, PaintedBackground, topics};
use limbic_node::{Node, Settings};
use orders::{decision, load, open, serve, until, values};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn png() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 48, 32);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[90; 48 * 32]).unwrap();
    writer.finish().unwrap();
    file
}

/// A local server that behaves as `OpenAI`'s API reference says. No recording of the real one was compared.
async fn paint(State(asked): State<Arc<AtomicUsize>>) -> Json<Value> {
    asked.fetch_add(1, Ordering::SeqCst);
    Json(json!({
        "created": 1_764_460_800, "data": [{"b64_json": BASE64_STANDARD.encode(png())}],
        "usage": {"input_tokens": 19, "output_tokens": 1_568, "total_tokens": 1_587},
    }))
}

fn settings(folder: &Path, base: &str) -> anyhow::Result<Settings> {
    let text = format!(
        "[affect]
engine = 'lexicon'
[creative.formats]
file = 'x/post'
[creative.pictures]
file = 'landscape'
[creative.paint]
model = 'backgrounds'
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
background = 'A wet street in the morning'
[llm]
routes = [{{ model = 'backgrounds', chain = [{{ provider = 'own', model = 'small' }}] }}]
prices = [{{ provider = 'own', model = 'small', input = 2_000_000, output = 3_000_000 }}]
[picture_providers.own]
kind = 'openai'
base_url = '{base}'
"
    );
    load(folder, &text)
}

fn painted(node: &Node) -> Vec<Envelope<PaintedBackground>> {
    values(node, topics::BACKGROUNDS)
}

#[test]
fn a_campaign_in_use_gets_a_picture_that_is_painted_and_paid_once() {
    let runtime = Runtime::new().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/v1/images/generations", post(paint))
        .with_state(Arc::clone(&asked));
    let base = serve(&runtime, router);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &base).unwrap();

    let node = open(&settings).unwrap();
    node.log.publish(vec![decision("m1"), decision("m2")]).unwrap();
    until("no picture came", || !painted(&node).is_empty());
    let background = painted(&node).remove(0).data.background.unwrap();
    assert_eq!(background.model, "own/small");
    let file = folder.path().join("data/pictures/painted").join(&background.file);
    assert_eq!(std::fs::read(file).unwrap(), png());
    assert!(node.close().unwrap());

    let node = open(&settings).unwrap();
    node.log.publish(vec![decision("m3")]).unwrap();
    assert!(node.close().unwrap());
    let node = open(&settings).unwrap();
    assert_eq!(painted(&node).len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(node.close().unwrap());
}

#[test]
fn a_model_of_another_kind_or_a_provider_of_two_kinds_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let base = "http://127.0.0.1:9/v1";
    settings(folder.path(), base).unwrap();
    let file = folder.path().join("limbic.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let texts = format!("[llm_providers.words]\nkind = 'openai'\nbase_url = '{base}'\n");
    for (changed, said) in [
        (
            text.replace("model = 'backgrounds'\n[ad", "model = 'nothing'\n[ad"),
            "creative.paint.model = nothing: there is no such model",
        ),
        (
            format!(
                "{texts}{}",
                text.replace("model = 'backgrounds'\n[ad", "model = 'words/small'\n[ad")
            ),
            "with providers of [picture_providers]",
        ),
        (
            format!("{}{text}", texts.replace("words", "own")),
            "there is a [llm_providers.own] too",
        ),
    ] {
        let error = load(folder.path(), &changed).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(said), "{error}");
    }
}
