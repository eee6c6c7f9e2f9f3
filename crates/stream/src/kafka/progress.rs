//! How far a group has come, seen from outside.
//!
//! Transaction markers and aborted records take offsets that no reader ever sees. A group that has read everything has
//! committed an offset *before* them, and the difference to the partition's end would never become 0. So where there
//! is a difference, the partition is looked into: without a committed record in it, the end is where the group is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::cluster::Cluster;
use super::failure::told;
use super::member::committed_of;
use super::reader::Readers;
use crate::{GroupProgress, Result, TopicPartition};

pub(super) fn progress(cluster: &Cluster, readers: &Readers, group: &str) -> Result<Vec<GroupProgress>> {
    let context = format!("asking Kafka how far `{group}` has come");
    let observer = cluster.group_observer(group)?;
    let mut list = TopicPartitionList::new();
    for partition in cluster.partitions()? {
        list.add_partition(&cluster.names.topic(&partition.topic), partition.partition as i32);
    }
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let list = observer
        .committed_offsets(list, cluster.options.patience)
        .map_err(|error| told(&context, &error))?;
    let mut all: BTreeMap<Arc<str>, Vec<GroupProgress>> = BTreeMap::new();
    for element in list.elements() {
        let Some(topic) = cluster.names.logical(element.topic()) else {
            continue;
        };
        element.error().map_err(|error| told(&context, &error))?;
        let partition = TopicPartition {
            topic: Arc::clone(&topic),
            partition: element.partition() as u32,
        };
        if let Some(committed) = committed_of(&partition, element.offset(), element.metadata()) {
            let (_, end) = readers.ends(cluster, element.topic(), partition.partition)?;
            let end = end.max(committed.next);
            all.entry(topic)
                .or_default()
                .push(GroupProgress { committed, end });
        }
    }
    for (topic, progress) in &mut all {
        settle(cluster, readers, &cluster.names.topic(topic), progress)?;
    }
    Ok(all.into_values().flatten().collect())
}

/// Brings the end back to the group where no record lies between.
fn settle(cluster: &Cluster, readers: &Readers, topic: &str, progress: &mut [GroupProgress]) -> Result<()> {
    let behind: BTreeMap<u32, u64> = progress
        .iter()
        .filter(|progress| progress.committed.next < progress.end)
        .map(|progress| (progress.committed.partition.partition, progress.committed.next))
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    let mut lagging = Vec::new();
    readers.scan(cluster, topic, &behind, |partition, _| {
        lagging.push(partition);
        ControlFlow::Break(())
    })?;
    for progress in progress {
        if !lagging.contains(&progress.committed.partition.partition) {
            progress.end = progress.committed.next;
        }
    }
    Ok(())
}
