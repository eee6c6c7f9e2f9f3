//! Retention drops whole segments, oldest first, when no topic needs them any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use limbic_domain::Utc;

use crate::commit::{Committer, TRANSIENT_CLASS};
use crate::groups::Groups;
use crate::partition::Partition;
use crate::shared::Topic;
use limbic_stream::{Result, Retention};

/// A segment of transient topics that is still being written is dropped only if it holds at least this number of bytes.
/// Otherwise segments would be created and dropped all the time.
const LEAST_TRIMMED: u64 = 1 << 20;

impl Committer {
    /// Drops the segments that no topic's retention keeps at `now`. A limit in bytes applies to all partitions of a topic
    /// together, because keys spread evenly. A limit in age is measured from the last write to a segment.
    pub(super) fn retain(&mut self, now: Utc) -> Result<()> {
        self.reopen()?;
        loop {
            let Some(segment) = self.expired(now) else {
                return Ok(());
            };
            self.seal(&HashSet::from([segment]));
            self.drop_segment(segment)?;
        }
    }

    /// The oldest segment that no topic needs.
    fn expired(&self, now: Utc) -> Option<u32> {
        let topics = self.shared.topics.read();
        let groups = self.shared.groups.lock();
        let mut segments: BTreeMap<u32, bool> = BTreeMap::new();
        for topic in topics.values() {
            let mut kept = kept_segments(topic, now, 1);
            let hold_back = u64::from(self.shared.options.hold_back.max(1));
            let unread = unread_segments(topic, &groups);
            kept.extend(kept_segments(topic, now, hold_back).intersection(&unread));
            for span in topic.partitions.iter().flat_map(|partition| partition.spans()) {
                let expired = !kept.contains(&span.segment);
                segments
                    .entry(span.segment)
                    .and_modify(|all| *all &= expired)
                    .or_insert(expired);
            }
        }
        let is_young = |segment: u32| {
            self.active.iter().any(|(class, active)| {
                active.id == segment && class.starts_with(TRANSIENT_CLASS) && active.bytes < LEAST_TRIMMED
            })
        };
        segments
            .into_iter()
            .find(|(segment, expired)| *expired && !is_young(*segment))
            .map(|(segment, _)| segment)
    }

    fn drop_segment(&mut self, segment: u32) -> Result<()> {
        let floors: Vec<(Arc<Partition>, u64)> = {
            let topics = self.shared.topics.read();
            topics
                .values()
                .flat_map(|topic| &topic.partitions)
                .filter_map(|partition| Some((partition.clone(), partition.earliest_without(segment)?)))
                .collect()
        };
        for (partition, floor) in &floors {
            for (group, next) in self.shared.groups.lock().readers(&partition.name) {
                if next < *floor {
                    tracing::error!(
                        %group, partition = %partition.name, records = floor - next,
                        "retention deletes records that a group has not read: let the group catch up, or give \
                         `retention` more time or space"
                    );
                }
            }
        }
        self.alter(|changes| {
            changes.forget_segment(segment);
            for (partition, floor) in &floors {
                changes.floor(partition.topic_id, partition.number(), *floor);
            }
        })?;
        for (partition, floor) in &floors {
            partition.shrink(segment, *floor);
        }
        self.unlist(segment);
        tracing::info!(segment, "dropped a segment that retention no longer keeps");
        fail::fail_point!("retention::before-delete");
        match self.shared.store.write().as_mut() {
            Some(store) => store.delete_segment(segment, &self.shared.path),
            None => Ok(()),
        }
    }
}

/// The segments with records that a group has not read. A group that has never committed does not count.
fn unread_segments(topic: &Topic, groups: &Groups) -> BTreeSet<u32> {
    let mut unread = BTreeSet::new();
    for partition in &topic.partitions {
        let Some(slowest) = groups
            .readers(&partition.name)
            .into_iter()
            .map(|(_, next)| next)
            .min()
        else {
            continue;
        };
        let spans = partition.spans();
        let ends = spans
            .iter()
            .skip(1)
            .map(|next| next.first)
            .chain([partition.end()]);
        unread.extend(
            spans
                .iter()
                .zip(ends)
                .filter(|(_, end)| slowest < *end)
                .map(|(span, _)| span.segment),
        );
    }
    unread
}

/// The segments that a topic still needs, if its limits were `times` as large.
fn kept_segments(topic: &Topic, now: Utc, times: u64) -> BTreeSet<u32> {
    let Retention { bytes, age } = topic.row.retention();
    let bytes = bytes.map(|bytes| bytes.saturating_mul(times));
    let age = age.map(|age| i64::try_from(age.as_millis().saturating_mul(times.into())).unwrap_or(i64::MAX));
    let mut segments: BTreeMap<u32, (u64, Utc)> = BTreeMap::new();
    for span in topic.partitions.iter().flat_map(|partition| partition.spans()) {
        let (size, written_at) = segments.entry(span.segment).or_insert((0, span.written_at));
        *size += span.bytes;
        *written_at = (*written_at).max(span.written_at);
    }
    let budget = bytes.map(|bytes| bytes.saturating_mul(u64::from(topic.row.partitions)));
    let mut newer = 0;
    let mut kept = BTreeSet::new();
    for (segment, (size, written_at)) in segments.into_iter().rev() {
        let too_much = budget.is_some_and(|budget| newer >= budget);
        let too_old = age.is_some_and(|age| now.millis_since(written_at) > age);
        if too_much || too_old {
            // All older segments are dropped too.
            break;
        }
        kept.insert(segment);
        newer += size;
    }
    if topic.row.is_transient() {
        let mut needed: BTreeSet<u32> = BTreeSet::new();
        for partition in &topic.partitions {
            let trimmed = partition.trimmed_segments();
            let held = partition.spans().into_iter().map(|span| span.segment);
            needed.extend(held.filter(|segment| !trimmed.contains(segment)));
        }
        kept.retain(|segment| needed.contains(segment));
    }
    kept
}
