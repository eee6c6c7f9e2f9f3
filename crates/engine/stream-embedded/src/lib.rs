//! The embedded log: topics, partitions, groups and transactions in one process, on fjall, without a server.
//!
//! ```text
//!  publish / commit          committer (one at a time)                        poll
//!  pack records  ──────▶ collect · fence · assign offsets ─▶ fjall ─▶ flush ─▶ newest batches in memory ─▶ unpack
//!  (any thread)          (all calls that arrive meanwhile share one flush)     (older batches from fjall)
//! ```
//!
//! ```
//! use limbic_stream::{Headers, Log, NewRecord, TopicPartition, TopicSpec};
//! use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
//!
//! let folder = tempfile::tempdir()?;
//! let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default())?;
//! log.ensure_topics(&[TopicSpec::new("posts", 1)])?;
//! log.publish(vec![NewRecord {
//!     topic: "posts".into(),
//!     partition: None,
//!     key: "default/ada".into(),
//!     value: "{}".into(),
//!     headers: Headers::new(),
//!     timestamp: limbic_domain::Utc::from_millis(0),
//! }])?;
//! let partition = TopicPartition { topic: "posts".into(), partition: 0 };
//! assert_eq!(log.read(&partition, 0, 10)?.len(), 1);
//! log.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is
//!
//! * `commit` is the only writer. A commit is one atomic fjall batch. It is flushed with `fdatasync` before a reader sees
//!   it and before the caller receives its answer.
//! * `packed` puts the records of one producer batch and partition into one value. The committer joins small batches.
//!   `compression` compresses a batch with LZ4 on its way to disk.
//! * Records are stored in *segments*, one keyspace each. Topics with the same cleanup share segments. `retention` drops
//!   whole segments; a segment of transient topics is dropped when every reader has read it. `compaction` rewrites
//!   compacted topics.
//! * `groups` assigns partition numbers to members and fences members that lost theirs. `read` and `consumer` return
//!   records. `recovery` reopens the store after a disk failure.
//!
//! # What it is not
//!
//! It is not shared between processes: a second process receives [`limbic_stream::Error::InUse`]. It does not replicate:
//! if the disk is lost, the log is lost.
//!
//! # Laws
//!
//! * An acknowledged record is on disk.
//! * A commit is stored completely or not at all, also after a crash at any step.
//! * An offset is never assigned twice.

mod catalogue;
mod clock;
mod commit;
mod compaction;
mod component;
mod compression;
mod consumer;
mod files;
mod floors;
mod groups;
mod journal;
mod outgoing;
mod packed;
mod partition;
mod read;
mod recovery;
mod retention;
mod shared;
mod signal;
#[cfg(test)]
mod simulation;
mod space;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use limbic_domain::Utc;
use parking_lot::{Mutex, RwLock};

use self::clock::SteadyClock;
use self::commit::{Committer, Request, Step};
use self::consumer::{Member, Observed};
use self::groups::Groups;
pub use self::journal::JournalDamage;
use self::outgoing::Outgoing;
use self::read::{Cursor, Room};
use self::shared::{Shared, recover_topics};
use self::signal::Signal;
use self::store::Store;
use limbic_stream::{
    Committed, Consumer, Error, GroupProgress, GroupState, Log, NewRecord, Record, Result, Subscription,
    TOMBSTONE_RETENTION, TopicInfo, TopicPartition, TopicSpec,
};

/// The maximum number of requests that wait for the committer. Each of them belongs to a waiting thread.
const WAITING: usize = 256;

