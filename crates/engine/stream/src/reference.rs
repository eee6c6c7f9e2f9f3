//! Broadcast inputs: a stage reads a compacted topic as a table.
//!
//! ```text
//!  compacted topic ──Log::read──▶ reader thread ──at most one chunk──▶ table of the instance ──▶ Outputs::reference
//!  (all partitions, no group)     (reads every second)                 (changes between calls)
//! ```
//!
//! A stage declares the topic with [`StageSpec::broadcasts`](crate::StageSpec::broadcasts). Every instance holds the
//! latest value of every key of *all* partitions, regardless of the input partitions that it holds. Before the first
//! batch, the table is complete up to the end of the topic at the start. Then it follows the topic. A change becomes
//! visible between two calls of the stage, never during a call.
//!
//! # Versions
//!
//! The results of a stage are a function of records, state, time and the tables. So every record that it writes names the
//! version of each table in the header `header::REFERENCES`: `campaigns@12.0.7`. The version consists of the next offset
//! of each partition, in the order of the partitions, joined by dots. Two instances that have read the same records have
//! the same version, and the offsets identify those records. Several tables are joined by commas, in the order of their
//! names.
//!
//! # Limits
//!
//! A table is in memory. The limit of its [`Broadcast`] (bytes of keys and values) bounds it. If a table exceeds it, the
//! instance stops with an error that names the limit.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select};
use limbic_domain::{DecodeError, Envelope, Record as DomainRecord};

use crate::record::header;
use crate::runtime::StageMeters;
use crate::{Broadcast, Control, Error, Log, Record, Result, TopicPartition};

/// The maximum number of records in one read.
const CHUNK: usize = 1_000;

/// The tables of a stage, by topic.
#[derive(Debug, Clone, Default)]
pub struct References {
    tables: BTreeMap<Arc<str>, Table>,
    /// The name and value of the header with the versions. `None` if there are no tables.
    header: Option<(Arc<str>, Bytes)>,
}

/// The latest value of each key of one topic.
#[derive(Debug, Clone, Default)]
struct Table {
    entries: BTreeMap<Bytes, Bytes>,
    /// Bytes of keys and values.
    bytes: usize,
    limit: usize,
    /// The next offset of each partition.
    next: Vec<u64>,
    version: String,
}

/// The state of a table during one call of the stage.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a>(&'a Table);

impl References {
    /// No tables.
    pub const fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            header: None,
        }
    }

    /// Adds a table with these keys and values, for tests of stages. Its version is the number of entries.
    #[must_use]
    pub fn with<K, V>(mut self, topic: &str, entries: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<Bytes>,
        V: Into<Bytes>,
    {
        let mut table = Table::new(1, usize::MAX);
        for (key, value) in entries {
            table.put(key.into(), value.into());
            table.next[0] += 1;
        }
        table.name_version();
        self.tables.insert(topic.into(), table);
        self.name_versions();
        self
    }

    /// The table of `topic`. `None` if the stage does not declare it.
    pub fn get(&self, topic: &str) -> Option<Reference<'_>> {
        self.tables.get(topic).map(Reference)
    }

    /// The header with the versions of all tables.
    pub(crate) const fn header(&self) -> Option<&(Arc<str>, Bytes)> {
        self.header.as_ref()
    }

    /// Adds an empty table for a topic with this number of partitions.
    fn declare(&mut self, broadcast: &Broadcast, partitions: usize) {
        let table = Table::new(partitions, broadcast.limit);
        self.tables.insert(Arc::clone(&broadcast.topic), table);
        self.name_versions();
    }

    /// Applies records. Records that were applied before change nothing.
    fn apply(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            if let Some(table) = self.tables.get_mut(&record.topic) {
                table.apply(record)?;
            }
        }
        for table in self.tables.values_mut() {
            table.name_version();
        }
        self.name_versions();
        Ok(())
    }

    fn name_versions(&mut self) {
        let versions: Vec<String> = self
            .tables
            .iter()
            .map(|(topic, table)| format!("{topic}@{}", table.version))
            .collect();
        let name = match self.header.take() {
            Some((name, _)) => name,
            None => header::REFERENCES.into(),
        };
        self.header = (!versions.is_empty()).then(|| (name, Bytes::from(versions.join(","))));
    }
}

