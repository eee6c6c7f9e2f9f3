//! Drives a stage in a test as the runtime drives it, without a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{Envelope, Record as DomainRecord, TenantId, Utc};

use super::{MemoryState, RecordBuilder};
use crate::runtime::process_isolated;
use crate::{
    Batch, DeadLetter, Effects, NewRecord, Outputs, Record, References, Stage, StageError, StageSpec,
    TopicPartition,
};

/// A stage under test, its committed state, and everything that it wrote.
///
/// The harness makes each call three times over the same state: twice on the stage (as after an aborted transaction) and
/// once on a fresh instance (as after a restart). It commits the effects once. The test fails if the effects differ,
/// because then the stage is not a function of records, state and time. Use [`Harness::once`] for a stage that depends on
/// something outside.
///
/// Records reach the stage through the runtime's isolation: a record that fails permanently, or causes a panic, becomes a
/// dead letter.
pub struct Harness<S> {
    build: Box<dyn FnMut() -> S>,
    instances: Vec<S>,
    /// The instance that holds a partition number. Numbers that are not assigned are missing.
    owners: BTreeMap<u32, usize>,
    assigned: BTreeSet<TopicPartition>,
    /// Instances whose last call failed. Like the runtime, the harness tells them their partitions before the next call.
    failed: BTreeSet<usize>,
    seeks: Vec<(TopicPartition, u64)>,
    offsets: BTreeMap<TopicPartition, u64>,
    repeats: bool,
    spec: Option<StageSpec>,
    references: References,
    state: MemoryState,
    outputs: Vec<(u32, NewRecord)>,
    dead_letters: Vec<DeadLetter>,
}

impl<S: Stage> Harness<S> {
    /// A harness around the stage that `build` makes. It calls `build` again for each fresh instance.
    pub fn new(mut build: impl FnMut() -> S + 'static) -> Self {
        Self {
            instances: vec![build()],
            build: Box::new(build),
            owners: BTreeMap::new(),
            assigned: BTreeSet::new(),
            failed: BTreeSet::new(),
            seeks: Vec::new(),
            offsets: BTreeMap::new(),
            repeats: true,
            spec: None,
            references: References::default(),
            state: MemoryState::default(),
            outputs: Vec::new(),
            dead_letters: Vec::new(),
        }
    }

