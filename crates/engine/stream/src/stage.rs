//! The contract of a stage: its description, its inputs, and its results.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use limbic_domain::{Envelope, Fault, Record as DomainRecord, Retry, TenantId, Utc};

use crate::overlay::Overlay;
use crate::record::header;
use crate::{
    BatchLimits, Headers, NewRecord, Record, Reference, References, Result, StateReader, TopicPartition,
};

/// Where the event time of an input comes from. Each tenant has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    /// The stage's watermark does not wait for this input.
    Ignored,
    /// From its records: the watermark of a tenant is the latest time of its records in the partition, less the disorder. The
    /// tenant is the part of a record's key before the first `/`.
    Records {
        /// Maximum time by which a record may be older than the latest record of its tenant and partition and still be on time.
        disorder: Duration,
    },
    /// From its records, but the watermark does not wait for them: they move it only while all other inputs are idle. For
    /// records that come rarely, and after those of another input that caused them.
    Following {
        /// As of [`EventTime::Records`].
        disorder: Duration,
    },
    /// From the watermarks that the sending stage writes ([`Forward::Broadcast`]).
    Sources,
}

/// A topic that a stage reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub topic: Arc<str>,
    /// Where its event time comes from.
    pub time: EventTime,
}

/// Whether a stage passes its watermark on to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// No watermark.
    Nothing,
    /// The output has the same keys as the input, so a reader computes the time from the records. Only the heartbeats of an
    /// edge are passed on, from each partition to the partition of the same number.
    Aligned,
    /// The output has other keys than the input. Every new watermark of a tenant is written to every partition.
    Broadcast,
}

/// A topic that a stage writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub topic: Arc<str>,
    /// Whether the stage's watermark is passed on to it.
    pub forward: Forward,
}

/// A compacted topic that a stage reads as a table ([`crate::reference`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Its name.
    pub topic: Arc<str>,
    /// Maximum bytes of the table's keys and values. An instance stops if its table exceeds them.
    pub limit: usize,
}

/// The description of a stage for the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    /// The name of the stage and of its consumer group.
    pub name: Arc<str>,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// What it writes.
    pub outputs: Vec<Output>,
    /// The compacted topics that every instance holds as tables.
    pub broadcasts: Vec<Broadcast>,
    /// Whether it keeps state in the log.
    pub stateful: bool,
    /// The limits of its batches.
    pub limits: BatchLimits,
    /// The maximum interval between two calls of [`Stage::tick`]. `None` = it is never called.
    pub tick: Option<Duration>,
}

impl StageSpec {
    /// A stage without inputs and outputs.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            broadcasts: Vec::new(),
            stateful: false,
            limits: BatchLimits::default(),
            tick: None,
        }
    }

    /// Reads `topic`.
    #[must_use]
    pub fn reads(mut self, topic: &str, time: EventTime) -> Self {
        self.inputs.push(Input {
            topic: topic.into(),
            time,
        });
        self
    }

    /// Writes `topic`.
    #[must_use]
    pub fn writes(mut self, topic: &str, forward: Forward) -> Self {
        self.outputs.push(Output {
            topic: topic.into(),
            forward,
        });
        self
    }

    /// Holds the compacted topic `topic` as a table of at most 64 MiB.
    #[must_use]
    pub fn broadcasts(self, topic: &str) -> Self {
        self.broadcasts_within(topic, 64 << 20)
    }

    /// Holds the compacted topic `topic` as a table of at most `limit` bytes of keys and values.
    #[must_use]
    pub fn broadcasts_within(mut self, topic: &str, limit: usize) -> Self {
        self.broadcasts.push(Broadcast {
            topic: topic.into(),
            limit,
        });
        self
    }

    /// Keeps state in the log. A stage with event time must.
    #[must_use]
    pub const fn stateful(mut self) -> Self {
        self.stateful = true;
        self
    }

    /// Has batches of at most this size.
    #[must_use]
    pub const fn batches(mut self, limits: BatchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Calls [`Stage::tick`] at least this often.
    #[must_use]
    pub const fn ticks(mut self, every: Duration) -> Self {
        self.tick = Some(every);
        self
    }
}

