//! The state of the partitions that a member holds. It is in memory and is stored in a changelog.
//!
//! The changelog is a compacted topic of the group with as many partitions as its inputs. It holds keys and values as the
//! stage wrote them, large values in parts, without a value for a removal; and the offsets that were committed with them
//! ([`crate::changelog`]). Each change is written in the transaction that made it. A member
//! restores a partition number when the number is assigned to it. It reads committed records up to the high watermark,
//! which includes open transactions. So it waits until those are decided, and misses no change.
//!
//! Memory: each entry takes about 50 bytes, plus its key if that is longer than 22 bytes, plus its value with about 80 bytes if it
//! has one ([`crate::compact`]). If the state does not fit in memory, run more instances. [`crate::KafkaLog::state_bytes`] reports the size.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::changelog::{self, Read};
use crate::cluster::Cluster;
use crate::compact::{Key, Value};
use crate::inbox::Notifier;
use crate::reader::Readers;
use limbic_stream::{Committed, Error, Result, StateReader, TopicPartition};

/// The state of one partition number.
#[derive(Debug, Default)]
struct Store {
    entries: BTreeMap<Key, Value>,
    bytes: u64,
    /// The offset and the metadata that were committed last, by topic.
    offsets: BTreeMap<String, (u64, String)>,
    /// The offset of the changelog at which the next restore continues.
    restored_to: u64,
}

/// How long released state is kept for reuse. It must be shorter than the time for which brokers keep tombstones (a day).
const WARM: Duration = Duration::from_hours(1);

impl Store {
    fn apply(&mut self, key: &Bytes, value: Option<Bytes>) {
        let key = Key::new(key);
        let of_key = key.size();
        let size = |value: &Value| of_key + value.size();
        let old = match value {
            Some(value) => {
                let value = Value::new(value);
                self.bytes += size(&value);
                self.entries.insert(key, value)
            }
            None => self.entries.remove(key.as_bytes()),
        };
        self.bytes -= old.as_ref().map_or(0, size);
    }

    fn note(&mut self, read: Read) {
        match read {
            Read::State(key, value) => self.apply(&key, value),
            Read::Offset(topic, next, metadata) => {
                self.offsets.insert(topic, (next, metadata));
            }
            Read::Nothing => {}
        }
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.entries.get(key).map(Value::bytes)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        let start = if from > prefix { from } else { prefix };
        self.entries
            .range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(key, _)| key.as_bytes().starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.bytes()))
            .collect()
    }
}

/// What one record of a changelog says.
struct Change {
    partition: u32,
    read: Read,
}

/// The state of a group in some partition numbers, for a reader that is not a member.
#[derive(Debug, Default)]
pub(super) struct Copied {
    stores: BTreeMap<u32, Store>,
    /// When the changelog was read last. `None` = never.
    read_at: Option<Instant>,
}

/// Changes that are applied together, so that readers of the copy wait for a moment only.
const TOGETHER: usize = 10_000;

impl Copied {
    /// Reads what the changelog `topic` says since the last call. `copied` is locked for short moments only.
    pub(super) fn follow(
        copied: &RwLock<Self>,
        cluster: &Cluster,
        readers: &Readers,
        topic: &str,
        partitions: u32,
    ) -> Result<()> {
        let started = Instant::now();
        let from = {
            let mut copied = copied.write();
            // Tombstones of that time may be deleted by now.
            if copied.read_at.is_some_and(|at| at.elapsed() >= WARM) {
                copied.stores.clear();
            }
            let place = |partition| {
                let store = copied.stores.entry(partition).or_default();
                (partition, store.restored_to)
            };
            (0..partitions).map(place).collect()
        };
        let mut waiting = Vec::new();
        let apply = |waiting: &mut Vec<Change>| {
            let mut copied = copied.write();
            for change in waiting.drain(..) {
                copied
                    .stores
                    .entry(change.partition)
                    .or_default()
                    .note(change.read);
            }
        };
        let ends = read_changes(cluster, readers, topic, &from, |change| {
            waiting.push(change);
            if waiting.len() >= TOGETHER {
                apply(&mut waiting);
            }
        })?;
        apply(&mut waiting);
        let mut copied = copied.write();
        for (partition, end) in ends {
            copied.stores.entry(partition).or_default().restored_to = end;
        }
        copied.read_at = Some(started);
        Ok(())
    }

    /// Approximate bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.stores.values().map(|store| store.bytes).sum()
    }
}

impl StateReader for Copied {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.stores.get(&partition).and_then(|store| store.get(key)))
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let store = self.stores.get(&partition);
        Ok(store.map_or_else(Vec::new, |store| store.scan(prefix, from, limit)))
    }
}

