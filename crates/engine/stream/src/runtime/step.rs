//! One step of an instance: one or more batches, or a tick, in one transaction.
//!
//! If commits are expensive, available batches share one ([`Transaction::ready`]). Each batch is processed over the
//! changes of those before it, its outputs are sent while the next one is processed, and offsets and state are committed
//! once. An abort affects all of them. If the stage cannot process a batch now, the sharing ends, and the batches before
//! it are committed.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use super::dead::dead_letter;
use super::meters::StageMeters;
use super::report::BatchReport;
use super::tenant_time::Times;
use super::watermark::{Progress, ProgressMap};
use super::work::Work;
use super::worker::{Assignment, StepError, Worker};
use crate::overlay::{Changes, Overlay};
use crate::record::header;
use crate::{Committed, Consumer, Error, Record, Skipped, TopicPartition, Transaction};

/// The maximum number of records in the batches of one transaction. It bounds what must be processed again, and what
/// readers must skip, after a process is killed.
const SHARED_RECORDS: usize = 100_000;
const SHARED_BYTES: usize = 64 << 20;

/// A transaction and everything that is committed with it.
struct Step<'c> {
    transaction: Box<dyn Transaction + 'c>,
    started: Instant,
    progress: Progress,
    /// The next offset of each partition.
    next: BTreeMap<TopicPartition, u64>,
    /// The state changes of all batches, which are written once.
    changes: Changes,
    reports: Vec<BatchReport>,
    records: usize,
    bytes: usize,
}

