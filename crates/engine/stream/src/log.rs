//! The log: what a backend must do. `tests/conformance` is its specification in code.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{NewRecord, Record, Result};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// How long records are kept. Whichever limit is hit first; whole segments at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Keep at least the newest this many bytes of each partition; the embedded log counts a topic's partitions together,
    /// so that a quiet one among busy ones may keep less.
    pub bytes: Option<u64>,
    /// Keep at least what was written within this time (of the wall clock).
    pub age: Option<Duration>,
}

/// How old records leave a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Old records are deleted by age or size, whatever their keys.
    Delete(Retention),
    /// At least the latest record of each key is kept; a record that a later one of its key has superseded may be removed at
    /// any time. An empty value is a tombstone: it removes its key, and is itself removed after [`TOMBSTONE_RETENTION`].
    /// The records that remain keep their offsets, so offsets have gaps.
    Compact,
    /// Records are only on their way from one stage to the next: they leave as soon as every reader is past them
    /// ([`Log::trim`]), and by age or size at the latest.
    Transient(Retention),
}

/// How long a tombstone in a compacted topic is kept at least (wall clock): a reader that is no further behind than this sees
/// every removal. The embedded log's options may set another time.
pub const TOMBSTONE_RETENTION: Duration = Duration::from_hours(24);

impl Default for Cleanup {
    /// Nothing is ever deleted.
    fn default() -> Self {
        Self::Delete(Retention::default())
    }
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions, at least 1. Fixed once the topic exists.
    pub partitions: u32,
    /// How old records leave it.
    pub cleanup: Cleanup,
}

impl TopicSpec {
    /// A topic that keeps all its records.
    pub fn new(name: impl Into<Arc<str>>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            cleanup: Cleanup::default(),
        }
    }

    /// Keeps records for as long as `retention` says.
    #[must_use]
    pub const fn kept(mut self, retention: Retention) -> Self {
        self.cleanup = Cleanup::Delete(retention);
        self
    }

    /// Keeps records until every reader is past them, and no longer than `retention` says.
    #[must_use]
    pub const fn transient(mut self, retention: Retention) -> Self {
        self.cleanup = Cleanup::Transient(retention);
        self
    }

    /// Keeps the latest record of each key.
    #[must_use]
    pub const fn compacted(mut self) -> Self {
        self.cleanup = Cleanup::Compact;
        self
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// For each partition, the earliest offset still there and the offset the next record will have at least.
    pub offsets: Vec<(u64, u64)>,
}

/// How much a batch may hold. A batch closes at the first limit it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most records.
    pub records: usize,
    /// Most bytes of keys, values and headers (one record always fits).
    pub bytes: usize,
    /// How long to wait for the first record before answering [`Polled::Idle`]. Once there is one, a batch is
    /// whatever is there: under load batches grow by themselves, alone a record never waits.
    pub linger: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            records: 5_000,
            bytes: 8 << 20,
            linger: Duration::from_millis(100),
        }
    }
}

/// Who subscribes to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The group that shares the work: the stage's name.
    pub group: Arc<str>,
    /// Which member: stable over restarts of the same instance, unique within the group.
    pub instance: Arc<str>,
    /// The topics, all with equally many partitions.
    pub topics: Vec<Arc<str>>,
    /// Whether the stage keeps state in the log ([`Transaction::put_state`]).
    pub stateful: bool,
}

/// What [`Consumer::poll`] brings.
#[derive(Debug)]
pub enum Polled {
    /// Records, in order within each partition.
    Records(Vec<Record>),
    /// These partitions are now this member's; reading begins at what the group last committed (or the earliest
    /// record), and their committed state can be read.
    Assigned(Vec<TopicPartition>),
    /// These partitions are no longer this member's. It has until the next poll to drop what it holds of them;
    /// that poll is the hand-shake after which another member gets them. Nothing of them can be committed any more.
    Revoked(Vec<TopicPartition>),
    /// Nothing within the linger.
    Idle,
}

/// How far a group has come in a partition: written in the transaction that did the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Which partition.
    pub partition: TopicPartition,
    /// The offset to read next.
    pub next: u64,
    /// The runtime's own book-keeping, at most 4,000 bytes.
    pub metadata: String,
}

