//! The inbox between the polling thread and the worker: a bounded queue of records, and the handshake of a rebalance.
//!
//! The polling thread never holds the lock while it calls librdkafka, because librdkafka's own threads may call
//! [`Notifier`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::Offset;

use limbic_stream::{BatchLimits, Error, Record, Result, TopicPartition};

/// Wakes the polling thread.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Notifier {
    pub(super) fn notify(&self) {
        *self.notified.lock() = true;
        self.changed.notify_one();
    }

    /// Waits for a notification, or until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        let mut notified = self.notified.lock();
        while !*notified && !self.changed.wait_until(&mut notified, deadline).timed_out() {}
        *notified = false;
    }
}

/// The next event for the worker.
#[derive(Debug)]
pub(super) enum Taken {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    /// Records, and the offset to continue at in each of their partitions.
    Records(Vec<Record>, Vec<(TopicPartition, u64)>),
    Nothing,
}

/// Records, and the offset to continue at in each of their partitions.
pub(super) type Gathered = (Vec<Record>, Vec<(TopicPartition, u64)>);

/// Why a member cannot continue.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    Fenced(String),
    Unavailable(String),
    Refused(String),
    Closed,
}

impl Failure {
    pub(super) fn error(&self) -> Error {
        match self.clone() {
            Self::Fenced(by) => Error::Fenced(by),
            Self::Unavailable(message) => Error::Unavailable {
                context: "reading from Kafka".into(),
                message,
            },
            Self::Refused(message) => Error::Settings(message),
            Self::Closed => Error::Closed,
        }
    }
}

/// A run of records of one partition.
#[derive(Debug)]
struct Chunk {
    partition: TopicPartition,
    records: Vec<Record>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Taken>,
    chunks: VecDeque<Chunk>,
    records: usize,
    bytes: usize,
    /// The maximum records and bytes in the queue: one batch, which is fetched while the worker processes another.
    room: (usize, usize),
    /// Partitions whose end was reached after their last queued record.
    ended: BTreeSet<TopicPartition>,
    seeks: BTreeMap<TopicPartition, Offset>,
    seek_result: Option<Result<(), String>>,
    acknowledged: bool,
    /// When the worker's last poll returned. `None` while a poll waits.
    last_poll: Option<Instant>,
    failure: Option<Failure>,
    stop: bool,
}

impl State {
    fn forget(&mut self, partitions: &[TopicPartition]) {
        self.chunks.retain(|chunk| !partitions.contains(&chunk.partition));
        self.records = self.chunks.iter().map(|chunk| chunk.records.len()).sum();
        self.bytes = self
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.records)
            .map(Record::size)
            .sum();
        self.ended.retain(|partition| !partitions.contains(partition));
    }
}

/// A queue that the polling thread fills and the worker empties.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Wakes the worker.
    arrived: Condvar,
    /// Wakes the polling thread.
    pub(super) notifier: Arc<Notifier>,
}

/// Methods for the worker.
impl Inbox {
    /// The next event. Otherwise records. Otherwise nothing, when the linger time has passed.
    pub(super) fn take(&self, limits: &BatchLimits) -> Result<Taken> {
        let deadline = Instant::now() + limits.linger;
        let mut state = self.state.lock();
        state.room = (limits.records, limits.bytes);
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            if let Some(event) = state.events.pop_front() {
                return Ok(event);
            }
            if !state.chunks.is_empty() {
                break;
            }
            if self.arrived.wait_until(&mut state, deadline).timed_out()
                && state.chunks.is_empty()
                && state.events.is_empty()
            {
                return Ok(Taken::Nothing);
            }
        }
        let batch = gather(&mut state, limits);
        drop(state);
        self.notifier.notify();
        let (records, positions) = batch;
        Ok(Taken::Records(records, positions))
    }

    /// Queued records, if they are enough for a batch and no other event is queued, and the offsets to continue at.
    pub(super) fn take_ready(&self, limits: &BatchLimits) -> Option<Gathered> {
        let mut state = self.state.lock();
        let enough = state.records >= limits.records / 2 || state.bytes >= limits.bytes / 2;
        if state.failure.is_some() || !state.events.is_empty() || state.chunks.is_empty() || !enough {
            return None;
        }
        let batch = gather(&mut state, limits);
        drop(state);
        self.notifier.notify();
        Some(batch)
    }

    /// Marks the worker as polling until the result is dropped.
    pub(super) fn polling(&self) -> Polling<'_> {
        self.state.lock().last_poll = None;
        Polling(self)
    }

    /// Confirms that the worker has stopped using the revoked partitions.
    pub(super) fn acknowledge(&self) {
        self.state.lock().acknowledged = true;
        self.notifier.notify();
    }

    /// Continues at other offsets. Drops the queued records of these partitions, and waits until the change is effective.
    pub(super) fn seek(&self, targets: BTreeMap<TopicPartition, Offset>) -> Result<()> {
        let mut state = self.state.lock();
        state.seeks = targets;
        state.seek_result = None;
        self.notifier.notify();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            if let Some(seek_result) = state.seek_result.take() {
                return seek_result.map_err(|message| Error::Unavailable {
                    context: "reading from another offset".into(),
                    message,
                });
            }
            self.arrived.wait(&mut state);
        }
    }

    /// Whether the worker has taken every existing record of a partition.
    pub(super) fn is_drained(&self, partition: &TopicPartition) -> bool {
        let state = self.state.lock();
        state.ended.contains(partition) && !state.chunks.iter().any(|chunk| chunk.partition == *partition)
    }

    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.notifier.notify();
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.state.lock().failure.clone()
    }
}