/// Records for a stage: in order within each partition, without control records.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// At least one record, except if a test feeds an empty batch.
    pub records: Vec<Record>,
}

/// Why a stage could not process a batch.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// Who must act: the sender of the record, the operator of an outside system, or the authors of this program.
    pub fault: Fault,
    /// Whether to process the same batch again, after a back-off. On [`Retry::Never`] the runtime bisects the batch until
    /// it has isolated the failing record, and sends that record to the dead-letter topic.
    pub retry: Retry,
    /// One word for the dead letter and the metrics, for instance `platform_down`.
    pub reason: &'static str,
    /// What happened and what to do.
    pub message: String,
}

impl StageError {
    /// An outside system failed. The runtime waits and tries again.
    pub fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            fault: Fault::External,
            retry: Retry::WithBackoff,
            reason,
            message: message.into(),
        }
    }

    /// A record of the batch can never be processed.
    pub fn poison(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            fault: Fault::User,
            retry: Retry::Never,
            reason,
            message: message.into(),
        }
    }

    /// A defect of this program. The stage stops.
    pub fn internal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Internal,
            retry: Retry::Never,
            reason,
            message: message.into(),
        }
    }
}

impl From<crate::Error> for StageError {
    fn from(error: crate::Error) -> Self {
        Self {
            fault: error.fault(),
            retry: error.retry(),
            reason: "log",
            message: error.to_string(),
        }
    }
}

/// A stream processor.
///
/// The runtime calls a stage on its own thread, and repeats a call whose effects did not commit. Therefore everything
/// that a stage does outside [`Outputs`] must be idempotent, and everything that it computes must be a function of
/// records, state and time. Its fields may hold only data that can be rebuilt, such as a cache or a connection.
/// `testing::Harness` checks this.
pub trait Stage: Send {
    /// Processes a batch. A record that cannot be processed goes to [`Outputs::dead`]. An error concerns the whole batch.
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError>;

    /// The event time of `tenant` in partition number `partition` has reached `watermark`: a record of this tenant with a time
    /// *before* it is late. It says nothing about other tenants. Called after the batch that moved the watermark, in the same
    /// transaction. A tenant that was silent for days is forgotten ([`RunOptions`](crate::runtime::RunOptions)): its time then
    /// begins anew, and may be earlier than before.
    fn watermark(
        &mut self,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let _ = (partition, tenant, watermark, out);
        Ok(())
    }

    /// The state of `partition` was written by a program that had one event time for all tenants. The stage moves what depends
    /// on it (timers, watermarks) to the tenants, and returns the tenants of which the state has something: they continue with
    /// that time. Called once for a partition, before any other call about it.
    fn divide_time(&mut self, partition: u32, out: &mut Outputs<'_>) -> Result<Vec<TenantId>, StageError> {
        let _ = (partition, out);
        Ok(Vec::new())
    }

    /// Called about every [`StageSpec::tick`], with the assigned partition numbers and the wall-clock time.
    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let _ = (partitions, now, out);
        Ok(())
    }

    /// All partitions that are assigned to this instance, after each change of them and after each failure of a call. A
    /// stage whose database stores offsets reads them from there and returns them. If the database is *behind* the log
    /// (it was restored from a backup, or a standby took over), reading continues at the database's offset. If the
    /// database is ahead, the stage receives those records again, and skips them by the offset that it stored with the
    /// data. A call that fails is repeated, and no record is processed before it has succeeded.
    ///
    /// Records that are read again because of this are counted once, and their dead letters are written once.
    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, u64)>, StageError> {
        let _ = partitions;
        Ok(Vec::new())
    }

    /// The offsets that [`Self::assigned`] returned for these partitions are beyond the end of the log: the log was restored from an
    /// older backup, or its topics were made again. The stage forgets its offsets of them, and reading starts at the earliest
    /// record. It must recognise what it has stored by the records' ids, not by offsets.
    fn forget_offsets(&mut self, partitions: &[TopicPartition]) -> Result<(), StageError> {
        let named: Vec<String> = partitions.iter().map(TopicPartition::to_string).collect();
        Err(StageError::internal(
            "database_ahead",
            format!(
                "the stage's database has read further than the log goes ({}): the log was restored from an older backup, or its \
                 topics were made again. Restore the database from the same time",
                named.join(", ")
            ),
        ))
    }

    /// These partitions are no longer assigned to this instance. The stage must drop its caches about them.
    fn revoked(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }
}

