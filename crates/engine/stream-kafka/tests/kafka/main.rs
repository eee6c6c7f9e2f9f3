//! Tests of the Kafka backend alone, with a real broker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stderr,
    reason = "the person who runs the tests must see a skipped one"
)]

mod cluster;
mod expired;
mod patient;
mod restart;
mod security;
mod sharing;
mod zombies;

use std::collections::BTreeSet;
use std::time::Instant;

use limbic_stream::{Cleanup, Error, Log, Polled, Retention, TopicPartition};
use limbic_stream_kafka::KafkaLog;

use cluster::{
    address, join, limits, log, options, pass_on, poll_until, record, sorted, subscription, take, topic,
    values,
};

fn numbers(count: u64) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 3);
    let mut written = record("in", "key", "value");
    // Times that Kafka would refuse or misinterpret.
    for millis in [i64::MIN, -1, 0, i64::MAX] {
        written.timestamp = limbic_domain::Utc::from_millis(millis);
        log.publish(vec![written.clone()]).unwrap();
    }
    let partition = TopicPartition {
        topic: "in".into(),
        partition: limbic_stream::partition_of(b"key", 3),
    };
    let read = log.read(&partition, 0, 10).unwrap();
    let times: Vec<i64> = read.iter().map(|record| record.timestamp.as_millis()).collect();
    assert_eq!(times, [i64::MIN, -1, 0, i64::MAX]);
    for record in read {
        assert_eq!(
            (&record.key, &record.value, &record.headers),
            (&written.key, &written.value, &written.headers)
        );
    }
}

#[test]
fn records_of_a_transient_topic_are_deleted_once_every_reader_is_past_them() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 2);
    log.ensure_topics(&[topic("passing", 2).transient(Retention::default())])
        .unwrap();
    let by_partition = |topic: &str, key: &str| TopicPartition {
        topic: topic.into(),
        partition: limbic_stream::partition_of(key.as_bytes(), 2),
    };
    let passing = by_partition("passing", "k");
    log.publish((0..10).map(|n| record("passing", "k", n)).collect())
        .unwrap();
    log.publish(vec![record("in", "k", "stays")]).unwrap();

    log.trim(&[(passing.clone(), 4)]).unwrap();
    let ends = |log: &KafkaLog| {
        let topic = log.topic(&"passing".into()).unwrap();
        topic.offsets[passing.partition as usize]
    };
    assert_eq!(ends(&log), (4, 10));
    let left: Vec<String> = log
        .read(&passing, 0, 100)
        .unwrap()
        .iter()
        .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
        .collect();
    assert_eq!(left, ["4", "5", "6", "7", "8", "9"]);

    // Deleted records stay deleted, and a trim can be repeated, also by another process.
    let other = KafkaLog::connect(&address, options).unwrap();
    other
        .ensure_topics(&[topic("passing", 2).transient(Retention::default())])
        .unwrap();
    for log in [&log, &other] {
        log.trim(&[(passing.clone(), 2)]).unwrap();
        assert_eq!(ends(log), (4, 10));
    }
    other.trim(&[(passing.clone(), 10)]).unwrap();
    assert_eq!(ends(&log), (10, 10));

    let error = log.trim(&[(by_partition("in", "k"), 1)]).unwrap_err();
    assert!(
        matches!(&error, Error::Settings(text) if text.contains("`in` is not transient")),
        "{error}"
    );
    assert_eq!(log.read(&by_partition("in", "k"), 0, 10).unwrap().len(), 1);
}