/// How far a group has come, as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupProgress {
    /// What it last committed; where it never did, the earliest record.
    pub committed: Committed,
    /// The offset the partition's next record will have at least.
    pub end: u64,
}

/// A durable, partitioned log with transactions. Cheap to share; every call blocks until it is done.
pub trait Log: Send + Sync + 'static {
    /// Creates the topics that are missing and checks those that are there. A topic with another number of partitions
    /// is an [`crate::Error::Settings`] that names both numbers, and so is a topic that is compacted and should not be, or the
    /// other way round. A different retention is an error on a Kafka cluster; the embedded log applies the new one.
    fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()>;

    /// All topics, internal ones left out.
    fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// One topic: cheaper than [`Log::topics`] where each partition is asked over the network.
    fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        self.topics()?
            .into_iter()
            .find(|topic| topic.name == *name)
            .ok_or_else(|| crate::Error::UnknownTopic(name.to_string()))
    }

    /// Writes outside any group, all or nothing per partition; returns when durable. Calls from many threads at once
    /// share their flushes. (On Kafka a call that *fails* may have written some of its records: call again, and remove
    /// what is double downstream.)
    fn publish(&self, records: Vec<NewRecord>) -> Result<()>;

    /// Joins a group. Partitions arrive as [`Polled::Assigned`].
    fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>>;

    /// Committed records of one partition from `from` on, at most `records` of them, without a group. Empty at the end.
    /// Offsets before the earliest still there begin at the earliest.
    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>>;

    /// How far a group has come in each partition of these topics, whichever member has it. One in which the group never
    /// committed is there too: all of it is still to be read.
    fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<Vec<GroupProgress>>;

    /// Says that no reader needs records before these offsets any more. Of a topic that is [`Cleanup::Transient`] they may
    /// be deleted from now on, whole segments at a time; for any other topic it is an [`crate::Error::Settings`]. A backend
    /// that leaves deletion to its servers (Kafka) ignores it: there the topic's retention decides.
    fn trim(&self, before: &[(TopicPartition, u64)]) -> Result<()> {
        let _ = before;
        Ok(())
    }

    /// Flushes and releases everything. Consumers still open fail with [`crate::Error::Closed`].
    fn close(&self) -> Result<()>;
}

/// Committed state of the partitions a member holds.
pub trait StateReader {
    /// The value at `key` of partition number `partition`.
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>>;

    /// Up to `limit` entries of partition number `partition` with `from <= key` and the given prefix, in key order.
    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>>;
}

/// One member of a group. Used by one thread.
pub trait Consumer: Send {
    /// The next thing that happens. Calling it again acknowledges a [`Polled::Revoked`].
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled>;

    /// For each partition held: the next offset this member will read and the end of the partition. Equal = caught up.
    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>>;

    /// What the group last committed for a partition held, if anything.
    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>>;

    /// The state that the group last committed.
    fn state(&self) -> &dyn StateReader;

    /// Begins a transaction. One at a time.
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>>;

    /// Reads again from what was last committed: after an abort.
    fn rewind(&mut self) -> Result<()>;

    /// Reads on from another offset: for a stage whose database holds the offset.
    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()>;

    /// Leaves the group at once, so that others take over without waiting.
    fn close(self: Box<Self>) -> Result<()>;
}

/// One atomic step: outputs, state and consumed offsets. Dropped without a commit, it is aborted.
pub trait Transaction {
    /// Adds a record.
    fn append(&mut self, record: NewRecord) -> Result<()>;

    /// Changes the state of a partition number; `None` removes.
    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()>;

    /// More records of the partitions held, where commits are dear and a good part of a batch lies ready: they may be done
    /// in this transaction too, and an abort is about them as well. `None` = it is time to commit: nothing lies ready,
    /// partitions are to change hands, or a commit costs so little that each batch has its own.
    fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>>;

    /// The state that the group last committed: without what this transaction changes.
    fn state(&self) -> &dyn StateReader;

    /// Marks how far the group has come.
    fn commit_offset(&mut self, committed: Committed) -> Result<()>;

    /// Makes all of it durable and visible, or none. [`crate::Error::Fenced`] and [`crate::Error::Aborted`] mean none;
    /// any other error means it is not known, and the next poll after a new subscription shows which.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Leaves no trace.
    fn abort(self: Box<Self>) -> Result<()>;
}
