//! The committed state with uncommitted changes on top.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

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
        self.scan_noting(partition, prefix, from, limit, |_| {})
    }
}

/// The least number of entries that are requested from the layer below at once.
const LEAST_PAGE: usize = 16;

impl Overlay<'_> {
    /// As [`StateReader::scan`]. Calls `is_above_only` with each key that it returns and that the layer below does not have.
    pub(crate) fn scan_noting(
        &self,
        partition: u32,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
        mut is_above_only: impl FnMut(&Bytes),
    ) -> Result<Vec<(Bytes, Bytes)>> {
        let Some(changes) = self.changes.get(&partition) else {
            return self.below.scan(partition, prefix, from, limit);
        };
        let start = if from > prefix { from } else { prefix };
        let mut above = changes
            .range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        let mut found = Vec::new();
        let mut take_above = |(key, value): (&Bytes, &Option<Bytes>), found: &mut Vec<(Bytes, Bytes)>| {
            if let Some(value) = value {
                is_above_only(key);
                found.push((key.clone(), value.clone()));
            }
        };
        let mut start = start.to_vec();
        let mut page = limit.max(LEAST_PAGE);
        while found.len() < limit {
            let below = self.below.scan(partition, prefix, &start, page)?;
            let is_last = below.len() < page;
            if let Some((last, _)) = below.last() {
                // The smallest key after the last one.
                start.clear();
                start.extend_from_slice(last);
                start.push(0);
            }
            for (key, value) in below {
                while found.len() < limit
                    && let Some(change) = above.next_if(|(other, _)| **other < key)
                {
                    take_above(change, &mut found);
                }
                if found.len() == limit {
                    return Ok(found);
                }
                match above.next_if(|(other, _)| **other == key) {
                    Some((_, Some(newer))) => found.push((key, newer.clone())),
                    // Removals hide entries below, so more of them may be needed than `limit`.
                    Some((_, None)) => {}
                    None => found.push((key, value)),
                }
            }
            if is_last {
                break;
            }
            page = page.saturating_mul(2);
        }
        while found.len() < limit
            && let Some(change) = above.next()
        {
            take_above(change, &mut found);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::MemoryState;

    fn changes(of: &[(&'static str, Option<&'static str>)]) -> Changes {
        let changes = of
            .iter()
            .map(|(key, value)| (Bytes::from(*key), value.map(Bytes::from)));
        HashMap::from([(0, changes.collect())])
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0..3_u8, 0..4)
    }

    proptest! {
        #[test]
        fn a_scan_finds_what_the_changes_leave_and_notes_what_only_they_have(
            below in proptest::collection::btree_map(key(), any::<u8>(), 0..80),
            changed in proptest::collection::btree_map(key(), any::<Option<u8>>(), 0..80),
            prefix in proptest::collection::vec(0..3_u8, 0..2),
            from in key(),
            limit in 0..50_usize,
        ) {
            let mut state = MemoryState::default();
            for (key, value) in &below {
                state.put(4, key.clone(), vec![*value]);
            }
            let change = |(key, value): (&Vec<u8>, &Option<u8>)| (key.clone().into(), value.map(|value| vec![value].into()));
            let changes = HashMap::from([(4, changed.iter().map(change).collect())]);
            let overlay = Overlay { below: &state, changes: &changes };
            let mut noted = Vec::new();
            let found = overlay.scan_noting(4, &prefix, &from, limit, |key| noted.push(key.to_vec())).unwrap();

            let mut left: BTreeMap<Vec<u8>, Option<u8>> = below.iter().map(|(key, value)| (key.clone(), Some(*value))).collect();
            left.extend(changed.clone());
            let expected: Vec<(Vec<u8>, Vec<u8>)> = left
                .into_iter()
                .filter(|(key, _)| key.starts_with(&prefix) && *key >= from)
                .filter_map(|(key, value)| Some((key, vec![value?])))
                .take(limit)
                .collect();
            let found: Vec<(Vec<u8>, Vec<u8>)> = found.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(&found, &expected);
            let only_above = expected.into_iter().map(|(key, _)| key).filter(|key| !below.contains_key(key));
            prop_assert_eq!(noted, only_above.collect::<Vec<_>>());
        }
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
