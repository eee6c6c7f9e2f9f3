//! The records of a group's changelog: state in chunks, and the group's offsets.
//!
//! A broker refuses a record of more than 1 MB by default. A value that is larger than [`CHUNK`] is therefore written as several
//! records, each with a key of its own and a header that says which part of which value it is. The reader puts a value together
//! when it has read all parts of it, one after the other. Parts of a value that was written again are compacted away, some of them
//! earlier than others, so a part that does not follow the one before it is skipped: the whole new value comes later.
//!
//! A group's offsets expire in the cluster when the group has no members for some days. State without its offsets is worth nothing:
//! all records would count again. So each transaction also writes its offsets to the changelog.

use bytes::Bytes;
use limbic_domain::random;
use limbic_stream::Committed;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use std::collections::BTreeMap;

/// Maximum bytes of a value in one record.
pub(super) const CHUNK: usize = 512 << 10;

/// The header of a part of a value: its place, the number of parts (32 bits each), and a hash of the value (64 bits), big-endian.
/// Also on the record that removes a part.
const PART: &str = "limbic-part";
/// Ends the key of a part, before its place. No stage has such a key.
const PART_OF: &[u8] = b"\0\0limbic-part";
/// The header of an offset: 64 bits, big-endian. The value of the record is the metadata of the commit.
const OFFSET: &str = "limbic-offset";
/// Begins the key of an offset, before the topic's name.
const OFFSET_OF: &[u8] = b"\0\0limbic-offset/";

/// A record to write.
pub(super) struct Written {
    pub(super) key: Vec<u8>,
    /// `None` removes the key.
    pub(super) value: Option<Bytes>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// The number of parts of a value of `length` bytes; 0 = it is one ordinary record.
pub(super) const fn parts(length: usize) -> u32 {
    if length <= CHUNK {
        0
    } else {
        length.div_ceil(CHUNK) as u32
    }
}

/// The records that set `key` to `value`. `before` is the number of parts of the value before.
pub(super) fn of_state(key: &Bytes, value: Option<&Bytes>, before: u32) -> Vec<Written> {
    let now = value.map_or(0, |value| parts(value.len()));
    let mut records = Vec::with_capacity(1 + now.max(before) as usize);
    match value {
        Some(value) if now > 0 => {
            let hash = random::hash(value);
            for (place, chunk) in (0..).zip(value.chunks(CHUNK)) {
                records.push(Written {
                    key: part_key(key, place),
                    value: Some(value.slice_ref(chunk)),
                    headers: Some(part_header(place, now, hash)),
                });
            }
        }
        _ => records.push(Written {
            key: key.to_vec(),
            value: value.cloned(),
            headers: None,
        }),
    }
    for place in now..before {
        records.push(Written {
            key: part_key(key, place),
            value: None,
            headers: Some(part_header(place, 0, 0)),
        });
    }
    records
}

/// The record that holds a committed offset. It belongs to the partition of the changelog with the partition's number.
pub(super) fn of_offset(committed: &Committed) -> Written {
    let next = committed.next.to_be_bytes();
    Written {
        key: [OFFSET_OF, committed.partition.topic.as_bytes()].concat(),
        value: Some(Bytes::copy_from_slice(committed.metadata.as_bytes())),
        headers: Some(OwnedHeaders::new().insert(Header {
            key: OFFSET,
            value: Some(&next[..]),
        })),
    }
}

fn part_key(key: &[u8], place: u32) -> Vec<u8> {
    [key, PART_OF, &place.to_be_bytes()].concat()
}

fn part_header(place: u32, of: u32, hash: u64) -> OwnedHeaders {
    let mut value = Vec::with_capacity(16);
    value.extend_from_slice(&place.to_be_bytes());
    value.extend_from_slice(&of.to_be_bytes());
    value.extend_from_slice(&hash.to_be_bytes());
    OwnedHeaders::new().insert(Header {
        key: PART,
        value: Some(&value[..]),
    })
}

/// What a record of the changelog says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The state at a key; `None` = it was removed.
    State(Bytes, Option<Bytes>),
    /// The offset of a topic (its logical name), and the metadata of its commit.
    Offset(String, u64, String),
    /// A part of a value that is not complete yet, or not any more.
    Nothing,
}

/// Reads the records of one partition of a changelog, in order.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The values of which not all parts have been read.
    incomplete: BTreeMap<Bytes, Incomplete>,
}

#[derive(Debug)]
struct Incomplete {
    hash: u64,
    of: u32,
    next: u32,
    value: Vec<u8>,
}

impl Reader {
    pub(super) fn read(&mut self, message: &BorrowedMessage<'_>) -> Read {
        let key = message.key().unwrap_or_default();
        let headers = message.headers();
        let header = |name| {
            let mut all = headers.iter().flat_map(|headers| headers.iter());
            all.find(|header| header.key == name)
                .and_then(|header| header.value)
        };
        self.decode(key, message.payload(), header(PART), header(OFFSET))
    }