impl Table {
    fn new(partitions: usize, limit: usize) -> Self {
        let mut table = Self {
            next: vec![0; partitions],
            limit,
            ..Self::default()
        };
        table.name_version();
        table
    }

    fn apply(&mut self, record: &Record) -> Result<()> {
        let next = self.next.get_mut(record.partition as usize);
        let Some(next) = next.filter(|next| **next <= record.offset) else {
            return Ok(());
        };
        *next = record.offset + 1;
        if Control::of(record).is_some() {
            return Ok(());
        }
        // A slice would keep the whole batch in memory.
        self.put(
            Bytes::copy_from_slice(&record.key),
            Bytes::copy_from_slice(&record.value),
        );
        if self.bytes > self.limit {
            return Err(Error::Settings(format!(
                "the table of the topic `{}` holds {} keys and {} bytes, more than its limit of {}: remove keys that are no longer \
                 needed (publish empty values), or raise the limit in the stage's spec (`StageSpec::broadcasts_within`)",
                record.topic,
                self.entries.len(),
                self.bytes,
                self.limit
            )));
        }
        Ok(())
    }

    /// An empty value removes the key.
    fn put(&mut self, key: Bytes, value: Bytes) {
        let key_bytes = key.len();
        let value_bytes = value.len();
        let before = if value.is_empty() {
            self.entries.remove(&key)
        } else {
            self.bytes += key_bytes + value_bytes;
            self.entries.insert(key, value)
        };
        if let Some(before) = before {
            self.bytes -= key_bytes + before.len();
        }
    }

    fn name_version(&mut self) {
        let offsets: Vec<String> = self.next.iter().map(u64::to_string).collect();
        self.version = offsets.join(".");
    }
}

impl<'a> Reference<'a> {
    /// The version: see the [module's page](self). A stage may cache data that it derives from a table as long as the
    /// version is the same.
    pub fn version(&self) -> &'a str {
        &self.0.version
    }

    /// The number of keys in the table.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether the table has no keys.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// The raw value at `key`.
    pub fn value(&self, key: &str) -> Option<&'a Bytes> {
        self.0.entries.get(key.as_bytes())
    }

    /// Raw keys and values whose key has the prefix, in key order.
    pub fn values(&self, prefix: &str) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> + use<'a> {
        let prefix = Bytes::copy_from_slice(prefix.as_bytes());
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        let entries = self.0.entries.range(from);
        entries.take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// The decoded value at `key`. Each call decodes it. Returns an error if the value is not an envelope of a `T` that
    /// this program can read.
    pub fn get<T: DomainRecord>(&self, key: &str) -> Result<Option<Envelope<T>>, DecodeError> {
        self.value(key).map(|value| Envelope::decode(value)).transpose()
    }

    /// Keys and decoded values whose key has the prefix, in key order.
    pub fn scan<T: DomainRecord>(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a Bytes, Result<Envelope<T>, DecodeError>)> + use<'a, T> {
        self.values(prefix)
            .map(|(key, value)| (key, Envelope::decode(value)))
    }
}

/// The latest value of each key of a compacted topic at this moment, for use outside a stage.
pub fn read_table(log: &Arc<dyn Log>, topic: &str) -> Result<BTreeMap<Bytes, Bytes>> {
    let broadcast = Broadcast {
        topic: topic.into(),
        limit: usize::MAX,
    };
    let (_, mut references) = Follower::load(log, std::slice::from_ref(&broadcast))?;
    Ok(references
        .tables
        .remove(topic)
        .map_or_else(BTreeMap::new, |table| table.entries))
}

