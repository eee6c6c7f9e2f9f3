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
mod tests;
