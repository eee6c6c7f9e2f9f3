//! Keys and values of state in little memory.
//!
//! Most entries of a large state are small: a remembered id has a key of 21 bytes and no value. As two [`Bytes`] such an entry takes
//! about 125 bytes. A [`Key`] of up to 22 bytes is stored in the tree itself, and an empty [`Value`] takes no space beside its
//! pointer, so that the entry takes about 48 bytes.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

/// The longest key that is stored in the tree.
const INLINE: usize = 22;
/// What an entry takes in the tree, on average: its key and value, in nodes that are two thirds full.
const ENTRY: u64 = 48;
/// What an allocation takes besides its content, and what describes a value.
const ALLOCATED: u64 = 16;
const DESCRIBED: u64 = 64;

/// A key. It is compared by its bytes.
pub(super) enum Key {
    Inline(u8, [u8; INLINE]),
    Allocated(Box<[u8]>),
}

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut inline = [0; INLINE];
        match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Self::Inline(bytes.len() as u8, inline)
            }
            None => Self::Allocated(bytes.into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Self::Allocated(bytes) => bytes,
        }
    }

    /// Approximate bytes of an entry with this key and an empty value.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Inline(..) => ENTRY,
            Self::Allocated(bytes) => ENTRY + ALLOCATED + bytes.len() as u64,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().fmt(f)
    }
}

/// A value. `None` is the empty one.
#[derive(Debug)]
pub(super) struct Value(Option<Box<Bytes>>);

impl Value {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self((!bytes.is_empty()).then(|| Box::new(bytes)))
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.0.as_ref().map_or_else(Bytes::new, |bytes| (**bytes).clone())
    }

    /// Approximate bytes beyond those of an empty value.
    pub(super) fn size(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |bytes| DESCRIBED + ALLOCATED + bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_sort_like_their_bytes_and_values_come_back() {
        let texts: Vec<Vec<u8>> = (0..200_u32)
            .map(|n| (0..n % 47).map(|place| (n * 31 + place * n) as u8).collect())
            .collect();
        let compact: BTreeMap<Key, Value> = texts
            .iter()
            .map(|text| (Key::new(text), Value::new(text.clone().into())))
            .collect();
        let plain: BTreeMap<&[u8], &[u8]> = texts.iter().map(|text| (&text[..], &text[..])).collect();
        let found: Vec<(&[u8], Bytes)> = compact
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.bytes()))
            .collect();
        let expected: Vec<(&[u8], Bytes)> = plain
            .into_iter()
            .map(|(key, value)| (key, Bytes::copy_from_slice(value)))
            .collect();
        assert_eq!(found, expected);
        assert!(texts.iter().all(|text| compact.contains_key(&text[..])));
    }

    /// What a remembered id takes, by the memory of this process. `LIMBIC_MEASURE_IDS=5000000 cargo test --release -p
    /// limbic-stream-kafka --lib measured -- --nocapture`
    #[test]
    fn the_memory_of_an_id_is_measured() {
        let count: u64 = std::env::var("LIMBIC_MEASURE_IDS").map_or(1_000, |text| text.parse().unwrap());
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.unwrap_or(0) * 1_024
        };
        let id = |number: u64| {
            let mut key = vec![b's', 0, 0, 0, 1];
            let half =
                |seed: u64| limbic_domain::random::hash(&[number, seed].map(u64::to_be_bytes).concat());
            key.extend_from_slice(&half(1).to_be_bytes());
            key.extend_from_slice(&half(2).to_be_bytes());
            key
        };
        let before = resident();
        let compact: BTreeMap<Key, Value> = (0..count)
            .map(|number| (Key::new(&id(number)), Value::new(Bytes::new())))
            .collect();
        let sorted = resident();
        drop(compact);
        let start = resident();
        let mut compact: BTreeMap<Key, Value> = BTreeMap::new();
        for number in 0..count {
            compact.insert(Key::new(&id(number)), Value::new(Bytes::new()));
        }
        let grown = resident();
        let mut plain: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        for number in 0..count {
            plain.insert(Bytes::copy_from_slice(&id(number)), Bytes::new());
        }
        let with_plain = resident();
        let each = |from: u64, to: u64| to.saturating_sub(from) / count;
        eprintln!(
            "{count} ids: {} bytes each restored in order, {} one by one, {} as two `Bytes`",
            each(before, sorted),
            each(start, grown),
            each(grown, with_plain)
        );
        assert_eq!((compact.len(), plain.len()), (count as usize, count as usize));
    }
}
