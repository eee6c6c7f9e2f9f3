//! The catalogue: creates topics, checks them, and applies their settings.

use std::sync::Arc;

use crate::commit::Committer;
use crate::partition::Partition;
use crate::shared::Topic;
use crate::store::{Changes, Meta, TopicRow, failure};
use limbic_stream::{Cleanup, Error, Result, TopicPartition, TopicSpec};

impl Committer {
    /// Creates missing topics and applies a changed retention. A different number of partitions, or a change between
    /// deletion and compaction, is an error.
    pub(super) fn ensure_topics(&mut self, specs: &[TopicSpec]) -> Result<()> {
        let mut rows: Vec<(Arc<str>, TopicRow)> = Vec::new();
        {
            let topics = self.shared.topics.read();
            let mut next_id = topics.values().map(|topic| topic.row.id + 1).max().unwrap_or(0);
            for spec in specs {
                if spec.partitions == 0 {
                    return Err(Error::Settings(format!(
                        "topic `{}` needs at least one partition",
                        spec.name
                    )));
                }
                let known = topics.get(&spec.name).map(|topic| &topic.row).or_else(|| {
                    rows.iter()
                        .find(|(name, _)| *name == spec.name)
                        .map(|(_, row)| row)
                });
                let id = match known {
                    Some(row) if row.partitions != spec.partitions => {
                        return Err(Error::Settings(format!(
                            "topic `{}` has {} partitions, the settings say {}: change the settings, or replay into a new topic \
                             (a key's partition depends on their number)",
                            spec.name, row.partitions, spec.partitions
                        )));
                    }
                    Some(row) if row.cleanup == spec.cleanup => continue,
                    Some(row) if row.is_compacted() || spec.cleanup == Cleanup::Compact => {
                        let (is, should) = match spec.cleanup {
                            Cleanup::Compact => ("keeps records by age and size", "be compacted"),
                            Cleanup::Delete(_) | Cleanup::Transient(_) => {
                                ("is compacted", "keep records by age and size")
                            }
                        };
                        return Err(Error::Settings(format!(
                            "topic `{}` {is}, but the settings want it to {should}. An existing topic cannot change this: use a new topic, \
                             or remove the log's folder if you do not need its content",
                            spec.name
                        )));
                    }
                    Some(row) => row.id,
                    None => {
                        next_id += 1;
                        next_id - 1
                    }
                };
                let row = TopicRow {
                    id,
                    partitions: spec.partitions,
                    cleanup: spec.cleanup,
                };
                rows.push((spec.name.clone(), row));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.reopen()?;
        self.check_room(0)?;
        self.alter(|changes| {
            for (name, row) in &rows {
                changes.topic(name, row);
            }
        })?;
        let mut topics = self.shared.topics.write();
        for (name, row) in rows {
            let partitions = match topics.get(&name) {
                Some(topic) => topic.partitions.clone(),
                None => new_partitions(&name, &row),
            };
            topics.insert(name, Topic { row, partitions });
        }
        Ok(())
    }

    /// Applies what the disk has of a change whose flush failed. The caller was told that it failed, and may repeat it: until then,
    /// readers must not look for records that are gone, and numbers of topics must not be given twice.
    pub(super) fn follow(&self, meta: &Meta) {
        let mut topics = self.shared.topics.write();
        for (name, row) in &meta.topics {
            if let Some(topic) = topics.get_mut(name.as_str()) {
                topic.row = row.clone();
                continue;
            }
            let name: Arc<str> = name.as_str().into();
            let partitions = new_partitions(&name, row);
            let row = row.clone();
            topics.insert(name, Topic { row, partitions });
        }
        for topic in topics.values() {
            for partition in &topic.partitions {
                let floor = meta.floors.get(&(topic.row.id, partition.number()));
                let floor = floor.copied().unwrap_or(0).max(partition.earliest());
                for span in partition.spans() {
                    if !meta.segments.contains_key(&span.segment) {
                        partition.shrink(span.segment, floor);
                    }
                }
            }
        }
    }

    /// Writes to the catalogue and flushes the write to disk.
    pub(super) fn alter(&mut self, change: impl FnOnce(&mut Changes<'_>)) -> Result<()> {
        let number = self.commits + 1;
        let result = {
            let store = self.shared.store.read();
            let store = store.as_ref().ok_or(Error::Closed)?;
            let mut changes = store.changes();
            change(&mut changes);
            changes.write(number).and_then(|()| store.persist())
        };
        if let Err(error) = result {
            let meant = failure(&self.shared.path, "changing the catalogue", &error);
            *self.shared.store.write() = None;
            return Err(meant);
        }
        self.commits = number;
        Ok(())
    }
}

fn new_partitions(topic: &Arc<str>, row: &TopicRow) -> Vec<Arc<Partition>> {
    (0..row.partitions)
        .map(|partition| {
            let name = TopicPartition {
                topic: topic.clone(),
                partition,
            };
            Arc::new(Partition::new(name, row.id, 0, 0, Vec::new()))
        })
        .collect()
}
