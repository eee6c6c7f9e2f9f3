//! For each prefix that a member of a group scans, a key before which the prefix has no entry: the *floor*.
//!
//! A stage takes its timers in the order of time, and removes them. A removed entry stays in the tree as a tombstone until a
//! compaction drops it. A scan from the beginning of the prefix would pass over every entry that was removed since then. A
//! member therefore remembers the floor of each prefix, and starts its scans there.
//!
//! Only the member itself changes the state of the partitions that it holds, so a floor stays valid until the member commits
//! an entry below it.

use std::collections::BTreeSet;

use bytes::Bytes;
use foldhash::HashMap;

/// Maximum number of remembered prefixes. When it is reached, all are forgotten. A stage scans a few prefixes for each of its
/// partitions, or one for each key.
const MOST: usize = 1_024;

/// The floor of each prefix.
#[derive(Debug, Default)]
pub(super) struct Floors {
    by_prefix: HashMap<Vec<u8>, Vec<u8>>,
    /// Lengths of the prefixes.
    lengths: BTreeSet<usize>,
}

impl Floors {
    /// The key at which a scan of `prefix` from `start` can begin: `start`, or the floor if it is later.
    pub(super) fn start(&self, prefix: &[u8], start: Vec<u8>) -> Vec<u8> {
        match self.by_prefix.get(prefix) {
            Some(floor) if *floor > start => floor.clone(),
            _ => start,
        }
    }

    /// Notes that a scan from the beginning of `prefix` found `first` as its first entry, or found no entry.
    pub(super) fn note(&mut self, prefix: Vec<u8>, first: Option<Vec<u8>>) {
        let Some(floor) = first.or_else(|| behind(&prefix)) else {
            return;
        };
        if self.by_prefix.len() >= MOST {
            self.clear();
        }
        self.lengths.insert(prefix.len());
        self.by_prefix.insert(prefix, floor);
    }

    /// Lowers the floors above `key`, because an entry at `key` is about to be committed.
    pub(super) fn lower(&mut self, key: &Bytes) {
        for length in &self.lengths {
            let Some(prefix) = key.get(..*length) else {
                return;
            };
            if let Some(floor) = self.by_prefix.get_mut(prefix)
                && **floor > **key
            {
                *floor = key.to_vec();
            }
        }
    }

    /// Forgets all floors, because another member may have changed the state.
    pub(super) fn clear(&mut self) {
        self.by_prefix.clear();
        self.lengths.clear();
    }
}

/// The smallest key after all keys with `prefix`. `None` if there is no such key.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What a member does with its state.
    #[derive(Debug, Clone)]
    enum Action {
        Put(Vec<u8>),
        Remove(Vec<u8>),
        Scan(Vec<u8>),
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        // Few different bytes, and 0xff among them, so that many prefixes contain each other and some have no key after them.
        let key = || proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(u8::MAX)], 1..4);
        let action = prop_oneof![
            key().prop_map(Action::Put),
            key().prop_map(Action::Remove),
            key().prop_map(Action::Scan),
        ];
        proptest::collection::vec(action, 0..60)
    }

    proptest! {
        #[test]
        fn a_scan_with_floors_finds_the_same_entries_as_without(actions in actions()) {
            let mut entries: BTreeSet<Vec<u8>> = BTreeSet::new();
            let mut floors = Floors::default();
            for action in actions {
                match action {
                    Action::Put(key) => {
                        floors.lower(&Bytes::copy_from_slice(&key));
                        entries.insert(key);
                    }
                    Action::Remove(key) => {
                        entries.remove(&key);
                    }
                    Action::Scan(prefix) => {
                        let scan = |start: Vec<u8>| {
                            let found = entries.range(start..).take_while(|key| key.starts_with(&prefix));
                            found.cloned().collect::<Vec<_>>()
                        };
                        let found = scan(floors.start(&prefix, prefix.clone()));
                        prop_assert_eq!(&found, &scan(prefix.clone()));
                        floors.note(prefix.clone(), found.first().cloned());
                    }
                }
            }
        }
    }

    #[test]
    fn a_scan_starts_after_the_removed_entries() {
        let mut floors = Floors::default();
        floors.note(b"t".to_vec(), Some(b"t5".to_vec()));
        assert_eq!(floors.start(b"t", b"t".to_vec()), b"t5");
        assert_eq!(
            floors.start(b"t", b"t7".to_vec()),
            b"t7",
            "the scan starts after the floor"
        );
        floors.lower(&Bytes::from_static(b"t3"));
        assert_eq!(floors.start(b"t", b"t".to_vec()), b"t3");
        floors.note(b"t".to_vec(), None);
        assert_eq!(floors.start(b"t", b"t".to_vec()), b"u", "the prefix has no entry");
        floors.clear();
        assert_eq!(floors.start(b"t", b"t".to_vec()), b"t");
    }

    #[test]
    fn the_number_of_remembered_prefixes_is_bounded() {
        let mut floors = Floors::default();
        for number in 0..3 * MOST as u32 {
            floors.note(number.to_be_bytes().to_vec(), None);
            assert!(floors.by_prefix.len() <= MOST);
        }
    }
}