/// Options of the embedded log. The defaults suit a machine with a few gigabytes of memory.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Bytes of the newest batches that stay in memory, over all partitions, so that the next stage does not read from
    /// disk.
    pub tail_bytes: usize,
    /// Bytes of fjall's block cache.
    pub cache_bytes: u64,
    /// Bytes that one keyspace collects in memory before it writes a table.
    pub memtable_bytes: u64,
    /// Bytes of fjall's journals, at least 64 MiB. A restart after a crash replays at most this much.
    pub journal_bytes: u64,
    /// A group commit accepts no more calls after this number of bytes.
    pub group_bytes: usize,
    /// Maximum bytes of a segment, for topics with limited retention.
    pub segment_bytes: u64,
    /// Maximum bytes of key, value and headers of a record.
    pub max_record_bytes: usize,
    /// Bytes that stay free on the disk. With less free space, writes fail with [`Error::DiskFull`]. fjall needs this
    /// space to write its tables, so it should be at least four times `memtable_bytes`.
    pub reserve_bytes: u64,
    /// A member that has not polled or committed for this long loses its partitions if another member waits for them.
    pub max_poll_interval: Duration,
    /// Records that a group has not read are kept beyond the topic's retention, up to this multiple of its limits. 1 = retention
    /// does not look at groups. A group counts when it has committed once.
    pub hold_back: u32,
    /// The interval of retention and compaction. Zero = they run only by [`EmbeddedLog::retain`] and
    /// [`EmbeddedLog::compact`].
    pub retention_interval: Duration,
    /// A compacted topic is compacted again when this share of its bytes, from 0 to 1, was written since the last
    /// compaction. Compaction reads and writes the whole topic, so a record is copied about `1 / share` times.
    pub compaction_share: f64,
    /// A compacted topic is compacted again only if at least this number of bytes was written since the last compaction.
    pub compaction_bytes: u64,
    /// The maximum number of distinct keys in memory during a compaction, about 40 bytes each. The keys of one segment
    /// (at most 16 MiB) always fit.
    pub compaction_keys: usize,
    /// The minimum time that a tombstone in a compacted topic is kept. The first compaction after this time removes it.
    pub tombstone_retention: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            tail_bytes: 16 << 20,
            cache_bytes: 16 << 20,
            memtable_bytes: 8 << 20,
            journal_bytes: 64 << 20,
            group_bytes: 8 << 20,
            segment_bytes: 256 << 20,
            max_record_bytes: 4 << 20,
            reserve_bytes: 128 << 20,
            max_poll_interval: Duration::from_mins(5),
            hold_back: 4,
            retention_interval: Duration::from_secs(30),
            compaction_share: 0.5,
            compaction_bytes: 1 << 20,
            compaction_keys: 500_000,
            tombstone_retention: TOMBSTONE_RETENTION,
        }
    }
}

/// A log in a folder of this machine.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    committer: JoinHandle<()>,
    retention: JoinHandle<()>,
    /// Dropped to stop the retention thread.
    stop: Sender<()>,
}

impl EmbeddedLog {
    /// Opens the log in the folder `path`, or creates it. All acknowledged records of an earlier process are available
    /// again.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let path = path.as_ref();
        let io = |error: std::io::Error| store::failure(path, "opening the log", &fjall::Error::Io(error));
        files::create_dir_all(path).map_err(io)?;
        let (shared, received) = Self::recover(path, options)?;
        let served = shared.clone();
        let committer = std::thread::Builder::new()
            .name("log-commit".into())
            .spawn(move || commit::run(&served, &received))
            .map_err(io)?;
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let retained = shared.clone();
        let retention = std::thread::Builder::new()
            .name("log-retention".into())
            .spawn(move || {
                let interval = match retained.options.retention_interval {
                    Duration::ZERO => Duration::from_secs(u64::from(u32::MAX)),
                    interval => interval,
                };
                let mut clock = SteadyClock::new(clock::wall(), clock::monotonic());
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    maintain(&retained, &mut clock);
                }
            })
            .map_err(io)?;
        let threads = Threads {
            committer,
            retention,
            stop,
        };
        Ok(Self {
            shared,
            threads: Mutex::new(Some(threads)),
        })
    }

    /// The data of the log, and the requests to its committer. No thread runs yet.
    fn recover(path: &Path, options: EmbeddedOptions) -> Result<(Arc<Shared>, Receiver<Request>)> {
        let (store, mut meta) = Store::open(path, &options)?;
        let topics = recover_topics(&store, &meta, path)?;
        let offsets = std::mem::take(&mut meta.offsets);
        let epochs = std::mem::take(&mut meta.epochs);
        let (requests, received) = crossbeam_channel::bounded(WAITING);
        let shared = Arc::new(Shared {
            path: path.into(),
            identity: meta.identity.as_str().into(),
            options,
            store: RwLock::new(Some(store)),
            topics: RwLock::new(topics),
            groups: Mutex::new(Groups::recover(offsets, epochs)),
            signal: Signal::default(),
            requests,
            committer: Mutex::new(None),
            compacting: Mutex::new(()),
            closed: AtomicBool::new(false),
        });
        *shared.committer.lock() = Some(Committer::new(shared.clone(), &meta));
        Ok((shared, received))
    }

    /// The damaged places of the journals in the folder `path` that have acknowledged records behind them. Such a log does not
    /// open. Changes nothing.
    pub fn damages(path: &Path) -> Result<Vec<JournalDamage>> {
        journal::damages(path)
            .map_err(|error| store::failure(path, "checking the log", &fjall::Error::Io(error)))
    }

    /// Cuts everything off from the first damaged place, so that the log opens again. What was behind it is lost. Returns copies of
    /// the journals as they were. [`Error::InUse`] while a process uses the log.
    pub fn repair(path: &Path) -> Result<Vec<std::path::PathBuf>> {
        let io = |error| store::failure(path, "repairing the log", &fjall::Error::Io(error));
        let Some(_lock) = journal::lock(path).map_err(io)? else {
            return Err(Error::InUse { path: path.into() });
        };
        journal::cut_damaged(path).map_err(io)
    }

    /// Drops the segments that retention no longer keeps when the wall clock is at `now`.
    pub fn retain(&self, now: Utc) -> Result<()> {
        self.shared.ask(|answer| Request::Retain(now, answer))
    }

    /// Compacts every compacted topic, regardless of how much was written to it. Removes tombstones that were written
    /// longer than [`EmbeddedOptions::tombstone_retention`] before `now`. Records that are written while this runs are
    /// not compacted.
    pub fn compact(&self, now: Utc) -> Result<()> {
        self.shared.check_open()?;
        compaction::compact(&self.shared, now, true)
    }
}