#[test]
fn a_member_continues_after_deleted_records() {
    let Some(address) = address() else { return };
    let log = KafkaLog::connect(&address, options()).unwrap();
    log.ensure_topics(&[topic("in", 1).transient(Retention::default()), topic("out", 1)])
        .unwrap();
    log.publish((0..10).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 10);
    pass_on(&mut *consumer, &records).unwrap();
    let progress = log.progress("stage", &["in".into()]).unwrap();
    let committed = &progress[0].committed;
    log.trim(&[(committed.partition.clone(), committed.next)])
        .unwrap();
    log.publish((10..15).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let records = take(&mut *consumer, 5);
    pass_on(&mut *consumer, &records).unwrap();
    consumer.close().unwrap();
    assert_eq!(values(&log, "out", 1), numbers(15));

    // So does one that joins later.
    log.publish((15..20).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("b")).unwrap();
    let records = take(&mut *consumer, 5);
    pass_on(&mut *consumer, &records).unwrap();
    consumer.close().unwrap();
    assert_eq!(values(&log, "out", 1), numbers(20));
}

#[test]
fn records_that_were_deleted_before_a_group_read_them_are_told_and_ends_of_transactions_are_not() {
    let Some(address) = address() else { return };
    let log = KafkaLog::connect(&address, options()).unwrap();
    log.ensure_topics(&[
        topic("in", 1).transient(Retention::default()),
        topic("out", 1).transient(Retention::default()),
    ])
    .unwrap();
    let partition = |name: &str| TopicPartition {
        topic: name.into(),
        partition: 0,
    };
    log.publish((0..100).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 100);
    pass_on(&mut *consumer, &records[..10]).unwrap();
    assert_eq!(consumer.skipped(), []);
    // Retention does not look at groups.
    log.trim(&[(partition("in"), 60)]).unwrap();
    let lost = |next| limbic_stream::Skipped {
        partition: partition("in"),
        records: 50,
        next,
    };
    // As after a failure: the member continues at its last commit.
    consumer.rewind().unwrap();
    let records = take(&mut *consumer, 40);
    assert_eq!(records[0].offset, 60);
    assert_eq!(consumer.skipped(), [lost(100)]);
    assert_eq!(consumer.skipped(), [], "told once");
    // It is not committed, so another member is told again.
    consumer.close().unwrap();
    let mut consumer = log.subscribe(subscription("b")).unwrap();
    join(&mut *consumer, 1);
    assert_eq!(consumer.skipped(), [lost(60)]);
    let records = take(&mut *consumer, 40);
    pass_on(&mut *consumer, &records).unwrap();
    assert_eq!(consumer.skipped(), []);
    consumer.close().unwrap();

    // The 10 and the 40 records of `out`, and the end of a transaction behind each. Everything is read, then deleted.
    let mut reader = subscription("a");
    (reader.group, reader.topics) = ("reader".into(), vec!["out".into()]);
    let mut consumer = log.subscribe(reader.clone()).unwrap();
    let records = take(&mut *consumer, 50);
    let mut transaction = consumer.begin().unwrap();
    for committed in cluster::offsets(&records) {
        transaction.commit_offset(committed).unwrap();
    }
    transaction.commit().unwrap();
    consumer.close().unwrap();
    let (_, end) = log.topic(&"out".into()).unwrap().offsets[0];
    log.trim(&[(partition("out"), end)]).unwrap();
    let mut consumer = log.subscribe(reader).unwrap();
    join(&mut *consumer, 1);
    assert_eq!(consumer.skipped(), []);
    consumer.close().unwrap();
}

#[test]
fn outputs_offsets_metadata_and_state_are_committed_together() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 1);
    log.publish((0..10).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 10);
    pass_on(&mut *consumer, &records).unwrap();
    consumer.close().unwrap();

    assert_eq!(values(&log, "out", 1), numbers(10));
    let mut consumer = log.subscribe(subscription("b")).unwrap();
    let held = join(&mut *consumer, 1);
    let committed = consumer.committed(&held[0]).unwrap().unwrap();
    assert_eq!((committed.next, committed.metadata.as_str()), (10, "up to 10"));
    assert_eq!(
        consumer.state().get(0, b"count").unwrap().as_deref(),
        Some(&b"10"[..])
    );
    assert!(
        log.state_bytes()
            .iter()
            .any(|(_, instance, bytes)| &**instance == "b" && *bytes > 0)
    );
    consumer.close().unwrap();
}

