//! The progress of each input partition: exact counts and event time, committed together with the offset.
//!
//! The metadata of each partition's commit says how many records the group has consumed from it, how many it has written
//! because of it, and how many it has given up on, since the beginning. The numbers are part of the transaction, so they are
//! exact: [`count_stages`] adds them up from any process.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use super::input_time::InputClock;
use crate::{Log, Result, StageSpec};

/// Exact counts of one partition of one group, since the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Records consumed, control records not counted.
    #[serde(rename = "c", default)]
    pub consumed: u64,
    /// Records written, by topic, control records and dead letters not counted.
    #[serde(rename = "p", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub produced: BTreeMap<String, u64>,
    /// Dead letters, by reason.
    #[serde(rename = "d", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dead: BTreeMap<String, u64>,
}

/// The progress of one input partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PartitionProgress {
    #[serde(flatten)]
    pub(super) counters: Counters,
    /// Nested, not flattened: serde reads the numbers that are keys of a flattened map as text.
    #[serde(rename = "k", default)]
    pub(super) clock: InputClock,
    /// The watermark last announced to the stage and passed on, in milliseconds.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) announced: Option<i64>,
    /// Whether the last mark passed on said "idle".
    #[serde(rename = "i", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) announced_idle: bool,
    /// The explicit mark last passed on.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(super) passed_heartbeat: Option<i64>,
}

impl PartitionProgress {
    pub(super) fn announced(&self) -> Utc {
        self.announced.map_or(Utc::MIN, Utc::from_millis)
    }

    pub(super) fn to_metadata(&self) -> String {
        serde_json::to_string(self).expect("progress has string keys")
    }

    /// Progress from a commit. If another program wrote the metadata, the counts start at 0; the offset still holds.
    pub(super) fn from_metadata(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(%error, "another program wrote the metadata of this commit: the counts of this partition start at 0");
            Self::default()
        })
    }
}

/// What a stage has done, over all its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StageCounts {
    /// Records consumed.
    pub consumed: u64,
    /// Records not consumed yet.
    pub lag: u64,
    /// Records consumed, by input topic.
    pub consumed_by_topic: BTreeMap<String, u64>,
    /// Records not consumed yet, by input topic.
    pub lag_by_topic: BTreeMap<String, u64>,
    /// Records written, by topic.
    pub produced: BTreeMap<String, u64>,
    /// Dead letters, by input topic and reason.
    pub dead: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Adds up the committed progress of a stage, whichever processes run it. What the stage has never begun to read is lag.
pub fn count_stages(log: &dyn Log, stage: &StageSpec) -> Result<StageCounts> {
    let topics: Vec<Arc<str>> = stage
        .inputs
        .iter()
        .map(|input| Arc::clone(&input.topic))
        .collect();
    let mut total = StageCounts::default();
    for progress in log.progress(&stage.name, &topics)? {
        let topic = progress.committed.partition.topic.to_string();
        let counters = PartitionProgress::from_metadata(&progress.committed.metadata).counters;
        let lag = progress.end.saturating_sub(progress.committed.next);
        total.consumed += counters.consumed;
        total.lag += lag;
        *total.consumed_by_topic.entry(topic.clone()).or_default() += counters.consumed;
        *total.lag_by_topic.entry(topic.clone()).or_default() += lag;
        for (written, n) in counters.produced {
            *total.produced.entry(written).or_default() += n;
        }
        for (reason, n) in counters.dead {
            *total
                .dead
                .entry(topic.clone())
                .or_default()
                .entry(reason)
                .or_default() += n;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_survives_the_commit_and_garbage_does_not_stop_it() {
        let mut progress = PartitionProgress::default();
        progress.counters.consumed = 3;
        progress.counters.dead.insert("malformed".into(), 1);
        progress.clock.saw_record(Utc::from_millis(9));
        let mark = crate::WatermarkMark {
            source: 2,
            of: 3,
            at: Utc::from_millis(4),
            idle: true,
        };
        progress.clock.saw_mark(crate::EventTime::Sources, &mark);
        progress.announced = Some(5);
        assert_eq!(
            PartitionProgress::from_metadata(&progress.to_metadata()),
            progress
        );
        assert_eq!(
            PartitionProgress::from_metadata("not json"),
            PartitionProgress::default()
        );
    }
}
