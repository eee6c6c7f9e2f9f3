//! The loop of an instance: subscribe, poll, step, repeat. It also reacts to failures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use limbic_domain::{Retry, random};

use super::isolate::guard;
use super::meters::StageMeters;
use super::progress::PartitionProgress;
use super::tenant_time::{LookedAt, SilenceLimits, Times};
use super::watermark::{Progress, WatermarkTracker};
use super::{Health, RunOptions, Shared};
use crate::reference::{Follower, Updates};
use crate::{
    Backoff, BatchLimits, Committed, Consumer, Error, Log, Polled, Record, References, Skipped, Stage,
    StageError, StageSpec, Subscription, TopicPartition,
};

/// An instance that has no partitions for this long after joining its group counts as standby.
const STANDBY_AFTER: Duration = Duration::from_secs(10);

/// An input partition that this instance holds.
#[derive(Debug, Clone)]
pub(super) struct AssignedPartition {
    /// Its progress as committed.
    pub(super) progress: PartitionProgress,
    /// The next offset as committed.
    pub(super) next: u64,
    /// Whether the group has committed an offset of this partition.
    is_committed: bool,
    read_through: ReadThrough,
}

/// How much of a partition has been read, in wall-clock time.
#[derive(Debug, Clone, Copy, Default)]
struct ReadThrough {
    /// The first look at the partition.
    since: Option<Instant>,
    /// The end of the partition at an earlier look, which is not reached yet.
    target: Option<(u64, Instant)>,
    /// Everything that was written before this moment has been read.
    until: Option<Instant>,
}

impl ReadThrough {
    /// Notes that the next record to read is at `next`, and that the partition ends at `end`.
    fn look(&mut self, next: u64, end: u64, now: Instant) {
        self.since.get_or_insert(now);
        if let Some((target, at)) = self.target
            && next >= target
        {
            self.until = Some(at);
            self.target = None;
        }
        if next >= end {
            self.until = Some(now);
            self.target = None;
        } else {
            self.target.get_or_insert((end, now));
        }
    }

    /// Whether everything that was written until `idle_after` ago has been read, for at least that long.
    fn is_caught_up(&self, now: Instant, idle_after: Duration) -> bool {
        self.since
            .is_some_and(|since| now.duration_since(since) >= idle_after)
            && self
                .until
                .is_some_and(|until| now.duration_since(until) <= idle_after)
    }
}

/// The input partitions that this instance holds.
pub(super) type Assignment = BTreeMap<TopicPartition, AssignedPartition>;

/// Why a step did not commit.
#[derive(Debug)]
pub(super) enum StepError {
    /// The step had no effect: rewind, wait, try again.
    Retry { reason: &'static str, message: String },
    /// The member was fenced, or the outcome of its commit is unknown: subscribe again.
    Resubscribe(String),
    /// The log was closed, because the process is stopping.
    Closed,
    /// A person must correct the cause.
    Fatal(String),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        match error {
            Error::Aborted(_) => Self::Retry {
                reason: "aborted",
                message: error.to_string(),
            },
            Error::DiskFull { .. } => Self::Retry {
                reason: "disk_full",
                message: error.to_string(),
            },
            Error::Closed => Self::Closed,
            Error::Fenced(_) | Error::Unavailable { .. } => Self::Resubscribe(error.to_string()),
            _ => Self::Fatal(error.to_string()),
        }
    }
}

impl From<StageError> for StepError {
    fn from(error: StageError) -> Self {
        match error.retry {
            Retry::WithBackoff => Self::Retry {
                reason: error.reason,
                message: error.message,
            },
            Retry::Never => Self::Fatal(format!("{}: {}", error.reason, error.message)),
        }
    }
}

pub(super) struct Worker {
    pub(super) log: Arc<dyn Log>,
    pub(super) stage: Box<dyn Stage>,
    pub(super) spec: StageSpec,
    pub(super) options: RunOptions,
    pub(super) meters: StageMeters,
    shared: Arc<Shared>,
    woken: Receiver<()>,
    backoff: Backoff,
    /// Failures in a row.
    failures: u32,
    /// The tables of the reference topics.
    pub(super) references: Arc<References>,
    /// Follows the reference topics; `None` until the tables are loaded, and for a stage without any.
    updates: Option<Updates>,
    pub(super) assignment: Assignment,
    /// The event times of tenants, by partition number, as committed.
    pub(super) times: BTreeMap<u32, Arc<Times>>,
    /// The member reads from where it must. False after an assignment and after a failure, until [`Self::place`] has
    /// asked the stage where its database ends.
    is_placed: bool,
    pub(super) tracker: WatermarkTracker,
    /// Records that were deleted before this member came to them, not yet committed as such.
    pub(super) skipped: Vec<Skipped>,
    /// The next batch gets its own transaction, because the last one failed.
    pub(super) alone: bool,
    joined: Instant,
    last_tick: Instant,
    last_look: Instant,
}

