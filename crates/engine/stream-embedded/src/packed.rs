//! The stored format of records: the records of one producer batch are packed into one value.
//!
//! ```text
//! header   0  version              one byte (1; 2 = compressed on disk), three of padding
//!          4  crc32 of bytes 8..40
//!          8  written at           i64, milliseconds since the epoch, wall clock
//!         16  bytes before         u64, of this partition in this segment
//!         24  records              u32
//!         28  crc32 of the payload
//!         32  first offset         u64
//! payload 40  for each record: event time i64; lengths of key and value, number of headers (LEB128);
//!             key; value; for each header: length of its name, of its value, name, value
//! ```
//!
//! Numbers are little-endian. The payload contains no offsets, so producers pack it on their own threads. The committer,
//! which assigns the offsets, only fills in the header.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::Utc;

use limbic_stream::{Error, Headers, NewRecord, Record, Result, TopicPartition};

/// The format version of a batch in memory.
pub(super) const PLAIN: u8 = 1;
/// The format version of a compressed batch on disk (see `compression`).
pub(super) const COMPRESSED: u8 = 2;
/// Bytes of a header.
pub(super) const HEADER: usize = 40;

/// The content of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) first: u64,
    pub(super) records: u32,
    pub(super) written_at: Utc,
    pub(super) bytes_before: u64,
}

impl Summary {
    /// The offset after the last record.
    pub(super) const fn end(&self) -> u64 {
        self.first + self.records as u64
    }
}

/// Bytes that a record has in a payload.
pub(super) fn packed_length(record: &NewRecord) -> usize {
    let length = |bytes: usize| bytes.max(1).ilog2() as usize / 7 + 1;
    let (key, value) = (record.key.len(), record.value.len());
    let headers = record.headers.iter().map(|(name, value)| {
        let (name, value) = (name.len(), value.len());
        length(name) + length(value) + name + value
    });
    8 + length(key) + length(value) + length(record.headers.len()) + key + value + headers.sum::<usize>()
}

/// Packs records: space for the header, then the payload.
#[derive(Debug)]
pub(super) struct Packer {
    bytes: Vec<u8>,
    records: u32,
}

/// A complete payload.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Vec<u8>,
    records: u32,
    checksum: crc32fast::Hasher,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self::with_room(0)
    }

    /// With room for records of `bytes` packed bytes, so that the payload has no unused memory and is not copied while it grows.
    pub(super) fn with_room(bytes: usize) -> Self {
        let mut packed = Vec::with_capacity(HEADER + bytes);
        packed.resize(HEADER, 0);
        Self {
            bytes: packed,
            records: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn push(&mut self, record: &NewRecord) {
        let out = &mut self.bytes;
        out.extend_from_slice(&record.timestamp.as_millis().to_le_bytes());
        put_length(out, record.key.len());
        put_length(out, record.value.len());
        put_length(out, record.headers.len());
        out.extend_from_slice(&record.key);
        out.extend_from_slice(&record.value);
        for (name, value) in record.headers.iter() {
            put_length(out, name.len());
            put_length(out, value.len());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
        }
        self.records += 1;
    }

    /// Adds a record that is already packed.
    pub(super) fn push_raw(&mut self, record: &RawRecord) {
        self.bytes.extend_from_slice(&record.packed);
        self.records += 1;
    }

    pub(super) fn finish(self) -> Payload {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&self.bytes[HEADER..]);
        Payload {
            bytes: self.bytes,
            records: self.records,
            checksum,
        }
    }
}

impl Payload {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) const fn records(&self) -> u32 {
        self.records
    }

    /// Appends the records of another producer, so that many small batches become one value.
    pub(super) fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes[HEADER..]);
        self.records += other.records;
        self.checksum.combine(&other.checksum);
    }

    /// Fills in the header.
    pub(super) fn seal(mut self, first: u64, written_at: Utc, bytes_before: u64) -> Bytes {
        let header = &mut self.bytes[..HEADER];
        header[0] = PLAIN;
        header[8..16].copy_from_slice(&written_at.as_millis().to_le_bytes());
        header[16..24].copy_from_slice(&bytes_before.to_le_bytes());
        header[24..28].copy_from_slice(&self.records.to_le_bytes());
        header[28..32].copy_from_slice(&self.checksum.finalize().to_le_bytes());
        header[32..40].copy_from_slice(&first.to_le_bytes());
        let checksum = crc32fast::hash(&header[8..]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
        Bytes::from(self.bytes)
    }
}

