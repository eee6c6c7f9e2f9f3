//! A small consumer for the tests, which keeps its assignment and its records.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    BatchLimits, Committed, Consumer, Headers, Log, NewRecord, Polled, Record, Result, Subscription,
    TopicPartition,
};
use bytes::Bytes;
use limbic_domain::Utc;

/// The maximum number of idle polls before a test fails: a minute, because a broker needs time to form groups.
const PATIENCE: usize = 600;

pub struct Client {
    pub consumer: Box<dyn Consumer>,
    pub held: Vec<TopicPartition>,
}

impl Client {
    pub fn join(log: &Arc<dyn Log>, group: &str, instance: &str, topics: &[Arc<str>]) -> Self {
        let subscription = Subscription {
            group: group.into(),
            instance: instance.into(),
            topics: topics.to_vec(),
            stateful: true,
        };
        Self {
            consumer: log.subscribe(subscription).unwrap(),
            held: Vec::new(),
        }
    }

    /// Polls once. Assignments are kept in [`Client::held`].
    pub fn poll(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let polled = self.consumer.poll(limits)?;
        match &polled {
            Polled::Assigned(partitions) => self.held.extend(partitions.iter().cloned()),
            Polled::Revoked(partitions) => self.held.retain(|held| !partitions.contains(held)),
            Polled::Records(_) | Polled::Idle => {}
        }
        self.held.sort();
        Ok(polled)
    }

    /// Polls until it holds this many partitions. Records are dropped.
    pub fn hold(&mut self, count: usize) {
        self.until(|client, _| client.held.len() == count);
    }

    /// Polls until `done` returns true. `done` receives every batch of records.
    pub fn until(&mut self, mut done: impl FnMut(&mut Self, Vec<Record>) -> bool) {
        for _ in 0..PATIENCE {
            let records = match self.poll(&limits()).unwrap() {
                Polled::Records(records) => records,
                Polled::Assigned(_) | Polled::Revoked(_) | Polled::Idle => Vec::new(),
            };
            if done(self, records) {
                return;
            }
        }
        panic!(
            "the expected records or assignments did not arrive; held partitions: {:?}",
            self.held
        );
    }

    /// Polls until there are `count` records, and returns them.
    pub fn take(&mut self, count: usize) -> Vec<Record> {
        let mut taken = Vec::new();
        self.until(|_, records| {
            taken.extend(records);
            taken.len() >= count
        });
        taken
    }

    /// Writes each record's value to `output`, and commits the offsets of the records.
    pub fn pass(&mut self, records: &[Record], output: &Arc<str>) -> Result<()> {
        let offsets = read_up_to(records);
        let mut transaction = self.consumer.begin()?;
        for record in records {
            transaction.append(NewRecord {
                topic: output.clone(),
                ..again(record)
            })?;
        }
        for committed in offsets {
            transaction.commit_offset(committed)?;
        }
        transaction.commit()
    }
}

/// The offsets to commit after these records.
pub fn read_up_to(records: &[Record]) -> Vec<Committed> {
    let mut offsets: Vec<Committed> = Vec::new();
    for record in records {
        let partition = TopicPartition {
            topic: record.topic.clone(),
            partition: record.partition,
        };
        offsets.retain(|known| known.partition != partition);
        offsets.push(Committed {
            partition,
            next: record.offset + 1,
            metadata: String::new(),
        });
    }
    offsets
}

pub fn limits() -> BatchLimits {
    BatchLimits {
        records: 100,
        bytes: 1 << 20,
        linger: Duration::from_millis(100),
    }
}

/// A record with this key and value.
pub fn new_record(topic: &Arc<str>, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: topic.clone(),
        partition: None,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: Headers::new(),
        timestamp: Utc::from_millis(1_000),
    }
}

/// A record with this value in a given partition.
pub fn new_record_in(topic: &Arc<str>, partition: u32, value: &str) -> NewRecord {
    NewRecord {
        partition: Some(partition),
        ..new_record(topic, "key", value)
    }
}

fn again(record: &Record) -> NewRecord {
    NewRecord {
        topic: record.topic.clone(),
        partition: Some(record.partition),
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
        timestamp: record.timestamp,
    }
}

/// All records of a topic, read without a group, one partition after another.
pub fn all_of(log: &Arc<dyn Log>, topic: &Arc<str>) -> Vec<Record> {
    let info = log
        .topics()
        .unwrap()
        .into_iter()
        .find(|info| info.name == *topic)
        .unwrap();
    let mut all = Vec::new();
    for (number, _) in info.offsets.iter().enumerate() {
        let partition = TopicPartition {
            topic: topic.clone(),
            partition: number as u32,
        };
        let mut from = 0;
        loop {
            let records = log.read(&partition, from, 1_000).unwrap();
            let Some(last) = records.last() else {
                break;
            };
            from = last.offset + 1;
            all.extend(records);
        }
    }
    all
}

/// The values as text.
pub fn values(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
        .collect()
}

/// The values as text, sorted, for records that may arrive in any order between partitions.
pub fn sorted(records: &[Record]) -> Vec<String> {
    let mut values = values(records);
    values.sort();
    values
}

/// `count` values that sort in the order of their numbers.
pub fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i:05}")).collect()
}
