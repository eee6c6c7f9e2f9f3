//! Transient topics: which they are, and up to where their records are deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::cluster::Cluster;
use limbic_stream::{Cleanup, Error, Result, TopicPartition, TopicSpec};

/// What this process knows of transient topics.
#[derive(Default)]
pub(super) struct Trimmer(Mutex<Known>);

#[derive(Default)]
struct Known {
    transient: HashSet<Arc<str>>,
    /// The offsets before which the brokers have deleted records. Calls that would change nothing are not sent.
    deleted: HashMap<TopicPartition, u64>,
}

impl Trimmer {
    /// Notes which of these topics are transient. The brokers do not know it: for them, these are topics with a retention.
    pub(super) fn learn(&self, specs: &[TopicSpec]) {
        let is_transient = |spec: &&TopicSpec| matches!(spec.cleanup, Cleanup::Transient(_));
        let names = specs
            .iter()
            .filter(is_transient)
            .map(|spec| Arc::clone(&spec.name));
        self.0.lock().transient.extend(names);
    }

    /// Deletes the records before these offsets. All topics must be transient.
    pub(super) fn trim(&self, cluster: &Cluster, before: &[(TopicPartition, u64)]) -> Result<()> {
        let new = self.not_yet_deleted(before)?;
        let mut wanted = TopicPartitionList::new();
        for (partition, offset) in &new {
            let target = cluster.target(&partition.topic)?;
            let added = wanted.add_partition_offset(
                &target.name,
                partition.partition as i32,
                Offset::Offset(*offset as i64),
            );
            added.map_err(|error| Error::Settings(format!("trimming {partition}: {error}")))?;
        }
        if new.is_empty() {
            return Ok(());
        }
        cluster.delete_records(&wanted)?;
        self.0.lock().deleted.extend(new);
        Ok(())
    }

    fn not_yet_deleted(&self, before: &[(TopicPartition, u64)]) -> Result<Vec<(TopicPartition, u64)>> {
        let known = self.0.lock();
        if let Some((other, _)) = before
            .iter()
            .find(|(partition, _)| !known.transient.contains(&partition.topic))
        {
            return Err(Error::Settings(format!(
                "the topic `{}` is not transient: its retention deletes its records",
                other.topic
            )));
        }
        let is_new = |(partition, offset): &&(TopicPartition, u64)| {
            known.deleted.get(partition).copied().unwrap_or(0) < *offset
        };
        Ok(before.iter().filter(is_new).cloned().collect())
    }
}
