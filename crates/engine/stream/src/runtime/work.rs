//! What a batch (or a tick, or time itself) leads to, before any of it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use limbic_domain::Utc;

use super::book::Book;
use super::isolate::process_isolated;
use super::time::{self, Progress};
use super::worker::{Trouble, Worker};
use crate::{
    Batch, Control, Effects, Forward, NewRecord, Outputs, Record, StateReader, TopicPartition, WatermarkMark,
};

/// The books of the input partitions held.
pub(super) type Books = BTreeMap<TopicPartition, Book>;

/// What follows from a batch.
pub(super) struct Work {
    pub(super) started: Instant,
    /// The records of the batch.
    pub(super) data: Vec<Record>,
    /// What the stage did with them.
    pub(super) effects: Effects,
    /// Watermarks to be passed on.
    pub(super) marks: Marks,
    /// Where to read on.
    pub(super) next: BTreeMap<TopicPartition, u64>,
}

impl Work {
    /// Whether there is nothing to write but books.
    pub(super) fn is_silent(&self) -> bool {
        self.effects.records.is_empty()
            && self.effects.dead.is_empty()
            && self.effects.state.is_empty()
            && self.marks.before.is_empty()
            && self.marks.after.is_empty()
    }
}

/// Watermarks to be passed on: before the records of the batch, and after them.
#[derive(Default)]
pub(super) struct Marks {
    pub(super) before: Vec<NewRecord>,
    pub(super) after: Vec<NewRecord>,
}

impl Worker {
    /// Has the stage do `records` (or nothing but time, or a tick) over the state `before`, and enters it in the books.
    pub(super) fn work(
        &mut self,
        before: &dyn StateReader,
        books: &mut Books,
        records: Vec<Record>,
        tick: bool,
    ) -> Result<Work, Trouble> {
        let started = Instant::now();
        let (data, next) = self.take_in(records, books);
        let batch = Batch { records: data };
        let references = Arc::clone(&self.references);
        let mut out = Outputs::with_references(before, &references);
        if !batch.records.is_empty() {
            process_isolated(&mut *self.stage, &batch, &mut out)?;
        }
        let marks = self.advance_time(books, &mut out)?;
        if tick {
            let numbers: BTreeSet<u32> = self.held.keys().map(|partition| partition.partition).collect();
            let numbers: Vec<u32> = numbers.into_iter().collect();
            self.stage.tick(&numbers, Utc::now(), &mut out)?;
        }
        let effects = out.into_effects();
        self.count(&effects, books);
        Ok(Work {
            started,
            data: batch.records,
            effects,
            marks,
            next,
        })
    }

    /// Splits control records from data, and notes both in the books.
    fn take_in(
        &self,
        records: Vec<Record>,
        books: &mut Books,
    ) -> (Vec<Record>, BTreeMap<TopicPartition, u64>) {
        let mut next = BTreeMap::new();
        let mut data = Vec::with_capacity(records.len());
        // Records come in runs of one partition: look each run up once.
        let mut records = records.into_iter().peekable();
        while let Some(first) = records.peek() {
            let partition = TopicPartition {
                topic: first.topic.clone(),
                partition: first.partition,
            };
            let time = self.time_of(&partition.topic);
            let book = books.entry(partition.clone()).or_default();
            let of_this_run =
                |record: &Record| record.partition == partition.partition && record.topic == partition.topic;
            let mut end = 0;
            while let Some(record) = records.next_if(|record| of_this_run(record)) {
                end = record.offset + 1;
                match Control::of(&record) {
                    Some(Control::Watermark(mark)) => {
                        book.clock.saw_mark(time, &mark);
                    }
                    Some(Control::Unknown) => {}
                    None => {
                        book.clock.saw_record(record.timestamp);
                        book.counters.consumed += 1;
                        data.push(record);
                    }
                }
            }
            next.insert(partition, end);
        }
        (data, next)
    }

