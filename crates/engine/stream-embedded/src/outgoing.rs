//! Records on their way out, packed by the thread that writes them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::packed::{Packer, Payload};
use crate::partition::Partition;
use crate::shared::Shared;
use limbic_stream::{Error, NewRecord, Result, partition_of};

/// Records of one partition are cut into payloads of about this size.
const PAYLOAD: usize = 1 << 20;

/// Records on their way out, packed by partition.
pub(super) struct Outgoing<'a> {
    pub(super) shared: &'a Shared,
    /// By topic and partition number.
    partitions: BTreeMap<(u32, u32), Parcel>,
    /// The topic of the last record: records of one topic come together.
    last: RefCell<Option<Addressee>>,
}

/// What goes to one partition: full payloads, and the one that is being packed.
struct Parcel {
    partition: Arc<Partition>,
    full: Vec<Payload>,
    packer: Packer,
}

/// A topic and its partitions.
struct Addressee {
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
        let parcel = self
            .partitions
            .entry((partition.topic_id, partition.number()))
            .or_insert_with(|| Parcel {
                partition,
                full: Vec::new(),
                packer: Packer::new(),
            });
        parcel.packer.push(record);
        if parcel.packer.len() >= PAYLOAD {
            let packer = std::mem::replace(&mut parcel.packer, Packer::new());
            parcel.full.push(packer.finish());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(Arc<Partition>, Vec<Payload>)> {
        self.partitions
            .into_values()
            .map(|mut parcel| {
                if !parcel.packer.is_empty() {
                    parcel.full.push(parcel.packer.finish());
                }
                (parcel.partition, parcel.full)
            })
            .collect()
    }

    fn partition(&self, record: &NewRecord) -> Result<Arc<Partition>> {
        let mut last = self.last.borrow_mut();
        let partitions = match &mut *last {
            Some(addressee) if addressee.topic == record.topic => &addressee.partitions,
            other => {
                let addressee = Addressee {
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
                "topic `{}` has {} partitions, there is no number {number}",
                record.topic,
                partitions.len()
            ))
        })
    }
}
