//! Reads a log completely, and compares what is stored about it. Writes nothing.

use std::sync::Arc;

use crate::runtime::{StageCounts, count_stages};
use crate::{Log, Result, StageSpec, StateSchema, TopicInfo, TopicPartition};

/// Records that are read at a time.
const READ: usize = 10_000;

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was compared, for instance a topic.
    pub what: String,
    /// What was found, or what is wrong and what to do.
    pub result: std::result::Result<String, String>,
}

/// Reads every record of every topic. One verdict for each topic.
pub fn verify_records(log: &dyn Log) -> Result<Vec<Verdict>> {
    let topics = log.topics()?;
    let of_topic = topics.iter().map(|topic| Verdict {
        what: format!("topic {}", topic.name),
        result: read_topic(log, topic),
    });
    Ok(of_topic.collect())
}

fn read_topic(log: &dyn Log, topic: &TopicInfo) -> std::result::Result<String, String> {
    let mut count = 0_u64;
    for (number, (earliest, end)) in topic.offsets.iter().enumerate() {
        let partition = TopicPartition {
            topic: Arc::clone(&topic.name),
            partition: number as u32,
        };
        let mut next = *earliest;
        // Records that arrive meanwhile are not read.
        while next < *end {
            let records = log.read(&partition, next, READ).map_err(|error| {
                format!("records from offset {next} of {partition} cannot be read: {error}. Restore the log from a backup")
            })?;
            // The last records of a partition may have been removed by a compaction.
            let Some(last) = records.last().map(|record| record.offset) else {
                break;
            };
            let is_ordered = records.is_sorted_by(|a, b| a.offset < b.offset);
            if !is_ordered || records[0].offset < next {
                return Err(format!(
                    "the offsets of {partition} are not in order behind {next}: restore the log from a backup"
                ));
            }
            count += records.iter().filter(|record| record.offset < *end).count() as u64;
            next = last + 1;
        }
    }
    Ok(format!("{count} records can be read"))
}

/// Compares the offsets that each stage has committed with the log. One verdict for each stage.
pub fn verify_progress(log: &dyn Log, stages: &[StageSpec]) -> Result<Vec<Verdict>> {
    let known: Vec<Arc<str>> = log.topics()?.into_iter().map(|topic| topic.name).collect();
    let mut verdicts = Vec::new();
    for stage in stages {
        if !stage.inputs.iter().all(|input| known.contains(&input.topic)) {
            continue;
        }
        verdicts.push(Verdict {
            what: format!("progress of {}", stage.name),
            result: match beyond_the_end(log, stage)? {
                Some(problem) => Err(problem),
                None => counted(&count_stages(log, stage)?),
            },
        });
    }
    Ok(verdicts)
}

/// Most entries of a stage's state that are named when they do not decode.
const NAMED: usize = 3;

/// Decodes the whole state of a stage, whose tables `schema` describes, in the partition numbers below `partitions`.
pub fn verify_state(log: &dyn Log, stage: &str, schema: StateSchema, partitions: u32) -> Result<Verdict> {
    let schema = crate::runtime::describe_times(schema);
    let held = log.state_of(stage, partitions)?;
    let (mut entries, mut wrong, mut named) = (0_u64, 0_u64, Vec::new());
    for partition in 0..partitions {
        let mut from = Vec::new();
        loop {
            let page = held.scan(partition, b"", &from, READ)?;
            let Some((last, _)) = page.last() else { break };
            // The smallest key after the last one.
            from = [&last[..], &[0]].concat();
            for (key, value) in &page {
                entries += 1;
                if let Err(problem) = schema.check(key, value) {
                    wrong += 1;
                    if named.len() < NAMED {
                        named.push(format!(
                            "partition {partition}, key `{}`: {problem}",
                            key.escape_ascii()
                        ));
                    }
                }
            }
        }
    }
    Ok(Verdict {
        what: format!("state of {stage}"),
        result: if wrong == 0 {
            Ok(format!("{entries} entries can be decoded"))
        } else {
            Err(format!(
                "{wrong} of {entries} entries cannot be decoded: {}. If a later version of the program wrote them, use that version; \
                 otherwise restore the log from a backup",
                named.join("; ")
            ))
        },
    })
}

fn beyond_the_end(log: &dyn Log, stage: &StageSpec) -> Result<Option<String>> {
    let topics: Vec<Arc<str>> = stage
        .inputs
        .iter()
        .map(|input| Arc::clone(&input.topic))
        .collect();
    let beyond = log
        .progress(&stage.name, &topics)?
        .into_iter()
        .find(|progress| progress.committed.next > progress.end);
    Ok(beyond.map(|progress| {
        format!(
            "it has read {} up to offset {}, but the log ends at {}: the log was restored from an older backup than the offsets, or \
             the topic was made again. Restore both from the same time",
            progress.committed.partition, progress.committed.next, progress.end
        )
    }))
}

fn counted(counts: &StageCounts) -> std::result::Result<String, String> {
    let skipped: u64 = counts.skipped.values().sum();
    if skipped > 0 {
        return Err(format!(
            "{skipped} records were deleted before the stage read them ({} were consumed, {} wait): give `retention` more time or \
             space. What is lost stays lost",
            counts.consumed, counts.lag
        ));
    }
    Ok(format!(
        "{} records consumed, {} wait",
        counts.consumed, counts.lag
    ))
}
