//! The log on Apache Kafka, through librdkafka.
//!
//! ```text
//!              polling thread                          worker thread (the stage's own)
//!  brokers ──▶ a queue per partition ──▶ inbox ──▶ poll ──▶ begin … append … commit ──▶ brokers
//!              rebalances: a handshake ◀──▶ │                (transactional producer, offsets of the group)
//! ```
//!
//! ```no_run
//! use limbic_stream::{Log, TopicSpec};
//! use limbic_stream_kafka::{KafkaLog, KafkaOptions};
//!
//! let options = KafkaOptions::default().prefixed("limbic");
//! let log = KafkaLog::connect("kafka://127.0.0.1:9092", options)?;
//! log.ensure_topics(&[TopicSpec::new("posts", 3)])?;
//! # Ok::<(), limbic_stream::Error>(())
//! ```
//!
//! Settings of librdkafka that exactly-once processing depends on are refused before anything is sent:
//!
//! ```
//! use limbic_stream_kafka::{KafkaLog, KafkaOptions};
//!
//! let options = KafkaOptions::default().with("enable.idempotence", "false");
//! let error = KafkaLog::connect("kafka://127.0.0.1:9092", options).err().unwrap();
//! assert!(error.to_string().contains("`enable.idempotence` cannot be changed"), "{error}");
//! ```
//!
//! # What it is
//!
//! * A member reads committed records only. It polls on its own thread (`poller`). A bounded `inbox` lies between that
//!   thread and the worker.
//! * Each instance of a stage has one transactional producer (`producer`, `transaction`). A transaction carries outputs,
//!   state and the group's offsets, together with the group's generation (KIP-447). So neither a process that was paused
//!   nor a member whose partitions moved can commit.
//! * State is kept in memory and stored in a compacted changelog (`state`, `changelog`). Values of any size are written in parts
//!   that every broker accepts. The changelog also holds the group's offsets, because the cluster forgets those of a group that has
//!   had no members for some days.
//! * [`limbic_stream::Consumer::close`] ends the polling thread, gives the partitions back and leaves the group. None of
//!   this is left to a destructor.
//!
//! # What it is not
//!
//! It deletes records of transient topics only ([`limbic_stream::Log::trim`]; its user needs the right `Delete` on them). For all
//! other topics, the topic's retention in the cluster does. It does not use librdkafka's partitioner.
//! [`limbic_stream::partition_of`] computes partitions, so that both backends agree.
//!
//! # Laws
//!
//! * A record is acknowledged when all in-sync replicas have it.
//! * Outputs, state and offsets of a batch become visible together, or not at all.

#![expect(
    clippy::cast_possible_wrap,
    reason = "Kafka counts partitions and offsets with signed numbers that are never negative"
)]

mod aside;
mod changelog;
mod cluster;
mod compact;
mod component;
mod context;
mod failure;
mod inbox;
mod member;
mod names;
mod observed;
mod options;
mod poller;
mod producer;
mod progress;
mod publisher;
mod reader;
mod state;
mod transaction;
mod trim;
mod wanted;
mod wire;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use component::KafkaSettings;
pub use options::KafkaOptions;

use self::cluster::Cluster;
use self::inbox::{Failure, Inbox};
use self::member::Member;
use self::observed::Observed;
use self::publisher::Publisher;
use self::reader::Readers;
use self::trim::Trimmer;
use self::wire::Decoder;
use limbic_stream::{
    Consumer, Error, GroupProgress, GroupState, Log, NewRecord, Record, Result, Subscription, TopicInfo,
    TopicPartition, TopicSpec,
};

/// A log on a Kafka cluster. Clones share one connection.
#[derive(Clone)]
pub struct KafkaLog(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    publisher: Publisher,
    readers: Readers,
    members: Members,
    trimmer: Trimmer,
    closed: AtomicBool,
}

impl KafkaLog {
    /// Connects to the cluster at `kafka://HOST:PORT[,HOST:PORT…]`. Returns when a broker has answered.
    pub fn connect(url: &str, options: KafkaOptions) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            cluster: Cluster::connect(url, options)?,
            publisher: Publisher::default(),
            readers: Readers::default(),
            members: Members::default(),
            trimmer: Trimmer::default(),
            closed: AtomicBool::new(false),
        })))
    }

    /// The bytes of state in memory, for each member in this process (group and instance).
    pub fn state_bytes(&self) -> Vec<(Arc<str>, Arc<str>, u64)> {
        self.0.members.state_bytes()
    }

    fn open(&self) -> Result<&Arc<Inner>> {
        if self.0.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        Ok(&self.0)
    }
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KafkaLog").field(&self.0.cluster.options).finish()
    }
}