/// The cause of a written record: the partition number, and the headers that are passed on (trace, acceptance time).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// The number of the processed partition.
    pub partition: u32,
    /// Headers to pass on.
    pub headers: Headers,
}

impl Cause {
    /// A cause without a record: a watermark or a tick.
    pub const fn of_partition(partition: u32) -> Self {
        Self {
            partition,
            headers: Headers::new(),
        }
    }
}

impl Record {
    /// This record as a cause.
    pub fn cause(&self) -> Cause {
        let mut headers = Headers::new();
        for name in [header::TRACE_PARENT, header::ACCEPTED_AT] {
            if let Some((name, value)) = self.headers.iter().find(|(known, _)| &***known == name) {
                headers.push(Arc::clone(name), value.clone());
            }
        }
        Cause {
            partition: self.partition,
            headers,
        }
    }
}

/// A record that the stage cannot process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The unchanged record.
    pub record: Record,
    /// The reason in one word.
    pub reason: &'static str,
    /// The reason in a sentence.
    pub detail: String,
}

/// One change of state. `None` removes the key.
pub type StateChange = (u32, Bytes, Option<Bytes>);

/// All effects of a call, which are committed together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Records to write, with the partition number that caused each.
    pub records: Vec<(u32, NewRecord)>,
    /// Dead letters.
    pub dead: Vec<DeadLetter>,
    /// State as changed: partition number → key → value or removal.
    pub state: HashMap<u32, BTreeMap<Bytes, Option<Bytes>>>,
}

impl Effects {
    /// Adds later effects.
    pub fn extend(&mut self, later: Self) {
        self.records.extend(later.records);
        self.dead.extend(later.dead);
        for (partition, changes) in later.state {
            self.state.entry(partition).or_default().extend(changes);
        }
    }
}

/// Collects the effects of a stage, and reads its state including the changes of this batch.
pub struct Outputs<'a> {
    before: &'a dyn StateReader,
    references: &'a References,
    pub(crate) effects: Effects,
    /// Keys that the state before does not have, by partition number, as far as they were noticed. If one of them is removed,
    /// there is nothing to remove from that state.
    new: RefCell<HashMap<u32, foldhash::HashSet<Bytes>>>,
    /// The topic of the last record that was written.
    topic: Option<Arc<str>>,
}

impl<'a> Outputs<'a> {
    /// No effects, over the committed state.
    pub fn new(before: &'a dyn StateReader) -> Self {
        static NONE: References = References::new();
        Self::with_references(before, &NONE)
    }

    /// No effects, over the committed state and these tables.
    pub fn with_references(before: &'a dyn StateReader, references: &'a References) -> Self {
        Self {
            before,
            references,
            effects: Effects::default(),
            new: RefCell::default(),
            topic: None,
        }
    }

    /// Writes an event. `key` is `tenant/…`, as [`limbic_domain::topics`] says.
    pub fn emit<T: DomainRecord>(&mut self, cause: &Cause, topic: &str, key: &str, envelope: &Envelope<T>) {
        self.emit_bytes(cause, topic, key, envelope.at, envelope.encode());
    }

    /// Writes an encoded value.
    pub fn emit_bytes(&mut self, cause: &Cause, topic: &str, key: &str, at: Utc, value: impl Into<Bytes>) {
        let mut headers = cause.headers.clone();
        if let Some((name, versions)) = self.references.header() {
            headers.push(Arc::clone(name), versions.clone());
        }
        let record = NewRecord {
            topic: self.topic_named(topic),
            partition: None,
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.into(),
            headers,
            timestamp: at,
        };
        self.effects.records.push((cause.partition, record));
    }

