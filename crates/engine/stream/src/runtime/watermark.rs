//! The watermark of each tenant in each partition number, and the marks that pass it to other stages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limbic_domain::{TenantId, Utc};

use super::input_time::InputTime;
use super::progress::PartitionProgress;
use super::tenant_time::{TenantTime, Times};
use crate::{EventTime, Forward, Input, NewRecord, Output, StageSpec, TopicPartition, WatermarkMark};

/// The progress of the input partitions that an instance holds.
pub(super) type ProgressMap = BTreeMap<TopicPartition, PartitionProgress>;

/// The progress of a step: what its transaction commits.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) partitions: ProgressMap,
    /// The event times of tenants, by partition number.
    pub(super) times: BTreeMap<u32, Arc<Times>>,
}

/// Heartbeats to pass on: the latest one of each partition number and tenant. A heartbeat of an older program has no tenant.
pub(super) type Heartbeats = BTreeMap<(u32, Option<TenantId>), Utc>;

/// Computes watermarks from the progress of a stage's inputs. It does no I/O and has no state: everything that it
/// remembers is in the progress, which is committed with the batch.
#[derive(Debug, Clone, Default)]
pub(super) struct WatermarkTracker {
    inputs: Vec<Input>,
    outputs: Vec<OutputPartitions>,
    /// Number of partitions of every input.
    partitions: u32,
    /// Whether an output has the partitions of the inputs: its readers are told while records wait here.
    is_aligned: bool,
}

#[derive(Debug, Clone)]
struct OutputPartitions {
    output: Output,
    partitions: u32,
}

/// The effects of an advance of time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Advance {
    /// New watermarks.
    pub(super) watermarks: Vec<(u32, TenantId, Utc)>,
    /// Marks to write before the records of the batch: an idle sender is active again.
    pub(super) before: Vec<NewRecord>,
    /// Marks to write after the records of the batch.
    pub(super) after: Vec<NewRecord>,
    /// The keys and values in the state of each partition number that hold the new times.
    pub(super) state: Vec<(u32, Vec<u8>, Option<Vec<u8>>)>,
}

/// The marks of one partition number.
#[derive(Default)]
struct Marks {
    before: Vec<WatermarkMark>,
    after: Vec<WatermarkMark>,
}

impl WatermarkTracker {
    /// A tracker for a stage whose topics have these numbers of partitions.
    pub(super) fn new(spec: &StageSpec, partitions: &BTreeMap<Arc<str>, u32>) -> Self {
        let of = |topic: &Arc<str>| partitions.get(topic).copied().unwrap_or(0);
        let outputs = spec.outputs.iter().map(|output| OutputPartitions {
            partitions: of(&output.topic),
            output: output.clone(),
        });
        Self {
            outputs: outputs.collect(),
            partitions: spec.inputs.first().map_or(0, |first| of(&first.topic)),
            inputs: spec.inputs.clone(),
            is_aligned: spec
                .outputs
                .iter()
                .any(|output| output.forward == Forward::Aligned),
        }
    }

    /// The source of an input's event time.
    pub(super) fn time_of(&self, topic: &str) -> EventTime {
        let input = self.inputs.iter().find(|input| &*input.topic == topic);
        input.map_or(EventTime::Ignored, |input| input.time)
    }

    /// Whether any input has event time.
    pub(super) fn has_time(&self) -> bool {
        self.inputs.iter().any(|input| input.time != EventTime::Ignored)
    }

    /// Whether an output has the partitions of the inputs.
    pub(super) const fn is_aligned(&self) -> bool {
        self.is_aligned
    }

    /// Whether it matters how much of a topic has been read.
    pub(super) fn looks_at(&self, topic: &str) -> bool {
        self.is_aligned || self.time_of(topic) != EventTime::Ignored
    }

    /// Advances the watermark of every tenant in every partition number as far as the inputs allow, and passes `heartbeats`
    /// on.
    pub(super) fn advance(&self, progress: &mut Progress, heartbeats: &Heartbeats) -> Advance {
        let mut advance = Advance::default();
        if self.has_time() || self.is_aligned {
            self.advance_times(progress, &mut advance);
        }
        for OutputPartitions { output, partitions } in &self.outputs {
            if output.forward != Forward::Aligned {
                continue;
            }
            for ((number, tenant), at) in heartbeats {
                let mark = WatermarkMark {
                    source: *number,
                    of: *partitions,
                    tenant: tenant.clone(),
                    at: *at,
                    idle: false,
                };
                advance.after.push(mark.record(&output.topic, *number));
            }
        }
        advance
    }