/// A packed record that is copied without unpacking.
#[derive(Debug)]
pub(super) struct RawRecord {
    pub(super) offset: u64,
    pub(super) key: Bytes,
    /// Whether the record's value is empty.
    pub(super) is_tombstone: bool,
    packed: Bytes,
}

/// Reads a header and verifies its checksum.
pub(super) fn summary(bytes: &[u8]) -> Result<Summary> {
    let header = bytes.get(..HEADER).ok_or_else(|| {
        Error::Corrupt(format!(
            "a batch of {} bytes is shorter than its header",
            bytes.len()
        ))
    })?;
    if !matches!(header[0], PLAIN | COMPRESSED) {
        return Err(Error::Corrupt(format!(
            "a batch has format version {}, this program reads up to {COMPRESSED}: upgrade it",
            header[0]
        )));
    }
    if crc32fast::hash(&header[8..]) != u32_at(header, 4) {
        return Err(Error::Corrupt(
            "the checksum of a batch's header does not match".into(),
        ));
    }
    Ok(Summary {
        first: u64_at(header, 32),
        records: u32_at(header, 24),
        written_at: Utc::from_millis(u64_at(header, 8).cast_signed()),
        bytes_before: u64_at(header, 16),
    })
}

/// Iterates over the records of a batch.
#[derive(Debug)]
pub(super) struct Unpacker {
    bytes: Bytes,
    at: usize,
    next: u64,
    end: u64,
    /// Header names repeat from record to record, so each name is allocated once.
    names: Vec<Arc<str>>,
}

impl Unpacker {
    /// For a batch that has never left this process's memory. The payload's checksum is not verified.
    pub(super) fn trusted(bytes: Bytes) -> Result<Self> {
        let summary = summary(&bytes)?;
        Ok(Self {
            bytes,
            at: HEADER,
            next: summary.first,
            end: summary.end(),
            names: Vec::new(),
        })
    }

    /// For a batch from the disk. Verifies the payload's checksum.
    pub(super) fn verified(bytes: Bytes) -> Result<Self> {
        summary(&bytes)?;
        let unpacker = Self::trusted(crate::compression::read(bytes)?)?;
        if crc32fast::hash(&unpacker.bytes[HEADER..]) != u32_at(&unpacker.bytes, 28) {
            return Err(Error::Corrupt(format!(
                "the checksum of the batch at offset {} does not match",
                unpacker.next
            )));
        }
        Ok(unpacker)
    }

    /// The offset of the next record.
    pub(super) const fn position(&self) -> u64 {
        self.next
    }

    /// The offset after the last record.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.next == self.end
    }

    /// The current position, for [`Self::return_to`].
    pub(super) const fn mark(&self) -> (usize, u64) {
        (self.at, self.next)
    }

    /// Returns to a position from [`Self::mark`].
    pub(super) const fn return_to(&mut self, mark: (usize, u64)) {
        (self.at, self.next) = mark;
    }

    /// The next record in packed form. `None` at the end.
    pub(super) fn next_raw(&mut self) -> Result<Option<RawRecord>> {
        if self.is_empty() {
            return Ok(None);
        }
        let start = self.at;
        self.take(8)?;
        let (key, value, headers) = (self.length()?, self.length()?, self.length()?);
        let key = self.slice(key)?;
        self.skip_rest(0, value, headers)?;
        let offset = self.next;
        self.next += 1;
        Ok(Some(RawRecord {
            offset,
            key,
            is_tombstone: value == 0,
            packed: self.bytes.slice(start..self.at),
        }))
    }

    /// Skips the records before `offset`.
    pub(super) fn skip_to(&mut self, offset: u64) -> Result<()> {
        while self.next < offset && !self.is_empty() {
            self.at += 8;
            let (key, value, headers) = (self.length()?, self.length()?, self.length()?);
            self.skip_rest(key, value, headers)?;
            self.next += 1;
        }
        Ok(())
    }

    fn skip_rest(&mut self, key: usize, value: usize, headers: usize) -> Result<()> {
        self.take(key)?;
        self.take(value)?;
        for _ in 0..headers {
            let (name, value) = (self.length()?, self.length()?);
            self.take(name)?;
            self.take(value)?;
        }
        Ok(())
    }

    pub(super) fn next(&mut self, partition: &TopicPartition) -> Result<Option<Record>> {
        if self.is_empty() {
            return Ok(None);
        }
        let time = self.take(8)?;
        let timestamp = Utc::from_millis(u64_at(&self.bytes[time..], 0).cast_signed());
        let (key_len, value_len, header_count) = (self.length()?, self.length()?, self.length()?);
        let key = self.slice(key_len)?;
        let value = self.slice(value_len)?;
        let mut headers = Headers::new();
        for _ in 0..header_count {
            let (name_len, value_len) = (self.length()?, self.length()?);
            let name = self.name(name_len)?;
            headers.push(name, self.slice(value_len)?);
        }
        let offset = self.next;
        self.next += 1;
        Ok(Some(Record {
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset,
            key,
            value,
            headers,
            timestamp,
        }))
    }

    fn name(&mut self, length: usize) -> Result<Arc<str>> {
        let start = self.take(length)?;
        let bytes = &self.bytes[start..start + length];
        if let Some(known) = self.names.iter().find(|known| known.as_bytes() == bytes) {
            return Ok(known.clone());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("a header's name is not UTF-8"))?;
        let name: Arc<str> = text.into();
        if self.names.len() < 32 {
            self.names.push(name.clone());
        }
        Ok(name)
    }

    fn slice(&mut self, length: usize) -> Result<Bytes> {
        let start = self.take(length)?;
        Ok(self.bytes.slice(start..start + length))
    }

    /// Advances by `length` bytes. Returns where they start.
    fn take(&mut self, length: usize) -> Result<usize> {
        let start = self.at;
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len())
            .ok_or_else(|| damaged("a record extends beyond its batch"))?;
        self.at = end;
        Ok(start)
    }

    fn length(&mut self) -> Result<usize> {
        let mut length = 0_usize;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = *self
                .bytes
                .get(self.at)
                .ok_or_else(|| damaged("a length extends beyond its batch"))?;
            self.at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(damaged("a length has no end"))
    }
}