    fn topic_named(&mut self, name: &str) -> Arc<str> {
        match &self.topic {
            Some(last) if **last == *name => Arc::clone(last),
            _ => Arc::clone(self.topic.insert(name.into())),
        }
    }

    /// The table of a compacted topic, the same for the whole call. An error if [`StageSpec::broadcasts`] does not declare it.
    pub fn reference(&self, topic: &str) -> Result<Reference<'a>, StageError> {
        self.references.get(topic).ok_or_else(|| {
            StageError::internal(
                "reference",
                format!(
                    "the stage has no table of the topic `{topic}`: declare it with StageSpec::broadcasts"
                ),
            )
        })
    }

    /// Sends a record, unchanged, to the dead letters of its topic. `reason` is one word for metrics, `detail` a sentence.
    pub fn dead(&mut self, record: &Record, reason: &'static str, detail: impl std::fmt::Display) {
        self.effects.dead.push(DeadLetter {
            record: record.clone(),
            reason,
            detail: detail.to_string(),
        });
    }

    /// The state at `key`, including changes of this batch.
    pub fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        self.state().get(partition, key)
    }

    /// Up to `limit` entries whose key has the prefix and is at least `from`, in key order, including changes of this
    /// batch.
    pub fn scan(
        &self,
        partition: u32,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        self.state().scan_noting(partition, prefix, from, limit, |key| {
            self.note_new(partition, key);
        })
    }

    fn note_new(&self, partition: u32, key: &Bytes) {
        let mut new = self.new.borrow_mut();
        new.entry(partition).or_default().insert(key.clone());
    }

    /// The state before this call.
    pub(crate) const fn committed(&self) -> &dyn StateReader {
        self.before
    }

    const fn state(&self) -> Overlay<'_> {
        Overlay {
            below: self.before,
            changes: &self.effects.state,
        }
    }

    /// Sets the state at `key`. State belongs to the partition number and moves with it to another instance. Prefer a
    /// [`Table`](crate::Table).
    pub fn put(&mut self, partition: u32, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.effects
            .state
            .entry(partition)
            .or_default()
            .insert(key.into(), Some(value.into()));
    }

    /// As [`Self::put`], for a key that the state does not have. If the key is removed in the same call, neither the value nor
    /// the removal is written.
    pub(crate) fn put_new(&mut self, partition: u32, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let key = key.into();
        debug_assert!(
            !matches!(self.get(partition, &key), Ok(Some(_))),
            "the key is not new"
        );
        let changes = self.effects.state.entry(partition).or_default();
        // A key that this call has removed may be in the state before it.
        if !changes.contains_key(&key) {
            let new = self.new.get_mut();
            new.entry(partition).or_default().insert(key.clone());
        }
        changes.insert(key, Some(value.into()));
    }

    /// Removes the state at `key`. An entry that this call has added, and that a scan has found, leaves no trace.
    pub fn remove(&mut self, partition: u32, key: impl Into<Bytes>) {
        let key = key.into();
        let changes = self.effects.state.entry(partition).or_default();
        let new = self.new.get_mut().get(&partition);
        if new.is_some_and(|new| new.contains(&key)) {
            changes.remove(&key);
        } else {
            changes.insert(key, None);
        }
    }

    /// The number of records and changes of state that were collected: the size of the transaction so far. A stage that has much to
    /// do at once stops at a limit, and goes on in a later call.
    pub fn collected(&self) -> usize {
        let state: usize = self.effects.state.values().map(BTreeMap::len).sum();
        state + self.effects.records.len() + self.effects.dead.len()
    }

    /// The collected effects.
    pub fn into_effects(self) -> Effects {
        self.effects
    }
}

/// The state including the changes of this batch.
impl StateReader for Outputs<'_> {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        self.state().get(partition, key)
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        Outputs::scan(self, partition, prefix, from, limit)
    }
}
