//! The layout of entries in the stage's state.
//!
//! Every key starts with the outbox's name. `e/DEST/KEY` is an entry. `n/DEST/TIME/KEY` (new) and
//! `r/DEST/TIME/KEY` (to be sent, or looked at, again) are the indexes of requests that can be sent, in the order of time.
//! `o/DEST/ORDER/SEQUENCE` lists the requests of an order key; only the first of them is in an index. `c/DEST` holds
//! counts, and `t` the time on the outbox's clock when something else was stored last. Times and numbers are big-endian, so keys sort by time.

use std::collections::HashMap;

use bytes::Bytes;
use limbic_domain::Utc;

use super::entry::{self, Entry, Lane, Meta};
use super::workers::EntryId;
use super::{Enqueue, Enqueued, Request};
use crate::{Cause, Outputs, StageError, StateReader, StateSchema};

/// The layout of one outbox's keys.
pub(super) struct Store {
    name: String,
}

/// Counts of a partition and destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Unfinished requests.
    pub(super) waiting: u64,
    /// The number of requests with an order key so far, which is the position of the next one.
    sequence: u64,
}

/// The two indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Retry,
    New,
}

impl Index {
    const fn of(meta: &Meta) -> Self {
        if meta.attempts == 0 && meta.waiting_since.is_none() {
            Self::New
        } else {
            Self::Retry
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Retry => 'r',
            Self::New => 'n',
        }
    }
}