/// Reads topics to their ends, repeatedly.
pub(crate) struct Follower {
    log: Arc<dyn Log>,
    topics: Vec<Followed>,
}

struct Followed {
    topic: Arc<str>,
    partitions: Vec<Position>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    next: u64,
    /// The end offset when the partition was last read completely. In a log with transactions, the last offsets may have
    /// no record.
    seen_end: u64,
}

/// Tells a follower after each chunk whether to continue.
pub(crate) enum Follow {
    On,
    Stop,
}

impl Follower {
    /// Loads the tables up to the current ends of the topics.
    pub(crate) fn load(log: &Arc<dyn Log>, broadcasts: &[Broadcast]) -> Result<(Self, References)> {
        let mut references = References::new();
        let mut topics = Vec::new();
        for broadcast in broadcasts {
            let partitions = log.topic(&broadcast.topic)?.offsets.len();
            references.declare(broadcast, partitions);
            topics.push(Followed {
                topic: Arc::clone(&broadcast.topic),
                partitions: vec![Position::default(); partitions],
            });
        }
        let mut follower = Self {
            log: Arc::clone(log),
            topics,
        };
        follower.poll(
            |_, _| {},
            |records| {
                references.apply(&records)?;
                Ok(Follow::On)
            },
        )?;
        Ok((follower, references))
    }

    /// Reads the new records up to the current ends of the topics. Reports how many records each topic is behind.
    fn poll(
        &mut self,
        mut lag: impl FnMut(&str, u64),
        mut each: impl FnMut(Vec<Record>) -> Result<Follow>,
    ) -> Result<()> {
        for followed in &mut self.topics {
            let ends = self.log.topic(&followed.topic)?.offsets;
            let behind = |(position, (_, end)): (&Position, &(u64, u64))| {
                if position.seen_end == *end {
                    0
                } else {
                    end.saturating_sub(position.next)
                }
            };
            lag(
                &followed.topic,
                followed.partitions.iter().zip(&ends).map(behind).sum(),
            );
            for (number, (position, (_, end))) in followed.partitions.iter_mut().zip(&ends).enumerate() {
                let partition = TopicPartition {
                    topic: Arc::clone(&followed.topic),
                    partition: number as u32,
                };
                while position.next < *end && position.seen_end != *end {
                    let records = self.log.read(&partition, position.next, CHUNK)?;
                    let Some(last) = records.last() else {
                        break;
                    };
                    position.next = last.offset + 1;
                    if matches!(each(records)?, Follow::Stop) {
                        return Ok(());
                    }
                }
                position.seen_end = *end;
            }
            lag(&followed.topic, 0);
        }
        Ok(())
    }
}