#[test]
fn an_aborted_transaction_is_invisible_and_its_records_are_read_again() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 1);
    log.publish((0..10).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 10);
    let mut transaction = consumer.begin().unwrap();
    transaction.append(record("out", "k", "never")).unwrap();
    transaction
        .put_state(0, "count".into(), Some("never".into()))
        .unwrap();
    transaction.abort().unwrap();
    assert_eq!(consumer.state().get(0, b"count").unwrap(), None);

    consumer.rewind().unwrap();
    let again = take(&mut *consumer, 10);
    assert_eq!(again, records);
    pass_on(&mut *consumer, &again).unwrap();
    consumer.close().unwrap();
    assert_eq!(values(&log, "out", 1), numbers(10));
}

#[test]
fn a_group_that_has_read_everything_has_a_lag_of_zero() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 1);
    // `out` ends with transaction markers, which occupy offsets.
    log.publish((0..3).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut first = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *first, 3);
    pass_on(&mut *first, &records).unwrap();

    let mut second = subscription("b");
    second.group = "reader".into();
    second.topics = vec!["out".into()];
    let mut second = log.subscribe(second).unwrap();
    let records = take(&mut *second, 3);
    let mut transaction = second.begin().unwrap();
    for committed in cluster::offsets(&records) {
        transaction.commit_offset(committed).unwrap();
    }
    transaction.commit().unwrap();
    poll_until(&mut *second, |polled| matches!(polled, Polled::Idle));

    let progress = log.progress("reader", &["out".into()]).unwrap();
    assert_eq!(progress.len(), 1);
    assert_eq!((progress[0].committed.next, progress[0].end), (3, 3));
    let deadline = Instant::now() + cluster::PATIENCE;
    while second.positions().unwrap()[0].1 != second.positions().unwrap()[0].2 {
        assert!(Instant::now() < deadline);
        second.poll(&limits()).unwrap();
    }

    // One more record gives a lag again.
    log.publish(vec![record("out", "k", 3)]).unwrap();
    let progress = log.progress("reader", &["out".into()]).unwrap();
    assert!(progress[0].end > progress[0].committed.next);
    first.close().unwrap();
    second.close().unwrap();
}

#[test]
fn a_partition_moves_to_a_new_instance_only_after_the_current_batch_is_finished() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 4);
    let write = |from: u64| {
        let records = (from..from + 100)
            .map(|n| record("in", &format!("k{n}"), n))
            .collect();
        log.publish(records).unwrap();
    };
    write(0);
    let mut first = log.subscribe(subscription("a")).unwrap();
    let in_hand = take(&mut *first, 100);

    // The second member asks for its share while the first one holds a batch of all partitions.
    let other = options.clone();
    let second = std::thread::spawn({
        let address = address.clone();
        move || {
            let log = KafkaLog::connect(&address, other).unwrap();
            let mut second = log.subscribe(subscription("b")).unwrap();
            let held = join(&mut *second, 2);
            let counts: u64 = held
                .iter()
                .filter_map(|partition| second.state().get(partition.partition, b"count").unwrap())
                .map(|count| std::str::from_utf8(&count).unwrap().parse::<u64>().unwrap())
                .sum();
            assert!(counts > 0, "the state moved with the partition");
            let records = take(&mut *second, 1);
            pass_on(&mut *second, &records).unwrap();
            while log
                .progress("stage", &["in".into()])
                .unwrap()
                .iter()
                .any(|p| p.end > p.committed.next)
            {
                if let Polled::Records(records) = second.poll(&limits()).unwrap() {
                    pass_on(&mut *second, &records).unwrap();
                }
            }
            second.close().unwrap();
        }
    });
    pass_on(&mut *first, &in_hand).unwrap();
    let mut revoked = Vec::new();
    poll_until(&mut *first, |polled| {
        if let Polled::Revoked(partitions) = polled {
            revoked.extend(partitions);
        }
        !revoked.is_empty()
    });
    first.poll(&limits()).unwrap();
    write(100);
    first.close().unwrap();
    second.join().unwrap();
    assert_eq!(sorted(values(&log, "out", 4)), numbers(200));
}

