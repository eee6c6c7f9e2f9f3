//! The contract of a log backend. `testing::conformance` is its specification in code.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{NewRecord, Record, Result};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// How long records are kept. The limit that is reached first applies. Whole segments are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// At least this many of the newest bytes of each partition are kept. The embedded log counts a topic's partitions
    /// together, so a quiet partition among busy ones may keep less.
    pub bytes: Option<u64>,
    /// Records that were written within this time (wall clock) are kept.
    pub age: Option<Duration>,
}

/// How old records are removed from a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Old records are deleted by age or size. Their keys do not matter.
    Delete(Retention),
    /// At least the latest record of each key is kept. A record that is replaced by a later one of its key may be removed
    /// at any time. An empty value is a tombstone: it removes its key, and is itself removed after
    /// [`TOMBSTONE_RETENTION`]. The remaining records keep their offsets, so offsets have gaps.
    Compact,
    /// Records that are only needed by the next stages. They are deleted when every reader has read them ([`Log::trim`]),
    /// or earlier by age or size.
    Transient(Retention),
}

/// The minimum time for which a tombstone in a compacted topic is kept (wall clock). A reader that is at most this far
/// behind sees every removal. The options of the embedded log can change it.
pub const TOMBSTONE_RETENTION: Duration = Duration::from_hours(24);

impl Default for Cleanup {
    /// Keeps everything.
    fn default() -> Self {
        Self::Delete(Retention::default())
    }
}

/// The wanted properties of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Number of partitions, at least 1. It cannot change when the topic exists.
    pub partitions: u32,
    /// How old records are removed.
    pub cleanup: Cleanup,
}

impl TopicSpec {
    /// A topic that keeps all records.
    pub fn new(name: impl Into<Arc<str>>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            cleanup: Cleanup::default(),
        }
    }

    /// Limits how long records are kept.
    #[must_use]
    pub const fn kept(mut self, retention: Retention) -> Self {
        self.cleanup = Cleanup::Delete(retention);
        self
    }

    /// Deletes records when every reader has read them, or when `retention` demands it.
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

/// The actual state of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// For each partition, the earliest existing offset and the end offset (the next record has at least this offset).
    pub offsets: Vec<(u64, u64)>,
}

/// The limits of a batch. A batch ends at the first limit that it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Maximum number of records.
    pub records: usize,
    /// Maximum bytes of keys, values and headers. One record always fits.
    pub bytes: usize,
    /// How long to wait for the first record before answering [`Polled::Idle`]. When there is one, the batch contains the
    /// records that exist at this time. So batches grow under load, and a single record does not wait.
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

/// A subscription of a group member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The group that shares the work: the stage's name.
    pub group: Arc<str>,
    /// The member's name: stable across restarts of the same instance, and unique within the group.
    pub instance: Arc<str>,
    /// The topics, which must have the same number of partitions.
    pub topics: Vec<Arc<str>>,
    /// Whether the stage keeps state in the log ([`Transaction::put_state`]).
    pub stateful: bool,
}

/// The result of [`Consumer::poll`].
#[derive(Debug)]
pub enum Polled {
    /// Records, in order within each partition.
    Records(Vec<Record>),
    /// These partitions are assigned to this member. Reading starts at the group's committed offset (or at the earliest
    /// record), and their committed state can be read.
    Assigned(Vec<TopicPartition>),
    /// These partitions are no longer assigned to this member. It must release them before its next poll: that poll
    /// confirms the release, and only then another member receives them. Nothing of them can be committed any more.
    Revoked(Vec<TopicPartition>),
    /// No records within the linger time.
    Idle,
}

/// The progress of a group in a partition. It is written in the transaction that processed the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The partition that was read.
    pub partition: TopicPartition,
    /// The offset to read next.
    pub next: u64,
    /// Data of the runtime, at most 4,000 bytes.
    pub metadata: String,
}

/// Records of a held partition that were deleted before the member came to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The partition.
    pub partition: TopicPartition,
    /// The number of records.
    pub records: u64,
    /// The offset that the member reads next.
    pub next: u64,
}

/// The progress of a group, read without joining it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupProgress {
    /// The last commit. If there is none, the earliest record.
    pub committed: Committed,
    /// The end offset of the partition. The next record has at least this offset.
    pub end: u64,
}

