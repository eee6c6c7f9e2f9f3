//! The embedded log's own compaction: it survives a kill at every step, stays within its memory, and removes tombstones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::testing::conformance::client::{Client, all_of, limits, new_record};
use limbic_stream::testing::conformance::compaction::table;
use limbic_stream::{Log, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

use crate::{disk, options};

const KEYS: usize = 20;

fn open(path: &Path, options: EmbeddedOptions) -> Arc<EmbeddedLog> {
    Arc::new(EmbeddedLog::open(path, options).unwrap())
}

fn topic(log: &dyn Log) -> Arc<str> {
    let spec = TopicSpec::new("table", 2).compacted();
    log.ensure_topics(std::slice::from_ref(&spec)).unwrap();
    spec.name
}

fn write(log: &dyn Log, topic: &Arc<str>, rounds: std::ops::Range<usize>) {
    for round in rounds {
        let value = format!("{round:05}{}", "x".repeat(200));
        let records = (0..KEYS).map(|key| new_record(topic, &format!("key {key}"), &value));
        log.publish(records.collect()).unwrap();
    }
}

/// In a child process: aborts at a step of a compaction that would remove most records.
pub(crate) fn die_at(step: &str, path: &Path) {
    let log = open(path, options());
    let topic = topic(&*log);
    write(&*log, &topic, 0..10);
    log.compact(Utc::now()).unwrap();
    write(&*log, &topic, 10..20);
    fail::cfg_callback(step, || std::process::abort()).unwrap();
    log.compact(Utc::now()).unwrap();
}

#[test]
fn a_kill_at_any_step_of_a_compaction_loses_no_key() {
    for step in [
        "compaction::copying",
        "compaction::before-swap",
        "compaction::after-swap",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (passed, _) = disk::run(step, folder.path());
        assert!(!passed, "the child should abort at {step}");
        let log = open(folder.path(), options());
        let topic = topic(&*log);
        let shared: Arc<dyn Log> = log.clone();
        let is_swapped = step == "compaction::after-swap";
        let found = all_of(&shared, &topic);
        assert_eq!(found.len(), if is_swapped { KEYS } else { 11 * KEYS }, "{step}");
        let found = table(&found);
        assert!(
            found.len() == KEYS && found.values().all(|value| value.starts_with("00019")),
            "{step}"
        );
        let ends = log.topic(&topic).unwrap().offsets;
        assert_eq!(
            ends.iter().map(|(_, end)| end).sum::<u64>(),
            20 * KEYS as u64,
            "{step}"
        );
        write(&*log, &topic, 20..21);
        log.compact(Utc::now()).unwrap();
        let found = all_of(&shared, &topic);
        assert_eq!(found.len(), KEYS, "{step}");
        assert!(
            table(&found).values().all(|value| value.starts_with("00020")),
            "{step}"
        );
        log.close().unwrap();
    }
}

#[test]
fn a_tombstone_is_removed_after_its_retention_and_the_end_offset_stays() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), options());
    let shared: Arc<dyn Log> = log.clone();
    let topic = topic(&*log);
    write(&*log, &topic, 0..3);
    log.publish(
        (0..KEYS)
            .map(|key| new_record(&topic, &format!("key {key}"), ""))
            .collect(),
    )
    .unwrap();
    let ends = log.topic(&topic).unwrap().offsets;
    let now = Utc::now();
    log.compact(now).unwrap();
    assert_eq!(
        all_of(&shared, &topic).len(),
        KEYS,
        "no tombstone is removed before its retention has passed"
    );
    let day = i64::try_from(options().tombstone_retention.as_millis()).unwrap();
    write(&*log, &topic, 3..4);
    log.publish(
        (0..KEYS)
            .map(|key| new_record(&topic, &format!("key {key}"), ""))
            .collect(),
    )
    .unwrap();
    let ends_later = log.topic(&topic).unwrap().offsets;
    assert!(
        ends_later
            .iter()
            .zip(&ends)
            .all(|(later, before)| later.1 > before.1)
    );
    log.compact(now.plus_millis(day + 60_000)).unwrap();
    let left = all_of(&shared, &topic);
    assert_eq!(
        left.len(),
        2,
        "the last record of each partition, from which its end is read"
    );
    assert!(table(&left).is_empty());
    log.close().unwrap();
    drop((log, shared));
    let log = open(folder.path(), options());
    assert_eq!(log.topic(&topic).unwrap().offsets, ends_later);
    write(&*log, &topic, 4..5);
    let shared: Arc<dyn Log> = log.clone();
    assert_eq!(table(&all_of(&shared, &topic)).len(), KEYS);
}

#[test]
fn a_small_table_of_keys_needs_more_rounds_and_gives_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let small = EmbeddedOptions {
        segment_bytes: 10_000,
        compaction_keys: 1,
        ..options()
    };
    let log = open(folder.path(), small);
    let shared: Arc<dyn Log> = log.clone();
    let topic = topic(&*log);
    write(&*log, &topic, 0..40);
    log.compact(Utc::now()).unwrap();
    let found = all_of(&shared, &topic);
    assert_eq!(found.len(), KEYS);
    assert!(table(&found).values().all(|value| value.starts_with("00039")));
    let keyspaces = std::fs::read_dir(folder.path().join("keyspaces"))
        .unwrap()
        .count();
    assert!(
        keyspaces < 8,
        "replaced segments leave the disk: {keyspaces} keyspaces"
    );
}

#[test]
fn writers_and_readers_continue_while_a_topic_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), options());
    let shared: Arc<dyn Log> = log.clone();
    let topic = topic(&*log);
    write(&*log, &topic, 0..1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&*log, &topic, 1..60));
        while !writer.is_finished() {
            log.compact(Utc::now()).unwrap();
            assert_eq!(table(&all_of(&shared, &topic)).len(), KEYS);
        }
        writer.join().unwrap();
    });
    log.compact(Utc::now()).unwrap();
    let found = all_of(&shared, &topic);
    assert_eq!(found.len(), KEYS);
    assert!(table(&found).values().all(|value| value.starts_with("00059")));
}

#[test]
fn a_topic_is_compacted_in_the_background_once_enough_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let eager = EmbeddedOptions {
        retention_interval: Duration::from_millis(20),
        compaction_bytes: 20_000,
        ..options()
    };
    let log = open(folder.path(), eager);
    let shared: Arc<dyn Log> = log.clone();
    let topic = topic(&*log);
    write(&*log, &topic, 0..20);
    // Polls without records serve as the wait.
    let elsewhere = TopicSpec::new("elsewhere", 1);
    log.ensure_topics(std::slice::from_ref(&elsewhere)).unwrap();
    let mut waiting = Client::join(&shared, "waiting", "a", &[elsewhere.name]);
    let is_compacted = (0..600).any(|_| {
        waiting.poll(&limits()).unwrap();
        // The last 20,000 bytes may wait for more.
        all_of(&shared, &topic).len() < 8 * KEYS
    });
    assert!(is_compacted);
    assert_eq!(table(&all_of(&shared, &topic)).len(), KEYS);
}
