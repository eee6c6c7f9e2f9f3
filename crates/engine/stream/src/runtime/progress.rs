//! The progress of each input partition: exact counts and event time, committed together with the offset.
//!
//! The metadata of each partition's commit contains the counts since the beginning: records consumed from the partition,
//! records written because of it, and dead letters. The counts are part of the transaction, so they are exact.
//! [`count_stages`] adds them up in any process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::input_time::InputClock;
use crate::{Log, Result, StageSpec};

/// Exact counts of one partition of one group, since the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Records consumed, without control records.
    #[serde(rename = "c", default)]
    pub consumed: u64,
    /// Records written, by topic, without control records and dead letters.
    #[serde(rename = "p", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub produced: BTreeMap<String, u64>,
    /// Records that were deleted before this stage read them.
    #[serde(rename = "x", default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Dead letters, by reason.
    #[serde(rename = "d", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dead: BTreeMap<String, u64>,
}

/// The progress of one input partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PartitionProgress {
    #[serde(flatten)]
    pub(super) counters: Counters,
    /// The end of the records that have been counted, and whose dead letters are written. Records before it are read again
    /// if the stage's database is behind the log; they count once. 0 in the metadata of a commit = its offset.
    #[serde(rename = "h", default, skip_serializing_if = "is_zero")]
    pub(super) counted: u64,
    /// Nested, not flattened: serde reads the numbers that are keys of a flattened map as text.
    #[serde(rename = "k", default)]
    pub(super) clock: InputClock,
    /// The watermark that an older program announced for all tenants, in milliseconds.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) former_announced: Option<i64>,
    /// Whether the last mark without a tenant that was passed on said that everything has been read.
    #[serde(rename = "i", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) announced_idle: bool,
}

impl PartitionProgress {
    /// The metadata of a commit whose offset is `next`.
    pub(super) fn to_metadata(&self, next: u64) -> String {
        if self.counted > next {
            return serde_json::to_string(self).expect("progress has string keys");
        }
        let usual = Self {
            counted: 0,
            ..self.clone()
        };
        serde_json::to_string(&usual).expect("progress has string keys")
    }

    /// Progress from the metadata of a commit. If another program wrote the metadata, the counts start at 0. The offset
    /// is still valid.
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The counts of a stage over all its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StageCounts {
    /// Records consumed.
    pub consumed: u64,
    /// Records that are not consumed yet.
    pub lag: u64,
    /// Records consumed, by input topic.
    pub consumed_by_topic: BTreeMap<String, u64>,
    /// Records that retention deleted before the stage read them, by input topic. They are lost for this stage.
    pub skipped: BTreeMap<String, u64>,
    /// Records that are not consumed yet, by input topic.
    pub lag_by_topic: BTreeMap<String, u64>,
    /// Records written, by topic.
    pub produced: BTreeMap<String, u64>,
    /// Dead letters, by input topic and reason.
    pub dead: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Adds up the committed progress of a stage, from all processes that run it. Partitions without a commit count as lag.
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
        if counters.skipped > 0 {
            *total.skipped.entry(topic.clone()).or_default() += counters.skipped;
        }
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
    fn progress_survives_the_commit_and_invalid_metadata_does_not_stop_it() {
        let mut progress = PartitionProgress::default();
        progress.counters.consumed = 3;
        progress.counters.dead.insert("malformed".into(), 1);
        let mark = crate::WatermarkMark {
            source: 2,
            of: 3,
            tenant: None,
            at: limbic_domain::Utc::from_millis(4),
            idle: true,
        };
        progress.clock.saw_general_mark(&mark);
        progress.clock.saw_number_of_senders(3);
        progress.announced_idle = true;
        progress.counted = 9;
        assert_eq!(
            PartitionProgress::from_metadata(&progress.to_metadata(4)),
            progress
        );
        // The offset says it already.
        assert!(!progress.to_metadata(9).contains("\"h\""));
        assert_eq!(
            PartitionProgress::from_metadata("not json"),
            PartitionProgress::default()
        );
    }
}
