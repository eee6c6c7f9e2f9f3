//! The data on disk: one fjall database with a keyspace for metadata (`meta`), one for the state of stages (`state`), and
//! one for each segment of records (`segment-N`), so that retention drops a whole keyspace.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | `t` topic | its number, partitions, retention ([`TopicRow`]) |
//! | | `f` topic number, partition | earliest offset kept |
//! | | `s` segment | its class (which topics share it) |
//! | | `o` group, topic, partition | next offset, the runtime's metadata |
//! | | `e` group | epoch |
//! | | `c` | number of the last commit |
//! | | `i` | identity of the log |
//! | `state` | group, partition, the stage's key | the stage's value |
//! | `segment-N` | topic number, partition, first offset | a [batch](crate::packed) |
//!
//! Names in keys start with their length, and numbers are big-endian. So keys of one kind are adjacent, and offsets are
//! in order.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
#[cfg(not(test))]
use fjall::{Database, Keyspace, OwnedWriteBatch};
use fjall::{KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

#[cfg(test)]
use crate::simulation::database::{Database, Keyspace, OwnedWriteBatch};
use crate::{EmbeddedOptions, journal, space};
use limbic_stream::{Cleanup, Committed, Error, Result, Retention, TopicPartition};

const SEGMENT: &str = "segment-";

/// The open database.
pub(super) struct Store {
    database: Database,
    meta: Keyspace,
    state: Keyspace,
    segments: HashMap<u32, Keyspace>,
    memtable_bytes: u64,
}

/// The stored row of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicRow {
    pub(super) id: u32,
    pub(super) partitions: u32,
    pub(super) cleanup: Cleanup,
}

impl TopicRow {
    /// The topic's limits by age and size. No limit for a compacted topic.
    pub(super) const fn retention(&self) -> Retention {
        match self.cleanup {
            Cleanup::Delete(retention) | Cleanup::Transient(retention) => retention,
            Cleanup::Compact => Retention {
                bytes: None,
                age: None,
            },
        }
    }

    pub(super) const fn is_compacted(&self) -> bool {
        matches!(self.cleanup, Cleanup::Compact)
    }

    pub(super) const fn is_transient(&self) -> bool {
        matches!(self.cleanup, Cleanup::Transient(_))
    }
}

/// The metadata at the last commit.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) topics: BTreeMap<String, TopicRow>,
    pub(super) floors: HashMap<(u32, u32), u64>,
    pub(super) segments: BTreeMap<u32, String>,
    pub(super) offsets: Vec<(String, Committed)>,
    pub(super) epochs: HashMap<String, u64>,
    pub(super) commits: u64,
    pub(super) identity: String,
}