    fn decode(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        part: Option<&[u8]>,
        offset: Option<&[u8]>,
    ) -> Read {
        if let Some(part) = part {
            return self.part(key, value, part).unwrap_or(Read::Nothing);
        }
        if let Some(next) = offset.and_then(|next| next.try_into().ok())
            && let Some(topic) = key.strip_prefix(OFFSET_OF)
        {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            return Read::Offset(
                text(topic),
                u64::from_be_bytes(next),
                text(value.unwrap_or_default()),
            );
        }
        Read::State(Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice))
    }

    fn part(&mut self, key: &[u8], value: Option<&[u8]>, part: &[u8]) -> Option<Read> {
        let (place, rest) = part.split_first_chunk()?;
        let (of, hash) = rest.split_first_chunk()?;
        let (place, of) = (u32::from_be_bytes(*place), u32::from_be_bytes(*of));
        let hash = u64::from_be_bytes(hash.try_into().ok()?);
        let key = key.strip_suffix(&place.to_be_bytes())?.strip_suffix(PART_OF)?;
        let key = Bytes::copy_from_slice(key);
        // The removal of a part that is not needed any more has no value.
        let value = value?;
        let mut known = match self.incomplete.remove(&key) {
            _ if place == 0 => Incomplete {
                hash,
                of,
                next: 0,
                value: Vec::new(),
            },
            known => known?,
        };
        if (known.hash, known.of, known.next) != (hash, of, place) {
            return None;
        }
        known.value.extend_from_slice(value);
        known.next += 1;
        if known.next == known.of {
            return Some(Read::State(key, Some(known.value.into())));
        }
        self.incomplete.insert(key, known);
        None
    }
}

#[cfg(test)]
mod tests {
    use limbic_stream::TopicPartition;
    use rdkafka::message::Headers as _;

    use super::*;

    fn read(reader: &mut Reader, written: &Written) -> Read {
        let header = |name| {
            let headers = written.headers.iter().flat_map(|headers| headers.iter());
            headers
                .filter(|header| header.key == name)
                .find_map(|header| header.value)
                .map(<[u8]>::to_vec)
        };
        let (part, offset) = (header(PART), header(OFFSET));
        reader.decode(
            &written.key,
            written.value.as_deref(),
            part.as_deref(),
            offset.as_deref(),
        )
    }

    /// The state at `k` after these records.
    fn after<'a>(records: impl IntoIterator<Item = &'a Written>) -> Option<Bytes> {
        let mut reader = Reader::default();
        let mut state = None;
        for record in records {
            match read(&mut reader, record) {
                Read::State(key, value) => {
                    assert_eq!(key, "k");
                    state = value;
                }
                Read::Nothing => {}
                Read::Offset(..) => panic!("no offset was written"),
            }
        }
        state
    }

    /// What compaction may leave of the records: the latest one of each key, and any earlier ones of which `keep` is true.
    fn compacted(records: &[Written], keep: impl Fn(usize) -> bool) -> Vec<&Written> {
        let is_latest = |place: usize| {
            records[place + 1..]
                .iter()
                .all(|later| later.key != records[place].key)
        };
        (0..records.len())
            .filter(|place| is_latest(*place) || keep(*place))
            .map(|place| &records[place])
            .collect()
    }

    #[test]
    fn a_large_value_comes_back_whatever_compaction_leaves_of_it_and_of_values_before() {
        let key = Bytes::from_static(b"k");
        let value = |byte: u8, length: usize| Bytes::from(vec![byte; length]);
        let small = value(1, 10);
        let values = [
            Some(small.clone()),
            Some(value(2, 3 * CHUNK + 1)),
            Some(value(3, 2 * CHUNK)),
            Some(value(4, CHUNK + 7)),
            Some(small),
            Some(value(5, 5 * CHUNK)),
            None,
            Some(value(6, 2 * CHUNK + 1)),
        ];
        let mut log = Vec::new();
        let mut before = 0;
        for now in values {
            let records = of_state(&key, now.as_ref(), before);
            assert!(
                records
                    .iter()
                    .all(|record| record.value.as_ref().is_none_or(|value| value.len() <= CHUNK))
            );
            log.extend(records);
            before = now.as_ref().map_or(0, |value| parts(value.len()));
            for seed in 0..40_u64 {
                let keep = |place: usize| {
                    random::hash(&[seed.to_be_bytes(), (place as u64).to_be_bytes()].concat())
                        .is_multiple_of(3)
                };
                assert_eq!(after(compacted(&log, keep)), now);
            }
        }
        // A removal, of which the brokers have deleted the tombstones.
        log.extend(of_state(&key, None, before));
        let mut left = compacted(&log, |_| false);
        left.retain(|record| record.value.is_some());
        assert_eq!(after(left), None);
    }

    #[test]
    fn an_offset_comes_back_with_its_metadata_and_is_not_state() {
        let committed = Committed {
            partition: TopicPartition {
                topic: "posts".into(),
                partition: 3,
            },
            next: 7,
            metadata: "{\"c\":1}".into(),
        };
        let written = of_offset(&committed);
        let expected = Read::Offset("posts".into(), 7, "{\"c\":1}".into());
        assert_eq!(read(&mut Reader::default(), &written), expected);
    }
}
