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
        let mut from = BTreeMap::new();
        let mut ends = BTreeMap::new();
        for partition in partitions {
            let (_, end) = cluster.watermarks(topic, *partition)?;
            await_decision(cluster, readers, topic, *partition, end)?;
            from.insert(*partition, stores.entry(*partition).or_default().restored_to);
            ends.insert(*partition, end);
        }
        let mut records = 0_u64;
        let mut parts: BTreeMap<u32, changelog::Reader> = BTreeMap::new();
        readers.scan(cluster, topic, &from, |partition, message| {
            let store = stores.entry(partition).or_default();
            match parts.entry(partition).or_default().read(message) {
                Read::State(key, value) => store.apply(&key, value),
                Read::Offset(topic, next, metadata) => {
                    store.offsets.insert(topic, (next, metadata));
                }
                Read::Nothing => {}
            }
            records += 1;
            ControlFlow::Continue(())
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
        Ok(self
            .held
            .get(&partition)
            .and_then(|store| store.entries.get(key))
            .map(Value::bytes))
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let Some(store) = self.held.get(&partition) else {
            return Ok(Vec::new());
        };
        let start = if from > prefix { from } else { prefix };
        Ok(store
            .entries
            .range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(key, _)| key.as_bytes().starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.bytes()))
            .collect())
    }
}
