//! Reads a partition: from the newest batches in memory if they contain the offset, otherwise from the store.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::packed::{Unpacker, summary};
use crate::partition::Partition;
use crate::shared::Shared;
use limbic_stream::{Record, Result};

/// Bytes of one read from the store.
const READ_AHEAD: usize = 1 << 20;

/// The position of a reader in a partition, and the batches that it has loaded.
#[derive(Debug)]
pub(super) struct Cursor {
    position: u64,
    /// Records that were deleted before this reader came to them, since the last [`Cursor::take_skipped`].
    skipped: u64,
    current: Option<Unpacker>,
    ahead: VecDeque<Bytes>,
}

/// The remaining limits of a read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Cursor {
    pub(super) const fn at(position: u64) -> Self {
        Self {
            position,
            skipped: 0,
            current: None,
            ahead: VecDeque::new(),
        }
    }

    /// The offset of the next record.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// The number of records that were deleted before this reader came to them, since the last call.
    pub(super) const fn take_skipped(&mut self) -> u64 {
        std::mem::replace(&mut self.skipped, 0)
    }

    fn skip_to(&mut self, earliest: u64) {
        self.skipped += earliest.saturating_sub(self.position);
        self.position = self.position.max(earliest);
    }

    /// Reads until the limits are reached or there are no more records. The first record always fits if `into` is empty.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        partition: &Partition,
        room: &mut Room,
        into: &mut Vec<Record>,
    ) -> Result<()> {
        while room.records > 0 {
            self.skip_to(partition.earliest());
            self.bring_batch(shared, partition)?;
            let Some(batch) = &mut self.current else {
                return Ok(());
            };
            batch.skip_to(self.position)?;
            while room.records > 0 {
                let before = batch.mark();
                let Some(record) = batch.next(&partition.name)? else {
                    break;
                };
                let size = record.size();
                if size > room.bytes && !into.is_empty() {
                    batch.return_to(before);
                    room.bytes = 0;
                    return Ok(());
                }
                room.records -= 1;
                room.bytes = room.bytes.saturating_sub(size);
                self.position = record.offset + 1;
                into.push(record);
            }
        }
        Ok(())
    }

    /// Loads the batch that contains the position, or the next batch. Loads nothing at the end of the partition.
    fn bring_batch(&mut self, shared: &Shared, partition: &Partition) -> Result<()> {
        let at_hand = self
            .current
            .as_ref()
            .is_some_and(|batch| batch.position() <= self.position && self.position < batch.end());
        if !at_hand {
            self.current = self.load(shared, partition)?;
        }
        Ok(())
    }

    fn load(&mut self, shared: &Shared, partition: &Partition) -> Result<Option<Unpacker>> {
        let end = partition.end();
        if self.position >= end {
            return Ok(None);
        }
        while let Some(batch) = self.ahead.pop_front() {
            let summary = summary(&batch)?;
            if self.position < summary.end() {
                self.position = self.position.max(summary.first);
                return Unpacker::verified(batch).map(Some);
            }
        }
        if let Some(batch) = partition.recent(self.position) {
            return Unpacker::trusted(batch).map(Some);
        }
        while let Some((segment, next_segment)) = partition.segment_of(self.position) {
            let at = (partition.topic_id, partition.number());
            let found =
                shared.with_store(|store| store.batches(segment, at, self.position, end, READ_AHEAD))?;
            let mut found = VecDeque::from(found);
            while let Some(batch) = found.pop_front() {
                let summary = summary(&batch)?;
                if self.position < summary.end() {
                    self.position = self.position.max(summary.first);
                    self.ahead = found;
                    return Unpacker::verified(batch).map(Some);
                }
            }
            let earliest = partition.earliest();
            if earliest > self.position {
                // Retention dropped the segment in the meantime.
                self.skip_to(earliest);
            } else if partition.segment_of(self.position).map(|(now, _)| now) != Some(segment) {
                // Compaction replaced the segment in the meantime: read the new one.
            } else if let Some(next) = next_segment {
                // Compaction removed the records at the end of the segment.
                self.position = next;
            } else {
                break;
            }
        }
        Err(limbic_stream::Error::Corrupt(format!(
            "{} has no batch at offset {}, but its offsets reach from {} to {end}: restore the log's folder from a backup",
            partition.name,
            self.position,
            partition.earliest()
        )))
    }
}
