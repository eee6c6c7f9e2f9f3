//! State in memory, for tests and benchmarks of a stage.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bytes::Bytes;

use crate::{Effects, Result, StateReader};

/// The committed state of a stage, in memory: partition number → key → value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryState(HashMap<u32, BTreeMap<Bytes, Bytes>>);

impl MemoryState {
    /// Applies the state changes of `effects`, as a commit does.
    pub fn commit(&mut self, effects: &Effects) {
        for (partition, changes) in &effects.state {
            for (key, value) in changes {
                match value {
                    Some(value) => self.put(*partition, key.clone(), value.clone()),
                    None => self.remove(*partition, key),
                }
            }
        }
    }

    /// Sets one entry, for instance one that an older version of the stage wrote.
    pub fn put(&mut self, partition: u32, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0
            .entry(partition)
            .or_default()
            .insert(key.into(), value.into());
    }

    /// Removes one entry.
    pub fn remove(&mut self, partition: u32, key: &[u8]) {
        if let Some(entries) = self.0.get_mut(&partition) {
            entries.remove(key);
            if entries.is_empty() {
                self.0.remove(&partition);
            }
        }
    }

    /// All entries, by partition number and key.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &Bytes, &Bytes)> {
        let by_number: BTreeMap<_, _> = self.0.iter().collect();
        by_number
            .into_iter()
            .flat_map(|(number, entries)| entries.iter().map(move |(key, value)| (*number, key, value)))
    }

    /// The keys of all entries, by partition number and key.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.entries().map(|(_, key, _)| key)
    }

    /// Number of entries in all partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether no partition has an entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl StateReader for MemoryState {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self
            .0
            .get(&partition)
            .and_then(|entries| entries.get(key))
            .cloned())
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let Some(entries) = self.0.get(&partition) else {
            return Ok(Vec::new());
        };
        let start = Bound::Included(from.max(prefix));
        Ok(entries
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
