//! One member of a group, and its transactions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::commit::{Request, Step};
use crate::groups::{Membership, Turn};
use crate::outgoing::Outgoing;
use crate::partition::Partition;
use crate::read::{Cursor, Room};
use crate::shared::Shared;
use crate::store::state_key;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Error, NewRecord, Polled, Record, Result, StateReader, TopicPartition,
    Transaction,
};

/// Longest metadata of an offset, as [`Committed::metadata`] promises.
const METADATA: usize = 4_000;

pub(super) struct Member {
    shared: Arc<Shared>,
    membership: Membership,
    /// Each topic's partitions, by number.
    topics: Vec<Vec<Arc<Partition>>>,
    held: Vec<Held>,
    state: GroupState,
    /// It was told to let go, and does so at the next poll.
    letting_go: bool,
    /// Where the next batch begins to gather, so that every partition has its turn.
    turn: usize,
}

/// A partition that the member holds.
struct Held {
    partition: Arc<Partition>,
    cursor: Cursor,
}

/// The group's state, as the store holds it.
struct GroupState {
    shared: Arc<Shared>,
    group: Arc<str>,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, membership: Membership, topics: Vec<Vec<Arc<Partition>>>) -> Self {
        let state = GroupState {
            shared: shared.clone(),
            group: membership.group.clone(),
        };
        Self {
            shared,
            membership,
            topics,
            held: Vec::new(),
            state,
            letting_go: false,
            turn: 0,
        }
    }

    fn next_event(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let deadline = Instant::now() + limits.linger;
        loop {
            self.shared.check_open()?;
            let seen = self.shared.signal.seen();
            let acknowledged = std::mem::take(&mut self.letting_go);
            let patience = self.shared.options.max_poll_interval;
            let turn = self
                .shared
                .groups
                .lock()
                .turn(&self.membership, acknowledged, patience)?;
            if acknowledged {
                // Another member may be waiting for what was let go of.
                self.shared.signal.raise();
            }
            match turn {
                Turn::Assigned(numbers) => return Ok(Polled::Assigned(self.take(&numbers))),
                Turn::Revoked(numbers) => return Ok(Polled::Revoked(self.let_go(&numbers))),
                Turn::Nothing => {}
            }
            let records = self.gather(limits)?;
            if !records.is_empty() {
                return Ok(Polled::Records(records));
            }
            // What this member itself did just now is no reason to look again at once, anything later is.
            let seen = if acknowledged {
                self.shared.signal.seen()
            } else {
                seen
            };
            if !self.shared.signal.wait(seen, self.deadline(deadline)) && Instant::now() >= deadline {
                return Ok(Polled::Idle);
            }
        }
    }

    /// A member that waits for partitions looks up when their holder may have been silent for too long.
    fn deadline(&self, linger: Instant) -> Instant {
        linger.min(Instant::now() + self.shared.options.max_poll_interval)
    }

    fn take(&mut self, numbers: &[u32]) -> Vec<TopicPartition> {
        let mut names = Vec::new();
        for partition in numbers
            .iter()
            .flat_map(|number| self.topics.iter().map(|topic| &topic[*number as usize]))
        {
            names.push(partition.name.clone());
            self.held.push(Held {
                partition: partition.clone(),
                cursor: Cursor::at(start(&self.shared, &self.membership.group, partition)),
            });
        }
        names
    }

    fn let_go(&mut self, numbers: &[u32]) -> Vec<TopicPartition> {
        self.letting_go = true;
        let (gone, held): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| numbers.contains(&held.partition.number()));
        self.held = held;
        gone.into_iter().map(|held| held.partition.name.clone()).collect()
    }

    /// A batch from all partitions held: each gets its share of the room, what one leaves the others may take.
    fn gather(&mut self, limits: &BatchLimits) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let count = self.held.len();
        let mut room = Room {
            records: limits.records.max(1),
            bytes: limits.bytes,
        };
        for (shared_out, i) in (0..count)
            .map(|i| (true, i))
            .chain((0..count).map(|i| (false, i)))
        {
            if room.records == 0 || (room.bytes == 0 && !records.is_empty()) {
                break;
            }
            let held = &mut self.held[(self.turn + i) % count];
            if held.cursor.position() >= held.partition.end() {
                continue;
            }
            let parts = if shared_out { count - i } else { 1 };
            let mut share = Room {
                records: room.records.div_ceil(parts),
                bytes: room.bytes.div_ceil(parts),
            };
            let (offered, before) = (share, records.len());
            held.cursor
                .read(&self.shared, &held.partition, &mut share, &mut records)?;
            room.records -= records.len() - before;
            let used: usize = records[before..].iter().map(Record::size).sum();
            room.bytes = room.bytes.saturating_sub(used);
            if parts == 1 && share.bytes == 0 && offered.bytes > 0 {
                // The next record does not fit: the batch is closed.
                break;
            }
        }
        if count > 0 {
            self.turn = (self.turn + 1) % count;
        }
        Ok(records)
    }

    fn held(&mut self, partition: &TopicPartition) -> Result<&mut Held> {
        self.held
            .iter_mut()
            .find(|held| held.partition.name == *partition)
            .ok_or_else(|| Error::Fenced(format!("{partition} is not held by this member")))
    }
}