/// The worker is in a poll while this value exists.
pub(super) struct Polling<'a>(&'a Inbox);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().last_poll = Some(Instant::now());
    }
}

/// Methods for the polling thread.
impl Inbox {
    /// How long ago the worker's last poll returned. Zero while it polls.
    pub(super) fn time_since_poll(&self) -> Duration {
        self.state
            .lock()
            .last_poll
            .map_or(Duration::ZERO, |last| last.elapsed())
    }

    /// How many records may be added now.
    pub(super) fn room(&self) -> usize {
        let state = self.state.lock();
        if state.bytes < state.room.1 {
            state.room.0.saturating_sub(state.records)
        } else {
            0
        }
    }

    /// Adds records of one partition. `ended` = the end of the partition was reached after them.
    pub(super) fn put(&self, partition: &TopicPartition, records: Vec<Record>, ended: bool) {
        let mut state = self.state.lock();
        if ended {
            state.ended.insert(partition.clone());
        } else {
            state.ended.remove(partition);
        }
        if !records.is_empty() {
            state.records += records.len();
            state.bytes += records.iter().map(Record::size).sum::<usize>();
            state.chunks.push_back(Chunk {
                partition: partition.clone(),
                records,
            });
            self.arrived.notify_one();
        }
    }

    pub(super) fn assigned(&self, partitions: Vec<TopicPartition>) {
        let mut state = self.state.lock();
        state.forget(&partitions);
        state.events.push_back(Taken::Assigned(partitions));
        self.arrived.notify_one();
    }

    pub(super) fn revoked(&self, partitions: Vec<TopicPartition>) {
        let mut state = self.state.lock();
        state.forget(&partitions);
        state.acknowledged = false;
        state.events.push_back(Taken::Revoked(partitions));
        self.arrived.notify_one();
    }

    /// Whether the worker has confirmed the revocation. Resets the confirmation.
    pub(super) fn take_acknowledgement(&self) -> bool {
        std::mem::take(&mut self.state.lock().acknowledged)
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.state.lock().failure.get_or_insert(failure);
        self.arrived.notify_all();
        self.notifier.notify();
    }

    /// The offsets that the worker wants to continue at. Drops the queued records of these partitions.
    pub(super) fn take_seeks(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut state = self.state.lock();
        let seeks = std::mem::take(&mut state.seeks);
        let partitions: Vec<_> = seeks.keys().cloned().collect();
        state.forget(&partitions);
        seeks
    }

    pub(super) fn seek_result(&self, result: Result<(), String>) {
        self.state.lock().seek_result = Some(result);
        self.arrived.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }
}

/// Takes a batch within `limits`, at least one record.
fn gather(state: &mut State, limits: &BatchLimits) -> Gathered {
    let mut batch: Vec<Record> = Vec::new();
    let mut positions: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    let mut bytes = 0;
    while let Some(chunk) = state.chunks.front_mut() {
        let mut fitting = 0;
        for record in &chunk.records {
            let size = record.size();
            let is_first = batch.is_empty() && fitting == 0;
            if !is_first && (batch.len() + fitting >= limits.records || bytes + size > limits.bytes) {
                break;
            }
            bytes += size;
            fitting += 1;
        }
        let Some(last) = fitting.checked_sub(1) else { break };
        positions.insert(chunk.partition.clone(), chunk.records[last].offset + 1);
        if fitting < chunk.records.len() {
            batch.extend(chunk.records.drain(..fitting));
            break;
        }
        let whole = std::mem::take(&mut chunk.records);
        state.chunks.pop_front();
        if batch.is_empty() {
            batch = whole;
        } else {
            batch.extend(whole);
        }
    }
    state.records = state.records.saturating_sub(batch.len());
    state.bytes = state.bytes.saturating_sub(bytes);
    (batch, positions.into_iter().collect())
}
