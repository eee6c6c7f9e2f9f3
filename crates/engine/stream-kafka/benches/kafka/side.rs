//! The same stage and the same runtime with three guarantees: a wrapper of the log replaces the meaning of a commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use limbic_stream::testing::Wrapped;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Log, NewRecord, Polled, Record, Result, StateReader, TopicPartition,
    Transaction,
};
use limbic_stream_kafka::KafkaLog;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// The guarantee of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The log's own transactions.
    ExactlyOnce,
    /// The outputs are acknowledged by all replicas, then the offsets are committed, as often as transactions would be.
    AtLeastOnce,
    /// The outputs are acknowledged by all replicas; offsets are never committed.
    NeverCommitted,
}

/// The result of a run: when its first record was read and its last one committed, and the number of commits.
#[derive(Debug)]
pub struct Finished {
    pub began: Instant,
    pub ended: Instant,
    pub commits: u32,
}

/// A log with another guarantee. It reports when all records are processed.
pub struct Side {
    pub promise: Promise,
    pub servers: String,
    pub prefix: String,
    pub records: usize,
    pub finished: Sender<Finished>,
}

impl Side {
    pub fn of(self, log: KafkaLog) -> impl Log {
        Wrapped::new(log, move |subscription, inner| {
            // Only members can commit offsets of a group with members. These offsets go to a group without members, which
            // costs the broker the same.
            let group = format!("{}.{}-offsets", self.prefix, subscription.group);
            let plain = (self.promise != Promise::ExactlyOnce)
                .then(|| Plain::new(&self.servers, &self.prefix, &group));
            Box::new(Member {
                inner,
                plain,
                commits_offsets: self.promise == Promise::AtLeastOnce,
                left: self.records,
                began: None,
                commits: 0,
                finished: self.finished.clone(),
            })
        })
    }
}

/// Clients without transactions, otherwise configured like the log's own.
struct Plain {
    prefix: String,
    producer: BaseProducer,
    offsets: BaseConsumer,
    partitions: BTreeMap<Arc<str>, u32>,
}

impl Plain {
    fn new(servers: &str, prefix: &str, group: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "1")
            .set("queue.buffering.max.kbytes", "65536")
            .set("delivery.report.only.error", "true")
            .create()
            .unwrap();
        let offsets = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        Self {
            prefix: prefix.to_owned(),
            producer,
            offsets,
            partitions: BTreeMap::from([
                ("in".into(), super::PARTITIONS),
                ("out".into(), super::PARTITIONS),
            ]),
        }
    }

    fn send(&self, record: &NewRecord) {
        let time = record.timestamp.as_millis().to_be_bytes();
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
            key: "limbic-at",
            value: Some(&time[..]),
        });
        let partition = record
            .partition
            .unwrap_or_else(|| limbic_stream::partition_of(&record.key, self.partitions[&record.topic]));
        let topic = format!("{}.{}", self.prefix, record.topic);
        let mut message = BaseRecord::<[u8], [u8]>::to(&topic)
            .partition(i32::try_from(partition).unwrap())
            .key(&record.key)
            .payload(&record.value)
            .headers(headers);
        while let Err((_, back)) = self.producer.send(message) {
            message = back;
            self.producer.poll(Duration::from_millis(1));
        }
    }

    fn flush(&self) {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
    }

    fn commit(&self, offsets: &[Committed]) {
        let mut list = TopicPartitionList::new();
        for committed in offsets {
            let topic = format!("{}.{}", self.prefix, committed.partition.topic);
            let partition = i32::try_from(committed.partition.partition).unwrap();
            let mut element = list.add_partition(&topic, partition);
            element
                .set_offset(Offset::Offset(i64::try_from(committed.next).unwrap()))
                .unwrap();
            element.set_metadata(&committed.metadata);
        }
        self.offsets.commit(&list, CommitMode::Sync).unwrap();
    }
}

struct Member {
    inner: Box<dyn Consumer>,
    plain: Option<Plain>,
    commits_offsets: bool,
    /// The number of records that are not committed yet.
    left: usize,
    began: Option<Instant>,
    commits: u32,
    finished: Sender<Finished>,
}

impl Consumer for Member {
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let polled = self.inner.poll(limits)?;
        if matches!(polled, Polled::Records(_)) {
            self.began.get_or_insert_with(Instant::now);
        }
        Ok(polled)
    }

    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>> {
        self.inner.positions()
    }

    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>> {
        self.inner.committed(partition)
    }

    fn state(&self) -> &dyn StateReader {
        self.inner.state()
    }

    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(Open {
            inner: self.inner.begin()?,
            plain: self.plain.as_ref(),
            commits_offsets: self.commits_offsets,
            offsets: Vec::new(),
            records: 0,
            left: &mut self.left,
            began: self.began,
            commits: &mut self.commits,
            finished: &self.finished,
        }))
    }

    fn rewind(&mut self) -> Result<()> {
        self.inner.rewind()
    }

    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.inner.seek(partition, offset)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.inner.close()
    }
}

/// Without transactions, the log's own transaction stays empty: it returns the available records, and is dropped.
struct Open<'a> {
    inner: Box<dyn Transaction + 'a>,
    plain: Option<&'a Plain>,
    commits_offsets: bool,
    offsets: Vec<Committed>,
    records: usize,
    left: &'a mut usize,
    began: Option<Instant>,
    commits: &'a mut u32,
    finished: &'a Sender<Finished>,
}

impl Transaction for Open<'_> {
    fn append(&mut self, record: NewRecord) -> Result<()> {
        self.records += 1;
        match self.plain {
            None => self.inner.append(record)?,
            Some(plain) => plain.send(&record),
        }
        Ok(())
    }

    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()> {
        self.inner.put_state(partition, key, value)
    }

    fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>> {
        self.inner.ready(limits)
    }

    fn state(&self) -> &dyn StateReader {
        self.inner.state()
    }

    fn commit_offset(&mut self, committed: Committed) -> Result<()> {
        match self.plain {
            None => self.inner.commit_offset(committed)?,
            Some(_) => self.offsets.push(committed),
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        match self.plain {
            None => self.inner.commit()?,
            Some(plain) => {
                plain.flush();
                if self.commits_offsets {
                    plain.commit(&self.offsets);
                }
                self.inner.abort()?;
            }
        }
        if self.records == 0 {
            return Ok(());
        }
        *self.commits += 1;
        *self.left -= self.records;
        if let (0, Some(began)) = (*self.left, self.began) {
            let finished = Finished {
                began,
                ended: Instant::now(),
                commits: *self.commits,
            };
            // The receiver is gone only if the run was given up.
            let _ = self.finished.send(finished);
        }
        Ok(())
    }

    fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort()
    }
}