impl Worker {
    pub(super) fn new(
        log: Arc<dyn Log>,
        stage: Box<dyn Stage>,
        spec: StageSpec,
        options: RunOptions,
        meters: &StageMeters,
        shared: Arc<Shared>,
        woken: Receiver<()>,
    ) -> Self {
        let name = format!("{}/{}", spec.name, options.instance);
        let seed = random::hash(name.as_bytes());
        let backoff = options.backoff.with_seed(seed);
        let now = Instant::now();
        Self {
            log,
            stage,
            spec,
            options,
            meters: meters.clone(),
            shared,
            woken,
            backoff,
            failures: 0,
            references: Arc::default(),
            updates: None,
            assignment: BTreeMap::new(),
            times: BTreeMap::new(),
            is_placed: true,
            tracker: WatermarkTracker::default(),
            skipped: Vec::new(),
            alone: false,
            joined: now,
            last_tick: now,
            last_look: now,
        }
    }

    /// Runs until it is asked to stop, or until a person must correct an error.
    pub(super) fn run(mut self) {
        let span = tracing::info_span!("stage", stage = %self.spec.name, instance = %self.options.instance);
        let _entered = span.enter();
        let mut membership = None;
        while self.turn(&mut membership) {}
    }

    /// One turn: joins the group, or polls once and processes what arrives. Returns whether there is another turn.
    pub(super) fn turn(&mut self, membership: &mut Option<Box<dyn Consumer>>) -> bool {
        let result = if self.is_stopping() {
            Err(StepError::Closed)
        } else if let Some(consumer) = membership {
            self.serve(&mut **consumer)
        } else {
            self.join().map(|consumer| *membership = Some(consumer))
        };
        let Err(error) = result else {
            return true;
        };
        self.leave(membership.take());
        match error {
            StepError::Closed => {
                self.shared.set_health(Health::Stopped);
                false
            }
            StepError::Fatal(message) => {
                tracing::error!(%message, "the stage has stopped: correct the cause, then restart the node");
                self.shared.set_health(Health::Failed(message));
                false
            }
            StepError::Retry { message, .. } | StepError::Resubscribe(message) => {
                self.meters
                    .retries
                    .with_label_values(&[&*self.spec.name, "resubscribe"])
                    .inc();
                self.wait(message);
                true
            }
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn health(&self) -> Health {
        self.shared.status.lock().health.clone()
    }

    /// Joins the group.
    fn join(&mut self) -> Result<Box<dyn Consumer>, StepError> {
        self.load_references()?;
        let consumer = self.subscribe()?;
        self.joined = Instant::now();
        Ok(consumer)
    }

    /// Leaves the group.
    fn leave(&mut self, membership: Option<Box<dyn Consumer>>) {
        let Some(consumer) = membership else {
            return;
        };
        self.forget_everything();
        if let Err(error) = consumer.close()
            && !matches!(error, Error::Closed)
        {
            tracing::warn!(%error, "cannot leave the group: other members receive the partitions a little later");
        }
    }

    /// Loads the tables of the reference topics and starts to follow them, unless this is done already.
    fn load_references(&mut self) -> Result<(), StepError> {
        if self.spec.broadcasts.is_empty() || self.updates.is_some() {
            return Ok(());
        }
        let (follower, references) = Follower::load(&self.log, &self.spec.broadcasts)?;
        self.references = Arc::new(references);
        self.show_references();
        let stage = Arc::clone(&self.spec.name);
        let updates = Updates::spawn(
            follower,
            self.options.reference_interval,
            stage,
            self.meters.clone(),
        );
        self.updates =
            Some(updates.map_err(|error| StepError::Fatal(format!("cannot start a thread: {error}")))?);
        Ok(())
    }

    /// Applies the changes of the reference topics.
    fn update_references(&mut self) -> Result<(), StepError> {
        let Some(updates) = &self.updates else {
            return Ok(());
        };
        match updates.apply_to(&mut self.references) {
            Ok(false) => {}
            Ok(true) => self.show_references(),
            Err(error) => {
                self.updates = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn show_references(&self) {
        for broadcast in &self.spec.broadcasts {
            if let Some(table) = self.references.get(&broadcast.topic) {
                self.meters
                    .show_reference_keys(&self.spec.name, &broadcast.topic, table.len());
                tracing::info!(
                    topic = %broadcast.topic,
                    version = table.version(),
                    keys = table.len(),
                    "read a reference table"
                );
            }
        }
    }

    fn subscribe(&mut self) -> Result<Box<dyn Consumer>, Error> {
        let known = self.log.topics()?;
        let mut partitions = BTreeMap::new();
        let inputs = self.spec.inputs.iter().map(|input| &input.topic);
        for name in inputs.chain(self.spec.outputs.iter().map(|output| &output.topic)) {
            let topic = known.iter().find(|topic| topic.name == *name);
            let topic = topic.ok_or_else(|| Error::UnknownTopic(name.to_string()))?;
            partitions.insert(Arc::clone(name), topic.offsets.len() as u32);
        }
        self.tracker = WatermarkTracker::new(&self.spec, &partitions);
        if self.tracker.has_time() && !self.spec.stateful {
            return Err(Error::Settings(format!(
                "the stage `{}` has event time and no state, but event time is part of a stage's state: describe it with \
                 StageSpec::stateful",
                self.spec.name
            )));
        }
        self.log.subscribe(Subscription {
            group: Arc::clone(&self.spec.name),
            instance: Arc::clone(&self.options.instance),
            topics: self
                .spec
                .inputs
                .iter()
                .map(|input| Arc::clone(&input.topic))
                .collect(),
            stateful: self.spec.stateful,
        })
    }

    /// Polls once, and processes what arrives. An error ends the membership.
    fn serve(&mut self, consumer: &mut dyn Consumer) -> Result<(), StepError> {
        let limits = self.limits();
        self.update_references()?;
        let placed = self.place(consumer);
        // A member polls even if its stage's database is away: otherwise it would lose its partitions.
        let stepped = match consumer.poll(&limits)? {
            Polled::Assigned(partitions) => {
                self.assigned(consumer, &partitions)?;
                Ok(())
            }
            Polled::Revoked(partitions) => {
                self.revoked(&partitions);
                Ok(())
            }
            Polled::Records(records) if self.is_placed => {
                self.skipped.extend(consumer.skipped());
                self.step(consumer, records, false)
            }
            // All records to the end may have been deleted.
            Polled::Idle if self.is_placed => {
                self.skipped.extend(consumer.skipped());
                if self.skipped.is_empty() {
                    Ok(())
                } else {
                    self.step(consumer, Vec::new(), false)
                }
            }
            // They are read again when the member has found its place.
            Polled::Records(_) | Polled::Idle => Ok(()),
        };
        let stepped = placed.and(stepped).and_then(|()| {
            if self.is_placed {
                self.between_batches(consumer)
            } else {
                Ok(())
            }
        });
        match stepped {
            Ok(()) if self.is_placed => {
                self.failures = 0;
                self.running();
            }
            Ok(()) => {}
            Err(StepError::Retry { reason, message }) => {
                self.meters
                    .retries
                    .with_label_values(&[&*self.spec.name, reason])
                    .inc();
                if reason == "aborted" {
                    self.meters.aborts.with_label_values(&[&*self.spec.name]).inc();
                }
                self.is_placed = false;
                self.forget_idleness();
                self.wait(message);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// The stage's limits, with a linger time that is short enough for ticks and for detecting idle inputs.
    pub(super) fn limits(&self) -> BatchLimits {
        let mut limits = self.spec.limits;
        limits.linger = limits
            .linger
            .min(self.options.idle_after / 2)
            .min(self.spec.tick.unwrap_or(Duration::MAX));
        limits
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    fn wait(&mut self, message: String) {
        tracing::warn!(%message, "the stage failed and tries again after a wait");
        self.shared.set_health(Health::Waiting(message));
        if !self.is_stopping() {
            let wait = self.backoff.wait(self.failures);
            self.failures = self.failures.saturating_add(1);
            // In both cases the loop then checks whether it must stop.
            let _ = self.woken.recv_timeout(wait);
        }
    }

    /// Detects idleness again, because its result was not committed.
    fn forget_idleness(&mut self) {
        for assigned in self.assignment.values_mut() {
            assigned.read_through = ReadThrough::default();
            assigned.progress.clock.set_caught_up(false);
        }
    }

    /// Reports the stage as running when it holds partitions, or when it has waited so long that other instances must
    /// hold them all.
    fn running(&self) {
        if self.assignment.is_empty() && self.joined.elapsed() < STANDBY_AFTER {
            return;
        }
        let mut status = self.shared.status.lock();
        if status.health != Health::Running {
            tracing::debug!("running");
            status.health = Health::Running;
        }
    }

    /// Notes new partitions with their committed progress. An error means that the member must join again.
    fn assigned(&mut self, consumer: &dyn Consumer, partitions: &[TopicPartition]) -> Result<(), StepError> {
        // Every error leads to a new membership, also one that a repetition of a step would cure.
        let rejoin = |error: Error| match StepError::from(error) {
            StepError::Retry { message, .. } => StepError::Resubscribe(message),
            other => other,
        };
        let positions: BTreeMap<_, _> = consumer
            .positions()
            .map_err(rejoin)?
            .into_iter()
            .map(|(partition, next, _)| (partition, next))
            .collect();
        for partition in partitions {
            let committed = consumer.committed(partition).map_err(rejoin)?;
            let is_committed = committed.is_some();
            let (mut progress, next) = match committed {
                Some(committed) => (
                    PartitionProgress::from_metadata(&committed.metadata),
                    committed.next,
                ),
                None => (
                    PartitionProgress::default(),
                    positions.get(partition).copied().unwrap_or(0),
                ),
            };
            progress.counted = progress.counted.max(next);
            let assigned = AssignedPartition {
                progress,
                next,
                is_committed,
                read_through: ReadThrough::default(),
            };
            self.assignment.insert(partition.clone(), assigned);
        }
        self.is_placed = false;
        tracing::debug!(?partitions, "assigned");
        self.show_partitions();
        Ok(())
    }

    /// Finds where to read, unless this is known: the lower one of the log's committed offset and the offset of the stage's
    /// database. This is the only place that decides it, after an assignment and after every failure.
    fn place(&mut self, consumer: &mut dyn Consumer) -> Result<(), StepError> {
        if self.is_placed {
            return Ok(());
        }
        self.commit_start(consumer)?;
        self.load_times(consumer)?;
        let held: Vec<TopicPartition> = self.assignment.keys().cloned().collect();
        let of_database = guard("assigned", || self.stage.assigned(&held))?;
        let mut beyond = Vec::new();
        for (partition, offset) in &of_database {
            // After a crash, the database is often a little ahead of the committed offset.
            let is_ahead = |assigned: &AssignedPartition| *offset > assigned.next;
            if self.assignment.get(partition).is_some_and(is_ahead) {
                let (_, end) = self.log.topic(&partition.topic)?.offsets[partition.partition as usize];
                if *offset > end {
                    beyond.push(partition.clone());
                }
            }
        }
        if !beyond.is_empty() {
            tracing::error!(
                ?beyond,
                "the stage's database has read further than the log goes: the log is older, or was made again"
            );
            guard("forget_offsets", || self.stage.forget_offsets(&beyond))?;
        }
        consumer.rewind()?;
        self.skipped.clear();
        for (partition, offset) in of_database {
            let offset = if beyond.contains(&partition) { 0 } else { offset };
            if self
                .assignment
                .get(&partition)
                .is_some_and(|assigned| offset < assigned.next)
            {
                tracing::warn!(%partition, offset, "the stage's database is behind the log: reading from there again");
                consumer.seek(&partition, offset)?;
            }
        }
        self.is_placed = true;
        Ok(())
    }

    /// Commits the start offset of partitions that this group has never read, so that other processes can compute its
    /// lag.
    fn commit_start(&mut self, consumer: &mut dyn Consumer) -> Result<(), Error> {
        if self.assignment.values().all(|assigned| assigned.is_committed) {
            return Ok(());
        }
        let mut transaction = consumer.begin()?;
        for (partition, assigned) in self
            .assignment
            .iter()
            .filter(|(_, assigned)| !assigned.is_committed)
        {
            transaction.commit_offset(Committed {
                partition: partition.clone(),
                next: assigned.next,
                metadata: assigned.progress.to_metadata(assigned.next),
            })?;
        }
        transaction.commit()?;
        for assigned in self.assignment.values_mut() {
            assigned.is_committed = true;
        }
        Ok(())
    }

    /// Reads the event times of the partition numbers that are new here.
    fn load_times(&mut self, consumer: &dyn Consumer) -> Result<(), Error> {
        if !self.tracker.has_time() {
            return Ok(());
        }
        for partition in self.assignment.keys() {
            let number = partition.partition;
            if let std::collections::btree_map::Entry::Vacant(place) = self.times.entry(number) {
                place.insert(Arc::new(Times::load(consumer.state(), number)?));
            }
        }
        Ok(())
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.assignment.remove(partition);
        }
        let assignment = &self.assignment;
        self.times
            .retain(|number, _| assignment.keys().any(|held| held.partition == *number));
        self.forget_gauges(partitions);
        self.stage.revoked(partitions);
        tracing::debug!(?partitions, "revoked");
        self.show_partitions();
    }

    fn forget_everything(&mut self) {
        let all: Vec<_> = std::mem::take(&mut self.assignment).into_keys().collect();
        self.times.clear();
        self.is_placed = true;
        self.forget_gauges(&all);
        self.stage.revoked(&all);
        self.show_partitions();
    }

    /// Removes the gauges of partitions that another instance now reports.
    fn forget_gauges(&self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let labels = [
                &*self.spec.name,
                &*partition.topic,
                &partition.partition.to_string(),
            ];
            // A label that does not exist needs no removal.
            let _ = self.meters.lag.remove_label_values(&labels);
        }
    }

    fn show_partitions(&self) {
        self.shared.status.lock().partitions = self.assignment.keys().cloned().collect();
    }

    /// Idleness, ticks and gauges: the work that depends on the wall clock.
    fn between_batches(&mut self, consumer: &mut dyn Consumer) -> Result<(), StepError> {
        let now = Instant::now();
        let look_every = (self.options.idle_after / 4).min(Duration::from_secs(1));
        if now.duration_since(self.last_look) >= look_every && !self.assignment.is_empty() {
            self.last_look = now;
            if self.mark_idle_inputs(consumer, now)? {
                self.step(consumer, Vec::new(), false)?;
            }
        }
        if self
            .spec
            .tick
            .is_some_and(|every| now.duration_since(self.last_tick) >= every)
            && !self.assignment.is_empty()
        {
            self.last_tick = now;
            self.step(consumer, Vec::<Record>::new(), true)?;
        }
        Ok(())
    }

    /// While a batch is processed, records of other partitions wait. If that takes long, the readers of the outputs are told with the
    /// batch, before they see it.
    pub(super) fn note_delay(&self, progress: &mut Progress) {
        if !self.tracker.is_aligned() {
            return;
        }
        let now = Instant::now();
        for (partition, assigned) in &self.assignment {
            if !assigned.read_through.is_caught_up(now, self.options.idle_after)
                && let Some(progress) = progress.partitions.get_mut(partition)
            {
                progress.clock.set_caught_up(false);
            }
        }
    }

    /// Notes which inputs, and which tenants of them, have had nothing to read for long enough. Returns whether there is
    /// something to announce.
    fn mark_idle_inputs(&mut self, consumer: &dyn Consumer, now: Instant) -> Result<bool, Error> {
        let idle_after = self.options.idle_after;
        let mut any = false;
        for (partition, next, end) in consumer.positions()? {
            let labels = [
                &*self.spec.name,
                &*partition.topic,
                &partition.partition.to_string(),
            ];
            self.meters
                .lag
                .with_label_values(&labels)
                .set(i64::try_from(end.saturating_sub(next)).unwrap_or(i64::MAX));
            let Some(assigned) = self.assignment.get_mut(&partition) else {
                continue;
            };
            assigned.read_through.look(next, end, now);
            if !self.tracker.looks_at(&partition.topic) {
                continue;
            }
            let caught_up = assigned.read_through.is_caught_up(now, idle_after);
            any |= assigned.progress.clock.is_caught_up() != caught_up;
            assigned.progress.clock.set_caught_up(caught_up);
        }
        let limits = SilenceLimits {
            idle_after,
            forget_after: self.options.forget_tenants_after,
        };
        for (number, times) in &mut self.times {
            let of_number = |partition: &TopicPartition| partition.partition == *number;
            let inputs: Vec<LookedAt<'_>> = self
                .assignment
                .iter()
                .filter(|(partition, _)| of_number(partition))
                .map(|(partition, assigned)| LookedAt {
                    topic: &partition.topic,
                    time: self.tracker.time_of(&partition.topic),
                    clock: &assigned.progress.clock,
                    read_through: assigned.read_through.until,
                })
                .collect();
            let times = Arc::make_mut(times);
            times.look(&inputs, now, limits);
            any |= times.has_work();
            if let Some(watermark) = times.shown() {
                self.meters
                    .watermark
                    .with_label_values(&[&*self.spec.name, &number.to_string()])
                    .set(watermark.as_millis());
            }
        }
        Ok(any)
    }
}
