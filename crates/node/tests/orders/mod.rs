//! A node whose stage `texts` orders from a model: what the tests of texts and of pictures share.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use limbic_domain::{Decision, Envelope, Record, Slug, TenantId, Utc, topics};
use limbic_node::settings::Overrides;
use limbic_node::{Node, Options, Settings};
use limbic_stream::reference::read_table;
use limbic_stream::{Headers, NewRecord};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Serves `router` on the loopback device. Returns the base URL.
pub(crate) fn serve(runtime: &Runtime, router: Router) -> String {
    let listener = runtime
        .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await });
    base
}

/// Settings from this text, with the data in `folder`.
pub(crate) fn load(folder: &Path, text: &str) -> anyhow::Result<Settings> {
    let file = folder.join("limbic.toml");
    std::fs::write(&file, text).unwrap();
    let overrides = Overrides {
        config: Some(file),
        data: Some(folder.join("data")),
        ..Overrides::default()
    };
    Settings::load(&overrides, &[])
}

pub(crate) fn open(settings: &Settings) -> anyhow::Result<Node> {
    let options = Options {
        stages: vec!["creative".to_owned(), "texts".to_owned()],
        listen: None,
    };
    Node::open(settings, &options)
}

/// A decision for which only ads were missing.
pub(crate) fn decision(moment: &str) -> NewRecord {
    let decision: Decision = serde_json::from_value(json!({
        "moment": moment, "campaign": "spring", "audience": "everyone:football", "context": {},
        "result": {"suppressed": {"rule": "no_creative_left", "reason": "r", "by": {"safety_gate": "gate-4/0"}}}
    }))
    .unwrap();
    let id = Decision::id_of(&Slug::new("spring").unwrap(), moment);
    let at = Utc::from_millis(7);
    NewRecord {
        topic: topics::DECISIONS.into(),
        partition: None,
        key: "default/spring".into(),
        value: Envelope::new(TenantId::default(), id, at, decision)
            .encode()
            .into(),
        headers: Headers::new(),
        timestamp: at,
    }
}

/// The values of a compacted topic.
pub(crate) fn values<T: Record + DeserializeOwned>(node: &Node, topic: &str) -> Vec<Envelope<T>> {
    let table = read_table(&node.log, topic).unwrap();
    table
        .values()
        .map(|value| Envelope::decode(value).unwrap())
        .collect()
}

/// Waits until this is true.
pub(crate) fn until(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_mins(2), "{what}");
        std::thread::yield_now();
    }
}
