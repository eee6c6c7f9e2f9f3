//! One step of an instance: a batch (or a tick, or time itself) in, one transaction out.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use limbic_domain::{Fault, Retry, Utc};

use super::book::Book;
use super::dead::dead_letter;
use super::time::{self, Progress};
use super::worker::{Trouble, Worker};
use crate::record::header;
use crate::{
    Batch, Committed, Consumer, Control, Effects, Forward, NewRecord, Outputs, Record, Stage, StageError,
    TopicPartition, WatermarkMark,
};

/// The largest value a stage may write: what a broker takes by default, less room for key and headers.
const LARGEST_OUTPUT: usize = 1_000_000 - 16_384;

/// Watermarks to be passed on: before the records of the step, and after them.
#[derive(Default)]
struct Marks {
    before: Vec<NewRecord>,
    after: Vec<NewRecord>,
}

impl Worker {
    /// Processes `records` (or nothing but time, or a tick) and commits everything that follows, or nothing.
    pub(super) fn step(
        &mut self,
        consumer: &mut dyn Consumer,
        records: Vec<Record>,
        tick: bool,
    ) -> Result<(), Trouble> {
        let started = Instant::now();
        let mut books: BTreeMap<TopicPartition, Book> = self
            .held
            .iter()
            .map(|(partition, held)| (partition.clone(), held.book.clone()))
            .collect();
        let (data, next) = self.take_in(records, &mut books);
        let batch = Batch { records: data };

        let mut out = Outputs::new(consumer.state());
        if !batch.records.is_empty() {
            process(&mut *self.stage, &batch, &mut out)?;
        }
        let marks = self.advance_time(&mut books, &mut out)?;
        if tick {
            let numbers: BTreeSet<u32> = self.held.keys().map(|partition| partition.partition).collect();
            let numbers: Vec<u32> = numbers.into_iter().collect();
            self.stage.tick(&numbers, Utc::now(), &mut out)?;
        }
        let effects = out.into_effects();

        self.count(&effects, &mut books);
        let changed: Vec<TopicPartition> = books
            .iter()
            .filter(|(partition, book)| {
                next.contains_key(*partition)
                    || self.held.get(*partition).is_none_or(|held| held.book != **book)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        let nothing_happened = changed.is_empty()
            && effects.records.is_empty()
            && effects.dead.is_empty()
            && effects.state.is_empty()
            && marks.before.is_empty()
            && marks.after.is_empty();
        if nothing_happened {
            return Ok(());
        }
        self.commit(consumer, &effects, marks, &books, &next, &changed)?;
        self.measure(&batch.records, &effects, started);
        for (partition, book) in books {
            if let Some(held) = self.held.get_mut(&partition) {
                held.book = book;
                if let Some(next) = next.get(&partition) {
                    held.next = *next;
                    held.caught_up = None;
                }
            }
        }
        Ok(())
    }

    /// Splits control records from data, and notes both in the books.
    fn take_in(
        &self,
        records: Vec<Record>,
        books: &mut BTreeMap<TopicPartition, Book>,
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
    fn advance_time(
        &mut self,
        books: &mut BTreeMap<TopicPartition, Book>,
        out: &mut Outputs<'_>,
    ) -> Result<Marks, Trouble> {
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
    fn count(&self, effects: &Effects, books: &mut BTreeMap<TopicPartition, Book>) {
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

    fn commit(
        &self,
        consumer: &mut dyn Consumer,
        effects: &Effects,
        marks: Marks,
        books: &BTreeMap<TopicPartition, Book>,
        next: &BTreeMap<TopicPartition, u64>,
        changed: &[TopicPartition],
    ) -> Result<(), Trouble> {
        let mut transaction = consumer.begin()?;
        for mark in marks.before {
            transaction.append(mark)?;
        }
        for (_, record) in &effects.records {
            transaction.append(record.clone())?;
        }
        for letter in &effects.dead {
            tracing::warn!(
                topic = %letter.record.topic, partition = letter.record.partition, offset = letter.record.offset,
                trace = letter.record.headers.text(header::TRACE_PARENT), reason = letter.reason, detail = %letter.detail, "dead letter"
            );
            transaction.append(dead_letter(&self.spec.name, letter))?;
        }
        for mark in marks.after {
            transaction.append(mark)?;
        }
        for (number, changes) in &effects.state {
            for (key, value) in changes {
                transaction.put_state(*number, key.clone(), value.clone())?;
            }
        }
        for partition in changed {
            let held_next = self.held.get(partition).map_or(0, |held| held.next);
            transaction.commit_offset(Committed {
                partition: partition.clone(),
                next: next.get(partition).copied().unwrap_or(held_next),
                metadata: books.get(partition).map(Book::to_metadata).unwrap_or_default(),
            })?;
        }
        Ok(transaction.commit()?)
    }

    fn measure(&self, data: &[Record], effects: &Effects, started: Instant) {
        let stage = &*self.spec.name;
        let mut consumed: BTreeMap<&str, u64> = BTreeMap::new();
        for record in data {
            *consumed.entry(&*record.topic).or_default() += 1;
        }
        for (topic, n) in consumed {
            self.meters
                .records_in
                .with_label_values(&[stage, topic])
                .inc_by(n);
        }
        let mut produced: BTreeMap<&str, u64> = BTreeMap::new();
        let end_to_end = self.meters.end_to_end_seconds.with_label_values(&[stage]);
        let now = Utc::now();
        for (_, record) in &effects.records {
            *produced.entry(&*record.topic).or_default() += 1;
            let accepted = record
                .headers
                .text(header::ACCEPTED_AT)
                .and_then(|text| text.parse().ok());
            if let Some(accepted) = accepted {
                end_to_end.observe(now.millis_since(Utc::from_millis(accepted)).max(0) as f64 / 1e3);
            }
        }
        for (topic, n) in produced {
            self.meters
                .records_out
                .with_label_values(&[stage, topic])
                .inc_by(n);
        }
        for letter in &effects.dead {
            self.meters.dead.with_label_values(&[stage, letter.reason]).inc();
        }
        if !data.is_empty() {
            self.meters
                .batch_records
                .with_label_values(&[stage])
                .observe(data.len() as f64);
            self.meters
                .batch_seconds
                .with_label_values(&[stage])
                .observe(started.elapsed().as_secs_f64());
        }
    }
}

/// Has the stage process `batch`; what it cannot do is isolated and given up on.
fn process(stage: &mut dyn Stage, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
    let untouched = out.effects.clone();
    let failure = match guarded(stage, batch, out) {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    out.effects = untouched;
    match failure {
        Failure::Stage(error) if error.retry == Retry::WithBackoff => Err(error),
        Failure::Stage(error) if error.fault == Fault::Internal => Err(error),
        Failure::Stage(error) => isolate(stage, batch, error.reason, &error.message, out),
        Failure::Panic(message) => isolate(stage, batch, "panic", &message, out),
    }
}

/// `batch` failed as a whole: gives up on it if it is one record, otherwise tries each half.
fn isolate(
    stage: &mut dyn Stage,
    batch: &Batch,
    reason: &'static str,
    message: &str,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    if let [record] = &batch.records[..] {
        out.dead(record, reason, message);
        return Ok(());
    }
    for half in batch.records.chunks(batch.records.len().div_ceil(2).max(1)) {
        let half = Batch {
            records: half.to_vec(),
        };
        process(stage, &half, out)?;
    }
    Ok(())
}

enum Failure {
    Stage(StageError),
    Panic(String),
}

fn guarded(stage: &mut dyn Stage, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), Failure> {
    // A stage's own fields hold only what can be rebuilt, so that a panic leaves nothing half-done behind.
    match catch_unwind(AssertUnwindSafe(|| stage.process(batch, out))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::Stage(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            return Err(Failure::Panic(text.unwrap_or_else(|| "panicked".to_owned())));
        }
    }
    match out
        .effects
        .records
        .iter()
        .find(|(_, record)| record.value.len() > LARGEST_OUTPUT)
    {
        None => Ok(()),
        Some((_, record)) => Err(Failure::Stage(StageError::poison(
            "output_too_large",
            format!(
                "it leads to a record of {} bytes for `{}`",
                record.value.len(),
                record.topic
            ),
        ))),
    }
}
