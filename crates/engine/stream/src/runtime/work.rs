//! The effects of a batch, of a tick, or of time alone, before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use limbic_domain::{TenantId, Utc};

use crate::clock;

use super::input_time::InputClock;
use super::isolate::{guard, process_isolated};
use super::tenant_time::Times;
use super::watermark::{Heartbeats, Progress, ProgressMap};
use super::worker::{StepError, Worker};
use crate::record::header;
use crate::{
    Batch, Control, Effects, EventTime, NewRecord, Outputs, Record, StateReader, TopicPartition,
    WatermarkMark,
};

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
        progress: &mut Progress,
        records: Vec<Record>,
        tick: bool,
    ) -> Result<Work, StepError> {
        let started = Instant::now();
        let counted: BTreeMap<TopicPartition, u64> = progress
            .partitions
            .iter()
            .map(|(partition, progress)| (partition.clone(), progress.counted))
            .collect();
        let references = Arc::clone(&self.references);
        let mut out = Outputs::with_references(before, &references);
        self.divide_former_time(progress, &mut out)?;
        let Split {
            data,
            next,
            heartbeats,
        } = self.split_control_records(records, progress);
        let batch = Batch { records: data };
        if !batch.records.is_empty() {
            process_isolated(&mut *self.stage, &batch, &mut out)?;
        }
        self.note_delay(progress);
        let advance = self.tracker.advance(progress, &heartbeats);
        for (number, tenant, watermark) in advance.watermarks {
            guard("watermark", || {
                self.stage.watermark(number, &tenant, watermark, &mut out)
            })?;
        }
        if tick {
            let numbers: BTreeSet<u32> = self
                .assignment
                .keys()
                .map(|partition| partition.partition)
                .collect();
            let numbers: Vec<u32> = numbers.into_iter().collect();
            guard("tick", || self.stage.tick(&numbers, clock::now().at, &mut out))?;
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
        self.count(&effects, &mut progress.partitions);
        for (number, key, value) in advance.state {
            let state = effects.state.entry(number).or_default();
            state.insert(key.into(), value.map(Into::into));
        }
        Ok(Work {
            started,
            data: batch.records,
            effects,
            marks_before: advance.before,
            marks_after: advance.after,
            next,
        })
    }

    /// If an older program wrote the state of a partition number, gives the event time that it kept for all tenants to those
    /// of which the stage has something.
    fn divide_former_time(
        &mut self,
        progress: &mut Progress,
        out: &mut Outputs<'_>,
    ) -> Result<(), StepError> {
        let Some(first) = self.spec.inputs.first().filter(|_| self.tracker.has_time()) else {
            return Ok(());
        };
        let first = Arc::clone(&first.topic);
        let former: Vec<(u32, Option<i64>)> = progress
            .partitions
            .iter_mut()
            .filter(|(partition, _)| partition.topic == first)
            .filter_map(|(partition, progress)| {
                let announced = progress.former_announced.take()?;
                Some((partition.partition, Some(announced)))
            })
            .collect();
        for (number, announced) in former {
            let tenants = guard("divide_time", || self.stage.divide_time(number, out))?;
            tracing::info!(
                partition = number,
                tenants = tenants.len(),
                "an older program kept one event time for all tenants: each of them has its own from now on"
            );
            let times = Arc::make_mut(progress.times.entry(number).or_default());
            for (partition, progress) in &mut progress.partitions {
                if partition.partition == number {
                    let former = progress.clock.take_former();
                    for tenant in &tenants {
                        times.inherit(&partition.topic, tenant, former, announced);
                    }
                }
            }
        }
        Ok(())
    }

    /// Separates control records from data, and notes both in the progress.
    fn split_control_records(&self, records: Vec<Record>, progress: &mut Progress) -> Split {
        let Progress { partitions, times } = progress;
        let has_time = self.tracker.has_time();
        let mut next = BTreeMap::new();
        let mut heartbeats = Heartbeats::new();
        let mut data = Vec::with_capacity(records.len());
        // Records come in runs of one partition, so look up each run once.
        let mut records = records.into_iter().peekable();
        while let Some(first) = records.peek() {
            let partition = TopicPartition {
                topic: first.topic.clone(),
                partition: first.partition,
            };
            let time = self.tracker.time_of(&partition.topic);
            let progress = partitions.entry(partition.clone()).or_default();
            let mut of_tenants = None;
            if has_time && time != EventTime::Ignored {
                let times = Arc::make_mut(times.entry(partition.partition).or_default());
                of_tenants = Some(RecordTimes::new(&partition.topic, times));
            }
            let of_this_run =
                |record: &Record| record.partition == partition.partition && record.topic == partition.topic;
            let mut end = 0;
            let counted = progress.counted;
            while let Some(record) = records.next_if(|record| of_this_run(record)) {
                end = record.offset + 1;
                match Control::of(&record) {
                    Some(Control::Watermarks(marks)) => {
                        for mark in marks {
                            if time != EventTime::Sources && mark.is_general() {
                                progress.clock.saw_general_mark(&mark);
                                if let Some(of_tenants) = &mut of_tenants {
                                    of_tenants.saw_waiting(&mark);
                                }
                                continue;
                            }
                            if time != EventTime::Sources {
                                let heartbeat = heartbeats
                                    .entry((partition.partition, mark.tenant.clone()))
                                    .or_insert(mark.at);
                                *heartbeat = mark.at.max(*heartbeat);
                            }
                            if let Some(of_tenants) = &mut of_tenants {
                                of_tenants.saw_mark(time, &mut progress.clock, &mark);
                            }
                        }
                    }
                    Some(Control::Unknown) => {}
                    // It was sent again for a stage that gave up on it. This stage has processed it before.
                    None if record
                        .headers
                        .text(header::ONLY_FOR)
                        .is_some_and(|stage| stage != &*self.spec.name) => {}
                    None => {
                        if let Some(of_tenants) = &mut of_tenants {
                            of_tenants.saw(&record);
                        }
                        progress.counters.consumed += u64::from(record.offset >= counted);
                        data.push(record);
                    }
                }
            }
            if let Some(of_tenants) = of_tenants {
                of_tenants.finish();
            }
            progress.counted = counted.max(end);
            next.insert(partition, end);
        }
        Split {
            data,
            next,
            heartbeats,
        }
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

/// The records that were read, divided.
struct Split {
    data: Vec<Record>,
    /// The next offset of each partition.
    next: BTreeMap<TopicPartition, u64>,
    heartbeats: Heartbeats,
}

/// Notes the event times of a run of records of one partition. Neighbours are often of one tenant, which is then looked up
/// once.
struct RecordTimes<'a> {
    topic: &'a Arc<str>,
    times: &'a mut Times,
    /// The tenant of the latest records, with their latest time.
    current: Option<(TenantId, Utc)>,
}

impl<'a> RecordTimes<'a> {
    const fn new(topic: &'a Arc<str>, times: &'a mut Times) -> Self {
        Self {
            topic,
            times,
            current: None,
        }
    }

    fn saw(&mut self, record: &Record) {
        let name = tenant_in(&record.key);
        if let Some((tenant, latest)) = &mut self.current
            && tenant.as_str().as_bytes() == name
        {
            *latest = record.timestamp.max(*latest);
            return;
        }
        self.flush();
        // A key without a tenant is a malformed record: it moves nobody's time.
        self.current = std::str::from_utf8(name)
            .ok()
            .and_then(|name| TenantId::new(name).ok())
            .map(|tenant| (tenant, record.timestamp));
    }

    fn saw_mark(&mut self, time: EventTime, clock: &mut InputClock, mark: &WatermarkMark) {
        self.flush();
        if time == EventTime::Sources {
            clock.saw_number_of_senders(mark.of);
        }
        match &mark.tenant {
            Some(tenant) => self.times.saw_mark(self.topic, time, tenant, mark),
            None if time == EventTime::Sources => {
                clock.saw_general_mark(mark);
                self.times.touch_all();
            }
            // A heartbeat of an older program: nobody knows whose it is.
            None => {}
        }
    }

    /// The stage that writes the input says whether records wait before it.
    fn saw_waiting(&mut self, mark: &WatermarkMark) {
        self.flush();
        if mark.idle {
            self.times.touch_all();
        } else {
            self.times.saw_waiting_records(self.topic);
        }
    }

    fn flush(&mut self) {
        if let Some((tenant, latest)) = self.current.take() {
            self.times.saw_record(self.topic, &tenant, latest);
        }
    }

    fn finish(mut self) {
        self.flush();
    }
}

/// The part of a record's key that names its tenant: everything before the first `/`.
fn tenant_in(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|byte| *byte == b'/');
    &key[..end.unwrap_or(0)]
}
