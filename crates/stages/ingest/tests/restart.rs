//! The edge's answer to a post that an earlier process accepted.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;
use std::sync::Arc;

use limbic_domain::{TenantId, topics};
use limbic_ingest::{Edge, Receipt, RecentIds, Settings};
use limbic_stream::{Log, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::{Value, json};

const PARTITIONS: u32 = 3;

/// One run of an edge: it opens the log, reads back at most `reloaded` ids of each topic, accepts `posts` and closes.
fn accept(folder: &Path, reloaded: usize, posts: &[Value]) -> Receipt {
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder, EmbeddedOptions::default()).unwrap());
    let spec = TopicSpec::new(topics::INTAKE, PARTITIONS);
    log.ensure_topics(&[spec]).unwrap();
    let recent = RecentIds::new(1_000);
    recent.reload(log.as_ref(), reloaded).unwrap();
    let keys = [(TenantId::default(), [7; 32])].into();
    let edge = Edge::new(
        Arc::clone(&log),
        PARTITIONS,
        Settings::default(),
        keys,
        vec![Arc::new(recent)],
    );
    let at = "2026-03-01T00:00:00Z".parse().unwrap();
    edge.heartbeat(&TenantId::default(), at).unwrap();
    let items = posts.iter().cloned().map(Ok);
    let receipt = edge.accept_posts(&TenantId::default(), items, None).unwrap();
    log.close().unwrap();
    receipt
}

/// Posts of one author, so that all of them are in one partition.
fn posts() -> Vec<Value> {
    let post = |n| {
        json!({"network": "bluesky", "id": format!("p{n}"), "author": "ada", "text": "hello",
            "created_at": "2026-03-01T09:00:00Z"})
    };
    (0..30).map(post).collect()
}

#[test]
fn after_a_restart_the_edge_recognises_the_posts_it_accepted_last() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(accept(folder.path(), 300, &posts()).accepted, 30);
    let again = accept(folder.path(), 300, &posts());
    assert_eq!((again.accepted, again.duplicates), (0, 30));
}

#[test]
fn after_a_restart_the_edge_accepts_again_posts_that_it_did_not_read_back() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(accept(folder.path(), 300, &posts()).accepted, 30);
    // Each partition's share is a third of 33 ids, and the newest 11 records are posts.
    let again = accept(folder.path(), 33, &posts());
    assert_eq!((again.accepted, again.duplicates), (19, 11));
}
