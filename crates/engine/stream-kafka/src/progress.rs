//! The progress of a group, without joining it.
//!
//! Transaction markers and aborted records occupy offsets that no reader sees. A group that has read everything has
//! committed an offset *before* them, so its lag would never become 0. Therefore, if there is a difference, the partition
//! is read between the two offsets. If it contains no committed record there, the group's offset counts as the end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rdkafka::topic_partition_list::TopicPartitionList;

use crate::cluster::Cluster;
use crate::failure::to_log_error;
use crate::member::committed_of;
use crate::reader::Readers;
use limbic_stream::{Committed, GroupProgress, Result, TopicPartition};

pub(super) fn progress(
    cluster: &Cluster,
    readers: &Readers,
    group: &str,
    topics: &[Arc<str>],
) -> Result<Vec<GroupProgress>> {
    let context = format!("reading the progress of `{group}` from Kafka");
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let target = cluster.target(topic)?;
        list.add_partition_range(&target.name, 0, target.partitions as i32 - 1);
    }
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let list = cluster
        .committed_offsets(group, &list)
        .map_err(|error| to_log_error(&context, &error))?;
    let mut all = Vec::new();
    for topic in topics {
        let name = cluster.names.topic(topic);
        let mut of_topic = Vec::new();
        for element in list.elements_for_topic(&name) {
            element.error().map_err(|error| to_log_error(&context, &error))?;
            let partition = TopicPartition {
                topic: Arc::clone(topic),
                partition: element.partition() as u32,
            };
            let (earliest, end) = readers.ends(cluster, &name, partition.partition)?;
            let committed = committed_of(&partition, element.offset(), element.metadata());
            let committed = committed.unwrap_or_else(|| Committed {
                partition,
                next: earliest,
                metadata: String::new(),
            });
            let end = end.max(committed.next);
            of_topic.push(GroupProgress { committed, end });
        }
        settle(cluster, readers, &name, &mut of_topic)?;
        all.extend(of_topic);
    }
    Ok(all)
}

/// Sets the end to the group's offset where no record lies between them.
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
