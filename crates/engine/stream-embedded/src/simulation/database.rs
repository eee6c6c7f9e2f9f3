//! A model of fjall on the simulated files: what [`crate::store`] uses of it, with journals in its format.
//!
//! Keyspaces live in memory, and their changes in the journals. A rotation starts another journal, moves what the memory holds
//! to the tables, and removes the old journals. Tables and the list of keyspaces are durable at once: fjall flushes them itself.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Error, KeyspaceCreateOptions, PersistMode, Slice};
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3Default;

use super::files::{self, File, OpenOptions, world};

type Entries = BTreeMap<Slice, Slice>;

/// What is in tables, and which keyspaces exist.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    names: BTreeMap<String, u64>,
    next: u64,
    entries: BTreeMap<u64, Entries>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    entries: BTreeMap<u64, Entries>,
    journal: File,
    number: u64,
    is_poisoned: bool,
    /// What is left of a write that failed.
    pending: Vec<u8>,
    _lock: File,
}

/// As [`fjall::Database`].
#[derive(Debug, Clone)]
pub(crate) struct Database(Arc<Mutex<Inner>>);

/// As [`fjall::Keyspace`].
#[derive(Debug, Clone)]
pub(crate) struct Keyspace {
    database: Arc<Mutex<Inner>>,
    id: u64,
}

/// As [`fjall::OwnedWriteBatch`].
#[derive(Debug)]
pub(crate) struct OwnedWriteBatch {
    database: Arc<Mutex<Inner>>,
    durability: Option<PersistMode>,
    items: Vec<(u64, Slice, Option<Slice>)>,
}

/// As [`fjall::Guard`].
#[derive(Debug)]
pub(crate) struct Entry(Slice, Slice);

/// As [`fjall::DatabaseBuilder`].
#[derive(Debug)]
pub(crate) struct Builder(PathBuf);

impl Builder {
    pub(crate) fn cache_size(self, _: u64) -> Self {
        self
    }

    pub(crate) fn max_journaling_size(self, _: u64) -> Self {
        self
    }

    pub(crate) fn worker_threads(self, _: usize) -> Self {
        self
    }

    pub(crate) fn open(self) -> Result<Database, Error> {
        let folder = self.0;
        let mut lock = OpenOptions::new().create(true).open(folder.join("lock"))?;
        if !lock.hold_lock() {
            return Err(Error::Locked);
        }
        let mut numbers: Vec<u64> = files::list(&folder)?
            .iter()
            .filter_map(|path| number(path))
            .collect();
        numbers.sort_unstable();
        let tables = world(|world| world.tables.entry(folder.clone()).or_default().clone());
        let mut entries = tables.entries;
        let known = |id: u64| tables.names.values().any(|known| *known == id);
        entries.retain(|id, _| known(*id));
        let mut end = 0;
        for number in &numbers {
            let path = journal_path(&folder, *number);
            let mut bytes = Vec::new();
            File::open(&path)?.read_to_end(&mut bytes)?;
            end = 0;
            while let Some((items, length)) = read_batch(&bytes[end..]) {
                for (id, key, value) in items.into_iter().filter(|(id, ..)| known(*id)) {
                    put(&mut entries, id, key, value);
                }
                end += length;
            }
            if end < bytes.len() {
                File::open(&path)?.set_len(end as u64)?;
            }
        }
        let number = numbers.last().copied().unwrap_or(0);
        let path = journal_path(&folder, number);
        let mut journal = OpenOptions::new().create(true).open(&path)?;
        journal.seek(SeekFrom::Start(end as u64))?;
        // fjall writes this file last, when it creates a database.
        let version = folder.join("version");
        if !files::exists(&version)? || files::length(&version)? == 0 {
            let mut file = OpenOptions::new().create(true).open(&version)?;
            file.write_all(b"FJL\x03")?;
            file.sync_all()?;
        }
        Ok(Database(Arc::new(Mutex::new(Inner {
            folder,
            entries,
            journal,
            number,
            is_poisoned: false,
            pending: Vec::new(),
            _lock: lock,
        }))))
    }
}

impl Database {
    pub(crate) fn builder(path: &Path) -> Builder {
        Builder(path.into())
    }