/// A thread that follows topics for one instance of a stage. It ends when this value is dropped.
pub(crate) struct Updates {
    chunks: Option<Receiver<Vec<Record>>>,
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Updates {
    /// Continues from the position of `follower` and reads every `interval`.
    pub(crate) fn spawn(
        follower: Follower,
        interval: Duration,
        stage: Arc<str>,
        meters: StageMeters,
    ) -> std::io::Result<Self> {
        let (chunk, chunks) = bounded(1);
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new()
            .name(format!("{stage}-reference"))
            .spawn(move || follow(follower, interval, &stage, &meters, &chunk, &stopped))?;
        Ok(Self {
            chunks: Some(chunks),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Applies the records that were read since the last call. Returns whether the tables changed. Fails if the thread
    /// has ended.
    pub(crate) fn apply_to(&self, references: &mut Arc<References>) -> Result<bool> {
        let mut changed = false;
        loop {
            match self.chunks.as_ref().map(Receiver::try_recv) {
                Some(Ok(records)) => {
                    Arc::make_mut(references).apply(&records)?;
                    changed = true;
                }
                Some(Err(TryRecvError::Empty)) => return Ok(changed),
                None | Some(Err(TryRecvError::Disconnected)) => {
                    return Err(Error::Unavailable {
                        context: "following the reference topics".into(),
                        message: "the reader has ended; the tables are loaded again".into(),
                    });
                }
            }
        }
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.stop.take();
        self.chunks.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the reader of the reference topics panicked");
        }
    }
}

fn follow(
    mut follower: Follower,
    interval: Duration,
    stage: &str,
    meters: &StageMeters,
    chunk: &Sender<Vec<Record>>,
    stopped: &Receiver<()>,
) {
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let polled = follower.poll(
            |topic, lag| meters.show_reference_lag(stage, topic, lag),
            |records| {
                select! {
                    send(chunk, records) -> sent => Ok(if sent.is_ok() { Follow::On } else { Follow::Stop }),
                    recv(stopped) -> _ => Ok(Follow::Stop),
                }
            },
        );
        match polled {
            Ok(()) => {}
            Err(Error::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, stage, "cannot read the reference topics: the tables stay as they are until the next attempt");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::Utc;

    use super::*;
    use crate::Headers;

    fn record(partition: u32, offset: u64, key: &'static str, value: &'static str) -> Record {
        Record {
            topic: "campaigns".into(),
            partition,
            offset,
            key: key.into(),
            value: value.into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        }
    }

    fn table(limit: usize) -> References {
        let mut references = References::new();
        let broadcast = Broadcast {
            topic: "campaigns".into(),
            limit,
        };
        references.declare(&broadcast, 2);
        references
    }

    fn keys(references: &References, prefix: &str) -> Vec<Bytes> {
        let table = references.get("campaigns").unwrap();
        table.values(prefix).map(|(key, _)| key.clone()).collect()
    }

    #[test]
    fn a_table_has_the_latest_value_of_a_key_and_an_empty_value_removes_it() {
        let mut references = table(1_000);
        references
            .apply(&[
                record(0, 4, "a/x", "1"),
                record(1, 0, "b/y", "2"),
                record(0, 5, "a/z", "3"),
            ])
            .unwrap();
        references
            .apply(&[record(0, 6, "a/x", "4"), record(0, 7, "a/z", "")])
            .unwrap();
        let table = references.get("campaigns").unwrap();
        assert_eq!(table.value("a/x").unwrap(), "4");
        assert_eq!((table.len(), table.value("a/z")), (2, None));
        assert_eq!(keys(&references, "a/"), ["a/x"]);
        assert_eq!(keys(&references, ""), ["a/x", "b/y"]);
    }

    #[test]
    fn the_version_lists_the_next_offsets_and_repeated_records_change_nothing() {
        let mut references = table(1_000);
        assert_eq!(references.header().unwrap().1, "campaigns@0.0");
        references
            .apply(&[record(0, 4, "a", "1"), record(1, 0, "b", "2")])
            .unwrap();
        references.apply(&[record(0, 3, "a", "older")]).unwrap();
        assert_eq!(references.get("campaigns").unwrap().version(), "5.1");
        assert_eq!(references.get("campaigns").unwrap().value("a").unwrap(), "1");
        assert_eq!(references.header().unwrap().1, "campaigns@5.1");
        assert_eq!(References::new().header(), None);
    }

    #[test]
    fn a_table_beyond_its_limit_is_an_error_that_names_it() {
        let mut references = table(10);
        references.apply(&[record(0, 0, "key", "1234567")]).unwrap();
        // Replaced and removed values do not count.
        references.apply(&[record(0, 1, "key", "7654321")]).unwrap();
        references.apply(&[record(0, 2, "key", "")]).unwrap();
        references.apply(&[record(0, 3, "key", "1234567")]).unwrap();
        let error = references.apply(&[record(1, 0, "k", "")]).err();
        assert!(error.is_none());
        let error = references
            .apply(&[record(1, 1, "k", "1")])
            .unwrap_err()
            .to_string();
        for part in ["`campaigns`", "2 keys", "12 bytes", "limit of 10"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