impl Store {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Adds the entries of the outbox `name` to `schema`.
    pub(super) fn describe<R: Request>(name: &str, schema: StateSchema) -> StateSchema {
        let of_length = |length: usize| {
            move |_: &[u8], value: &[u8]| {
                let problem = || format!("the value has {} bytes, not {length}", value.len());
                (value.len() == length).then_some(()).ok_or_else(problem)
            }
        };
        let prefix = |kind: &str| format!("{name}/{kind}").into_bytes();
        schema
            .entries("requests of the outbox", &prefix("e/"), |_, value| {
                let entry = entry::decode::<R>(value);
                entry.map(drop).map_err(|error| error.to_string())
            })
            .entries("requests to send", &prefix("n/"), of_length(0))
            .entries("requests to send again", &prefix("r/"), of_length(0))
            .entries("order of requests", &prefix("o/"), |_, value| {
                let key = std::str::from_utf8(value);
                key.map(drop).map_err(|error| error.to_string())
            })
            .entries("counts of the outbox", &prefix("c/"), of_length(16))
            .entries("time of the outbox", &prefix("t"), of_length(8))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn prefix(&self, kind: char, destination: &str) -> Vec<u8> {
        format!("{}/{kind}/{destination}/", self.name).into_bytes()
    }

    fn entry_key(&self, destination: &str, key: &str) -> Vec<u8> {
        let mut bytes = self.prefix('e', destination);
        bytes.extend_from_slice(key.as_bytes());
        bytes
    }

    fn index_key(&self, destination: &str, meta: &Meta) -> Vec<u8> {
        let mut bytes = self.prefix(Index::of(meta).letter(), destination);
        bytes.extend_from_slice(&sortable(meta.due));
        bytes.extend_from_slice(meta.key.as_bytes());
        bytes
    }

    /// The order key is preceded by its length, so that no order key is a prefix of another.
    fn lane_prefix(&self, destination: &str, order: &str) -> Vec<u8> {
        let mut bytes = self.prefix('o', destination);
        bytes.extend_from_slice(&(order.len() as u32).to_be_bytes());
        bytes.extend_from_slice(order.as_bytes());
        bytes
    }

    fn lane_key(&self, destination: &str, lane: &Lane) -> Vec<u8> {
        let mut bytes = self.lane_prefix(destination, &lane.order);
        bytes.extend_from_slice(&lane.sequence.to_be_bytes());
        bytes
    }

    fn count_key(&self, destination: &str) -> Vec<u8> {
        format!("{}/c/{destination}", self.name).into_bytes()
    }

    /// The counts of a destination in a partition.
    pub(super) fn count(
        &self,
        out: &Outputs<'_>,
        partition: u32,
        destination: &str,
    ) -> Result<Count, StageError> {
        let Some(bytes) = out.get(partition, &self.count_key(destination))? else {
            return Ok(Count::default());
        };
        let numbers: [u8; 16] = bytes[..].try_into().map_err(|_| {
            StageError::internal(
                "outbox",
                format!(
                    "the count of destination `{destination}` has {} bytes, not 16: was it written by a later \
                     version of the program? upgrade this one",
                    bytes.len()
                ),
            )
        })?;
        let number =
            |at: usize| u64::from_be_bytes(numbers[at..at + 8].try_into().expect("a range of 8 bytes"));
        Ok(Count {
            waiting: number(0),
            sequence: number(8),
        })
    }

    fn put_count(&self, out: &mut Outputs<'_>, partition: u32, destination: &str, count: Count) {
        let mut bytes = Vec::with_capacity(16);
        bytes.extend_from_slice(&count.waiting.to_be_bytes());
        bytes.extend_from_slice(&count.sequence.to_be_bytes());
        out.put(partition, self.count_key(destination), bytes);
    }

    /// The time that was stored last in a partition.
    pub(super) fn time(&self, out: &Outputs<'_>, partition: u32) -> Result<Option<Utc>, StageError> {
        let Some(bytes) = out.get(partition, &self.time_key())? else {
            return Ok(None);
        };
        let time: [u8; 8] = bytes[..].try_into().map_err(|_| {
            StageError::internal(
                "outbox",
                format!(
                    "the time of outbox `{}` has {} bytes, not 8: was it written by a later version of the program? upgrade this one",
                    self.name,
                    bytes.len()
                ),
            )
        })?;
        let millis = (u64::from_be_bytes(time) ^ (1 << 63)).cast_signed();
        Ok(Some(Utc::from_millis(millis)))
    }

    /// Stores the time of a partition.
    pub(super) fn put_time(&self, out: &mut Outputs<'_>, partition: u32, time: Utc) {
        out.put(partition, self.time_key(), sortable(time).to_vec());
    }

    fn time_key(&self) -> Vec<u8> {
        format!("{}/t", self.name).into_bytes()
    }

    /// Adds a new request, unless its key is already waiting or `most` requests are waiting.
    pub(super) fn enqueue<R: Request>(
        &self,
        out: &mut Outputs<'_>,
        cause: &Cause,
        new: &Enqueue<'_>,
        request: &R,
        most: u64,
    ) -> Result<Enqueued, StageError> {
        let partition = cause.partition;
        let entry_key = self.entry_key(new.destination, new.key);
        if out.get(partition, &entry_key)?.is_some() {
            return Ok(Enqueued::AlreadyWaiting);
        }
        let mut count = self.count(out, partition, new.destination)?;
        if count.waiting >= most {
            return Ok(Enqueued::Full);
        }
        let mut is_next = true;
        let lane = match new.order {
            None => None,
            Some(order) => {
                let prefix = self.lane_prefix(new.destination, order);
                is_next = out.scan(partition, &prefix, &prefix, 1)?.is_empty();
                let lane = Lane {
                    order: order.to_owned(),
                    sequence: count.sequence,
                };
                count.sequence += 1;
                out.put(
                    partition,
                    self.lane_key(new.destination, &lane),
                    new.key.as_bytes().to_vec(),
                );
                Some(lane)
            }
        };
        let meta = Meta::new(new.key, new.at, lane, cause);
        out.put(partition, entry_key, entry::encode(request, &meta)?);
        if is_next {
            out.put(partition, self.index_key(new.destination, &meta), Bytes::new());
        }
        count.waiting += 1;
        self.put_count(out, partition, new.destination, count);
        Ok(Enqueued::Accepted)
    }

    /// Removes a finished request. The next request of its order key can then be sent.
    pub(super) fn finish<R: Request>(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        destination: &str,
        meta: &Meta,
    ) -> Result<(), StageError> {
        out.remove(partition, self.entry_key(destination, &meta.key));
        out.remove(partition, self.index_key(destination, meta));
        let mut count = self.count(out, partition, destination)?;
        count.waiting = count.waiting.saturating_sub(1);
        self.put_count(out, partition, destination, count);
        let Some(lane) = &meta.lane else {
            return Ok(());
        };
        out.remove(partition, self.lane_key(destination, lane));
        let prefix = self.lane_prefix(destination, &lane.order);
        let Some((_, next)) = out.scan(partition, &prefix, &prefix, 1)?.pop() else {
            return Ok(());
        };
        let next = String::from_utf8_lossy(&next);
        let (_, next) = self.read::<R>(out, partition, &self.entry_key(destination, &next))?;
        out.put(partition, self.index_key(destination, &next.meta), Bytes::new());
        Ok(())
    }

    /// Stores an entry after an attempt. It is sent again when it is due.
    pub(super) fn put_back<R: Request>(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        destination: &str,
        before: &Meta,
        after: &Meta,
        request: &R,
    ) -> Result<(), StageError> {
        out.remove(partition, self.index_key(destination, before));
        out.put(partition, self.index_key(destination, after), Bytes::new());
        let entry = entry::encode(request, after)?;
        out.put(partition, self.entry_key(destination, &after.key), entry);
        Ok(())
    }

    /// An entry with its bytes.
    fn read<R: Request>(
        &self,
        out: &Outputs<'_>,
        partition: u32,
        key: &[u8],
    ) -> Result<(Bytes, Entry<R>), StageError> {
        let bytes = out.get(partition, key)?.ok_or_else(|| missing(&self.name, key))?;
        let entry = entry::decode(&bytes)?;
        Ok((bytes, entry))
    }

    /// A committed entry with its bytes.
    pub(super) fn committed<R: Request>(
        &self,
        state: &dyn StateReader,
        (partition, key): &EntryId,
    ) -> Result<(Bytes, Entry<R>), StageError> {
        let bytes = state
            .get(*partition, key)?
            .ok_or_else(|| missing(&self.name, key))?;
        let entry = entry::decode(&bytes)?;
        Ok((bytes, entry))
    }

    /// Up to `limit` committed entries that can be sent at the time of their partition: first those to be sent again, then new ones. Skips
    /// entries that are `known` to be running. The flag is true for an entry that is
    /// new.
    pub(super) fn due<K>(
        &self,
        state: &dyn StateReader,
        partitions: &[(u32, Utc)],
        destination: &str,
        limit: usize,
        known: &HashMap<EntryId, K>,
    ) -> Result<Vec<(EntryId, bool)>, StageError> {
        let mut found = Vec::new();
        for index in [Index::Retry, Index::New] {
            let prefix = self.prefix(index.letter(), destination);
            for &(partition, now) in partitions {
                let entries = state.scan(partition, &prefix, &prefix, limit - found.len() + known.len())?;
                for (index_key, _) in entries {
                    let (time, key) = index_key[prefix.len()..].split_at(8);
                    if index == Index::Retry && time > &sortable(now)[..] {
                        break;
                    }
                    let mut entry_key = self.prefix('e', destination);
                    entry_key.extend_from_slice(key);
                    let id = (partition, Bytes::from(entry_key));
                    if !known.contains_key(&id) {
                        found.push((id, index == Index::New));
                    }
                    if found.len() == limit {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Big-endian with the sign flipped, so that the bytes sort like times.
const fn sortable(time: Utc) -> [u8; 8] {
    (time.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn missing(outbox: &str, key: &[u8]) -> StageError {
    StageError::internal(
        "outbox",
        format!(
            "the index of outbox `{outbox}` names `{}`, which is not there: the state is damaged",
            String::from_utf8_lossy(key)
        ),
    )
}
