//! Compacted topics: the latest value of each key is kept, and offsets keep their values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{BatchLimits, Error, Record, TopicSpec};

use super::Backend;
use super::client::{Client, all_of, limits, new_record};

/// The key of records that a backend writes to trigger a compaction ([`Backend::compact`]).
pub const FILLER: &str = "filler";

const KEYS: usize = 10;

/// The table that these records produce.
pub fn table(records: &[Record]) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut table = BTreeMap::new();
    for record in records {
        if record.value.is_empty() {
            table.remove(&text(&record.key));
        } else {
            table.insert(text(&record.key), text(&record.value));
        }
    }
    table.remove(FILLER);
    table
}

fn compacted_topic(backend: &dyn Backend, name: &str) -> Arc<str> {
    let spec = TopicSpec::new(name, 2).compacted();
    backend.log().ensure_topics(std::slice::from_ref(&spec)).unwrap();
    // The topic exists and has the wanted settings.
    backend.log().ensure_topics(std::slice::from_ref(&spec)).unwrap();
    spec.name
}

/// Writes every key once in each round.
fn write(backend: &dyn Backend, topic: &Arc<str>, rounds: std::ops::Range<usize>) {
    for round in rounds {
        let records = (0..KEYS).map(|key| new_record(topic, &format!("key {key}"), &format!("{round:05}")));
        backend.log().publish(records.collect()).unwrap();
    }
}

/// Compacts until at least one record was removed.
fn compact(backend: &dyn Backend, topic: &Arc<str>) {
    let log = backend.log();
    let data = || {
        let mut records = all_of(&log, topic);
        records.retain(|record| record.key != FILLER);
        records.len()
    };
    let before = data();
    backend.compact(topic, &mut || data() < before);
    assert!(data() < before, "nothing was removed");
}

pub fn the_latest_value_of_every_key_survives_compaction(backend: &mut dyn Backend) {
    let topic = compacted_topic(backend, "table");
    write(backend, &topic, 0..30);
    let log = backend.log();
    let before = all_of(&log, &topic);
    let ends = log.topic(&topic).unwrap().offsets;
    let mut behind = Client::join(&log, "g", "a", std::slice::from_ref(&topic));
    let few = BatchLimits {
        records: 7,
        ..limits()
    };
    let mut read = Vec::new();
    while read.len() < 40 {
        if let crate::Polled::Records(records) = behind.poll(&few).unwrap() {
            read.extend(records);
        }
    }
    compact(backend, &topic);
    // Read from offset 0: the latest value of every key, at the offset that it had.
    let after = all_of(&log, &topic);
    assert_eq!(table(&after), table(&before));
    for record in after.iter().filter(|record| record.key != FILLER) {
        assert!(before.contains(record), "{record:?}");
    }
    for pair in after.windows(2) {
        assert!(pair[0].partition != pair[1].partition || pair[0].offset < pair[1].offset);
    }
    // The end of a partition never goes back, and later records come after it.
    let ends_after = log.topic(&topic).unwrap().offsets;
    for ((_, end), (_, end_after)) in ends.iter().zip(&ends_after) {
        assert!(end_after >= end, "{end} {end_after}");
    }
    write(backend, &topic, 30..31);
    let expected = table(&all_of(&log, &topic));
    assert!(expected.values().all(|value| value == "00030") && expected.len() == KEYS);
    // A reader that was in the middle continues, and produces the same table.
    behind.until(|client, records| {
        read.extend(records);
        let positions = client.consumer.positions().unwrap();
        positions.iter().all(|(_, next, end)| next == end)
    });
    assert_eq!(table(&read), expected);
    behind.consumer.close().unwrap();
    drop(log);
    backend.reopen();
    assert_eq!(table(&all_of(&backend.log(), &topic)), expected);
    write(backend, &topic, 31..32);
    let later = all_of(&backend.log(), &topic);
    let least = |record: &Record| ends_after[record.partition as usize].1;
    assert!(
        later
            .iter()
            .all(|record| record.value != "00031" || record.offset >= least(record))
    );
    assert!(table(&later).values().all(|value| value == "00031"));
}

pub fn a_tombstone_removes_its_key(backend: &mut dyn Backend) {
    let topic = compacted_topic(backend, "table");
    write(backend, &topic, 0..3);
    let log = backend.log();
    log.publish(vec![
        new_record(&topic, "key 3", ""),
        new_record(&topic, "key 5", ""),
    ])
    .unwrap();
    compact(backend, &topic);
    let table = table(&all_of(&log, &topic));
    assert_eq!(table.len(), KEYS - 2);
    assert!(
        !table.contains_key("key 3") && !table.contains_key("key 5"),
        "{table:?}"
    );
}

pub fn a_topic_that_should_be_compacted_is_refused_with_a_correction(backend: &mut dyn Backend) {
    let topic = backend.topics(&["plain"], 1).remove(0);
    let error = backend
        .log()
        .ensure_topics(&[TopicSpec::new(topic, 1).compacted()])
        .unwrap_err();
    assert!(matches!(error, Error::Settings(_)), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("plain`") && message.contains("compact"),
        "{message}"
    );
}
