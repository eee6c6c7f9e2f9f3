//! The cluster under test, and helpers of the tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Error, Headers, Log, NewRecord, Polled, Record, Subscription,
    TopicPartition, TopicSpec,
};
use limbic_stream_kafka::{KafkaLog, KafkaOptions};

/// Maximum time that a test waits for an event.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The address of the cluster under test. If there is none, prints a notice and returns `None`.
pub(crate) fn address() -> Option<String> {
    let address = std::env::var("LIMBIC_TEST_KAFKA")
        .ok()
        .map(|servers| format!("kafka://{servers}"));
    if address.is_none() {
        eprintln!(
            "\n*** SKIPPED: no Kafka (scripts/services up kafka; eval \"$(scripts/services env)\") ***\n"
        );
    }
    address
}

/// Options with names that no other test uses.
pub(crate) fn options() -> KafkaOptions {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let millis = Utc::now().as_millis();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    KafkaOptions {
        call_timeout: PATIENCE,
        ..KafkaOptions::default()
    }
    .prefixed(format!("test-{}-{millis}-{number}", std::process::id()))
}

pub(crate) fn topic(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec::new(name, partitions)
}

/// A log with the topics `in` and `out`.
pub(crate) fn log(address: &str, options: &KafkaOptions, partitions: u32) -> KafkaLog {
    let log = KafkaLog::connect(address, options.clone()).unwrap();
    log.ensure_topics(&[topic("in", partitions), topic("out", partitions)])
        .unwrap();
    log
}

pub(crate) fn record(topic: &str, key: &str, value: impl std::fmt::Display) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        partition: None,
        key: key.to_owned().into(),
        value: format!("{value}").into(),
        headers: Headers::new().with("colour", "blue"),
        timestamp: Utc::from_millis(1_503_000_000_000),
    }
}

pub(crate) fn limits() -> BatchLimits {
    BatchLimits {
        linger: Duration::from_millis(50),
        ..BatchLimits::default()
    }
}

pub(crate) fn subscription(instance: &str) -> Subscription {
    Subscription {
        group: "stage".into(),
        instance: instance.into(),
        topics: vec!["in".into()],
        stateful: true,
    }
}

/// Polls until `done` accepts the events.
pub(crate) fn poll_until(consumer: &mut dyn Consumer, mut done: impl FnMut(Polled) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(consumer.poll(&limits()).unwrap()) {
        assert!(Instant::now() < deadline, "the expected events did not arrive");
    }
}

/// Polls until there are `count` records.
pub(crate) fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Record> {
    let mut taken = Vec::new();
    poll_until(consumer, |polled| {
        if let Polled::Records(records) = polled {
            taken.extend(records);
        }
        taken.len() >= count
    });
    taken
}

/// Polls until `count` partitions are assigned.
pub(crate) fn join(consumer: &mut dyn Consumer, count: usize) -> Vec<TopicPartition> {
    let mut held = Vec::new();
    poll_until(consumer, |polled| {
        if let Polled::Assigned(partitions) = polled {
            held.extend(partitions);
        }
        held.len() >= count
    });
    held
}

/// Commits the offsets of `records`.
pub(crate) fn offsets(records: &[Record]) -> Vec<Committed> {
    let mut next = std::collections::BTreeMap::new();
    for record in records {
        next.insert((Arc::clone(&record.topic), record.partition), record.offset + 1);
    }
    next.into_iter()
        .map(|((topic, partition), next)| Committed {
            partition: TopicPartition { topic, partition },
            next,
            metadata: format!("up to {next}"),
        })
        .collect()
}

/// Passes the records on to `out` and counts them in the state, in one transaction.
pub(crate) fn pass_on(consumer: &mut dyn Consumer, records: &[Record]) -> Result<(), Error> {
    let mut counts = std::collections::BTreeMap::new();
    for record in records {
        let before = consumer.state().get(record.partition, b"count")?;
        let before: u64 = before.map_or(0, |bytes| std::str::from_utf8(&bytes).unwrap().parse().unwrap());
        *counts.entry(record.partition).or_insert(before) += 1;
    }
    let mut transaction = consumer.begin()?;
    for record in records {
        transaction.append(NewRecord {
            topic: "out".into(),
            partition: None,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
            timestamp: record.timestamp,
        })?;
    }
    for (partition, count) in counts {
        transaction.put_state(partition, "count".into(), Some(count.to_string().into()))?;
    }
    for committed in offsets(records) {
        transaction.commit_offset(committed)?;
    }
    transaction.commit()
}

/// Every value in a topic, in order of partitions.
pub(crate) fn values(log: &dyn Log, topic: &str, partitions: u32) -> Vec<String> {
    (0..partitions)
        .flat_map(|partition| {
            let partition = TopicPartition {
                topic: topic.into(),
                partition,
            };
            log.read(&partition, 0, usize::MAX).unwrap()
        })
        .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
        .collect()
}

pub(crate) fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort_by_key(|value| value.parse::<u64>().unwrap());
    values
}
