//! A partition in memory: its bounds, the segments that hold it, and its newest batches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use limbic_domain::Utc;
use parking_lot::RwLock;

use limbic_stream::TopicPartition;

/// The part of a partition that one segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) segment: u32,
    pub(super) first: u64,
    pub(super) bytes: u64,
    pub(super) written_at: Utc,
}

/// One partition. Only the committer changes it; every thread may read it.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: TopicPartition,
    pub(super) topic_id: u32,
    earliest: AtomicU64,
    end: AtomicU64,
    /// No reader needs the records before this offset. Not stored: after a restart the node trims again.
    trimmed: AtomicU64,
    /// Oldest first.
    spans: RwLock<Vec<Span>>,
    /// Newest batches with the offsets they span, oldest first; a suffix of the partition.
    tail: RwLock<VecDeque<(u64, u64, Bytes)>>,
}

impl Partition {
    pub(super) fn new(
        name: TopicPartition,
        topic_id: u32,
        earliest: u64,
        end: u64,
        spans: Vec<Span>,
    ) -> Self {
        Self {
            name,
            topic_id,
            earliest: AtomicU64::new(earliest),
            end: AtomicU64::new(end),
            trimmed: AtomicU64::new(0),
            spans: RwLock::new(spans),
            tail: RwLock::default(),
        }
    }

    pub(super) const fn number(&self) -> u32 {
        self.name.partition
    }

    /// The earliest offset that still exists.
    pub(super) fn earliest(&self) -> u64 {
        self.earliest.load(Ordering::Acquire)
    }

    /// The offset of the next record that is written.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// No reader needs the records before `offset`. Returns whether this is more than before.
    pub(super) fn trim(&self, offset: u64) -> bool {
        let offset = offset.min(self.end());
        self.trimmed.fetch_max(offset, Ordering::AcqRel) < offset
    }

    /// The segments in which every record of this partition has been trimmed.
    pub(super) fn trimmed_segments(&self) -> Vec<u32> {
        let trimmed = self.trimmed.load(Ordering::Acquire);
        let spans = self.spans.read();
        let ends = spans.iter().skip(1).map(|next| next.first).chain([self.end()]);
        let over = spans.iter().zip(ends).filter(|(_, end)| *end <= trimmed);
        over.map(|(span, _)| span.segment).collect()
    }

    /// The part of the partition in each segment, oldest first.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.read().clone()
    }

    /// The bytes of this partition in `segment` so far.
    pub(super) fn bytes_in(&self, segment: u32) -> u64 {
        match self.spans.read().last() {
            Some(span) if span.segment == segment => span.bytes,
            _ => 0,
        }
    }

    /// The segment that holds `offset`, and the first offset of the next segment.
    pub(super) fn segment_of(&self, offset: u64) -> Option<(u32, Option<u64>)> {
        let spans = self.spans.read();
        let at = spans
            .partition_point(|span| span.first <= offset)
            .saturating_sub(1);
        let next = spans.get(at + 1).map(|next| next.first);
        spans.get(at).map(|span| (span.segment, next))
    }

    /// The batch in memory that contains `offset`.
    pub(super) fn recent(&self, offset: u64) -> Option<Bytes> {
        let tail = self.tail.read();
        let after = tail.partition_point(|(first, ..)| *first <= offset);
        let (_, end, batch) = tail.get(after.checked_sub(1)?)?;
        (offset < *end).then(|| batch.clone())
    }

    /// Adds a durable batch, which readers can now see.
    pub(super) fn grow(&self, segment: u32, first: u64, end: u64, written_at: Utc, batch: Bytes) {
        {
            let mut spans = self.spans.write();
            match spans.last_mut() {
                Some(span) if span.segment == segment => {
                    span.bytes += batch.len() as u64;
                    span.written_at = written_at;
                }
                _ => spans.push(Span {
                    segment,
                    first,
                    bytes: batch.len() as u64,
                    written_at,
                }),
            }
        }
        self.tail.write().push_back((first, end, batch));
        self.end.store(end, Ordering::Release);
    }

    /// Drops the oldest batch from memory. Returns its size.
    pub(super) fn forget_oldest(&self) -> usize {
        self.tail
            .write()
            .pop_front()
            .map_or(0, |(_, _, batch)| batch.len())
    }

    /// The number of batches in memory, from the oldest, that end at or before `end`.
    pub(super) fn recent_before(&self, end: u64) -> usize {
        self.tail
            .read()
            .partition_point(|(_, batch_end, _)| *batch_end <= end)
    }

    /// Replaces the partition's oldest segments `replaced` by `by`, which holds their remaining records.
    pub(super) fn replace(&self, replaced: &[u32], by: Option<Span>) {
        let mut spans = self.spans.write();
        spans.retain(|span| !replaced.contains(&span.segment));
        if let Some(span) = by {
            spans.insert(0, span);
        }
    }

    /// The partition's earliest offset after `segment`, its oldest, is dropped. `None` if the segment holds none of its
    /// records.
    pub(super) fn earliest_without(&self, segment: u32) -> Option<u64> {
        let spans = self.spans.read();
        let at = spans.iter().position(|span| span.segment == segment)?;
        Some(spans.get(at + 1).map_or_else(|| self.end(), |next| next.first))
    }

    /// Removes `segment` and everything before `earliest`.
    pub(super) fn shrink(&self, segment: u32, earliest: u64) {
        self.earliest.store(earliest, Ordering::Release);
        self.spans.write().retain(|span| span.segment != segment);
    }
}
