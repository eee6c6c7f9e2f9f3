//! A typed part of a stage's state.

use std::borrow::Cow;
use std::marker::PhantomData;

use bytes::Bytes;
use limbic_domain::{TenantId, Utc};

use super::StateValue;
use crate::{Error, Outputs, Result, StateReader};

/// A key of a [`Table`]. Entries are sorted by the bytes of their keys, so the bytes must sort in the order of the keys.
pub trait StateKey: Sized {
    /// Parses the key. `None` if the bytes are damaged.
    fn from_key(bytes: &[u8]) -> Option<Self>;
}

/// A value that identifies an entry of a table with keys `K`: the key itself, or its borrowed parts.
pub trait KeyFor<K> {
    /// Appends the key's bytes.
    fn write_key(&self, to: &mut Vec<u8>);

    /// Bytes to reserve. A good estimate saves a copy.
    fn size_hint(&self) -> usize {
        32
    }
}

/// The key of a table with one entry in each partition.
impl StateKey for () {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl KeyFor<()> for () {
    fn write_key(&self, _: &mut Vec<u8>) {}

    fn size_hint(&self) -> usize {
        0
    }
}

impl StateKey for Bytes {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        Some(Self::copy_from_slice(bytes))
    }
}

impl KeyFor<Bytes> for &[u8] {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn size_hint(&self) -> usize {
        self.len()
    }
}

impl StateKey for TenantId {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        Self::new(std::str::from_utf8(bytes).ok()?).ok()
    }
}

impl KeyFor<TenantId> for &TenantId {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_str().as_bytes());
    }

    fn size_hint(&self) -> usize {
        self.as_str().len()
    }
}

