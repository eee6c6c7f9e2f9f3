//! One member of a group, and its transactions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::commit::{Request, Step};
use crate::floors::Floors;
use crate::groups::{AssignmentChange, Membership};
use crate::outgoing::Outgoing;
use crate::partition::Partition;
use crate::read::{Cursor, Room};
use crate::shared::Shared;
use crate::store::state_key;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Error, GroupState, NewRecord, Polled, Record, Result, Skipped,
    StateReader, TopicPartition, Transaction,
};

/// The maximum bytes of the metadata of an offset, as [`Committed::metadata`] promises.
const METADATA: usize = 4_000;

pub(super) struct Member {
    shared: Arc<Shared>,
    membership: Membership,
    /// The partitions of each topic, by number.
    topics: Vec<Vec<Arc<Partition>>>,
    held: Vec<Held>,
    state: MemberState,
    /// Partitions were revoked. The next poll confirms that this member has stopped reading them.
    releasing: bool,
    /// The partition that the next batch starts with. It rotates, so that every partition is read.
    next_first: usize,
}

/// A partition that this member holds.
struct Held {
    partition: Arc<Partition>,
    cursor: Cursor,
}

/// The committed state of the group, for a member.
struct MemberState {
    of_group: Observed,
    /// Where the entries of scanned prefixes begin.
    floors: Mutex<Floors>,
}

/// The committed state of a group, for a reader outside it.
pub(super) struct Observed {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Arc<str>,
}

/// A scan, by the keys of the store.
struct Scan {
    /// The prefix of the group, the partition and the caller.
    prefix: Vec<u8>,
    start: Vec<u8>,
    /// The length of what is before the caller's prefix.
    strip: usize,
}

impl Scan {
    fn new(group: &str, partition: u32, prefix: &[u8], from: &[u8]) -> Self {
        let whole = state_key(group, partition, prefix);
        Self {
            strip: whole.len() - prefix.len(),
            start: state_key(group, partition, from.max(prefix)),
            prefix: whole,
        }
    }
}

impl StateReader for Observed {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        let key = state_key(&self.group, partition, key);
        self.shared.with_store(|store| store.state(&key))
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let Scan { prefix, start, strip } = Scan::new(&self.group, partition, prefix, from);
        self.shared
            .with_store(|store| store.scan_state(&prefix, start, strip, limit))
    }
}

impl GroupState for Observed {
    fn is_live(&self) -> bool {
        true
    }

    fn refresh(&self) -> Result<()> {
        self.shared.check_open()
    }
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, membership: Membership, topics: Vec<Vec<Arc<Partition>>>) -> Self {
        let state = MemberState {
            of_group: Observed {
                shared: shared.clone(),
                group: membership.group.clone(),
            },
            floors: Mutex::default(),
        };
        Self {
            shared,
            membership,
            topics,
            held: Vec::new(),
            state,
            releasing: false,
            next_first: 0,
        }
    }

    fn next_event(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let deadline = Instant::now() + limits.linger;
        loop {
            self.shared.check_open()?;
            let seen = self.shared.signal.seen();
            let acknowledged = std::mem::take(&mut self.releasing);
            let max_poll_interval = self.shared.options.max_poll_interval;
            let change = self
                .shared
                .groups
                .lock()
                .poll(&self.membership, acknowledged, max_poll_interval)?;
            if acknowledged {
                // Another member may be waiting for the released partitions.
                self.shared.signal.raise();
            }
            match change {
                AssignmentChange::Assigned(numbers) => return Ok(Polled::Assigned(self.take(&numbers))),
                AssignmentChange::Revoked(numbers) => return Ok(Polled::Revoked(self.release(&numbers))),
                AssignmentChange::Unchanged => {}
            }
            let records = self.gather(limits)?;
            if !records.is_empty() {
                return Ok(Polled::Records(records));
            }
            // The member's own release must not wake it at once. Every later change must.
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

    /// A member that waits for partitions wakes up in time to check whether their holder has exceeded the poll interval.
    fn deadline(&self, linger: Instant) -> Instant {
        linger.min(Instant::now() + self.shared.options.max_poll_interval)
    }

    fn take(&mut self, numbers: &[u32]) -> Vec<TopicPartition> {
        // Other members may have changed the state of these partitions.
        self.state.floors.lock().clear();
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

    fn release(&mut self, numbers: &[u32]) -> Vec<TopicPartition> {
        self.releasing = true;
        let (gone, held): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| numbers.contains(&held.partition.number()));
        self.held = held;
        gone.into_iter().map(|held| held.partition.name.clone()).collect()
    }

    /// Reads a batch from all held partitions. Each partition receives a share of the limits; unused shares go to the
    /// other partitions.
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
            let held = &mut self.held[(self.next_first + i) % count];
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
                // The next record does not fit, so the batch is complete.
                break;
            }
        }
        if count > 0 {
            self.next_first = (self.next_first + 1) % count;
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
        self.shared.groups.lock().set_processing(&self.membership);
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

    fn skipped(&mut self) -> Vec<Skipped> {
        let skipped = self.held.iter_mut().map(|held| Skipped {
            records: held.cursor.take_skipped(),
            next: held.cursor.position(),
            partition: held.partition.name.clone(),
        });
        skipped.filter(|skipped| skipped.records > 0).collect()
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
        self.state.floors.lock().clear();
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

impl StateReader for MemberState {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        self.of_group.get(partition, key)
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let Observed { shared, group } = &self.of_group;
        let is_from_the_beginning = from <= prefix;
        let Scan { prefix, start, strip } = Scan::new(group, partition, prefix, from);
        let start = self.floors.lock().start(&prefix, start);
        let found = shared.with_store(|store| store.scan_state(&prefix, start, strip, limit))?;
        if is_from_the_beginning && limit > 0 {
            let first = found.first().map(|(key, _)| [&prefix[..strip], key].concat());
            self.floors.lock().note(prefix, first);
        }
        Ok(found)
    }
}

/// The offset where the group continues in a partition: after its last commit, but not before the earliest record.
fn start(shared: &Shared, group: &str, partition: &Partition) -> u64 {
    let committed = shared.groups.lock().committed(group, &partition.name);
    committed.map_or_else(|| partition.earliest(), |committed| committed.next)
}

/// An open transaction.
struct Open<'a> {
    outgoing: Outgoing<'a>,
    membership: &'a Membership,
    committed: &'a MemberState,
    state: Vec<(Bytes, Option<Bytes>)>,
    offsets: Vec<Committed>,
    /// The partition numbers that the member must hold at the commit.
    numbers: BTreeSet<u32>,
}

impl Transaction for Open<'_> {
    fn append(&mut self, record: NewRecord) -> Result<()> {
        self.outgoing.push(record)
    }

    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()> {
        let key = state_key(&self.membership.group, partition, &key);
        self.numbers.insert(partition);
        self.state.push((key.into(), value));
        Ok(())
    }

    /// Always `None`: commits of this log share their flushes anyway.
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
            committed,
            state,
            offsets,
            numbers,
        } = *self;
        let shared = outgoing.shared;
        let records = outgoing.finish();
        {
            let mut floors = committed.floors.lock();
            for (key, _) in state.iter().filter(|(_, value)| value.is_some()) {
                floors.lower(key);
            }
        }
        let outcome = shared.ask(|answer| {
            Request::Commit(Step {
                records,
                state,
                offsets,
                member: Some((membership.clone(), numbers)),
                answer,
            })
        });
        if outcome.is_err() {
            committed.floors.lock().clear();
        }
        outcome
    }

    fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