    pub(crate) fn keyspace(
        &self,
        name: &str,
        _: impl FnOnce() -> KeyspaceCreateOptions,
    ) -> Result<Keyspace, Error> {
        let folder = self.0.lock().folder.clone();
        let known = world(|world| world.tables.get(&folder)?.names.get(name).copied());
        let id = if let Some(id) = known {
            id
        } else {
            files::take_step()?;
            world(|world| {
                let tables = world.tables.entry(folder).or_default();
                tables.next += 1;
                tables.names.insert(name.into(), tables.next);
                tables.next
            })
        };
        self.0.lock().entries.entry(id).or_default();
        Ok(Keyspace {
            database: self.0.clone(),
            id,
        })
    }

    pub(crate) fn list_keyspace_names(&self) -> Vec<String> {
        let folder = self.0.lock().folder.clone();
        world(|world| world.tables[&folder].names.keys().cloned().collect())
    }

    #[expect(clippy::needless_pass_by_value, reason = "as fjall's")]
    pub(crate) fn delete_keyspace(&self, keyspace: Keyspace) -> Result<(), Error> {
        files::take_step()?;
        let mut inner = self.0.lock();
        inner.entries.remove(&keyspace.id);
        world(|world| {
            if let Some(tables) = world.tables.get_mut(&inner.folder) {
                tables.names.retain(|_, id| *id != keyspace.id);
                tables.entries.remove(&keyspace.id);
            }
        });
        Ok(())
    }

    pub(crate) fn batch(&self) -> OwnedWriteBatch {
        OwnedWriteBatch {
            database: self.0.clone(),
            durability: None,
            items: Vec::new(),
        }
    }

    pub(crate) fn persist(&self, _: PersistMode) -> Result<(), Error> {
        self.0.lock().sync()
    }
}