    /// Makes each call only once, for a stage whose result depends on a server, a database or a file.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.repeats = false;
        self
    }

    /// Checks inputs and outputs against the stage's description. A topic that it does not name fails the test, and so
    /// does the state of a stage that is described as stateless.
    #[must_use]
    pub fn described_by(mut self, spec: StageSpec) -> Self {
        self.spec = Some(spec);
        self
    }

    /// Starts with committed state, for instance of an older version of the stage.
    #[must_use]
    pub fn over(mut self, state: MemoryState) -> Self {
        self.state = state;
        self
    }

    /// Replaces the reference tables, like an update while the stage runs. The stage sees them from the next call on.
    pub fn set_references(&mut self, references: References) {
        self.references = references;
    }

    /// Feeds one batch, commits its effects and returns them. A record without an offset gets the next one of its
    /// partition. Partitions that are not assigned are first assigned to the newest instance.
    ///
    /// # Panics
    /// If the stage asks for a retry, reports an internal error, or is not a function of records, state and time.
    #[track_caller]
    pub fn process<R: Into<RecordBuilder>>(&mut self, records: impl IntoIterator<Item = R>) -> Effects {
        self.try_process(records)
            .unwrap_or_else(|error| panic!("the stage cannot process the batch: {}: {error}", error.reason))
    }

    /// Like [`Self::process`], for a batch that the stage is expected to refuse as a whole. After an error nothing is
    /// committed.
    #[track_caller]
    pub fn try_process<R: Into<RecordBuilder>>(
        &mut self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Effects, StageError> {
        let records = self.arrive(records);
        let mut all = Effects::default();
        for (instance, records) in self.by_instance(records) {
            let batch = Batch { records };
            let effects = self.call(instance, |stage, out| process_isolated(stage, &batch, out))?;
            all.extend(effects);
        }
        self.commit(&all);
        Ok(all)
    }

    /// Feeds one batch and aborts its transaction: the effects are returned but not committed. Feed the same records
    /// again to process them again.
    #[track_caller]
    pub fn process_aborted<R: Into<RecordBuilder>>(
        &mut self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Effects, StageError> {
        let offsets = self.offsets.clone();
        let records = self.arrive(records);
        self.offsets = offsets;
        let mut all = Effects::default();
        for (instance, records) in self.by_instance(records) {
            let batch = Batch { records };
            all.extend(self.call(instance, |stage, out| process_isolated(stage, &batch, out))?);
        }
        Ok(all)
    }

    /// Advances the event time of the default tenant in a partition number to `at` and commits the effects.
    ///
    /// # Panics
    /// If the stage returns an error, or is not a function of records, state and time.
    #[track_caller]
    pub fn watermark(&mut self, partition: u32, at: Utc) -> Effects {
        self.watermark_of(&TenantId::default(), partition, at)
    }

    /// As [`Self::watermark`], for `tenant`.
    ///
    /// # Panics
    /// If the stage returns an error, or is not a function of records, state and time.
    #[track_caller]
    pub fn watermark_of(&mut self, tenant: &TenantId, partition: u32, at: Utc) -> Effects {
        let instance = self.owner_of(partition);
        let effects = self
            .call(instance, |stage, out| stage.watermark(partition, tenant, at, out))
            .unwrap_or_else(|error| {
                panic!("the stage cannot handle the watermark: {}: {error}", error.reason)
            });
        self.commit(&effects);
        effects
    }

    /// Calls every instance's tick with the wall-clock time `now` and its partition numbers, and commits the effects.
    ///
    /// # Panics
    /// If the stage returns an error, or is not a function of records, state and time.
    #[track_caller]
    pub fn tick(&mut self, now: Utc) -> Effects {
        let effects = self
            .tick_aborted(now)
            .unwrap_or_else(|error| panic!("the stage cannot handle the tick: {}: {error}", error.reason));
        self.commit(&effects);
        effects
    }

    /// Like [`Self::tick`], but the transaction is aborted, so nothing is committed.
    #[track_caller]
    pub fn tick_aborted(&mut self, now: Utc) -> Result<Effects, StageError> {
        let mut all = Effects::default();
        for instance in 0..self.instances.len() {
            let numbers: Vec<u32> = self.numbers_of(instance).collect();
            if !numbers.is_empty() {
                all.extend(self.call(instance, |stage, out| stage.tick(&numbers, now, out))?);
            }
        }
        Ok(all)
    }

    /// Assigns a partition to the newest instance, or to the instance that already holds its number. Does nothing if it
    /// is assigned.
    ///
    /// # Panics
    /// If the stage returns an error.
    #[track_caller]
    pub fn assign(&mut self, topic: &str, partition: u32) {
        let partition = TopicPartition {
            topic: topic.into(),
            partition,
        };
        if self.assigned.insert(partition.clone()) {
            let instance = self.owner_of(partition.partition);
            self.announce(instance, &[partition]);
        }
    }

    /// Revokes a partition number, in all its topics, from the instance that holds it. Its committed state stays.
    pub fn revoke(&mut self, number: u32) {
        let partitions: Vec<_> = self
            .assigned
            .iter()
            .filter(|partition| partition.partition == number)
            .cloned()
            .collect();
        for partition in &partitions {
            self.assigned.remove(partition);
        }
        if let Some(instance) = self.owners.remove(&number) {
            self.instances[instance].revoked(&partitions);
        }
    }

    /// Replaces all instances by one fresh instance. Their fields are lost; committed state stays.
    ///
    /// # Panics
    /// If the stage returns an error for the assignment.
    #[track_caller]
    pub fn restart(&mut self) {
        self.instances = vec![(self.build)()];
        self.failed.clear();
        for owner in self.owners.values_mut() {
            *owner = 0;
        }
        let assigned: Vec<_> = self.assigned.iter().cloned().collect();
        if !assigned.is_empty() {
            self.announce(0, &assigned);
        }
    }

    /// Restarts with another function that builds the stage, for instance with other settings.
    ///
    /// # Panics
    /// If the stage returns an error for the assignment.
    #[track_caller]
    pub fn rebuild_with(&mut self, build: impl FnMut() -> S + 'static) {
        self.build = Box::new(build);
        self.restart();
    }

    /// Moves a partition number, in all its topics, to a fresh instance. The other numbers stay where they are.
    ///
    /// # Panics
    /// If the stage returns an error for the assignment.
    #[track_caller]
    pub fn move_partition(&mut self, number: u32) {
        let moved: Vec<_> = self
            .assigned
            .iter()
            .filter(|partition| partition.partition == number)
            .cloned()
            .collect();
        self.revoke(number);
        let fresh = (self.build)();
        self.instances.push(fresh);
        let instance = self.instances.len() - 1;
        self.owners.insert(number, instance);
        self.assigned.extend(moved.iter().cloned());
        self.announce(instance, &moved);
    }

    /// Every committed record, with the partition number that caused it, in order.
    pub fn outputs(&self) -> &[(u32, NewRecord)] {
        &self.outputs
    }

    /// Every committed event of `topic`, in order.
    ///
    /// # Panics
    /// If a record of the topic is not an envelope of `T`.
    #[track_caller]
    pub fn events<T: DomainRecord>(&self, topic: &str) -> Vec<Envelope<T>> {
        self.outputs
            .iter()
            .filter(|(_, record)| &*record.topic == topic)
            .map(|(_, record)| {
                Envelope::decode(&record.value)
                    .unwrap_or_else(|error| panic!("a record of `{topic}` cannot be decoded: {error}"))
            })
            .collect()
    }

    /// Every dead letter that was committed, in order.
    pub fn dead_letters(&self) -> &[DeadLetter] {
        &self.dead_letters
    }

    /// Forgets the outputs and dead letters so far. State stays.
    pub fn clear(&mut self) {
        self.outputs.clear();
        self.dead_letters.clear();
    }

    /// The committed state.
    pub const fn state(&self) -> &MemoryState {
        &self.state
    }

    /// The committed state, for changes that simulate a fault on disk or another version.
    pub const fn state_mut(&mut self) -> &mut MemoryState {
        &mut self.state
    }

    /// The offsets that the stage asked to continue at when partitions were assigned ([`Stage::assigned`]), in order.
    pub fn seeks(&self) -> &[(TopicPartition, u64)] {
        &self.seeks
    }

    /// The newest instance.
    pub fn stage(&mut self) -> &mut S {
        self.instances
            .last_mut()
            .expect("a harness has at least one instance")
    }

    /// Assigns offsets to records, and assigns their partitions.
    #[track_caller]
    fn arrive<R: Into<RecordBuilder>>(&mut self, records: impl IntoIterator<Item = R>) -> Vec<Record> {
        let mut arrived = Vec::new();
        for record in records {
            let mut builder: RecordBuilder = record.into();
            if let Some(spec) = &self.spec {
                assert!(
                    spec.inputs.iter().any(|input| input.topic == builder.topic),
                    "the stage `{}` does not read `{}`",
                    spec.name,
                    builder.topic
                );
            }
            self.assign(&builder.topic, builder.partition);
            let partition = TopicPartition {
                topic: Arc::clone(&builder.topic),
                partition: builder.partition,
            };
            let next = self.offsets.entry(partition).or_default();
            let offset = *builder.offset.get_or_insert(*next);
            *next = (*next).max(offset + 1);
            arrived.push(builder.build());
        }
        arrived
    }

    /// Groups records by the instance that holds their partition, in order.
    fn by_instance(&self, records: Vec<Record>) -> BTreeMap<usize, Vec<Record>> {
        let mut split: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
        for record in records {
            let instance = self.owners[&record.partition];
            split.entry(instance).or_default().push(record);
        }
        split
    }

    fn owner_of(&mut self, number: u32) -> usize {
        let newest = self.instances.len() - 1;
        *self.owners.entry(number).or_insert(newest)
    }

    fn numbers_of(&self, instance: usize) -> impl Iterator<Item = u32> {
        self.owners
            .iter()
            .filter(move |(_, owner)| **owner == instance)
            .map(|(number, _)| *number)
    }

    #[track_caller]
    fn announce(&mut self, instance: usize, partitions: &[TopicPartition]) {
        let seeks = self.instances[instance]
            .assigned(partitions)
            .unwrap_or_else(|error| panic!("the stage cannot take partitions: {}: {error}", error.reason));
        self.seeks.extend(seeks);
    }

    /// Makes one call: on the stage, on the stage again, and on a fresh instance. All three must have the same effects.
    #[track_caller]
    fn call(
        &mut self,
        instance: usize,
        mut act: impl FnMut(&mut dyn Stage, &mut Outputs<'_>) -> Result<(), StageError>,
    ) -> Result<Effects, StageError> {
        let held: Vec<_> = self
            .assigned
            .iter()
            .filter(|partition| self.owners.get(&partition.partition) == Some(&instance))
            .cloned()
            .collect();
        if self.failed.contains(&instance) {
            self.seeks.extend(self.instances[instance].assigned(&held)?);
            self.failed.remove(&instance);
        }
        let (state, references) = (&self.state, &self.references);
        let mut run = |stage: &mut S| {
            let mut out = Outputs::with_references(state, references);
            act(stage, &mut out).map(|()| out.into_effects())
        };
        let first = run(&mut self.instances[instance]);
        if self.repeats {
            let second = run(&mut self.instances[instance]);
            assert_same(&first, &second, "the same call on the same stage");
            let mut fresh = (self.build)();
            let assigned = fresh.assigned(&held).map(|_| ());
            let third = assigned.and_then(|()| run(&mut fresh));
            assert_same(&first, &third, "the same call on a fresh instance");
        }
        match &first {
            Ok(effects) => self.check_description(effects),
            Err(_) => {
                self.failed.insert(instance);
            }
        }
        first
    }

    #[track_caller]
    fn check_description(&self, effects: &Effects) {
        let Some(spec) = &self.spec else {
            return;
        };
        for (_, record) in &effects.records {
            assert!(
                spec.outputs.iter().any(|output| output.topic == record.topic),
                "the stage `{}` wrote to `{}`, which its description does not name",
                spec.name,
                record.topic
            );
        }
        assert!(
            spec.stateful || effects.state.is_empty(),
            "the stage `{}` keeps state, but its description says that it has none",
            spec.name
        );
    }

    fn commit(&mut self, effects: &Effects) {
        self.state.commit(effects);
        self.outputs.extend(effects.records.iter().cloned());
        self.dead_letters.extend(effects.dead.iter().cloned());
    }
}

impl<S> std::fmt::Debug for Harness<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness")
            .field("instances", &self.instances.len())
            .field("owners", &self.owners)
            .field("state", &self.state)
            .field("outputs", &self.outputs)
            .field("dead_letters", &self.dead_letters)
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn assert_same(first: &Result<Effects, StageError>, again: &Result<Effects, StageError>, what: &str) {
    let difference = match (first, again) {
        (Ok(first), Ok(again)) => first_difference(first, again),
        (Err(first), Err(again)) if first.reason == again.reason && first.retry == again.retry => None,
        (first, again) => Some(format!(
            "the first call answered {}, the second {}",
            answer(first),
            answer(again)
        )),
    };
    if let Some(difference) = difference {
        panic!(
            "the stage is not a function of records, state and time: {what} gave different effects: {difference}. \
             Keep in the stage's fields only what can be rebuilt, and take time from records, watermarks and ticks; \
             a stage that talks to a server or a database is driven with `Harness::once`"
        );
    }
}

fn answer(result: &Result<Effects, StageError>) -> String {
    match result {
        Ok(_) => "without an error".to_owned(),
        Err(error) => format!("with the error `{}`: {error}", error.reason),
    }
}

fn first_difference(first: &Effects, again: &Effects) -> Option<String> {
    if first == again {
        return None;
    }
    let pairs = first.records.iter().zip(&again.records);
    if let Some((n, (a, b))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
        return Some(format!("output {n} is {a:?} first and {b:?} then"));
    }
    if first.records.len() != again.records.len() {
        let (a, b) = (first.records.len(), again.records.len());
        return Some(format!("{a} outputs first and {b} then"));
    }
    if first.dead != again.dead {
        return Some(format!(
            "dead letters {:?} first and {:?} then",
            first.dead, again.dead
        ));
    }
    let numbers: BTreeSet<_> = first.state.keys().chain(again.state.keys()).collect();
    for number in numbers {
        let none = BTreeMap::new();
        let a = first.state.get(number).unwrap_or(&none);
        let b = again.state.get(number).unwrap_or(&none);
        let keys: BTreeSet<&Bytes> = a.keys().chain(b.keys()).collect();
        if let Some(key) = keys.into_iter().find(|key| a.get(*key) != b.get(*key)) {
            return Some(format!(
                "the change of the state at {key:?} of partition {number} is {:?} first and {:?} then",
                a.get(key),
                b.get(key)
            ));
        }
    }
    // The only difference is empty maps of changes.
    None
}

/// Checks that batch boundaries do not change the results. Feeds `records` as one batch, one by one, and in several other
/// splits, then calls `finish` (watermarks, ticks). All runs must leave the same state and dead letters, and the same
/// outputs in the same order for each topic and key.
///
/// # Panics
/// If a split changes the results.
#[track_caller]
pub fn check_batch_boundaries<S: Stage>(
    mut build: impl FnMut() -> Harness<S>,
    records: &[Record],
    mut finish: impl FnMut(&mut Harness<S>),
) {
    let mut run = |sizes: &mut dyn FnMut() -> usize| {
        let mut harness = build();
        let mut rest = records;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(sizes().clamp(1, rest.len()));
            harness.process(batch.iter().cloned());
            rest = later;
        }
        finish(&mut harness);
        harness
    };
    let whole = run(&mut || records.len());
    for seed in 0..5_u64 {
        let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut size = || {
            if seed == 0 {
                return 1;
            }
            // xorshift64: the splits differ from each other, but are the same in every run of the test.
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            (chance % 7) as usize + 1
        };
        let split = run(&mut size);
        let name = if seed == 0 {
            "one record a batch".to_owned()
        } else {
            format!("split {seed} (up to 7 records a batch)")
        };
        assert_eq!(
            split.state, whole.state,
            "{name} leaves another state than one batch"
        );
        assert_eq!(
            split.dead_letters, whole.dead_letters,
            "{name} gives other dead letters than one batch"
        );
        assert_eq!(
            by_key(&split.outputs),
            by_key(&whole.outputs),
            "{name} gives other outputs than one batch"
        );
    }
}

type ByKey<'a> = BTreeMap<(&'a Arc<str>, &'a Bytes), Vec<&'a (u32, NewRecord)>>;

fn by_key(outputs: &[(u32, NewRecord)]) -> ByKey<'_> {
    let mut sorted = ByKey::new();
    for output in outputs {
        let (_, record) = output;
        sorted
            .entry((&record.topic, &record.key))
            .or_default()
            .push(output);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::StateReader;
    use crate::testing::record;

    /// Counts the records of each key. Its fields can make it break the contract in several ways.
    #[derive(Default)]
    struct Count {
        remembers: u64,
        breaks: Breaks,
    }

    #[derive(Default, Clone, Copy, PartialEq)]
    enum Breaks {
        #[default]
        Nothing,
        /// The count is kept in a field.
        Field,
        /// One output a batch.
        Boundaries,
    }

    impl Stage for Count {
        fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
            for record in &batch.records {
                if &record.value[..] == b"poison" {
                    return Err(StageError::poison("poison", "cannot be counted"));
                }
                assert_ne!(&record.value[..], b"panic", "asked to");
                if &record.value[..] == b"later" {
                    return Err(StageError::unavailable("later", "not now"));
                }
                let seen = out.get(record.partition, &record.key)?;
                let mut count = seen.map_or(0, |bytes| u64::from(bytes[0])) + 1;
                match self.breaks {
                    Breaks::Nothing => {}
                    Breaks::Field => {
                        self.remembers += 1;
                        count = self.remembers;
                    }
                    Breaks::Boundaries => count = batch.records.len() as u64,
                }
                out.put(record.partition, record.key.clone(), vec![count as u8]);
                out.emit_bytes(
                    &record.cause(),
                    "counts",
                    "k",
                    record.timestamp,
                    count.to_string(),
                );
            }
            Ok(())
        }

        fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
            for partition in partitions {
                let cause = crate::Cause::of_partition(*partition);
                out.emit_bytes(&cause, "ticks", "k", now, self.remembers.to_string());
            }
            Ok(())
        }
    }

    fn harness(breaks: Breaks) -> Harness<Count> {
        Harness::new(move || Count { remembers: 0, breaks })
    }

    fn post(key: &'static str) -> RecordBuilder {
        record("posts").key(key)
    }

    fn counts(harness: &Harness<Count>) -> Vec<&[u8]> {
        harness
            .outputs()
            .iter()
            .map(|(_, record)| &record.value[..])
            .collect()
    }

    fn message(act: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(act)).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn effects_are_committed_once_although_each_call_is_repeated() {
        let mut harness = harness(Breaks::Nothing);
        harness.process([post("a"), post("b"), post("a")]);
        assert_eq!(counts(&harness), [b"1", b"1", b"2"]);
        harness.process([post("a")]);
        assert_eq!(harness.state().get(0, b"a").unwrap().unwrap()[..], [3]);
        assert_eq!(harness.state().len(), 2);
    }

    #[test]
    fn a_stage_that_counts_in_a_field_fails_the_test() {
        let text = message(|| {
            harness(Breaks::Field).process([post("a")]);
        });
        assert!(text.contains("the same call on the same stage"), "{text}");
    }

    #[test]
    fn a_stage_that_depends_on_its_own_past_fails_on_a_fresh_instance() {
        let mut harness = harness(Breaks::Nothing);
        harness.process([post("a")]);
        harness.stage().remembers = 7;
        let text = message(|| {
            harness.tick(Utc::from_millis(1));
        });
        assert!(text.contains("a fresh instance"), "{text}");
    }

    #[test]
    fn with_once_a_stage_may_depend_on_something_outside() {
        let mut harness = harness(Breaks::Field).once();
        harness.process([post("a"), post("a")]);
        assert_eq!(counts(&harness), [b"1", b"2"]);
    }

    #[test]
    fn an_aborted_batch_changes_nothing_and_a_restart_keeps_committed_state() {
        let mut harness = harness(Breaks::Nothing);
        harness.process_aborted([post("a")]).unwrap();
        assert!(harness.state().is_empty() && harness.outputs().is_empty());
        harness.process([post("a")]);
        harness.restart();
        harness.process([post("a")]);
        assert_eq!(counts(&harness), [b"1", b"2"]);
    }

    #[test]
    fn a_partition_moves_with_its_state_and_the_others_stay() {
        let mut harness = harness(Breaks::Nothing);
        harness.process([post("a"), post("b").partition(1)]);
        harness.move_partition(1);
        assert_eq!(harness.instances.len(), 2);
        harness.process([post("a"), post("b").partition(1)]);
        assert_eq!(counts(&harness), [b"1", b"1", b"2", b"2"]);
        assert_eq!(harness.numbers_of(1).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn poison_and_panics_become_dead_letters_and_a_retry_is_an_error() {
        let mut harness = harness(Breaks::Nothing);
        harness.process([post("a"), post("a").value("poison"), post("a").value("panic")]);
        let dead = harness.dead_letters().iter();
        let dead: Vec<_> = dead.map(|letter| (letter.record.offset, letter.reason)).collect();
        assert_eq!(dead, [(1, "poison"), (2, "panic")]);
        let error = harness.try_process([post("a").value("later")]).unwrap_err();
        assert_eq!(error.reason, "later");
        assert_eq!(counts(&harness), [b"1"]);
    }

    #[test]
    fn batch_boundaries_that_change_a_result_fail_the_test() {
        let records: Vec<Record> = (0..20)
            .map(|n| post(if n % 3 == 0 { "a" } else { "b" }).offset(n).build())
            .collect();
        check_batch_boundaries(
            || harness(Breaks::Nothing),
            &records,
            |harness| {
                harness.tick(Utc::from_millis(1));
            },
        );
        let text = message(|| check_batch_boundaries(|| harness(Breaks::Boundaries), &records, |_| {}));
        assert!(text.contains("one record a batch"), "{text}");
    }

    /// Answers each record with the value of a reference table.
    struct LookUp;

    impl Stage for LookUp {
        fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
            for record in &batch.records {
                let found = out.reference("prices")?.value("tea").cloned();
                out.emit_bytes(
                    &record.cause(),
                    "out",
                    "k",
                    record.timestamp,
                    found.unwrap_or_default(),
                );
            }
            Ok(())
        }
    }

    #[test]
    fn an_update_of_a_reference_table_is_seen_from_the_next_call_on() {
        let mut harness = Harness::new(|| LookUp);
        for price in ["1", "2"] {
            harness.set_references(References::default().with("prices", [("tea", price)]));
            harness.process([post("a")]);
        }
        let written = harness.outputs().iter().map(|(_, record)| &record.value[..]);
        assert_eq!(written.collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn a_topic_that_the_description_does_not_name_fails_the_test() {
        let spec = StageSpec::new("count").reads("posts", crate::EventTime::Ignored);
        let text = message(|| {
            harness(Breaks::Nothing)
                .described_by(spec.clone())
                .process([post("a")]);
        });
        assert!(text.contains("wrote to `counts`"), "{text}");
        let text = message(|| {
            harness(Breaks::Nothing)
                .described_by(spec)
                .process([record("else")]);
        });
        assert!(text.contains("does not read `else`"), "{text}");
    }
}