/// Reads a changelog from the offset given for each partition, and passes on what each record says. Returns the ends at which the
/// next call continues.
fn read_changes(
    cluster: &Cluster,
    readers: &Readers,
    topic: &str,
    from: &BTreeMap<u32, u64>,
    mut each: impl FnMut(Change),
) -> Result<BTreeMap<u32, u64>> {
    let mut ends = BTreeMap::new();
    for partition in from.keys() {
        let (_, end) = cluster.watermarks(topic, *partition)?;
        await_decision(cluster, readers, topic, *partition, end)?;
        ends.insert(*partition, end);
    }
    let mut parts: BTreeMap<u32, changelog::Reader> = BTreeMap::new();
    readers.scan(cluster, topic, from, |partition, message| {
        let read = parts.entry(partition).or_default().read(message);
        each(Change { partition, read });
        ControlFlow::Continue(())
    })?;
    Ok(ends)
}

/// The state of all partition numbers that the member holds.
#[derive(Debug, Default)]
pub(super) struct Stores {
    held: BTreeMap<u32, Store>,
    /// State that was released in the last rebalance, and when. If the number comes back, only later changes are read.
    warm: BTreeMap<u32, (Instant, Store)>,
    gauge: Arc<AtomicU64>,
}

impl Stores {
    /// A gauge of the bytes in memory.
    pub(super) fn gauge(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.gauge)
    }

    pub(super) fn apply(&mut self, partition: u32, key: &Bytes, value: Option<Bytes>) {
        self.held.entry(partition).or_default().apply(key, value);
    }

    /// Notes an offset that was committed.
    pub(super) fn note_offset(&mut self, committed: &Committed) {
        let store = self.held.entry(committed.partition.partition).or_default();
        store.offsets.insert(
            committed.partition.topic.to_string(),
            (committed.next, committed.metadata.clone()),
        );
    }

    /// The offset of a partition that the changelog has.
    pub(super) fn offset(&self, partition: &TopicPartition) -> Option<Committed> {
        let (next, metadata) = self
            .held
            .get(&partition.partition)?
            .offsets
            .get(&*partition.topic)?;
        Some(Committed {
            partition: partition.clone(),
            next: *next,
            metadata: metadata.clone(),
        })
    }

    /// Whether a partition number has state.
    pub(super) fn has_entries(&self, partition: u32) -> bool {
        self.held
            .get(&partition)
            .is_some_and(|store| !store.entries.is_empty())
    }

    /// The number of parts in which the value at `key` was written.
    pub(super) fn parts(&self, partition: u32, key: &[u8]) -> u32 {
        let value = self.held.get(&partition).and_then(|store| store.entries.get(key));
        value.map_or(0, |value| changelog::parts(value.bytes().len()))
    }

    pub(super) fn give_up(&mut self, partition: u32) {
        if let Some(store) = self.held.remove(&partition) {
            self.warm.insert(partition, (Instant::now(), store));
        }
        self.measure();
    }

    pub(super) fn holds(&self, partition: u32) -> bool {
        self.held.contains_key(&partition)
    }

    /// Restores these partition numbers from the changelog `topic`.
    pub(super) fn restore(
        &mut self,
        cluster: &Cluster,
        readers: &Readers,
        topic: &str,
        partitions: &[u32],
    ) -> Result<()> {
        let started = Instant::now();
        let mut stores: BTreeMap<u32, Store> = std::mem::take(&mut self.warm)
            .into_iter()
            .filter(|(partition, (since, _))| partitions.contains(partition) && since.elapsed() < WARM)
            .map(|(partition, (_, store))| (partition, store))
            .collect();
        let from = partitions.iter().map(|partition| {
            let store = stores.entry(*partition).or_default();
            (*partition, store.restored_to)
        });
        let from = from.collect();
        let mut records = 0_u64;
        let ends = read_changes(cluster, readers, topic, &from, |change| {
            stores.entry(change.partition).or_default().note(change.read);
            records += 1;
        })?;
        for (partition, end) in ends {
            stores.entry(partition).or_default().restored_to = end;
        }
        self.held.extend(stores);
        self.measure();
        tracing::info!(topic, ?partitions, records, took = ?started.elapsed(), "state restored");
        Ok(())
    }

    pub(super) fn measure(&self) {
        self.gauge.store(
            self.held.values().map(|store| store.bytes).sum(),
            Ordering::Relaxed,
        );
    }
}

/// Waits until every transaction that wrote before `end` is committed or aborted. The brokers abort a transaction whose
/// producer has stopped.
fn await_decision(cluster: &Cluster, readers: &Readers, topic: &str, partition: u32, end: u64) -> Result<()> {
    let deadline = Instant::now() + cluster.options.call_timeout;
    let pause_timer = Notifier::default();
    let mut pause = Duration::from_millis(5);
    while readers.ends(cluster, topic, partition)?.1 < end {
        if Instant::now() > deadline {
            return Err(Error::Unavailable {
                context: format!("restoring {topic}/{partition}"),
                message: "a transaction in it is still open".into(),
            });
        }
        pause_timer.wait(Instant::now() + pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    Ok(())
}

impl StateReader for Stores {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.held.get(&partition).and_then(|store| store.get(key)))
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let store = self.held.get(&partition);
        Ok(store.map_or_else(Vec::new, |store| store.scan(prefix, from, limit)))
    }
}
