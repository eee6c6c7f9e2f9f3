//! Writing and reading without a group.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Error, Headers, NewRecord, TopicPartition, TopicSpec, partition_of};
use bytes::Bytes;
use limbic_domain::Utc;

use super::Backend;
use super::client::{all_of, new_record, new_record_in, numbered, sorted, values};

pub fn a_key_has_one_partition_and_keeps_its_order(backend: &mut dyn Backend) {
    let topic = &backend.topics(&["ordered"], 3)[0];
    let log = backend.log();
    for value in numbered("", 60).chunks(7) {
        let records = value
            .iter()
            .enumerate()
            .map(|(i, value)| new_record(topic, &format!("key {}", i % 5), value));
        log.publish(records.collect()).unwrap();
    }
    let mut seen: HashMap<Bytes, Vec<String>> = HashMap::new();
    let all = all_of(&log, topic);
    assert_eq!(all.len(), 60);
    for record in all {
        assert_eq!(record.partition, partition_of(&record.key, 3));
        let value = String::from_utf8(record.value.to_vec()).unwrap();
        seen.entry(record.key).or_default().push(value);
    }
    assert_eq!(seen.len(), 5);
    for values in seen.values() {
        assert!(values.is_sorted(), "{values:?}");
    }
}

pub fn a_record_is_read_exactly_as_it_was_written(backend: &mut dyn Backend) {
    let topic = &backend.topics(&["whole"], 1)[0];
    let log = backend.log();
    let record = NewRecord {
        topic: topic.clone(),
        partition: Some(0),
        key: Bytes::from_static(&[0, 255, 10]),
        value: Bytes::from(vec![7; 100_000]),
        headers: Headers::new()
            .with("twice", "first")
            .with("twice", "second")
            .with("empty", "")
            .with("raw", vec![0, 159, 146, 150]),
        timestamp: Utc::from_millis(1_503_784_800_123),
    };
    let empty = NewRecord {
        key: Bytes::new(),
        value: Bytes::new(),
        headers: Headers::new(),
        ..record.clone()
    };
    log.publish(vec![record.clone(), empty.clone()]).unwrap();
    let read = all_of(&log, topic);
    assert_eq!(read.len(), 2);
    for (read, written) in read.iter().zip([record, empty]) {
        assert_eq!(read.key, written.key);
        assert_eq!(read.value, written.value);
        assert_eq!(read.headers, written.headers);
        assert_eq!(read.timestamp, written.timestamp);
    }
}

pub fn many_threads_publish_at_once(backend: &mut dyn Backend) {
    let topic = &backend.topics(&["busy"], 2)[0];
    let log = backend.log();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for value in numbered(&format!("{thread}-"), 50).chunks(5) {
                    let key = format!("key {thread}");
                    let records = value.iter().map(|value| new_record(topic, &key, value));
                    log.publish(records.collect()).unwrap();
                }
            });
        }
    });
    let all = all_of(&log, topic);
    let expected: Vec<String> = (0..8)
        .flat_map(|thread| numbered(&format!("{thread}-"), 50))
        .collect();
    assert_eq!(sorted(&all), expected);
    for thread in 0..8 {
        let mut own = values(&all);
        own.retain(|value| value.starts_with(&format!("{thread}-")));
        assert!(own.is_sorted(), "{own:?}");
    }
}

pub fn a_read_starts_at_any_offset_and_stops_at_the_end(backend: &mut dyn Backend) {
    let topic = &backend.topics(&["read"], 1)[0];
    let log = backend.log();
    for value in numbered("", 30).chunks(10) {
        log.publish(
            value
                .iter()
                .map(|value| new_record(topic, "key", value))
                .collect(),
        )
        .unwrap();
    }
    let all = all_of(&log, topic);
    let partition = TopicPartition {
        topic: topic.clone(),
        partition: 0,
    };
    for (i, record) in all.iter().enumerate() {
        let read = log.read(&partition, record.offset, 4).unwrap();
        assert_eq!(values(&read), values(&all[i..(i + 4).min(all.len())]));
    }
    let end = log
        .topics()
        .unwrap()
        .into_iter()
        .find(|info| info.name == *topic)
        .unwrap()
        .offsets[0]
        .1;
    assert!(end > all.last().unwrap().offset);
    assert!(log.read(&partition, end, 10).unwrap().is_empty());
}

pub fn an_unknown_topic_is_named(backend: &mut dyn Backend) {
    let topic: Arc<str> = "nowhere".into();
    let error = backend
        .log()
        .publish(vec![new_record_in(&topic, 0, "lost")])
        .unwrap_err();
    assert!(
        matches!(&error, Error::UnknownTopic(name) if *name == *topic),
        "{error}"
    );
}

pub fn a_topic_is_created_once_and_checked_afterwards(backend: &mut dyn Backend) {
    let topic = backend.topics(&["checked"], 2).remove(0);
    let again = backend.topics(&["checked"], 2).remove(0);
    assert_eq!(topic, again);
    let other = TopicSpec::new(topic, 5);
    let error = backend.log().ensure_topics(&[other]).unwrap_err();
    assert!(matches!(error, Error::Settings(_)), "{error}");
    let message = error.to_string();
    assert!(message.contains('2') && message.contains('5'), "{message}");
}

pub fn acknowledged_records_exist_after_reopening(backend: &mut dyn Backend) {
    let topic = backend.topics(&["kept"], 3).remove(0);
    let records = numbered("", 500);
    let records = records.iter().map(|value| new_record(&topic, value, value));
    backend.log().publish(records.collect()).unwrap();
    backend.reopen();
    assert_eq!(sorted(&all_of(&backend.log(), &topic)), numbered("", 500));
    backend
        .log()
        .publish(vec![new_record(&topic, "k", "later")])
        .unwrap();
    assert_eq!(all_of(&backend.log(), &topic).len(), 501);
}