impl Inner {
    fn sync(&mut self) -> Result<(), Error> {
        if self.is_poisoned {
            return Err(Error::Poisoned);
        }
        self.journal.sync_all().map_err(|error| {
            self.is_poisoned = true;
            error.into()
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // fjall's buffer is written in parts.
        let middle = world(|world| match world.random.below(4) {
            0 => world.random.below(bytes.len()),
            _ => bytes.len(),
        });
        for part in [&bytes[..middle], &bytes[middle..]] {
            if !part.is_empty()
                && let Err(error) = self.journal.write_all(part)
            {
                self.is_poisoned = true;
                self.pending.extend_from_slice(part);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Starts another journal, and moves what the others hold to the tables.
    fn rotate(&mut self) -> Result<(), Error> {
        self.sync()?;
        let old = self.number;
        let path = journal_path(&self.folder, self.number + 1);
        self.journal = OpenOptions::new().create(true).open(&path)?;
        self.number += 1;
        if world(|world| world.random.happens(0.3)) {
            // The tables are written later.
            return Ok(());
        }
        files::take_step()?;
        world(|world| {
            if let Some(tables) = world.tables.get_mut(&self.folder) {
                tables.entries.clone_from(&self.entries);
            }
        });
        for number in 0..=old {
            let path = journal_path(&self.folder, number);
            if files::exists(&path)? {
                files::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// fjall writes its buffer and flushes it when it is dropped, also after a failure.
impl Drop for Inner {
    fn drop(&mut self) {
        let written = self.journal.write_all(&self.pending);
        // Nobody is told whether this succeeds.
        let _ = written.and_then(|()| self.journal.sync_all());
    }
}

impl Keyspace {
    #[expect(clippy::unnecessary_wraps, reason = "as fjall's")]
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Slice>, Error> {
        let inner = self.database.lock();
        Ok(inner
            .entries
            .get(&self.id)
            .and_then(|entries| entries.get(key).cloned()))
    }

    pub(crate) fn iter(&self) -> std::vec::IntoIter<Entry> {
        self.range::<Vec<u8>>(..)
    }

    pub(crate) fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> std::vec::IntoIter<Entry> {
        let bound = |bound: Bound<&K>| match bound {
            Bound::Included(key) => Bound::Included(Slice::from(key.as_ref())),
            Bound::Excluded(key) => Bound::Excluded(Slice::from(key.as_ref())),
            Bound::Unbounded => Bound::Unbounded,
        };
        let range = (bound(range.start_bound()), bound(range.end_bound()));
        let is_empty = match &range {
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start > end,
            _ => false,
        };
        let inner = self.database.lock();
        let found: Vec<Entry> = match inner.entries.get(&self.id) {
            Some(entries) if !is_empty => entries
                .range(range)
                .map(|(key, value)| Entry(key.clone(), value.clone()))
                .collect(),
            _ => Vec::new(),
        };
        found.into_iter()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as fjall's")]
impl Entry {
    pub(crate) fn key(self) -> Result<Slice, Error> {
        Ok(self.0)
    }

    pub(crate) fn value(self) -> Result<Slice, Error> {
        Ok(self.1)
    }

    pub(crate) fn into_inner(self) -> Result<(Slice, Slice), Error> {
        Ok((self.0, self.1))
    }

    pub(crate) fn into_inner_if(
        self,
        is_wanted: impl Fn(&Slice) -> bool,
    ) -> Result<(Slice, Option<Slice>), Error> {
        let wanted = is_wanted(&self.0);
        Ok((self.0, wanted.then_some(self.1)))
    }
}

impl OwnedWriteBatch {
    pub(crate) fn durability(mut self, mode: Option<PersistMode>) -> Self {
        self.durability = mode;
        self
    }

    pub(crate) fn insert<K: Into<Slice>, V: Into<Slice>>(&mut self, keyspace: &Keyspace, key: K, value: V) {
        self.items.push((keyspace.id, key.into(), Some(value.into())));
    }

    pub(crate) fn remove<K: Into<Slice>>(&mut self, keyspace: &Keyspace, key: K) {
        self.items.push((keyspace.id, key.into(), None));
    }

    pub(crate) fn commit(self) -> Result<(), Error> {
        let mut inner = self.database.lock();
        if inner.is_poisoned {
            return Err(Error::Poisoned);
        }
        inner.write(&batch_bytes(&self.items))?;
        if matches!(
            self.durability,
            Some(PersistMode::SyncData | PersistMode::SyncAll)
        ) {
            inner.sync()?;
        }
        for (id, key, value) in self.items {
            put(&mut inner.entries, id, key, value);
        }
        if world(|world| world.random.happens(world.faults.rotation)) {
            // A worker of fjall does it. Its failure stops later writes.
            world(|world| world.note("rotation"));
            if inner.rotate().is_err() {
                inner.is_poisoned = true;
            }
        }
        Ok(())
    }
}

fn put(entries: &mut BTreeMap<u64, Entries>, id: u64, key: Slice, value: Option<Slice>) {
    let entries = entries.entry(id).or_default();
    match value {
        Some(value) => entries.insert(key, value),
        None => entries.remove(&key),
    };
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".jnl")?.parse().ok()
}

fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.jnl"))
}

fn batch_bytes(items: &[(u64, Slice, Option<Slice>)]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&(items.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    let start = bytes.len();
    for (id, key, value) in items {
        let length = value.as_ref().map_or(0, |value| value.len() as u32);
        // Tag, kind of entry (0 = a value, 1 = a removal), compression (0 = none).
        bytes.extend_from_slice(&[2, u8::from(value.is_none()), 0]);
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let mut checksum = Xxh3Default::new();
    checksum.update(&bytes[start..]);
    bytes.push(3);
    bytes.extend_from_slice(&checksum.digest().to_le_bytes());
    bytes.extend_from_slice(b"FJL\x03");
    bytes
}

type Items = Vec<(u64, Slice, Option<Slice>)>;

/// The batch at the start of `bytes` and its length, if it is whole.
fn read_batch(bytes: &[u8]) -> Option<(Items, usize)> {
    if *bytes.first()? != 1 {
        return None;
    }
    let count = u32::from_le_bytes(array(bytes, 1)?);
    let mut at = 13;
    let mut items = Vec::new();
    for _ in 0..count {
        if *bytes.get(at)? != 2 {
            return None;
        }
        let is_removal = *bytes.get(at + 1)? == 1;
        let id = u64::from_le_bytes(array(bytes, at + 3)?);
        let key_length = usize::from(u16::from_le_bytes(array(bytes, at + 11)?));
        let value_length = u32::from_le_bytes(array(bytes, at + 17)?) as usize;
        let key = bytes.get(at + 21..at + 21 + key_length)?;
        let value = bytes.get(at + 21 + key_length..at + 21 + key_length + value_length)?;
        items.push((id, Slice::from(key), (!is_removal).then(|| Slice::from(value))));
        at += 21 + key_length + value_length;
    }
    let mut checksum = Xxh3Default::new();
    checksum.update(bytes.get(13..at)?);
    let is_whole = *bytes.get(at)? == 3
        && array(bytes, at + 1)? == checksum.digest().to_le_bytes()
        && bytes.get(at + 9..at + 13)? == b"FJL\x03";
    is_whole.then_some((items, at + 13))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