impl Store {
    /// Opens or creates the database. Removes segments that no commit has recorded.
    pub(super) fn open(path: &Path, options: &EmbeddedOptions) -> Result<(Self, Meta)> {
        let failed = |error: fjall::Error| failure(path, "opening the log", &error);
        let io = |error| failed(fjall::Error::Io(error));
        fail::fail_point!("store::open", |_| Err(failed(fjall::Error::Poisoned)));
        let open = || {
            Database::builder(path)
                .cache_size(options.cache_bytes)
                .max_journaling_size(options.journal_bytes.max(64 << 20))
                .worker_threads(1)
                .open()
        };
        journal::clear_unfinished_creation(path).map_err(io)?;
        if let Err(damage) = journal::prepare(path).map_err(io)? {
            return Err(Error::Corrupt(format!(
                "{damage}. Restore the folder from a backup, or see what `limbic log check` says and run \
                 `limbic log repair --accept-loss`"
            )));
        }
        let database = open().map_err(failed)?;
        let small =
            || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes.min(2 << 20));
        let large = || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes);
        let meta = database.keyspace("meta", small).map_err(failed)?;
        let state = database.keyspace("state", large).map_err(failed)?;
        let mut rows = read_meta(&meta, path)?;
        if rows.identity.is_empty() {
            rows.identity = new_identity();
            let mut first = database.batch().durability(Some(PersistMode::SyncAll));
            first.insert(&meta, "i", rows.identity.as_bytes());
            first.commit().map_err(failed)?;
        }
        let mut segments = HashMap::new();
        for name in database.list_keyspace_names() {
            let Some(id) = name
                .strip_prefix(SEGMENT)
                .and_then(|number| number.parse::<u32>().ok())
            else {
                continue;
            };
            let keyspace = database
                .keyspace(&name, KeyspaceCreateOptions::default)
                .map_err(failed)?;
            if rows.segments.contains_key(&id) {
                segments.insert(id, keyspace);
            } else {
                database.delete_keyspace(keyspace).map_err(failed)?;
            }
        }
        let store = Self {
            database,
            meta,
            state,
            segments,
            memtable_bytes: options.memtable_bytes,
        };
        Ok((store, rows))
    }

    /// Creates an empty segment. It is permanent when a commit has recorded it ([`Changes::segment`]).
    pub(super) fn create_segment(&mut self, id: u32, path: &Path) -> Result<()> {
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(self.memtable_bytes)
                // Batches are written to the tree once. Compaction moves only pointers.
                .with_kv_separation(Some(KvSeparationOptions::default().separation_threshold(512)))
        };
        let keyspace = self
            .database
            .keyspace(&format!("{SEGMENT}{id}"), options)
            .map_err(|error| failure(path, "creating a segment", &error))?;
        self.segments.insert(id, keyspace);
        Ok(())
    }

    /// Removes a segment that no commit records any more.
    pub(super) fn delete_segment(&mut self, id: u32, path: &Path) -> Result<()> {
        match self.segments.remove(&id) {
            Some(keyspace) => self
                .database
                .delete_keyspace(keyspace)
                .map_err(|error| failure(path, "dropping a segment", &error)),
            None => Ok(()),
        }
    }

    pub(super) fn changes(&self) -> Changes<'_> {
        Changes {
            store: self,
            batch: self.database.batch().durability(Some(PersistMode::Buffer)),
        }
    }

    /// The first and the last batch of a partition in a segment.
    pub(super) fn ends(
        &self,
        segment: u32,
        topic: u32,
        partition: u32,
    ) -> Result<Option<(Bytes, Bytes)>, fjall::Error> {
        let Some(keyspace) = self.segments.get(&segment) else {
            return Ok(None);
        };
        let mut batches =
            keyspace.range(batch_key(topic, partition, 0)..=batch_key(topic, partition, u64::MAX));
        let Some(first) = batches.next() else {
            return Ok(None);
        };
        let first: Bytes = first.value()?.into();
        match batches.next_back() {
            Some(last) => Ok(Some((first, last.value()?.into()))),
            None => Ok(Some((first.clone(), first))),
        }
    }

    /// Batches of a partition in a segment, from the one that contains `offset`, without those that start at `end` or
    /// later. At least one batch, if there is one, and then about `bytes` bytes.
    pub(super) fn batches(
        &self,
        segment: u32,
        (topic, partition): (u32, u32),
        offset: u64,
        end: u64,
        bytes: usize,
    ) -> Result<Vec<Bytes>, fjall::Error> {
        let Some(keyspace) = self.segments.get(&segment) else {
            return Ok(Vec::new());
        };
        let holding = keyspace
            .range(batch_key(topic, partition, 0)..=batch_key(topic, partition, offset))
            .next_back();
        let start = match holding {
            Some(batch) => batch.key()?.to_vec(),
            None => batch_key(topic, partition, offset),
        };
        // A batch that starts before `offset` may also end before it, so it does not count towards `bytes`.
        let mut is_counted = start >= batch_key(topic, partition, offset);
        let mut found = Vec::new();
        let mut size = 0;
        for batch in keyspace.range(start..batch_key(topic, partition, end)) {
            let batch: Bytes = batch.value()?.into();
            if is_counted {
                size += batch.len();
            }
            is_counted = true;
            found.push(batch);
            if size >= bytes {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn has_segment(&self, id: u32) -> bool {
        self.segments.contains_key(&id)
    }

    pub(super) fn state(&self, key: &[u8]) -> Result<Option<Bytes>, fjall::Error> {
        Ok(self.state.get(key)?.map(Bytes::from))
    }

    /// State entries whose key starts with `prefix`, from the key `from`. The first `strip` bytes of each key are
    /// removed.
    pub(super) fn scan_state(
        &self,
        prefix: &[u8],
        from: Vec<u8>,
        strip: usize,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, fjall::Error> {
        let mut found = Vec::new();
        for entry in self.state.range(from..) {
            if found.len() == limit {
                break;
            }
            let (key, value) = entry.into_inner_if(|key| key.starts_with(prefix))?;
            let Some(value) = value.filter(|_| key.starts_with(prefix)) else {
                break;
            };
            found.push((Bytes::from(key).slice(strip..), value.into()));
        }
        Ok(found)
    }

    /// Waits until everything that was committed so far is on the disk.
    pub(super) fn persist(&self) -> Result<(), fjall::Error> {
        self.database.persist(PersistMode::SyncData)
    }
}

/// One atomic write.
pub(super) struct Changes<'a> {
    store: &'a Store,
    batch: OwnedWriteBatch,
}

impl Changes<'_> {
    pub(super) fn topic(&mut self, name: &str, row: &TopicRow) {
        let mut value = Vec::with_capacity(27);
        value.extend_from_slice(&row.id.to_be_bytes());
        value.extend_from_slice(&row.partitions.to_be_bytes());
        let Retention { bytes, age } = row.retention();
        let age = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        for limit in [bytes, age] {
            value.push(u8::from(limit.is_some()));
            value.extend_from_slice(&limit.unwrap_or(0).to_be_bytes());
        }
        value.push(match row.cleanup {
            Cleanup::Delete(_) => 0,
            Cleanup::Compact => 1,
            Cleanup::Transient(_) => 2,
        });
        self.put([b"t", name.as_bytes()].concat(), value);
    }

    pub(super) fn floor(&mut self, topic: u32, partition: u32, offset: u64) {
        let key = [&b"f"[..], &topic.to_be_bytes(), &partition.to_be_bytes()].concat();
        self.put(key, offset.to_be_bytes().to_vec());
    }

    /// Records a segment in the catalogue. Segments that are not recorded are removed when the log is opened.
    pub(super) fn segment(&mut self, id: u32, class: &str) {
        self.put([&b"s"[..], &id.to_be_bytes()].concat(), class.as_bytes().to_vec());
    }

    pub(super) fn forget_segment(&mut self, id: u32) {
        self.batch
            .remove(&self.store.meta, [&b"s"[..], &id.to_be_bytes()].concat());
    }

    pub(super) fn offset(&mut self, group: &str, committed: &Committed) {
        let mut key = vec![b'o'];
        put_name(&mut key, group);
        put_name(&mut key, &committed.partition.topic);
        key.extend_from_slice(&committed.partition.partition.to_be_bytes());
        let value = [&committed.next.to_be_bytes()[..], committed.metadata.as_bytes()].concat();
        self.put(key, value);
    }

    pub(super) fn epoch(&mut self, group: &str, epoch: u64) {
        self.put([b"e", group.as_bytes()].concat(), epoch.to_be_bytes().to_vec());
    }

    pub(super) fn state(&mut self, key: Bytes, value: Option<Bytes>) {
        match value {
            Some(value) => self.batch.insert(&self.store.state, key, value),
            None => self.batch.remove(&self.store.state, key),
        }
    }

    /// `segment` must exist.
    pub(super) fn records(&mut self, segment: u32, topic: u32, partition: u32, first: u64, batch: Bytes) {
        let keyspace = self
            .store
            .segments
            .get(&segment)
            .expect("the committer creates a segment before it writes to it");
        self.batch
            .insert(keyspace, batch_key(topic, partition, first), batch);
    }

    /// Writes all changes, or none, as commit number `commits`. The write then survives a crash of this process. It
    /// survives a crash of the machine after [`Store::persist`].
    pub(super) fn write(mut self, commits: u64) -> Result<(), fjall::Error> {
        self.put(b"c".to_vec(), commits.to_be_bytes().to_vec());
        self.batch.commit()
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.batch.insert(&self.store.meta, key, value);
    }
}

/// The key of an entry of a group's state.
pub(super) fn state_key(group: &str, partition: u32, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(group.len() + key.len() + 6);
    put_name(&mut whole, group);
    whole.extend_from_slice(&partition.to_be_bytes());
    whole.extend_from_slice(key);
    whole
}

/// The beginning of the keys of a group's state.
pub(super) fn state_prefix(group: &str) -> Vec<u8> {
    let mut prefix = Vec::new();
    put_name(&mut prefix, group);
    prefix
}

/// Converts an error of fjall.
pub(super) fn failure(path: &Path, context: &str, error: &fjall::Error) -> Error {
    match error {
        fjall::Error::Locked => Error::InUse { path: path.into() },
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) if space::is_full(io) => {
            Error::DiskFull { path: path.into() }
        }
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::InvalidTag(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::Decompress(_)
        | fjall::Error::Unrecoverable => Error::Corrupt(format!("{context}: {error}")),
        _ => Error::Unavailable {
            context: context.into(),
            message: error.to_string(),
        },
    }
}

fn batch_key(topic: u32, partition: u32, first: u64) -> Vec<u8> {
    [
        &topic.to_be_bytes()[..],
        &partition.to_be_bytes(),
        &first.to_be_bytes(),
    ]
    .concat()
}

fn put_name(key: &mut Vec<u8>, name: &str) {
    key.extend_from_slice(&(name.len() as u16).to_be_bytes());
    key.extend_from_slice(name.as_bytes());
}

fn read_meta(keyspace: &Keyspace, path: &Path) -> Result<Meta> {
    let mut meta = Meta::default();
    for row in keyspace.iter() {
        let (key, value) = row
            .into_inner()
            .map_err(|error| failure(path, "reading the catalogue", &error))?;
        read_row(&mut meta, &key, &value)
            .ok_or_else(|| Error::Corrupt(format!("a row of the catalogue cannot be read: key {key:?}")))?;
    }
    Ok(meta)
}

fn read_row(meta: &mut Meta, key: &[u8], mut value: &[u8]) -> Option<()> {
    let (kind, mut key) = key.split_first()?;
    match kind {
        b't' => {
            let id = take_u32(&mut value)?;
            let partitions = take_u32(&mut value)?;
            let mut limit = || {
                let (set, rest) = value.split_first()?;
                value = rest;
                let limit = take_u64(&mut value)?;
                Some((*set == 1).then_some(limit))
            };
            let retention = Retention {
                bytes: limit()?,
                age: limit()?.map(Duration::from_millis),
            };
            // A row without this byte was written by a version that knew only deletion.
            let cleanup = match value.first() {
                Some(1) => Cleanup::Compact,
                Some(2) => Cleanup::Transient(retention),
                _ => Cleanup::Delete(retention),
            };
            let row = TopicRow {
                id,
                partitions,
                cleanup,
            };
            meta.topics.insert(text(key)?, row);
        }
        b'f' => {
            let at = (take_u32(&mut key)?, take_u32(&mut key)?);
            meta.floors.insert(at, take_u64(&mut value)?);
        }
        b's' => {
            meta.segments.insert(take_u32(&mut key)?, text(value)?);
        }
        b'o' => {
            let group = take_name(&mut key)?;
            let partition = TopicPartition {
                topic: take_name(&mut key)?.into(),
                partition: take_u32(&mut key)?,
            };
            let committed = Committed {
                partition,
                next: take_u64(&mut value)?,
                metadata: text(value)?,
            };
            meta.offsets.push((group, committed));
        }
        b'e' => {
            meta.epochs.insert(text(key)?, take_u64(&mut value)?);
        }
        b'i' => meta.identity = text(value)?,
        b'c' => meta.commits = take_u64(&mut value)?,
        _ => return None,
    }
    Some(())
}

/// Random, from the seeds that the system gives to hash tables.
fn new_identity() -> String {
    let random = || {
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    };
    format!("{:016x}{:016x}", random(), random())
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_be_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

fn take_name(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(take(bytes)?));
    let (name, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    text(name)
}