/// A time as eight bytes that sort like times.
pub(super) const fn time_to_key(at: Utc) -> [u8; 8] {
    (at.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The inverse of [`time_to_key`].
pub(super) const fn time_from_key(bytes: [u8; 8]) -> Utc {
    Utc::from_millis((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// Entries of one type in the state of a stage, under their own prefix.
///
/// A table holds no data. Its entries are in the state of a partition number: they are committed with the outputs of the
/// batch that changed them, and move with the partition to another instance.
///
/// ```
/// use bytes::Bytes;
/// use limbic_stream::{Outputs, Table, testing::MemoryState};
///
/// const SEEN: Table<Bytes, u64> = Table::new("times an author was seen", b"s");
///
/// let mut state = MemoryState::default();
/// let mut out = Outputs::new(&state);
/// let before = SEEN.get(&out, 0, &&b"ada"[..])?.unwrap_or(0);
/// SEEN.put(&mut out, 0, &&b"ada"[..], &(before + 1));
/// let effects = out.into_effects();
/// state.commit(&effects);
/// assert_eq!(SEEN.get(&state, 0, &&b"ada"[..])?, Some(1));
/// # Ok::<(), limbic_stream::Error>(())
/// ```
pub struct Table<K, V> {
    name: Cow<'static, str>,
    prefix: Cow<'static, [u8]>,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            of: PhantomData,
        }
    }
}

impl<K, V> std::fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl<K: StateKey, V: StateValue> Table<K, V> {
    /// A table. `name` is for error messages. `prefix` starts every key: no prefix of a stage may start with another one.
    pub const fn new(name: &'static str, prefix: &'static [u8]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            prefix: Cow::Borrowed(prefix),
            of: PhantomData,
        }
    }

    /// Like [`Self::new`], with a name and a prefix that are built at run time.
    pub const fn named(name: String, prefix: Vec<u8>) -> Self {
        Self {
            name: Cow::Owned(name),
            prefix: Cow::Owned(prefix),
            of: PhantomData,
        }
    }

    /// The same kind of table under another prefix.
    pub(super) fn under(&self, prefix: Vec<u8>) -> Self {
        Self {
            name: self.name.clone(),
            prefix: Cow::Owned(prefix),
            of: PhantomData,
        }
    }

    /// The key of an entry in the state. [`Self::get_at`] and [`Self::put_at`] use it, so that code that reads and writes
    /// an entry builds its key once.
    pub fn key(&self, key: &impl KeyFor<K>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.prefix.len() + key.size_hint());
        bytes.extend_from_slice(&self.prefix);
        key.write_key(&mut bytes);
        bytes
    }

    /// The value at `key`, if there is one.
    pub fn get(&self, state: &impl StateReader, partition: u32, key: &impl KeyFor<K>) -> Result<Option<V>> {
        self.get_at(state, partition, &self.key(key))
    }

    /// The value at a key from [`Self::key`].
    pub fn get_at(&self, state: &impl StateReader, partition: u32, key: &[u8]) -> Result<Option<V>> {
        state
            .get(partition, key)?
            .map(|bytes| self.decode(partition, key, &bytes))
            .transpose()
    }

    /// Whether there is a value at `key`. The value is not decoded.
    pub fn contains(&self, state: &impl StateReader, partition: u32, key: &impl KeyFor<K>) -> Result<bool> {
        Ok(state.get(partition, &self.key(key))?.is_some())
    }

    /// Sets the value at `key`.
    pub fn put(&self, out: &mut Outputs<'_>, partition: u32, key: &impl KeyFor<K>, value: &V) {
        self.put_at(out, partition, self.key(key), value);
    }

    /// Sets the value at a key from [`Self::key`].
    pub fn put_at(&self, out: &mut Outputs<'_>, partition: u32, key: impl Into<Bytes>, value: &V) {
        out.put(partition, key, value.to_bytes());
    }

    /// Removes the value at `key`, if there is one.
    pub fn remove(&self, out: &mut Outputs<'_>, partition: u32, key: &impl KeyFor<K>) {
        out.remove(partition, self.key(key));
    }

    /// Up to `limit` entries whose key starts with `prefix` (after the table's own prefix), in key order.
    pub fn scan(
        &self,
        state: &impl StateReader,
        partition: u32,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<(K, V)>> {
        let prefix = [&self.prefix[..], prefix].concat();
        let entries = state.scan(partition, &prefix, &prefix, limit)?;
        entries
            .iter()
            .map(|(key, bytes)| {
                Ok((
                    self.decode_key(partition, key)?,
                    self.decode(partition, key, bytes)?,
                ))
            })
            .collect()
    }

    /// Parses `bytes`, a key of the state.
    pub fn decode_key(&self, partition: u32, bytes: &[u8]) -> Result<K> {
        bytes
            .strip_prefix(&self.prefix[..])
            .and_then(K::from_key)
            .ok_or_else(|| self.corrupt(partition, bytes, &"the key is damaged"))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn decode(&self, partition: u32, key: &[u8], bytes: &[u8]) -> Result<V> {
        V::from_bytes(bytes).map_err(|problem| self.corrupt(partition, key, &problem))
    }

    fn corrupt(&self, partition: u32, key: &[u8], problem: &dyn std::fmt::Display) -> Error {
        Error::Corrupt(format!(
            "table `{}`, partition {partition}, key `{}` cannot be read: {problem}",
            self.name,
            key.escape_ascii()
        ))
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DecodeProblem, Decoder, Encoder};
    use super::*;
    use crate::testing::MemoryState;

    /// Version 1 counted clicks, version 2 counts views too.
    #[derive(Debug, PartialEq)]
    struct Counts {
        clicks: u64,
        views: u64,
    }

    impl StateValue for Counts {
        const VERSION: u8 = 2;

        fn encode(&self, to: &mut Encoder) {
            to.unsigned(self.clicks);
            to.unsigned(self.views);
        }

        fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
            Ok(Self {
                clicks: from.unsigned()?,
                views: if from.version() < 2 { 0 } else { from.unsigned()? },
            })
        }
    }

    const COUNTS: Table<Bytes, Counts> = Table::new("counts", b"c");
    const OTHERS: Table<Bytes, u64> = Table::new("others", b"d");

    fn key(text: &str) -> &[u8] {
        text.as_bytes()
    }

    #[test]
    fn entries_are_found_by_key_and_prefix_and_are_invisible_to_other_tables() {
        let state = MemoryState::default();
        let mut out = Outputs::new(&state);
        for (n, name) in ["ab", "aa", "b"].into_iter().enumerate() {
            let counts = Counts {
                clicks: n as u64,
                views: 9,
            };
            COUNTS.put(&mut out, 3, &key(name), &counts);
        }
        OTHERS.put(&mut out, 3, &key("aa"), &1);
        let clicks = |prefix: &str, limit| -> Vec<u64> {
            let found = COUNTS.scan(&out, 3, prefix.as_bytes(), limit).unwrap();
            found.into_iter().map(|(_, counts)| counts.clicks).collect()
        };
        assert_eq!(clicks("", 9), [1, 0, 2]);
        assert_eq!(clicks("a", 9), [1, 0]);
        assert_eq!(clicks("", 1), [1]);
        assert_eq!(
            COUNTS.get(&out, 0, &key("aa")).unwrap(),
            None,
            "another partition"
        );
        COUNTS.remove(&mut out, 3, &key("aa"));
        assert!(!COUNTS.contains(&out, 3, &key("aa")).unwrap());
        assert!(OTHERS.contains(&out, 3, &key("aa")).unwrap());
    }

    #[test]
    fn a_value_of_an_older_version_is_migrated_and_written_as_the_newest() {
        let mut state = MemoryState::default();
        state.put(0, &b"cx"[..], &[1, 7][..]);
        let mut out = Outputs::new(&state);
        let counts = COUNTS.get(&out, 0, &key("x")).unwrap().unwrap();
        assert_eq!(counts, Counts { clicks: 7, views: 0 });
        COUNTS.put(&mut out, 0, &key("x"), &counts);
        assert_eq!(out.get(0, b"cx").unwrap().unwrap()[..], [2, 7, 0]);
    }

    #[test]
    fn an_error_names_table_partition_and_key_and_what_to_do() {
        let mut state = MemoryState::default();
        state.put(4, &b"cx"[..], &[3, 7][..]);
        let error = COUNTS.get(&state, 4, &key("x")).unwrap_err().to_string();
        for part in ["`counts`", "partition 4", "`cx`", "version 3", "upgrade"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        state.put(4, &b"cx"[..], &[2][..]);
        let error = COUNTS.scan(&state, 4, b"", 1).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}