    fn advance_times(&self, progress: &mut Progress, advance: &mut Advance) {
        let Some(first) = self.inputs.first() else {
            return;
        };
        let numbers: BTreeSet<u32> = progress
            .partitions
            .keys()
            .filter(|partition| partition.topic == first.topic)
            .map(|partition| partition.partition)
            .collect();
        for number in numbers {
            let mut marks = Marks::default();
            let keeper = TopicPartition {
                topic: Arc::clone(&first.topic),
                partition: number,
            };
            let is_idle = self.has_read_everything(number, &progress.partitions);
            if let Some(keeper) = progress.partitions.get_mut(&keeper)
                && keeper.announced_idle != is_idle
            {
                keeper.announced_idle = is_idle;
                let general = self.mark(number, None, Utc::MIN, is_idle);
                self.tell_aligned(&general, advance);
                if is_idle {
                    marks.after.push(general);
                } else {
                    marks.before.push(general);
                }
            }
            if progress.times.get(&number).is_some_and(|times| times.has_work()) {
                self.advance_number(number, progress, &mut marks, advance);
            }
            for OutputPartitions { output, partitions } in &self.outputs {
                if output.forward == Forward::Broadcast {
                    let records = |marks: &[WatermarkMark]| {
                        WatermarkMark::records(marks, &output.topic, 0..*partitions)
                    };
                    advance.before.extend(records(&marks.before));
                    advance.after.extend(records(&marks.after));
                }
            }
        }
    }

    /// Tells the readers of the same partition number whether records wait here. They must not take the silence for the end.
    fn tell_aligned(&self, general: &WatermarkMark, advance: &mut Advance) {
        for OutputPartitions { output, .. } in &self.outputs {
            if output.forward == Forward::Aligned {
                let record = general.record(&output.topic, general.source);
                let place = if general.idle {
                    &mut advance.after
                } else {
                    &mut advance.before
                };
                place.push(record);
            }
        }
    }

    /// Whether all inputs of a partition number are caught up, so that no reader needs to wait for a tenant that is unknown
    /// here.
    fn has_read_everything(&self, number: u32, partitions: &ProgressMap) -> bool {
        of_number(number, partitions).all(|(partition, progress)| match self.time_of(&partition.topic) {
            EventTime::Ignored if !self.is_aligned => true,
            EventTime::Ignored | EventTime::Records { .. } | EventTime::Following { .. } => {
                progress.clock.is_caught_up() && !progress.clock.has_waiting_records()
            }
            EventTime::Sources => progress.clock.is_caught_up() && progress.clock.senders_are_idle(),
        })
    }

    /// Advances the tenants of a partition number about which something may have changed.
    fn advance_number(&self, number: u32, progress: &mut Progress, marks: &mut Marks, advance: &mut Advance) {
        let Some(times) = progress.times.get_mut(&number) else {
            return;
        };
        let times = Arc::make_mut(times);
        let mut changed = times.take_forgotten();
        let mut tenants = Vec::new();
        for tenant in times.take_touched() {
            let Some(time) = times.get_mut(&tenant) else {
                continue;
            };
            let inputs = of_number(number, &progress.partitions).map(|(partition, progress)| {
                (&partition.topic, self.time_of(&partition.topic), &progress.clock)
            });
            let (watermark, is_idle) = match time.time(inputs) {
                InputTime::At(at) => (at, false),
                InputTime::Idle(at) => (at, true),
            };
            self.advance_tenant(number, &tenant, time, (watermark, is_idle), marks, advance);
            tenants.push(tenant);
        }
        changed.extend(tenants);
        let state = times.changes(&changed);
        advance
            .state
            .extend(state.map(|(key, value)| (number, key, value)));
    }

    fn advance_tenant(
        &self,
        number: u32,
        tenant: &TenantId,
        time: &mut TenantTime,
        (watermark, is_idle): (Utc, bool),
        marks: &mut Marks,
        advance: &mut Advance,
    ) {
        let before = time.announced();
        let is_new = time.announced.is_none();
        let was_idle = std::mem::replace(&mut time.announced_idle, is_idle);
        let moved = watermark > before;
        time.announced = Some(watermark.max(before).as_millis());
        if moved {
            advance.watermarks.push((number, tenant.clone(), watermark));
        }
        if !is_idle && (was_idle || is_new) {
            marks.before.push(self.mark(number, Some(tenant), before, false));
        }
        if moved || is_idle != was_idle {
            let at = watermark.max(before);
            marks.after.push(self.mark(number, Some(tenant), at, is_idle));
        }
    }

    fn mark(&self, source: u32, tenant: Option<&TenantId>, at: Utc, idle: bool) -> WatermarkMark {
        WatermarkMark {
            source,
            of: self.partitions,
            tenant: tenant.cloned(),
            at,
            idle,
        }
    }
}

fn of_number(
    number: u32,
    progress: &ProgressMap,
) -> impl Iterator<Item = (&TopicPartition, &PartitionProgress)> {
    progress
        .iter()
        .filter(move |(partition, _)| partition.partition == number)
}

#[cfg(test)]
mod tests;