fn damaged(what: &str) -> Error {
    Error::Corrupt(what.into())
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = NewRecord> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let headers = proptest::collection::vec(("[a-zé-]{0,9}", bytes()), 0..4);
        (bytes(), bytes(), headers, any::<i64>()).prop_map(|(key, value, headers, time)| NewRecord {
            topic: "t".into(),
            partition: None,
            key,
            value,
            headers: headers.into_iter().fold(Headers::new(), |all, (name, value)| {
                all.with(name.as_str(), value)
            }),
            timestamp: Utc::from_millis(time),
        })
    }

    fn pack(records: &[NewRecord]) -> Payload {
        let mut packer = Packer::new();
        for record in records {
            packer.push(record);
        }
        packer.finish()
    }

    fn unpack(bytes: Bytes) -> Result<Vec<Record>> {
        let partition = TopicPartition {
            topic: "t".into(),
            partition: 3,
        };
        let mut unpacker = Unpacker::verified(bytes)?;
        let mut records = Vec::new();
        while let Some(record) = unpacker.next(&partition)? {
            records.push(record);
        }
        Ok(records)
    }

    proptest! {
        #[test]
        fn unpacking_returns_the_packed_records(
            first in proptest::collection::vec(record(), 1..9),
            second in proptest::collection::vec(record(), 1..9),
            base in 0..u64::MAX / 2,
        ) {
            let length: usize = first.iter().map(packed_length).sum();
            let mut payload = pack(&first);
            prop_assert_eq!(payload.len(), HEADER + length);
            payload.extend(&pack(&second));
            let back = unpack(payload.seal(base, Utc::from_millis(7), 0)).unwrap();
            prop_assert_eq!(back.len(), first.len() + second.len());
            for (i, (read, written)) in back.iter().zip(first.iter().chain(&second)).enumerate() {
                prop_assert_eq!(read.offset, base + i as u64);
                prop_assert_eq!(&read.key, &written.key);
                prop_assert_eq!(&read.value, &written.value);
                prop_assert_eq!(&read.headers, &written.headers);
                prop_assert_eq!(read.timestamp, written.timestamp);
            }
        }

        #[test]
        fn a_flipped_bit_is_detected(records in proptest::collection::vec(record(), 1..5), at in any::<usize>(), bit in 0..8) {
            let mut bytes = pack(&records).seal(5, Utc::from_millis(7), 9).to_vec();
            // Bytes 1 to 3 are padding.
            let at = match at % bytes.len() { 1..=3 => 0, at => at };
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(unpack(Bytes::from(bytes)).is_err());
        }

        #[test]
        fn skipping_continues_at_the_requested_offset(records in proptest::collection::vec(record(), 1..9), skip in 0_u64..12) {
            let bytes = pack(&records).seal(100, Utc::from_millis(7), 9);
            let mut unpacker = Unpacker::trusted(bytes).unwrap();
            unpacker.skip_to(100 + skip).unwrap();
            prop_assert_eq!(unpacker.position(), 100 + skip.min(records.len() as u64));
        }
    }
}
