//! Compaction: a compacted topic keeps the latest record of each key.
//!
//! ```text
//! clean segment   records that survived the last compaction ┐
//! dirty segments  records written since                     ├─▶ records that are still the latest ─▶ a new clean segment
//! active segment  is being written, and is not touched      ┘   of their keys
//! ```
//!
//! A *round* reads the keys of the dirty segments into a table (hash of the key → latest offset), copies the records that the
//! table does not supersede into a new segment, and swaps the segments in one commit. Before that commit, the catalogue lists
//! the old segments, so a crash leaves the topic as it was. After it, the catalogue lists the new segment. Opening the log
//! removes segments that the catalogue does not list.
//!
//! * Records keep their offsets. A batch is cut where records were removed from its middle.
//! * The last record of a partition always survives, even an expired tombstone: the end of a partition is read from it.
//! * The table of keys is bounded ([`crate::EmbeddedOptions::compaction_keys`]): a round takes as many dirty segments as fit.
//! * A round locks the committer for one short step at a time, so that commits continue between the steps.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fail::fail_point;
use limbic_domain::Utc;
use limbic_stream::{Error, Result};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::commit::{Committer, class};
use crate::compression::Compressor;
use crate::packed::{Packer, Unpacker, summary};
use crate::partition::{Partition, Span};
use crate::shared::{Shared, Topic};
use crate::store::Meta;

/// Bytes of one read, and of one commit, while segments are copied.
const CHUNK: usize = 1 << 20;

/// The class of the segments that compaction writes.
const CLEAN: &str = "compacted ";

/// The latest offset of each pair of partition number and key, by the hash of the pair.
type Latest = HashMap<u128, u64>;

/// The clean segment of each compacted topic.
pub(super) fn clean_segments(meta: &Meta) -> HashMap<u32, u32> {
    let clean = meta.segments.iter();
    clean
        .filter_map(|(segment, class)| Some((class.strip_prefix(CLEAN)?.parse().ok()?, *segment)))
        .collect()
}

/// Compacts the topics in which enough has been written since the last time, or every compacted topic. Tombstones written
/// longer than the tombstone retention before `now` are removed.
pub(super) fn compact(shared: &Shared, now: Utc, every_topic: bool) -> Result<()> {
    let _one_at_a_time = shared.compacting.lock();
    let compacted: Vec<Topic> = {
        let topics = shared.topics.read();
        topics
            .values()
            .filter(|topic| topic.row.is_compacted())
            .cloned()
            .collect()
    };
    for topic in compacted {
        if every_topic || is_due(shared, &topic)? {
            while Round::run(shared, &topic, now)?.is_some_and(|round| round.leaves_dirty_segments) {}
        }
    }
    Ok(())
}

/// Whether enough has been written to the topic since its last compaction.
fn is_due(shared: &Shared, topic: &Topic) -> Result<bool> {
    let clean = shared.with_committer(|committer| Ok(committer.clean.get(&topic.row.id).copied()))?;
    let (mut all, mut dirty) = (0, 0);
    for span in topic.partitions.iter().flat_map(|partition| partition.spans()) {
        all += span.bytes;
        if Some(span.segment) != clean {
            dirty += span.bytes;
        }
    }
    let options = &shared.options;
    Ok(dirty >= options.compaction_bytes.max(1) && dirty as f64 >= options.compaction_share * all as f64)
}

/// The result of a round.
struct Finished {
    leaves_dirty_segments: bool,
}

/// One round over one topic.
struct Round<'a> {
    shared: &'a Shared,
    topic: &'a Topic,
    /// The segments that this round merges, oldest first.
    sources: Vec<u32>,
    latest: Latest,
    /// Tombstones written before this time are removed.
    expired: Utc,
}

/// The swap of segments that ends a round.
pub(super) struct Swap {
    topic: u32,
    pub(super) target: u32,
    sources: Vec<u32>,
    partitions: Vec<Swapped>,
}

/// The effect of a swap on one partition.
struct Swapped {
    partition: Arc<Partition>,
    /// The offset after the last record of the source segments.
    end: u64,
    survivors: Span,
}

impl<'a> Round<'a> {
    /// Runs one round. `None` if no segment is dirty.
    fn run(shared: &'a Shared, topic: &'a Topic, now: Utc) -> Result<Option<Finished>> {
        let clean = shared.with_committer(|committer| committer.seal_topic(topic))?;
        let segments: BTreeSet<u32> = topic
            .partitions
            .iter()
            .flat_map(|partition| partition.spans())
            .map(|span| span.segment)
            .collect();
        let dirty: Vec<u32> = segments
            .into_iter()
            .filter(|segment| Some(*segment) != clean)
            .collect();
        if dirty.is_empty() {
            return Ok(None);
        }
        let retention = i64::try_from(shared.options.tombstone_retention.as_millis()).unwrap_or(i64::MAX);
        let mut round = Self {
            shared,
            topic,
            sources: clean.into_iter().collect(),
            latest: Latest::new(),
            expired: now.plus_millis(-retention),
        };
        for segment in &dirty {
            round.read_keys(*segment)?;
            round.sources.push(*segment);
            if round.latest.len() >= shared.options.compaction_keys {
                break;
            }
        }
        let leaves_dirty_segments = round.sources.len() < dirty.len() + usize::from(clean.is_some());
        round.copy_and_swap()?;
        Ok(Some(Finished {
            leaves_dirty_segments,
        }))
    }

