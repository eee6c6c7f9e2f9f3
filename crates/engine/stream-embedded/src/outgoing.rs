//! Outgoing records, packed by the thread that writes them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::packed::{Packer, Payload};
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

/// The payloads for one partition: complete ones, and the one that is being filled.
struct PartitionPayloads {
    partition: Arc<Partition>,
    full: Vec<Payload>,
    packer: Packer,
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

    pub(super) fn push(&mut self, record: &NewRecord) -> Result<()> {
        let limit = self.shared.options.max_record_bytes;
        if record.size() > limit {
            return Err(Error::TooLarge {
                size: record.size(),
                limit,
            });
        }
        let partition = self.partition(record)?;
        let payloads = self
            .partitions
            .entry((partition.topic_id, partition.number()))
            .or_insert_with(|| PartitionPayloads {
                partition,
                full: Vec::new(),
                packer: Packer::new(),
            });
        payloads.packer.push(record);
        if payloads.packer.len() >= PAYLOAD {
            let packer = std::mem::replace(&mut payloads.packer, Packer::new());
            payloads.full.push(packer.finish());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(Arc<Partition>, Vec<Payload>)> {
        self.partitions
            .into_values()
            .map(|mut payloads| {
                if !payloads.packer.is_empty() {
                    payloads.full.push(payloads.packer.finish());
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
