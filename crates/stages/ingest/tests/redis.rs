//! Redis is killed and started again while posts come in: intake goes on, nothing is lost, and nothing is doubled.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails where it stands, and says loudly when it skips"
)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use limbic_domain::{TenantId, topics};
use limbic_ingest::{Edge, IngestStage, Receipt, Settings, SharedIds};
use limbic_stream::testing::Harness;
use limbic_stream::{Log, Record, TopicPartition, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::{Value, json};

const WRITERS: usize = 3;
/// Posts of a request.
const POSTS: usize = 10;

/// A Redis of the test's own, which is killed when it is dropped.
struct Redis(Child);

impl Redis {
    /// Returns when it accepts connections.
    fn start(port: u16, folder: &Path) -> Self {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
        assert!(is_ready, "redis-server did not start");
        Self(child)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether `redis-server` is there. If not, prints that the test is skipped.
fn has_redis() -> bool {
    let found = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let is_there = found.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("\n*** SKIPPED: redis-server is not installed ***\n");
    }
    is_there
}

fn post(writer: usize, number: usize) -> Value {
    json!({"network": "bluesky", "id": format!("p{writer}-{number}"), "author": format!("author {writer}"), "text": "hello",
        "created_at": "2026-03-01T09:00:00Z"})
}

fn send(edge: &Edge, posts: Vec<Value>) -> Receipt {
    edge.accept_posts(&TenantId::default(), posts.into_iter().map(Ok), None)
        .unwrap()
}

/// Waits until the writers have stored this many more requests.
fn wait_for(requests: usize, stored: &Receiver<Receipt>) -> u64 {
    let receipts = stored.iter().take(requests);
    receipts
        .map(|receipt| {
            assert_eq!(receipt.rejected, []);
            assert_eq!(receipt.duplicates, 0, "no post is sent twice");
            receipt.accepted
        })
        .sum()
}

fn all_records(log: &dyn Log) -> Vec<Record> {
    let mut all = Vec::new();
    let partition = TopicPartition {
        topic: topics::INTAKE.into(),
        partition: 0,
    };
    loop {
        let next = all.last().map_or(0, |record: &Record| record.offset + 1);
        let more = log.read(&partition, next, 1_000).unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[test]
fn redis_that_is_killed_and_started_again_under_load_stalls_and_loses_nothing() {
    if !has_redis() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let redis = Redis::start(port, folder.path());
    let url = format!("redis://127.0.0.1:{port}");

    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).unwrap());
    log.ensure_topics(&[TopicSpec::new(topics::INTAKE, 1)]).unwrap();
    let keys = [(TenantId::default(), [7; 32])].into();
    let shared = Arc::new(SharedIds::connect(&url, "test:", 600).unwrap());
    let edge = Edge::new(Arc::clone(&log), 1, Settings::default(), keys, vec![shared]);
    let first = vec![post(WRITERS, 0)];
    assert_eq!(send(&edge, first.clone()).accepted, 1);
    assert_eq!(send(&edge, first.clone()).duplicates, 1, "Redis knows it");

    let is_over = AtomicBool::new(false);
    let (sender, stored) = channel();
    let accepted = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (sender, edge, is_over) = (sender.clone(), &edge, &is_over);
            scope.spawn(move || {
                let mut requests = (0..).map(|request| {
                    let numbers = request * POSTS..(request + 1) * POSTS;
                    numbers.map(|number| post(writer, number)).collect::<Vec<_>>()
                });
                while !is_over.load(Ordering::Relaxed) {
                    sender.send(send(edge, requests.next().unwrap())).unwrap();
                }
            });
        }
        drop(sender);
        let mut accepted = wait_for(20, &stored);
        drop(redis);
        accepted += wait_for(100, &stored);
        assert_eq!(send(&edge, first.clone()).accepted, 1, "nobody knows it");
        let _redis = Redis::start(port, folder.path());
        // It is asked again after a pause, and knows what was stored since then.
        while send(&edge, first.clone()).duplicates == 0 {
            accepted += wait_for(1, &stored);
        }
        accepted += wait_for(20, &stored);
        is_over.store(true, Ordering::Relaxed);
        accepted + wait_for(usize::MAX, &stored)
    });

    let records = all_records(&*log);
    let values: BTreeSet<&[u8]> = records.iter().map(|record| &*record.value).collect();
    assert_eq!(
        values.len() as u64,
        accepted + 1,
        "every accepted post is in the log"
    );
    assert!(records.len() > values.len(), "the edge took one of them twice");
    let mut stage = Harness::new(|| IngestStage::new(&Settings::default())).described_by(IngestStage::spec());
    stage.process(records);
    let posts = stage.outputs().iter();
    let posts = posts.filter(|(_, record)| &*record.topic == topics::POSTS);
    assert_eq!(posts.count() as u64, accepted + 1, "and passes on once");
    log.close().unwrap();
}