/// A durable, partitioned log with transactions. It can be shared by many threads. Every call blocks until it is done.
pub trait Log: Send + Sync + 'static {
    /// The identity of this log: random, made with the log, never used again. Offsets that were read from a log with another
    /// identity have no meaning here. (On Kafka: the cluster's id. Topics that are deleted and made again keep it.)
    fn identity(&self) -> Result<Arc<str>>;

    /// Creates missing topics and checks the others. A topic with another number of partitions is an
    /// [`crate::Error::Settings`] that names both numbers. A topic that is compacted and should not be, or the reverse,
    /// is also such an error. A different retention is an error on a Kafka cluster. The embedded log applies the new one.
    fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()>;

    /// All topics, except internal ones.
    fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// One topic. This is cheaper than [`Log::topics`] if each partition needs a network request.
    fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        self.topics()?
            .into_iter()
            .find(|topic| topic.name == *name)
            .ok_or_else(|| crate::Error::UnknownTopic(name.to_string()))
    }

    /// Writes records without a group, all or nothing for each partition. Returns when they are durable. Concurrent calls
    /// share their flushes. (On Kafka, a call that *fails* may have written some of its records. Call it again, and
    /// remove duplicates downstream.)
    fn publish(&self, records: Vec<NewRecord>) -> Result<()>;

    /// Joins a group. Partitions arrive as [`Polled::Assigned`].
    fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>>;

    /// Up to `records` committed records of one partition, starting at `from`, without a group. Empty at the end. If
    /// `from` is before the earliest offset, it starts at the earliest.
    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>>;

    /// The progress of a group in each partition of these topics, for all its members. A partition without a commit is
    /// included; all of its records are unread.
    fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<Vec<GroupProgress>>;

    /// The committed state of a group in the partition numbers from 0 to `partitions - 1`, without joining the group. A group
    /// that has never committed has no state.
    fn state_of(&self, group: &str, partitions: u32) -> Result<Box<dyn GroupState>>;

    /// The bytes of a group's state, keys and values, of all partitions that this process can see: on a cluster, those that its
    /// members hold. `None` if the backend cannot tell. The call may read all of the state.
    fn state_bytes(&self, group: &str) -> Result<Option<u64>> {
        let _ = group;
        Ok(None)
    }

    /// Declares that no reader needs the records before these offsets any more. In a [`Cleanup::Transient`] topic they
    /// may then be deleted, in units that suit the backend. For other topics it is an [`crate::Error::Settings`]. A backend
    /// knows from [`Self::ensure_topics`] which topics are transient. A backend without transient topics ignores the call.
    fn trim(&self, before: &[(TopicPartition, u64)]) -> Result<()> {
        let _ = before;
        Ok(())
    }

    /// Flushes and releases everything. Open consumers then fail with [`crate::Error::Closed`].
    fn close(&self) -> Result<()>;
}

/// The committed state of the partitions that a member holds.
pub trait StateReader {
    /// The value at `key` of partition number `partition`.
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>>;

    /// Up to `limit` entries of partition number `partition` with `from <= key` and the given prefix, in key order.
    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>>;
}

impl<T: StateReader + ?Sized> StateReader for &T {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        (**self).get(partition, key)
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        (**self).scan(partition, prefix, from, limit)
    }
}

/// The committed state of a group, for a reader that is not a member ([`Log::state_of`]).
pub trait GroupState: StateReader + Send + Sync {
    /// Whether reads see each commit at once. Otherwise they see the commits before the last [`Self::refresh`].
    fn is_live(&self) -> bool;

    /// Reads what was committed since the last call. Other threads may read the state meanwhile. After an error, the state is as
    /// old as before, and the next call continues.
    fn refresh(&self) -> Result<()>;

    /// Approximate bytes that it takes in the memory of this process. 0 if it is read from a disk.
    fn bytes(&self) -> u64 {
        0
    }
}

/// A member of a group. It is used by one thread.
pub trait Consumer: Send {
    /// Returns the next event. The call also confirms an earlier [`Polled::Revoked`].
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled>;

    /// For each held partition: the next offset that this member reads, and the end offset. They are equal if the member
    /// has read everything.
    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>>;

    /// For each held partition with any: the records that were deleted before this member came to them, since the last call.
    /// A backend that cannot tell returns none.
    fn skipped(&mut self) -> Vec<Skipped> {
        Vec::new()
    }

    /// The group's last commit in a held partition, if there is one.
    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>>;

    /// The committed state of the group.
    fn state(&self) -> &dyn StateReader;

    /// Starts a transaction. There can be only one at a time.
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>>;

    /// Continues at the last committed offsets, after an abort.
    fn rewind(&mut self) -> Result<()>;

    /// Continues at another offset, for a stage whose database stores the offset.
    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()>;

    /// Leaves the group at once, so that other members take over without waiting.
    fn close(self: Box<Self>) -> Result<()>;
}

/// A transaction: outputs, state and consumed offsets. It is aborted if it is dropped without a commit.
pub trait Transaction {
    /// Adds a record.
    fn append(&mut self, record: NewRecord) -> Result<()>;

    /// Changes the state of a partition number. `None` removes the key.
    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()>;

    /// Further records of the held partitions, if commits are expensive and a large part of a batch is available. They
    /// may be processed in this transaction too, and an abort then affects them as well. `None` means that it is time to
    /// commit: no records are available, partitions are about to move, or commits are so cheap that each batch has its
    /// own.
    fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>>;

    /// The committed state of the group, without the changes of this transaction.
    fn state(&self) -> &dyn StateReader;

    /// Sets the committed offset of a partition.
    fn commit_offset(&mut self, committed: Committed) -> Result<()>;

    /// Makes all of it durable and visible, or nothing. After [`crate::Error::Fenced`] and [`crate::Error::Aborted`],
    /// nothing was committed. After any other error the outcome is unknown; the first poll after a new subscription shows
    /// it.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Aborts the transaction, which then has no effect.
    fn abort(self: Box<Self>) -> Result<()>;
}
