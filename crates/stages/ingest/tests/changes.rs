//! Posts and deletions of a connector, in one request.

use std::sync::Arc;

use limbic_domain::{TenantId, topics};
use limbic_ingest::{Edge, RecentIds, Settings};
use limbic_stream::{Log, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::json;

/// A source counts posts: a deletion is accepted, but it is not a post, and it is not of an unknown network.
#[test]
fn deletions_are_accepted_and_do_not_count_as_posts_of_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).unwrap());
    log.ensure_topics(&[TopicSpec::new(topics::INTAKE, 1)]).unwrap();
    let tenant = TenantId::default();
    let keys = [(tenant.clone(), [7; 32])].into();
    let seen = Arc::new(RecentIds::new(100));
    let edge = Edge::new(Arc::clone(&log), 1, Settings::default(), keys, vec![seen]);
    let post = json!({"network": "bluesky", "id": "1", "author": "ada", "text": "hello",
        "created_at": "2026-03-01T09:00:00Z"});
    let deletion =
        json!({"network": "bluesky", "id": "1", "author": "ada", "deleted_at": "2026-03-01T09:05:00Z"});
    let items = [&post, &deletion, &post, &deletion].map(|item| Ok(item.clone()));
    let receipt = edge.accept_changes(&tenant, items).unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (2, 2));
    let again = edge.accept_changes(&tenant, [Ok(post), Ok(deletion)]).unwrap();
    assert_eq!((again.accepted, again.duplicates), (0, 2));
    let [source] = &edge.sources(&tenant)[..] else {
        panic!("{:?}", edge.sources(&tenant));
    };
    assert_eq!(
        (source.network.as_str(), source.accepted, source.duplicates),
        ("bluesky", 1, 2)
    );
    log.close().unwrap();
}