/// Retention and compaction, once.
fn maintain(shared: &Shared, clock: &mut SteadyClock) {
    let now = clock::wall();
    // At the beginning of time nothing is old enough to be deleted.
    let now = if clock.is_steady(now, clock::monotonic()) {
        now
    } else {
        Utc::MIN
    };
    match shared.ask(|answer| Request::Retain(now, answer)) {
        Ok(()) | Err(Error::Closed) => {}
        Err(error) => {
            tracing::warn!(%error, "old segments were not dropped: retention runs again later");
        }
    }
    match compaction::compact(shared, now, false) {
        Ok(()) | Err(Error::Closed) => {}
        Err(error) => tracing::warn!(%error, "a topic was not compacted: compaction runs again later"),
    }
}

impl Log for EmbeddedLog {
    fn identity(&self) -> Result<Arc<str>> {
        Ok(Arc::clone(&self.shared.identity))
    }

    fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        self.shared
            .ask(|answer| Request::EnsureTopics(specs.to_vec(), answer))
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.shared.check_open()?;
        let topics = self.shared.topics.read();
        Ok(topics
            .iter()
            .map(|(name, topic)| TopicInfo {
                name: name.clone(),
                offsets: topic
                    .partitions
                    .iter()
                    .map(|partition| (partition.earliest(), partition.end()))
                    .collect(),
            })
            .collect())
    }

    fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        self.shared.check_open()?;
        let topic = self.shared.topic(name)?;
        let offsets = topic.partitions.iter();
        Ok(TopicInfo {
            name: name.clone(),
            offsets: offsets
                .map(|partition| (partition.earliest(), partition.end()))
                .collect(),
        })
    }

    fn publish(&self, records: Vec<NewRecord>) -> Result<()> {
        self.shared.check_open()?;
        let mut outgoing = Outgoing::new(&self.shared);
        for record in records {
            outgoing.push(record)?;
        }
        let records = outgoing.finish();
        if records.is_empty() {
            return Ok(());
        }
        self.shared.ask(|answer| {
            Request::Commit(Step {
                records,
                state: Vec::new(),
                offsets: Vec::new(),
                member: None,
                answer,
            })
        })
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        self.shared.check_open()?;
        let topics = subscription
            .topics
            .iter()
            .map(|topic| self.shared.topic(topic).map(|topic| topic.partitions))
            .collect::<Result<Vec<_>>>()?;
        let Some(numbers) = topics.first().map(Vec::len) else {
            return Err(Error::Settings(format!(
                "group `{}` subscribes to no topic",
                subscription.group
            )));
        };
        if let Some((name, partitions)) = subscription
            .topics
            .iter()
            .zip(&topics)
            .find(|(_, partitions)| partitions.len() != numbers)
        {
            return Err(Error::Settings(format!(
                "the topics of group `{}` must have the same number of partitions: `{}` has {numbers}, `{name}` has {}",
                subscription.group,
                subscription.topics[0],
                partitions.len()
            )));
        }
        let membership = self.shared.groups.lock().join(
            &subscription.group,
            &subscription.instance,
            &subscription.topics,
            numbers as u32,
        )?;
        self.shared.signal.raise();
        Ok(Box::new(Member::new(self.shared.clone(), membership, topics)))
    }

    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>> {
        self.shared.check_open()?;
        let partition = self.shared.partition(partition)?;
        let mut found = Vec::new();
        let mut room = Room {
            records,
            bytes: usize::MAX,
        };
        Cursor::at(from).read(&self.shared, &partition, &mut room, &mut found)?;
        Ok(found)
    }

    fn state_bytes(&self, group: &str) -> Result<Option<u64>> {
        /// Few enough that nobody waits for the lock of the store.
        const AT_ONCE: usize = 1_000;
        let prefix = store::state_prefix(group);
        let mut from = prefix.clone();
        let mut bytes = 0;
        loop {
            let found = self
                .shared
                .with_store(|store| store.scan_state(&prefix, from.clone(), 0, AT_ONCE))?;
            let sizes = found.iter().map(|(key, value)| (key.len() + value.len()) as u64);
            bytes += sizes.sum::<u64>();
            match found.last() {
                Some((last, _)) if found.len() == AT_ONCE => {
                    from = last.to_vec();
                    from.push(0);
                }
                _ => return Ok(Some(bytes)),
            }
        }
    }

    fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<Vec<GroupProgress>> {
        self.shared.check_open()?;
        let mut all = Vec::new();
        for topic in topics {
            for partition in self.shared.topic(topic)?.partitions {
                let committed = self.shared.groups.lock().committed(group, &partition.name);
                let committed = committed.unwrap_or_else(|| Committed {
                    partition: partition.name.clone(),
                    next: partition.earliest(),
                    metadata: String::new(),
                });
                let end = partition.end();
                all.push(GroupProgress { committed, end });
            }
        }
        Ok(all)
    }

    fn state_of(&self, group: &str, _: u32) -> Result<Box<dyn GroupState>> {
        self.shared.check_open()?;
        Ok(Box::new(Observed {
            shared: Arc::clone(&self.shared),
            group: group.into(),
        }))
    }

    fn trim(&self, before: &[(TopicPartition, u64)]) -> Result<()> {
        self.shared.check_open()?;
        let mut is_news = false;
        for (partition, offset) in before {
            let topic = self.shared.topic(&partition.topic)?;
            if !topic.row.is_transient() {
                return Err(Error::Settings(format!(
                    "topic `{}` keeps its records: only a transient topic can be trimmed",
                    partition.topic
                )));
            }
            let of_number = topic.partitions.get(partition.partition as usize);
            is_news |= of_number.is_some_and(|known| known.trim(*offset));
        }
        if is_news {
            self.retain(clock::wall())
        } else {
            Ok(())
        }
    }

    fn close(&self) -> Result<()> {
        let Some(threads) = self.threads.lock().take() else {
            return Ok(());
        };
        self.shared.closed.store(true, Ordering::Release);
        // Waiting callers find the log closed. Earlier requests are still completed.
        self.shared.signal.raise();
        drop(threads.stop);
        let _ = self.shared.requests.send(Request::Stop);
        let stopped = [threads.retention.join(), threads.committer.join()];
        // Waits for the thread that holds the committer.
        *self.shared.committer.lock() = None;
        let store = self.shared.store.write().take();
        let flushed = store.map_or(Ok(()), |store| {
            store
                .persist()
                .map_err(|error| store::failure(&self.shared.path, "closing the log", &error))
        });
        if stopped.iter().any(Result::is_err) {
            return Err(Error::Corrupt("a thread of the log ended in a panic".into()));
        }
        flushed
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the log failed");
        }
    }
}
