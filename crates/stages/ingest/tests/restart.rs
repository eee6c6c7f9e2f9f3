//! The edge's answer to a post that an earlier process accepted.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;
use std::sync::Arc;

use limbic_domain::{TenantId, topics};
use limbic_ingest::{Edge, IngestStage, Receipt, RecentIds, RememberedIds, SeenIds, Settings};
use limbic_stream::runtime::{Health, RunOptions, StageMeters, Stepped};
use limbic_stream::{Log, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::{Value, json};

const PARTITIONS: u32 = 3;

/// One run of an edge with room for `capacity` ids: it opens the log, reads back at most `reloaded` ids of each topic and what no
/// stage has read, accepts `posts` and closes.
fn accept(folder: &Path, capacity: usize, reloaded: usize, posts: &[Value]) -> Receipt {
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder, EmbeddedOptions::default()).unwrap());
    let spec = TopicSpec::new(topics::INTAKE, PARTITIONS);
    log.ensure_topics(&[spec]).unwrap();
    let recent = RecentIds::new(capacity);
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
    assert_eq!(accept(folder.path(), 1_000, 300, &posts()).accepted, 30);
    let again = accept(folder.path(), 1_000, 300, &posts());
    assert_eq!((again.accepted, again.duplicates), (0, 30));
}

#[test]
fn after_a_restart_the_edge_accepts_again_posts_for_which_its_memory_has_no_room() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(accept(folder.path(), 1_000, 300, &posts()).accepted, 30);
    // Each partition's share is a third of 33 ids, and the newest 11 records are posts.
    let again = accept(folder.path(), 33, 33, &posts());
    assert_eq!((again.accepted, again.duplicates), (19, 11));
}

/// An edge that has forgotten every id but the latest, and asks the ingest stage's state if it `asks`.
fn forgetful(log: &Arc<dyn Log>, asks: bool) -> Edge {
    let mut seen: Vec<Arc<dyn SeenIds>> = vec![Arc::new(RecentIds::new(1))];
    if asks {
        seen.push(Arc::new(RememberedIds::open(log.as_ref(), PARTITIONS).unwrap()));
    }
    let keys = [(TenantId::default(), [7; 32])].into();
    Edge::new(Arc::clone(log), PARTITIONS, Settings::default(), keys, seen)
}

/// Runs the ingest stage until it has read everything, and returns how many records `posts` has.
fn pass_on(log: &Arc<dyn Log>) -> usize {
    let (stage, spec) = (
        Box::new(IngestStage::new(&Settings::default())),
        IngestStage::spec(),
    );
    let meters = StageMeters::register(&prometheus::Registry::new()).unwrap();
    let mut running = Stepped::new(Arc::clone(log), stage, spec, RunOptions::default(), &meters);
    let unread = || {
        let progress = log.progress("ingest", &[topics::INTAKE.into()]).unwrap();
        progress
            .iter()
            .any(|progress| progress.committed.next < progress.end)
    };
    while unread() {
        assert!(matches!(running.turn(), Health::Starting | Health::Running));
    }
    let records = (0..PARTITIONS).map(|partition| {
        let partition = limbic_stream::TopicPartition {
            topic: topics::POSTS.into(),
            partition,
        };
        let records = log.read(&partition, 0, 1_000).unwrap();
        records
            .iter()
            .filter(|record| record.headers.get(limbic_stream::header::CONTROL).is_none())
            .count()
    });
    records.sum()
}

/// The same posts under other authors' names, so that they are in other partitions.
fn renamed() -> Vec<Value> {
    let renamed = posts().into_iter().zip(0..).map(|(mut post, n)| {
        post["author"] = json!(format!("ada {n}"));
        post
    });
    renamed.collect()
}

#[test]
fn a_post_is_accepted_once_whatever_its_author_is_called_and_after_a_restart() {
    let taken = |asks: bool| {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Vec::new();
        for items in [posts(), renamed()] {
            let log: Arc<dyn Log> =
                Arc::new(EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).unwrap());
            let all = [topics::INTAKE, topics::POSTS, topics::OUTCOMES];
            let specs = all.map(|topic| TopicSpec::new(topic, PARTITIONS));
            log.ensure_topics(&specs).unwrap();
            log.ensure_topics(&[TopicSpec::new(topics::PROGRESS, 1)]).unwrap();
            let edge = forgetful(&log, asks);
            let items = items.into_iter().map(Ok);
            let receipt = edge.accept_posts(&TenantId::default(), items, None).unwrap();
            taken.push((receipt.accepted, receipt.duplicates, pass_on(&log)));
            drop(edge);
            log.close().unwrap();
        }
        taken
    };
    assert_eq!(taken(true), [(30, 0, 30), (0, 30, 30)]);
    // Without the stage's memory, a post whose new name belongs to another partition counts again.
    let [before, after] = taken(false)[..] else {
        panic!("two runs")
    };
    assert!(before == (30, 0, 30) && after.2 > 40, "{after:?}");
}

#[test]
fn a_restart_reads_back_every_post_that_the_stage_has_not_read() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(accept(folder.path(), 1_000, 300, &posts()).accepted, 30);
    // One record of each partition is read back, and those that no stage has read.
    let again = accept(folder.path(), 1_000, 3, &renamed());
    assert_eq!((again.accepted, again.duplicates), (0, 30));
}
