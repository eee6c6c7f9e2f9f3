//! Where windows are in the state.

use bytes::Bytes;

use super::{Aggregate, Stored};
use crate::{Error, Outputs, Result};

/// The keys of one set of windows.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    name: Vec<u8>,
}

/// A number whose bytes sort as it does.
fn ordered(number: i64) -> [u8; 8] {
    ((number as u64) ^ (1 << 63)).to_be_bytes()
}

fn from_ordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// A number as it is kept by itself.
pub(super) fn number(bytes: &[u8]) -> Result<i64> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::Corrupt("a number in the state of windows is not eight bytes long".into()))?;
    Ok(i64::from_be_bytes(bytes))
}

impl Layout {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: [name.as_bytes(), &[0]].concat(),
        }
    }

    fn with(&self, tail: &[&[u8]]) -> Vec<u8> {
        let mut key = self.name.clone();
        for part in tail {
            key.extend_from_slice(part);
        }
        key
    }

    pub(super) fn watermark(&self) -> Vec<u8> {
        self.with(&[b"w"])
    }

    pub(super) fn latest(&self) -> Vec<u8> {
        self.with(&[b"o"])
    }

    pub(super) fn dropped(&self) -> Vec<u8> {
        self.with(&[b"l"])
    }

    pub(super) fn due_prefix(&self) -> Vec<u8> {
        self.with(&[b"t"])
    }

    /// All windows of a key. Its length stands before it, or one key could be the beginning of another.
    pub(super) fn of_key(&self, key: &[u8]) -> Vec<u8> {
        self.with(&[b"d", &(key.len() as u32).to_be_bytes(), key])
    }

    fn window(&self, key: &[u8], start: i64) -> Vec<u8> {
        [self.of_key(key), ordered(start).to_vec()].concat()
    }

    fn due(&self, due: i64, key: &[u8], start: i64) -> Vec<u8> {
        self.with(&[b"t", &ordered(due), key, &ordered(start)])
    }

    /// Due time, key and start, as `entry` says.
    pub(super) fn read_due(&self, entry: &Bytes) -> Result<(i64, Bytes, i64)> {
        let parts = entry.get(self.name.len() + 1..).and_then(|rest| {
            let (due, rest) = rest.split_first_chunk::<8>()?;
            let (key, start) = rest.split_last_chunk::<8>()?;
            Some((
                from_ordered(*due),
                Bytes::copy_from_slice(key),
                from_ordered(*start),
            ))
        });
        parts.ok_or_else(|| Error::Corrupt("a due time in the state of windows is too short".into()))
    }

    /// The start that the state's key of a window says.
    pub(super) fn read_start(key: &[u8]) -> Result<i64> {
        let (_, start) = key
            .split_last_chunk::<8>()
            .ok_or_else(|| Error::Corrupt("a window's key in the state is too short".into()))?;
        Ok(from_ordered(*start))
    }

    pub(super) fn get<A: Aggregate>(
        &self,
        out: &Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
    ) -> Result<Option<Stored<A>>> {
        out.get(partition, &self.window(key, start))?
            .map(|bytes| Self::decode(&bytes))
            .transpose()
    }

    pub(super) fn decode<A: Aggregate>(bytes: &[u8]) -> Result<Stored<A>> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::Corrupt(format!("a window in the state cannot be read: {error}")))
    }

    pub(super) fn put<A: Aggregate>(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
        stored: &Stored<A>,
    ) {
        let bytes = serde_json::to_vec(stored).expect("an accumulator has string keys and finite numbers");
        out.put(partition, self.window(key, start), bytes);
    }

    /// Moves a window within the order of due times; `i64::MIN` = it is not there yet.
    pub(super) fn move_due(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
        due: &mut i64,
        to: i64,
    ) {
        if *due == to {
            return;
        }
        if *due != i64::MIN {
            out.remove(partition, self.due(*due, key, start));
        }
        out.put(partition, self.due(to, key, start), Bytes::from_static(b"1"));
        *due = to;
    }

    pub(super) fn remove(&self, out: &mut Outputs<'_>, partition: u32, key: &[u8], start: i64, due: i64) {
        out.remove(partition, self.window(key, start));
        out.remove(partition, self.due(due, key, start));
    }
}