impl<'c> Step<'c> {
    fn new(transaction: Box<dyn Transaction + 'c>, started: Instant, progress: Progress) -> Self {
        Self {
            transaction,
            started,
            progress,
            next: BTreeMap::new(),
            changes: Changes::new(),
            reports: Vec::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Adds the effects of a batch. State changes are kept until the commit.
    fn add(&mut self, stage: &str, work: Work) -> Result<(), Error> {
        self.reports.push(BatchReport::of(&work));
        self.records += work.data.len();
        self.bytes += work.data.iter().map(Record::size).sum::<usize>();
        for mark in work.marks_before {
            self.transaction.append(mark)?;
        }
        for (_, record) in work.effects.records {
            self.transaction.append(record)?;
        }
        for letter in &work.effects.dead {
            tracing::warn!(
                topic = %letter.record.topic, partition = letter.record.partition, offset = letter.record.offset,
                trace = letter.record.headers.text(header::TRACE_PARENT), reason = letter.reason, detail = %letter.detail, "dead letter"
            );
            self.transaction.append(dead_letter(stage, letter))?;
        }
        for mark in work.marks_after {
            self.transaction.append(mark)?;
        }
        for (number, changes) in work.effects.state {
            match self.changes.entry(number) {
                Entry::Occupied(mut earlier) => earlier.get_mut().extend(changes),
                Entry::Vacant(place) => {
                    place.insert(changes);
                }
            }
        }
        self.next.extend(work.next);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.records >= SHARED_RECORDS || self.bytes >= SHARED_BYTES
    }

    /// The state including the changes of the batches so far.
    fn state(&self) -> Overlay<'_> {
        Overlay {
            below: self.transaction.state(),
            changes: &self.changes,
        }
    }

    /// Adds state and offsets, and commits. Then updates the assignment with the new progress, and the metrics.
    fn commit(
        mut self,
        assignment: &mut Assignment,
        times: &mut BTreeMap<u32, Arc<Times>>,
        stage: &str,
        meters: &StageMeters,
    ) -> Result<(), StepError> {
        for (number, changes) in self.changes {
            for (key, value) in changes {
                self.transaction.put_state(number, key, value)?;
            }
        }
        for partition in changed(assignment, &self.progress.partitions, &self.next) {
            let committed = assignment.get(&partition).map_or(0, |assigned| assigned.next);
            let next = self.next.get(&partition).copied().unwrap_or(committed);
            self.transaction.commit_offset(Committed {
                next,
                metadata: self.progress.partitions[&partition].to_metadata(next),
                partition,
            })?;
        }
        self.transaction.commit()?;
        for report in &self.reports {
            report.report(stage, meters);
        }
        *times = self.progress.times;
        for (partition, progress) in self.progress.partitions {
            if let Some(assigned) = assignment.get_mut(&partition) {
                assigned.progress = progress;
                if let Some(next) = self.next.get(&partition) {
                    assigned.next = *next;
                }
            }
        }
        Ok(())
    }
}

/// The partitions whose progress or offset has changed since the last commit.
fn changed(
    assignment: &Assignment,
    progress: &ProgressMap,
    next: &BTreeMap<TopicPartition, u64>,
) -> Vec<TopicPartition> {
    progress
        .iter()
        .filter(|(partition, progress)| {
            next.contains_key(*partition)
                || assignment
                    .get(*partition)
                    .is_none_or(|assigned| assigned.progress != **progress)
        })
        .map(|(partition, _)| partition.clone())
        .collect()
}

impl Worker {
    /// Processes `records` (empty for a tick, or if only time has advanced) and the batches that may share their
    /// transaction. Commits all effects or none.
    pub(super) fn step(
        &mut self,
        consumer: &mut dyn Consumer,
        records: Vec<Record>,
        tick: bool,
    ) -> Result<(), StepError> {
        let started = Instant::now();
        let is_batch = !records.is_empty();
        let was_alone = self.alone;
        let partitions: ProgressMap = self
            .assignment
            .iter()
            .map(|(partition, assigned)| (partition.clone(), assigned.progress.clone()))
            .collect();
        let mut progress = Progress {
            partitions,
            times: self.times.clone(),
        };
        let skipped = std::mem::take(&mut self.skipped);
        for skipped in &skipped {
            if let Some(progress) = progress.partitions.get_mut(&skipped.partition) {
                progress.counters.skipped += skipped.records;
            }
        }
        let mut work = self.work(consumer.state(), &mut progress, records, tick)?;
        // The offset passes them together with the count, also if the batch has no record of the partition. Otherwise they would be
        // counted again after a failure.
        for skipped in &skipped {
            if progress.partitions.contains_key(&skipped.partition) {
                work.next.entry(skipped.partition.clone()).or_insert(skipped.next);
            }
        }
        if work.is_silent() && changed(&self.assignment, &progress.partitions, &work.next).is_empty() {
            self.times = progress.times;
            return Ok(());
        }
        // If a later step fails, the batches are repeated one by one, because each is more likely to succeed alone.
        self.alone = true;
        let mut step = Step::new(consumer.begin()?, started, progress);
        step.add(&self.spec.name, work)?;
        let failure = if is_batch && !was_alone {
            self.share(&mut step)?
        } else {
            None
        };
        step.commit(
            &mut self.assignment,
            &mut self.times,
            &self.spec.name,
            &self.meters,
        )?;
        for Skipped {
            partition, records, ..
        } in skipped
        {
            tracing::error!(%partition, records, "records were deleted before this stage read them: they are lost for it");
            let labels = [&*self.spec.name, &*partition.topic];
            self.meters.skipped.with_label_values(&labels).inc_by(records);
        }
        self.alone = failure.is_some() || (was_alone && !is_batch);
        failure.map_or(Ok(()), Err)
    }

    /// Processes available batches in the same transaction until it is time to commit. A batch that fails has no effect
    /// on the transaction; its failure is returned.
    fn share(&mut self, step: &mut Step<'_>) -> Result<Option<StepError>, Error> {
        let limits = self.limits();
        while step.started.elapsed() < self.options.share_for && !step.is_full() && !self.is_stopping() {
            let Some(records) = step.transaction.ready(&limits)? else {
                break;
            };
            let mut progress = step.progress.clone();
            let work = match self.work(&step.state(), &mut progress, records, false) {
                Ok(work) => work,
                Err(failure) => return Ok(Some(failure)),
            };
            step.progress = progress;
            step.add(&self.spec.name, work)?;
        }
        Ok(None)
    }
}
