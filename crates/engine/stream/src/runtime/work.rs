//! The effects of a batch, of a tick, or of time alone, before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use limbic_domain::Utc;

use super::isolate::{guard, process_isolated};
use super::watermark::ProgressMap;
use super::worker::{StepError, Worker};
use crate::record::header;
use crate::{Batch, Control, Effects, NewRecord, Outputs, Record, StateReader, TopicPartition};

/// The effects of a batch.
pub(super) struct Work {
    pub(super) started: Instant,
    /// The records of the batch.
    pub(super) data: Vec<Record>,
    /// The effects that the stage returned.
    pub(super) effects: Effects,
    /// Marks to write before and after the records of the batch.
    pub(super) marks_before: Vec<NewRecord>,
    pub(super) marks_after: Vec<NewRecord>,
    /// The next offset of each partition.
    pub(super) next: BTreeMap<TopicPartition, u64>,
}

impl Work {
    /// Whether there is nothing to write except progress.
    pub(super) fn is_silent(&self) -> bool {
        self.effects.records.is_empty()
            && self.effects.dead.is_empty()
            && self.effects.state.values().all(BTreeMap::is_empty)
            && self.marks_before.is_empty()
            && self.marks_after.is_empty()
    }
}

impl Worker {
    /// Lets the stage process `records` (or only time, or a tick) over the state `before`, and updates the progress.
    pub(super) fn work(
        &mut self,
        before: &dyn StateReader,
        progress: &mut ProgressMap,
        records: Vec<Record>,
        tick: bool,
    ) -> Result<Work, StepError> {
        let started = Instant::now();
        let counted: BTreeMap<TopicPartition, u64> = progress
            .iter()
            .map(|(partition, progress)| (partition.clone(), progress.counted))
            .collect();
        let (data, next) = self.split_control_records(records, progress);
        let batch = Batch { records: data };
        let references = Arc::clone(&self.references);
        let mut out = Outputs::with_references(before, &references);
        if !batch.records.is_empty() {
            process_isolated(&mut *self.stage, &batch, &mut out)?;
        }
        let advance = self.tracker.advance(progress);
        for (number, watermark) in advance.watermarks {
            guard("watermark", || self.stage.watermark(number, watermark, &mut out))?;
            self.meters
                .watermark
                .with_label_values(&[&*self.spec.name, &number.to_string()])
                .set(watermark.as_millis());
        }
        if tick {
            let numbers: BTreeSet<u32> = self
                .assignment
                .keys()
                .map(|partition| partition.partition)
                .collect();
            let numbers: Vec<u32> = numbers.into_iter().collect();
            guard("tick", || self.stage.tick(&numbers, Utc::now(), &mut out))?;
        }
        let mut effects = out.into_effects();
        // The letter of a record that is read again was committed with the offset behind the record.
        effects.dead.retain(|letter| {
            let at = TopicPartition {
                topic: letter.record.topic.clone(),
                partition: letter.record.partition,
            };
            counted
                .get(&at)
                .is_none_or(|counted| letter.record.offset >= *counted)
        });
        self.count(&effects, progress);
        Ok(Work {
            started,
            data: batch.records,
            effects,
            marks_before: advance.before,
            marks_after: advance.after,
            next,
        })
    }

    /// Separates control records from data, and notes both in the progress.
    fn split_control_records(
        &self,
        records: Vec<Record>,
        progress: &mut ProgressMap,
    ) -> (Vec<Record>, BTreeMap<TopicPartition, u64>) {
        let mut next = BTreeMap::new();
        let mut data = Vec::with_capacity(records.len());
        // Records come in runs of one partition, so look up each run once.
        let mut records = records.into_iter().peekable();
        while let Some(first) = records.peek() {
            let partition = TopicPartition {
                topic: first.topic.clone(),
                partition: first.partition,
            };
            let time = self.tracker.time_of(&partition.topic);
            let progress = progress.entry(partition.clone()).or_default();
            let of_this_run =
                |record: &Record| record.partition == partition.partition && record.topic == partition.topic;
            let mut end = 0;
            let counted = progress.counted;
            while let Some(record) = records.next_if(|record| of_this_run(record)) {
                end = record.offset + 1;
                match Control::of(&record) {
                    Some(Control::Watermark(mark)) => {
                        progress.clock.saw_mark(time, &mark);
                    }
                    Some(Control::Unknown) => {}
                    // It was sent again for a stage that gave up on it. This stage has processed it before.
                    None if record
                        .headers
                        .text(header::ONLY_FOR)
                        .is_some_and(|stage| stage != &*self.spec.name) => {}
                    None => {
                        progress.clock.saw_record(record.timestamp);
                        progress.counters.consumed += u64::from(record.offset >= counted);
                        data.push(record);
                    }
                }
            }
            progress.counted = counted.max(end);
            next.insert(partition, end);
        }
        (data, next)
    }

    /// Adds the effects to the counts: the effects of a partition number count for this number of the first input.
    fn count(&self, effects: &Effects, progress: &mut ProgressMap) {
        let Some(first) = self.spec.inputs.first() else {
            return;
        };
        // Records of one cause and topic mostly follow each other, so each run of them is counted at once.
        let is_same_run = |(one, record): &(u32, NewRecord), (other, next): &(u32, NewRecord)| {
            one == other && record.topic == next.topic
        };
        for run in effects.records.chunk_by(is_same_run) {
            let (number, record) = &run[0];
            let keeper = TopicPartition {
                topic: first.topic.clone(),
                partition: *number,
            };
            if let Some(progress) = progress.get_mut(&keeper) {
                let produced = &mut progress.counters.produced;
                match produced.get_mut(&*record.topic) {
                    Some(n) => *n += run.len() as u64,
                    None => {
                        produced.insert(record.topic.to_string(), run.len() as u64);
                    }
                }
            }
        }
        for letter in &effects.dead {
            let keeper = TopicPartition {
                topic: letter.record.topic.clone(),
                partition: letter.record.partition,
            };
            if let Some(progress) = progress.get_mut(&keeper) {
                *progress
                    .counters
                    .dead
                    .entry(letter.reason.to_owned())
                    .or_default() += 1;
            }
        }
    }
}