    /// Adds the keys of a dirty segment to the table.
    fn read_keys(&mut self, segment: u32) -> Result<()> {
        let topic = self.topic;
        for partition in &topic.partitions {
            let number = partition.number();
            let latest = &mut self.latest;
            for_each_batch(self.shared, partition, segment, |batch| {
                let mut records = Unpacker::verified(batch)?;
                while let Some(record) = records.next_raw()? {
                    latest.insert(hash(number, &record.key), record.offset);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn copy_and_swap(self) -> Result<()> {
        let target = self
            .shared
            .with_committer(|committer| committer.begin_copy(self.topic, &self.sources))?;
        let copied = self.copy(target);
        fail_point!("compaction::before-swap");
        let swapped = copied.and_then(|partitions| {
            let swap = Swap {
                topic: self.topic.row.id,
                target,
                sources: self.sources,
                partitions,
            };
            self.shared.with_committer(|committer| committer.swap(swap))
        });
        if swapped.is_err() {
            let _ = self
                .shared
                .with_committer(|committer| committer.give_up_copy(target));
        }
        swapped
    }

    /// Copies the records that survive. Returns the effect on each partition.
    fn copy(&self, target: u32) -> Result<Vec<Swapped>> {
        let mut swapped = Vec::new();
        for partition in &self.topic.partitions {
            let mut copy = Copy {
                shared: self.shared,
                partition,
                target,
                span: None,
                chunk: Vec::new(),
                chunk_bytes: 0,
                compressor: Compressor::default(),
            };
            let mut spans = partition.spans();
            spans.retain(|span| self.sources.contains(&span.segment));
            let Some(newest) = spans.last() else {
                continue;
            };
            let end = self.end_of(partition, newest.segment)?;
            for span in &spans {
                for_each_batch(self.shared, partition, span.segment, |batch| {
                    self.copy_survivors(&mut copy, batch, end)
                })?;
            }
            copy.flush()?;
            let survivors = copy.span.expect("the last record of a partition survives");
            swapped.push(Swapped {
                partition: partition.clone(),
                end,
                survivors,
            });
        }
        Ok(swapped)
    }

    /// The offset after the last record of a partition in `segment`.
    fn end_of(&self, partition: &Partition, segment: u32) -> Result<u64> {
        let ends = self
            .shared
            .with_store(|store| store.ends(segment, partition.topic_id, partition.number()))?;
        match ends {
            Some((_, last)) => Ok(summary(&last)?.end()),
            None => Err(Error::Corrupt(format!(
                "segment {segment} holds no records of {}, but the catalogue says that it does: restore the log's folder from a backup",
                partition.name
            ))),
        }
    }

    /// Copies the surviving records of a batch. Each run of adjacent records becomes its own batch.
    fn copy_survivors(&self, copy: &mut Copy<'_>, batch: Bytes, end: u64) -> Result<()> {
        let written_at = summary(&batch)?.written_at;
        let mut records = Unpacker::verified(batch)?;
        let mut run = Packer::new();
        let mut first = records.position();
        while let Some(record) = records.next_raw()? {
            let number = copy.partition.number();
            let is_latest = self
                .latest
                .get(&hash(number, &record.key))
                .is_none_or(|latest| *latest == record.offset);
            let is_expired = record.is_tombstone && written_at < self.expired && record.offset + 1 < end;
            if is_latest && !is_expired {
                if run.is_empty() {
                    first = record.offset;
                }
                run.push_raw(&record);
            } else if !run.is_empty() {
                copy.add(first, written_at, std::mem::replace(&mut run, Packer::new()))?;
            }
        }
        if !run.is_empty() {
            copy.add(first, written_at, run)?;
        }
        Ok(())
    }
}

/// Writes the survivors of one partition to the new segment.
struct Copy<'a> {
    shared: &'a Shared,
    partition: &'a Arc<Partition>,
    target: u32,
    span: Option<Span>,
    chunk: Vec<(u64, Bytes)>,
    chunk_bytes: usize,
    compressor: Compressor,
}

impl Copy<'_> {
    fn add(&mut self, first: u64, written_at: Utc, run: Packer) -> Result<()> {
        let span = self.span.get_or_insert(Span {
            segment: self.target,
            first,
            bytes: 0,
            written_at,
        });
        let batch = run.finish().seal(first, written_at, span.bytes);
        span.bytes += batch.len() as u64;
        span.written_at = written_at;
        let stored = self.compressor.write(self.partition.topic_id, &batch);
        self.chunk_bytes += stored.len();
        self.chunk.push((first, stored));
        if self.chunk_bytes >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        if chunk.is_empty() {
            return Ok(());
        }
        fail_point!("compaction::copying");
        self.shared
            .with_committer(|committer| committer.copy(self.target, self.partition, chunk))
    }
}

impl Committer {
    /// Closes the topic's current segments for writing. Returns the clean one among them.
    fn seal_topic(&mut self, topic: &Topic) -> Result<Option<u32>> {
        self.reopen()?;
        self.active.remove(&class(&topic.row));
        Ok(self.clean.get(&topic.row.id).copied())
    }

    /// Creates the segment that the survivors are copied to.
    fn begin_copy(&mut self, topic: &Topic, sources: &[u32]) -> Result<u32> {
        self.reopen()?;
        let bytes: u64 = topic
            .partitions
            .iter()
            .flat_map(|partition| partition.spans())
            .filter(|span| sources.contains(&span.segment))
            .map(|span| span.bytes)
            .sum();
        self.check_room(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        self.new_segment()
    }

    fn copy(&mut self, target: u32, partition: &Partition, chunk: Vec<(u64, Bytes)>) -> Result<()> {
        self.check_copy(target)?;
        self.alter(|changes| {
            for (first, batch) in chunk {
                changes.records(target, partition.topic_id, partition.number(), first, batch);
            }
        })
    }

    /// Returns an error if the new segment does not exist any more: reopening the log removes it.
    fn check_copy(&mut self, target: u32) -> Result<()> {
        self.reopen()?;
        let store = self.shared.store.read();
        if store.as_ref().is_some_and(|store| store.has_segment(target)) {
            return Ok(());
        }
        Err(Error::Unavailable {
            context: "compacting a topic".into(),
            message: "the log was reopened after a disk failure; the next round starts again".into(),
        })
    }

    fn swap(&mut self, swap: Swap) -> Result<()> {
        self.check_copy(swap.target)?;
        let class = format!("{CLEAN}{}", swap.topic);
        let (target, sources) = (swap.target, swap.sources.clone());
        // If the commit fails, reopening the log shows whether it was made.
        self.swapping = Some(swap);
        self.alter(|changes| {
            changes.segment(target, &class);
            for segment in &sources {
                changes.forget_segment(*segment);
            }
        })?;
        self.finish_swap();
        fail_point!("compaction::after-swap");
        let mut store = self.shared.store.write();
        let Some(store) = store.as_mut() else {
            return Ok(());
        };
        for segment in sources {
            store.delete_segment(segment, &self.shared.path)?;
        }
        Ok(())
    }

    /// Completes a swap whose commit was made: readers now find the new segment.
    pub(super) fn finish_swap(&mut self) {
        let Some(swap) = self.swapping.take() else {
            return;
        };
        let before: u64 = swap.partitions.iter().map(Swapped::bytes).sum();
        for segment in &swap.sources {
            self.unlist(*segment);
        }
        self.listed.insert(swap.target);
        self.clean.insert(swap.topic, swap.target);
        for swapped in swap.partitions {
            let Swapped {
                partition,
                end,
                survivors,
            } = swapped;
            partition.replace(&swap.sources, Some(survivors));
            self.forget_before(&partition, end);
        }
        tracing::debug!(
            topic = swap.topic,
            segment = swap.target,
            bytes = before,
            "compacted a topic"
        );
    }

    /// Removes the target segment of a round that failed.
    fn give_up_copy(&mut self, target: u32) -> Result<()> {
        if self.listed.contains(&target) {
            return Ok(());
        }
        let mut store = self.shared.store.write();
        match store.as_mut() {
            Some(store) => store.delete_segment(target, &self.shared.path),
            None => Ok(()),
        }
    }
}

impl Swapped {
    const fn bytes(&self) -> u64 {
        self.survivors.bytes
    }
}

/// Calls `each` with every batch of a partition in a sealed segment, in order.
fn for_each_batch(
    shared: &Shared,
    partition: &Partition,
    segment: u32,
    mut each: impl FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    let at = (partition.topic_id, partition.number());
    let mut next = 0;
    loop {
        shared.check_open()?;
        let batches = shared.with_store(|store| store.batches(segment, at, next, u64::MAX, CHUNK))?;
        let before = next;
        for batch in batches {
            let summary = summary(&batch)?;
            if summary.end() > next {
                next = summary.end();
                each(batch)?;
            }
        }
        if next == before {
            return Ok(());
        }
    }
}

fn hash(partition: u32, key: &[u8]) -> u128 {
    xxh3_128_with_seed(key, u64::from(partition))
}