    /// Announces every watermark that moved to the stage, and prepares the marks that pass it on.
    fn advance_time(&mut self, books: &mut Books, out: &mut Outputs<'_>) -> Result<Marks, Trouble> {
        let mut marks = Marks::default();
        let Some(first_input) = self.spec.inputs.first().map(|input| input.topic.clone()) else {
            return Ok(marks);
        };
        let first_of: Vec<TopicPartition> = books
            .keys()
            .filter(|partition| partition.topic == first_input)
            .cloned()
            .collect();
        for keeper in first_of {
            let number = keeper.partition;
            let inputs = books
                .iter()
                .filter(|(partition, _)| partition.partition == number)
                .map(|(partition, book)| book.clock.progress(self.time_of(&partition.topic)));
            let progress = time::watermark(inputs);
            let heartbeat = books
                .iter()
                .filter(|(partition, _)| partition.partition == number)
                .filter_map(|(_, book)| book.clock.heartbeat())
                .max();
            let (watermark, idle) = match progress {
                Progress::At(at) => (at, false),
                Progress::Idle(at) => (at, true),
            };
            let Some(book) = books.get_mut(&keeper) else {
                continue;
            };
            let before = book.announced();
            let was_idle = book.announced_idle;
            let advanced = watermark > before;
            if advanced {
                book.announced = Some(watermark.as_millis());
                self.stage.watermark(number, watermark, out)?;
                let labels = [&*self.spec.name, &number.to_string()];
                self.meters
                    .watermark
                    .with_label_values(&labels)
                    .set(watermark.as_millis());
            }
            book.announced_idle = idle;
            let of = self.partitions.get(&first_input).copied().unwrap_or(0);
            let at = watermark.max(before);
            let passes_heartbeat =
                heartbeat.is_some_and(|at| book.passed_heartbeat.is_none_or(|p| p < at.as_millis()));
            for output in &self.spec.outputs {
                let partitions = self.partitions.get(&output.topic).copied().unwrap_or(0);
                match output.forward {
                    Forward::Nothing => {}
                    Forward::Broadcast => {
                        let mark = |at, idle| WatermarkMark {
                            source: number,
                            of,
                            at,
                            idle,
                        };
                        for partition in 0..partitions {
                            if was_idle && !idle {
                                marks
                                    .before
                                    .push(mark(before, false).record(&output.topic, partition));
                            }
                            if advanced || idle != was_idle {
                                marks.after.push(mark(at, idle).record(&output.topic, partition));
                            }
                        }
                    }
                    Forward::Aligned => {
                        if let Some(at) = heartbeat.filter(|_| passes_heartbeat) {
                            let mark = WatermarkMark {
                                source: number,
                                of: partitions,
                                at,
                                idle: false,
                            };
                            marks.after.push(mark.record(&output.topic, number));
                        }
                    }
                }
            }
            if passes_heartbeat {
                book.passed_heartbeat = heartbeat.map(Utc::as_millis);
            }
        }
        Ok(marks)
    }

    /// Adds what was done to the books: what a partition number caused, to that number of the first input.
    fn count(&self, effects: &Effects, books: &mut Books) {
        let Some(first) = self.spec.inputs.first() else {
            return;
        };
        for (number, record) in &effects.records {
            let keeper = TopicPartition {
                topic: first.topic.clone(),
                partition: *number,
            };
            if let Some(book) = books.get_mut(&keeper) {
                match book.counters.produced.get_mut(&*record.topic) {
                    Some(n) => *n += 1,
                    None => {
                        book.counters.produced.insert(record.topic.to_string(), 1);
                    }
                }
            }
        }
        for letter in &effects.dead {
            let keeper = TopicPartition {
                topic: letter.record.topic.clone(),
                partition: letter.record.partition,
            };
            if let Some(book) = books.get_mut(&keeper) {
                *book.counters.dead.entry(letter.reason.to_owned()).or_default() += 1;
            }
        }
    }
}
