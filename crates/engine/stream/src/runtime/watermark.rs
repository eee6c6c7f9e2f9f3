//! The watermark of each partition number, and the marks that pass it to other stages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limbic_domain::Utc;

use super::input_time::{self, InputTime};
use super::progress::PartitionProgress;
use crate::{EventTime, Forward, Input, NewRecord, Output, StageSpec, TopicPartition, WatermarkMark};

/// The progress of the input partitions that an instance holds.
pub(super) type ProgressMap = BTreeMap<TopicPartition, PartitionProgress>;

/// Computes watermarks from the progress of a stage's inputs. It does no I/O and has no state: everything that it
/// remembers is in the progress, which is committed with the batch.
#[derive(Debug, Clone, Default)]
pub(super) struct WatermarkTracker {
    inputs: Vec<Input>,
    outputs: Vec<OutputPartitions>,
    /// Number of partitions of every input.
    partitions: u32,
}

#[derive(Debug, Clone)]
struct OutputPartitions {
    output: Output,
    partitions: u32,
}

/// The effects of an advance of time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Advance {
    /// Partition numbers with a new watermark.
    pub(super) watermarks: Vec<(u32, Utc)>,
    /// Marks to write before the records of the batch: an idle sender is active again.
    pub(super) before: Vec<NewRecord>,
    /// Marks to write after the records of the batch.
    pub(super) after: Vec<NewRecord>,
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
        }
    }

    /// The source of an input's event time.
    pub(super) fn time_of(&self, topic: &str) -> EventTime {
        let input = self.inputs.iter().find(|input| &*input.topic == topic);
        input.map_or(EventTime::Ignored, |input| input.time)
    }

    /// Advances the watermark of every partition number as far as its inputs allow. The progress of the first input
    /// stores the watermark.
    pub(super) fn advance(&self, progress: &mut ProgressMap) -> Advance {
        let mut advance = Advance::default();
        let Some(first) = self.inputs.first() else {
            return advance;
        };
        let numbers: BTreeSet<u32> = progress
            .keys()
            .filter(|partition| partition.topic == first.topic)
            .map(|partition| partition.partition)
            .collect();
        for number in numbers {
            let (watermark, is_idle) = match self.time_of_number(number, progress) {
                InputTime::At(at) => (at, false),
                InputTime::Idle(at) => (at, true),
            };
            let heartbeat = of_number(number, progress)
                .filter_map(|(_, progress)| progress.clock.heartbeat())
                .max();
            let keeper = TopicPartition {
                topic: Arc::clone(&first.topic),
                partition: number,
            };
            if let Some(keeper) = progress.get_mut(&keeper) {
                self.advance_number(number, watermark, is_idle, heartbeat, keeper, &mut advance);
            }
        }
        advance
    }

    fn time_of_number(&self, number: u32, progress: &ProgressMap) -> InputTime {
        let inputs = of_number(number, progress)
            .map(|(partition, progress)| progress.clock.time(self.time_of(&partition.topic)));
        input_time::combine(inputs)
    }

    fn advance_number(
        &self,
        number: u32,
        watermark: Utc,
        is_idle: bool,
        heartbeat: Option<Utc>,
        keeper: &mut PartitionProgress,
        advance: &mut Advance,
    ) {
        let before = keeper.announced();
        let was_idle = std::mem::replace(&mut keeper.announced_idle, is_idle);
        let moved = watermark > before;
        if moved {
            keeper.announced = Some(watermark.as_millis());
            advance.watermarks.push((number, watermark));
        }
        let new_heartbeat = heartbeat.filter(|at| {
            keeper
                .passed_heartbeat
                .is_none_or(|passed| passed < at.as_millis())
        });
        for OutputPartitions { output, partitions } in &self.outputs {
            match output.forward {
                Forward::Nothing => {}
                Forward::Broadcast => {
                    let mark = |at, idle| WatermarkMark {
                        source: number,
                        of: self.partitions,
                        at,
                        idle,
                    };
                    for partition in 0..*partitions {
                        if was_idle && !is_idle {
                            let resumes = mark(before, false);
                            advance.before.push(resumes.record(&output.topic, partition));
                        }
                        if moved || is_idle != was_idle {
                            let stands = mark(watermark.max(before), is_idle);
                            advance.after.push(stands.record(&output.topic, partition));
                        }
                    }
                }
                Forward::Aligned => {
                    if let Some(at) = new_heartbeat {
                        let mark = WatermarkMark {
                            source: number,
                            of: *partitions,
                            at,
                            idle: false,
                        };
                        advance.after.push(mark.record(&output.topic, number));
                    }
                }
            }
        }
        if let Some(at) = new_heartbeat {
            keeper.passed_heartbeat = Some(at.as_millis());
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
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{Control, Record};

    fn tracker(forward: Forward) -> WatermarkTracker {
        let disorder = Duration::from_millis(10);
        let spec = StageSpec::new("stage")
            .reads("a", EventTime::Records { disorder })
            .reads("b", EventTime::Records { disorder })
            .writes("out", forward);
        let partitions = [("a", 2), ("b", 2), ("out", 3)];
        WatermarkTracker::new(&spec, &partitions.map(|(topic, n)| (topic.into(), n)).into())
    }

    fn at(millis: i64) -> Utc {
        Utc::from_millis(millis)
    }

    fn partition(topic: &str, partition: u32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }

    fn assigned() -> ProgressMap {
        ["a", "b"]
            .into_iter()
            .flat_map(|topic| {
                (0..2).map(move |number| (partition(topic, number), PartitionProgress::default()))
            })
            .collect()
    }

    fn saw(progress: &mut ProgressMap, topic: &str, number: u32, millis: i64) {
        let progress = progress.get_mut(&partition(topic, number)).unwrap();
        progress.clock.saw_record(at(millis));
    }

    fn marks(records: &[NewRecord]) -> Vec<(u32, i64, bool)> {
        let decoded = records.iter().map(|new| {
            let record = Record {
                topic: Arc::clone(&new.topic),
                partition: new.partition.unwrap(),
                offset: 0,
                key: new.key.clone(),
                value: new.value.clone(),
                headers: new.headers.clone(),
                timestamp: new.timestamp,
            };
            match Control::of(&record) {
                Some(Control::Watermark(mark)) => (record.partition, mark.at.as_millis(), mark.idle),
                other => panic!("{other:?}"),
            }
        });
        decoded.collect()
    }

    #[test]
    fn a_watermark_waits_for_the_slowest_input_and_is_announced_once() {
        let (tracker, mut progress) = (tracker(Forward::Nothing), assigned());
        saw(&mut progress, "a", 0, 100);
        assert_eq!(tracker.advance(&mut progress).watermarks, [], "`b` has not begun");
        saw(&mut progress, "b", 0, 50);
        assert_eq!(tracker.advance(&mut progress).watermarks, [(0, at(40))]);
        assert_eq!(tracker.advance(&mut progress), Advance::default());
        saw(&mut progress, "b", 0, 500);
        assert_eq!(tracker.advance(&mut progress).watermarks, [(0, at(90))]);
    }

    #[test]
    fn a_broadcast_mark_reaches_every_partition_and_states_whether_the_sender_is_idle() {
        let (tracker, mut progress) = (tracker(Forward::Broadcast), assigned());
        for topic in ["a", "b"] {
            saw(&mut progress, topic, 1, 100);
        }
        let advance = tracker.advance(&mut progress);
        assert_eq!(
            marks(&advance.after),
            [(0, 90, false), (1, 90, false), (2, 90, false)]
        );
        for topic in ["a", "b"] {
            progress
                .get_mut(&partition(topic, 1))
                .unwrap()
                .clock
                .set_silence(input_time::Silence::Settled);
        }
        let advance = tracker.advance(&mut progress);
        assert_eq!(
            marks(&advance.after),
            [(0, 101, true), (1, 101, true), (2, 101, true)]
        );
        saw(&mut progress, "a", 1, 105);
        let advance = tracker.advance(&mut progress);
        assert_eq!(
            marks(&advance.before),
            [(0, 101, false), (1, 101, false), (2, 101, false)]
        );
        assert_eq!(advance.watermarks, [], "time does not go back");
    }

    #[test]
    fn an_aligned_output_gets_each_heartbeat_once_in_its_own_partition() {
        let (tracker, mut progress) = (tracker(Forward::Aligned), assigned());
        let heartbeat = WatermarkMark {
            source: 0,
            of: 1,
            at: at(700),
            idle: false,
        };
        let clock = &mut progress.get_mut(&partition("a", 1)).unwrap().clock;
        clock.saw_mark(tracker.time_of("a"), &heartbeat);
        let advance = tracker.advance(&mut progress);
        assert_eq!(marks(&advance.after), [(1, 700, false)]);
        assert_eq!(tracker.advance(&mut progress), Advance::default());
    }

    proptest! {
        #[test]
        fn watermarks_only_grow_and_survive_a_commit(
            seen in proptest::collection::vec((any::<bool>(), 0_u32..2, 0_i64..1_000), 0..60),
        ) {
            let (tracker, mut progress) = (tracker(Forward::Broadcast), assigned());
            let mut last = [Utc::MIN; 2];
            for (is_a, number, millis) in seen {
                saw(&mut progress, if is_a { "a" } else { "b" }, number, millis);
                for (number, watermark) in tracker.advance(&mut progress).watermarks {
                    prop_assert!(watermark > last[number as usize]);
                    prop_assert!(watermark <= at(millis.max(1_000)));
                    last[number as usize] = watermark;
                }
                // Another instance takes over: it continues from what was committed.
                for progress in progress.values_mut() {
                    *progress = PartitionProgress::from_metadata(&progress.to_metadata(0));
                }
                prop_assert_eq!(tracker.advance(&mut progress).watermarks, []);
            }
        }
    }
}