impl Log for KafkaLog {
    fn identity(&self) -> Result<Arc<str>> {
        self.open()?.cluster.identity()
    }

    fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        let inner = self.open()?;
        inner.cluster.ensure(specs)?;
        inner.trimmer.learn(specs);
        Ok(())
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.open()?.cluster.topics()
    }

    fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        self.open()?.cluster.topic(name)
    }

    fn publish(&self, records: Vec<NewRecord>) -> Result<()> {
        let inner = self.open()?;
        inner.publisher.publish(&inner.cluster, &records)
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(Member::join(self.open()?, subscription)?))
    }

    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>> {
        let inner = self.open()?;
        let target = inner.cluster.target(&partition.topic)?;
        let mut found = Vec::new();
        if records == 0 {
            return Ok(found);
        }
        let mut decoder = Decoder::default();
        let start = BTreeMap::from([(partition.partition, from)]);
        inner
            .readers
            .scan(&inner.cluster, &target.name, &start, |_, message| {
                found.push(decoder.record(message, &partition.topic));
                if found.len() < records {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        Ok(found)
    }

    fn state_bytes(&self, group: &str) -> Result<Option<u64>> {
        let members = self.open()?.members.state_bytes();
        let of_group = members.iter().filter(|(of, ..)| **of == *group);
        Ok(Some(of_group.map(|(.., bytes)| bytes).sum()))
    }

    fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<Vec<GroupProgress>> {
        let inner = self.open()?;
        progress::progress(&inner.cluster, &inner.readers, group, topics)
    }

    fn state_of(&self, group: &str, partitions: u32) -> Result<Box<dyn GroupState>> {
        let observed = Observed::new(Arc::clone(self.open()?), group, partitions);
        observed.refresh()?;
        Ok(Box::new(observed))
    }

    fn trim(&self, before: &[(TopicPartition, u64)]) -> Result<()> {
        let inner = self.open()?;
        inner.trimmer.trim(&inner.cluster, before)
    }

    fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.members.fail_all(&Failure::Closed);
        self.0.publisher.close();
        self.0.readers.close();
        self.0.cluster.forget_groups();
        Ok(())
    }
}

/// Group and instance.
type MemberName = (Arc<str>, Arc<str>);

/// The members in this process.
#[derive(Default)]
struct Members(Mutex<BTreeMap<MemberName, Entry>>);

struct Entry {
    inbox: Weak<Inbox>,
    state_bytes: Arc<AtomicU64>,
}

impl Members {
    /// Adds a member. An earlier member of the same name is fenced at once, so that its partitions are free before the
    /// brokers notice.
    fn enter(&self, subscription: &Subscription, inbox: &Arc<Inbox>, state_bytes: Arc<AtomicU64>) {
        let name = (
            Arc::clone(&subscription.group),
            Arc::clone(&subscription.instance),
        );
        let entry = Entry {
            inbox: Arc::downgrade(inbox),
            state_bytes,
        };
        let before = self.0.lock().insert(name, entry);
        if let Some(before) = before.and_then(|entry| entry.inbox.upgrade()) {
            before.fail(Failure::Fenced(format!(
                "the instance `{}` has subscribed again",
                subscription.instance
            )));
        }
    }

    fn exit(&self, subscription: &Subscription, inbox: &Arc<Inbox>) {
        let name = (
            Arc::clone(&subscription.group),
            Arc::clone(&subscription.instance),
        );
        let mut members = self.0.lock();
        if members
            .get(&name)
            .is_some_and(|entry| entry.inbox.as_ptr() == Arc::as_ptr(inbox))
        {
            members.remove(&name);
        }
    }

    fn fail_all(&self, failure: &Failure) {
        for entry in self.0.lock().values() {
            if let Some(inbox) = entry.inbox.upgrade() {
                inbox.fail(failure.clone());
            }
        }
    }

    fn state_bytes(&self) -> Vec<(Arc<str>, Arc<str>, u64)> {
        self.0
            .lock()
            .iter()
            .map(|((group, instance), entry)| {
                (
                    Arc::clone(group),
                    Arc::clone(instance),
                    entry.state_bytes.load(Ordering::Relaxed),
                )
            })
            .collect()
    }
}