impl Consumer for Member {
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let polled = self.next_event(limits);
        self.shared.groups.lock().works(&self.membership);
        polled
    }

    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>> {
        self.shared.check_open()?;
        Ok(self
            .held
            .iter()
            .map(|held| {
                let next = held.cursor.position().max(held.partition.earliest());
                (held.partition.name.clone(), next, held.partition.end())
            })
            .collect())
    }

    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>> {
        self.shared.check_open()?;
        Ok(self
            .shared
            .groups
            .lock()
            .committed(&self.membership.group, partition))
    }

    fn state(&self) -> &dyn StateReader {
        &self.state
    }

    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        self.shared.check_open()?;
        Ok(Box::new(Open {
            outgoing: Outgoing::new(&self.shared),
            membership: &self.membership,
            committed: &self.state,
            state: Vec::new(),
            offsets: Vec::new(),
            numbers: BTreeSet::new(),
        }))
    }

    fn rewind(&mut self) -> Result<()> {
        self.shared.check_open()?;
        for held in &mut self.held {
            held.cursor = Cursor::at(start(&self.shared, &self.membership.group, &held.partition));
        }
        Ok(())
    }

    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.shared.check_open()?;
        self.held(partition)?.cursor = Cursor::at(offset);
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.shared.check_open()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.groups.lock().leave(&self.membership);
        self.shared.signal.raise();
    }
}

impl StateReader for GroupState {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        let key = state_key(&self.group, partition, key);
        self.shared.with_store(|store| store.state(&key))
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let whole_prefix = state_key(&self.group, partition, prefix);
        let start = state_key(&self.group, partition, from.max(prefix));
        let strip = whole_prefix.len() - prefix.len();
        self.shared
            .with_store(|store| store.scan_state(&whole_prefix, start, strip, limit))
    }
}

/// Where a group goes on in a partition: after what it last committed, at the earliest record there is.
fn start(shared: &Shared, group: &str, partition: &Partition) -> u64 {
    let committed = shared.groups.lock().committed(group, &partition.name);
    committed
        .map_or(0, |committed| committed.next)
        .max(partition.earliest())
}

/// A transaction that is open.
struct Open<'a> {
    outgoing: Outgoing<'a>,
    membership: &'a Membership,
    committed: &'a GroupState,
    state: Vec<(Bytes, Option<Bytes>)>,
    offsets: Vec<Committed>,
    /// The partition numbers that the member must hold when it commits.
    numbers: BTreeSet<u32>,
}

impl Transaction for Open<'_> {
    fn append(&mut self, record: NewRecord) -> Result<()> {
        self.outgoing.push(&record)
    }

    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()> {
        let key = state_key(&self.membership.group, partition, &key);
        self.numbers.insert(partition);
        self.state.push((key.into(), value));
        Ok(())
    }

    /// Commits share their flushes already.
    fn ready(&mut self, _: &BatchLimits) -> Result<Option<Vec<Record>>> {
        Ok(None)
    }

    fn state(&self) -> &dyn StateReader {
        self.committed
    }

    fn commit_offset(&mut self, committed: Committed) -> Result<()> {
        if committed.metadata.len() > METADATA {
            return Err(Error::TooLarge {
                size: committed.metadata.len(),
                limit: METADATA,
            });
        }
        self.numbers.insert(committed.partition.partition);
        self.offsets.push(committed);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Self {
            outgoing,
            membership,
            committed: _,
            state,
            offsets,
            numbers,
        } = *self;
        let shared = outgoing.shared;
        let records = outgoing.finish();
        shared.ask(|answer| {
            Request::Commit(Step {
                records,
                state,
                offsets,
                member: Some((membership.clone(), numbers)),
                answer,
            })
        })
    }

    fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