#[test]
fn topics_are_created_once_and_then_checked() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 3);
    log.ensure_topics(&[topic("in", 3), topic("in.dead", 3)]).unwrap();
    let names: Vec<_> = log
        .topics()
        .unwrap()
        .into_iter()
        .map(|info| (info.name.to_string(), info.offsets.len()))
        .collect();
    assert_eq!(
        names,
        [
            ("in".to_owned(), 3),
            ("in.dead".to_owned(), 3),
            ("out".to_owned(), 3)
        ]
    );

    let error = log.ensure_topics(&[topic("in", 5)]).unwrap_err();
    assert!(matches!(error, Error::Settings(_)));
    let text = error.to_string();
    assert!(
        text.contains("has 3 partitions") && text.contains("say 5"),
        "{text}"
    );
}

#[test]
fn a_topic_with_another_retention_is_refused_with_a_correction() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 1);
    let mut shorter = [topic("in", 1), topic("out", 1)];
    shorter[0].cleanup = Cleanup::Delete(Retention {
        age: Some(std::time::Duration::from_hours(1)),
        bytes: None,
    });
    let error = log.ensure_topics(&shorter).unwrap_err();
    assert!(matches!(error, Error::Settings(_)), "{error}");
    let name = format!("{}.in", options.prefix);
    let text = error.to_string();
    for part in [
        &*name,
        "retention.ms is -1, should be 3600000",
        "kafka-configs.sh",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains(&format!("{}.out", options.prefix)), "{text}");
}

#[test]
fn calls_that_cannot_succeed_return_a_specific_error() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 1);
    let error = log.publish(vec![record("nowhere", "k", 1)]).unwrap_err();
    assert!(matches!(error, Error::UnknownTopic(_)), "{error}");

    let large = "x".repeat(2_000_000);
    let error = log.publish(vec![record("in", "k", large)]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");

    log.ensure_topics(&[topic("wide", 2)]).unwrap();
    let mut uneven = subscription("a");
    uneven.topics.push("wide".into());
    let error = log.subscribe(uneven).err().unwrap();
    assert!(matches!(error, Error::Settings(_)), "{error}");

    let consumer = log.subscribe(subscription("a")).unwrap();
    log.close().unwrap();
    let mut consumer = consumer;
    assert!(matches!(consumer.poll(&limits()), Err(Error::Closed)));
    assert!(matches!(log.topics(), Err(Error::Closed)));
}

#[test]
fn one_instance_holds_the_same_numbers_of_every_topic_it_reads() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 3);
    log.publish((0..30).map(|n| record("in", &format!("k{n}"), n)).collect())
        .unwrap();
    log.publish((30..60).map(|n| record("out", &format!("k{n}"), n)).collect())
        .unwrap();
    let both = |instance| {
        let mut both = subscription(instance);
        both.topics.push("out".into());
        both
    };
    let mut first = log.subscribe(both("a")).unwrap();
    let held = join(&mut *first, 6);
    assert_eq!(held.len(), 6);
    assert_eq!(take(&mut *first, 60).len(), 60);

    let mut second = log.subscribe(both("b")).unwrap();
    let mut held = [held.into_iter().collect::<BTreeSet<_>>(), BTreeSet::new()];
    let deadline = Instant::now() + cluster::PATIENCE;
    while held[1].is_empty() || held[0].len() + held[1].len() != 6 {
        assert!(Instant::now() < deadline, "{held:?}");
        for (consumer, held) in [&mut first, &mut second].into_iter().zip(&mut held) {
            match consumer.poll(&limits()).unwrap() {
                Polled::Assigned(partitions) => held.extend(partitions),
                Polled::Revoked(partitions) => held.retain(|partition| !partitions.contains(partition)),
                Polled::Records(_) | Polled::Idle => {}
            }
        }
    }
    for held in &held {
        let numbers = |topic: &str| -> Vec<u32> {
            held.iter()
                .filter(|held| &*held.topic == topic)
                .map(|held| held.partition)
                .collect()
        };
        assert_eq!(numbers("in"), numbers("out"));
    }
    first.close().unwrap();
    second.close().unwrap();
}
