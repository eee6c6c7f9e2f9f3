//! Outgoing records, packed by the thread that writes them, as soon as their size is known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::packed::{Packer, Payload, packed_length};
use crate::partition::Partition;
use crate::shared::Shared;
use limbic_stream::{Error, NewRecord, Result, partition_of};

/// The records of one partition are divided into payloads of about this number of bytes.
const PAYLOAD: usize = 1 << 20;

/// Outgoing records, packed by partition.
pub(super) struct Outgoing<'a> {
    pub(super) shared: &'a Shared,
    /// By topic id and partition number.
    partitions: BTreeMap<(u32, u32), PartitionPayloads>,
    /// The topic of the previous record. Records of one topic usually follow each other.
    last: RefCell<Option<CachedTopic>>,
}

/// The payloads for one partition: complete ones, and the records of the next one.
struct PartitionPayloads {
    partition: Arc<Partition>,
    full: Vec<Payload>,
    records: Vec<NewRecord>,
    /// Bytes of the records when they are packed.
    bytes: usize,
}

impl PartitionPayloads {
    fn pack(&mut self) {
        let mut packer = Packer::with_room(self.bytes);
        for record in self.records.drain(..) {
            packer.push(&record);
        }
        self.bytes = 0;
        self.full.push(packer.finish());
    }
}

/// A topic and its partitions.
struct CachedTopic {
    topic: Arc<str>,
    partitions: Vec<Arc<Partition>>,
}

impl<'a> Outgoing<'a> {
    pub(super) const fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            partitions: BTreeMap::new(),
            last: RefCell::new(None),
        }
    }

    pub(super) fn push(&mut self, record: NewRecord) -> Result<()> {
        let limit = self.shared.options.max_record_bytes;
        if record.size() > limit {
            return Err(Error::TooLarge {
                size: record.size(),
                limit,
            });
        }
        let partition = self.partition(&record)?;
        let payloads = self
            .partitions
            .entry((partition.topic_id, partition.number()))
            .or_insert_with(|| PartitionPayloads {
                partition,
                full: Vec::new(),
                records: Vec::new(),
                bytes: 0,
            });
        payloads.bytes += packed_length(&record);
        payloads.records.push(record);
        if payloads.bytes >= PAYLOAD {
            payloads.pack();
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(Arc<Partition>, Vec<Payload>)> {
        self.partitions
            .into_values()
            .map(|mut payloads| {
                if !payloads.records.is_empty() {
                    payloads.pack();
                }
                (payloads.partition, payloads.full)
            })
            .collect()
    }

    fn partition(&self, record: &NewRecord) -> Result<Arc<Partition>> {
        let mut last = self.last.borrow_mut();
        let partitions = match &mut *last {
            Some(addressee) if addressee.topic == record.topic => &addressee.partitions,
            other => {
                let addressee = CachedTopic {
                    topic: record.topic.clone(),
                    partitions: self.shared.topic(&record.topic)?.partitions,
                };
                &other.insert(addressee).partitions
            }
        };
        let number = record
            .partition
            .unwrap_or_else(|| partition_of(&record.key, partitions.len() as u32));
        partitions.get(number as usize).cloned().ok_or_else(|| {
            Error::Settings(format!(
                "topic `{}` has {} partitions, numbered from 0: partition {number} does not exist",
                record.topic,
                partitions.len()
            ))
        })
    }
}
