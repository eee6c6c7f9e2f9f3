//! The committed state with uncommitted changes on top.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::{Result, StateReader};

/// Changes of state: partition number → key → value or removal.
pub(crate) type Changes = HashMap<u32, BTreeMap<Bytes, Option<Bytes>>>;

/// A view of the state that includes uncommitted changes.
pub(crate) struct Overlay<'a> {
    pub(crate) below: &'a dyn StateReader,
    pub(crate) changes: &'a Changes,
}

impl StateReader for Overlay<'_> {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        match self.changes.get(&partition).and_then(|changes| changes.get(key)) {
            Some(change) => Ok(change.clone()),
            None => self.below.get(partition, key),
        }
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let Some(changes) = self.changes.get(&partition) else {
            return self.below.scan(partition, prefix, from, limit);
        };
        // Every removal may hide one committed entry, so request as many more.
        let start = if from > prefix { from } else { prefix };
        let of_prefix = changes
            .range(Bytes::copy_from_slice(start)..)
            .take_while(|(key, _)| key.starts_with(prefix));
        let removals = of_prefix.clone().filter(|(_, value)| value.is_none()).count();
        let below = self
            .below
            .scan(partition, prefix, from, limit.saturating_add(removals))?;
        let mut merged: BTreeMap<Bytes, Option<Bytes>> =
            below.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(of_prefix.map(|(key, value)| (key.clone(), value.clone())));
        Ok(merged
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .take(limit)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryState;

    fn changes(of: &[(&'static str, Option<&'static str>)]) -> Changes {
        let changes = of
            .iter()
            .map(|(key, value)| (Bytes::from(*key), value.map(Bytes::from)));
        HashMap::from([(0, changes.collect())])
    }

    #[test]
    fn changes_hide_the_entries_of_the_layer_below() {
        let lower = changes(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
        let upper = changes(&[("a", None), ("b", Some("two")), ("d", Some("4"))]);
        let nothing = MemoryState::default();
        let lower = Overlay {
            below: &nothing,
            changes: &lower,
        };
        let state = Overlay {
            below: &lower,
            changes: &upper,
        };
        assert_eq!(state.get(0, b"a").unwrap(), None);
        assert_eq!(state.get(0, b"b").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(state.get(0, b"c").unwrap().as_deref(), Some(&b"3"[..]));
        let first_two = [("b", "two"), ("c", "3")].map(|(key, value)| (Bytes::from(key), Bytes::from(value)));
        assert_eq!(state.scan(0, b"", b"", 2).unwrap(), first_two);
        assert_eq!(state.get(1, b"b").unwrap(), None);
    }
}
