//! Between the polling thread and the worker: a bounded queue of records, and the hand-shake of a rebalance.
//!
//! The polling thread never holds the lock while it calls librdkafka, whose own threads may be ringing [`Bell`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::Offset;

use limbic_stream::{BatchLimits, Error, Record, Result, TopicPartition};

/// Wakes the polling thread.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_one();
    }

    /// Waits until it is rung, or until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        let mut rung = self.rung.lock();
        while !*rung && !self.heard.wait_until(&mut rung, deadline).timed_out() {}
        *rung = false;
    }
}

/// What the worker finds.
#[derive(Debug)]
pub(super) enum Taken {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    /// Records, and where to read on in each partition that they are of.
    Records(Vec<Record>, Vec<(TopicPartition, u64)>),
    Nothing,
}

/// Records, and where to read on in each partition that they are of.
pub(super) type Gathered = (Vec<Record>, Vec<(TopicPartition, u64)>);

/// Why a member is of no use any more.
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
    /// Most records and bytes: one batch, prefetched while the worker does another.
    room: (usize, usize),
    /// Partitions whose end was reached after the last record put in.
    ended: BTreeSet<TopicPartition>,
    seeks: BTreeMap<TopicPartition, Offset>,
    sought: Option<Result<(), String>>,
    acknowledged: bool,
    /// When the worker last came back from a poll; `None` while it is in one.
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

/// The queue itself.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// The worker waits here.
    arrived: Condvar,
    /// The polling thread waits here.
    pub(super) bell: Arc<Bell>,
}

/// The worker's side.
impl Inbox {
    /// The next event, or else records, or else nothing by the end of the linger.
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
        self.bell.ring();
        let (records, positions) = batch;
        Ok(Taken::Records(records, positions))
    }

    /// Records that lie ready, if they are worth a batch and nothing else has happened; and where to read on after them.
    pub(super) fn take_ready(&self, limits: &BatchLimits) -> Option<Gathered> {
        let mut state = self.state.lock();
        let enough = state.records >= limits.records / 2 || state.bytes >= limits.bytes / 2;
        if state.failure.is_some() || !state.events.is_empty() || state.chunks.is_empty() || !enough {
            return None;
        }
        let batch = gather(&mut state, limits);
        drop(state);
        self.bell.ring();
        Some(batch)
    }

    /// Remembers that the worker polls, until the answer is dropped.
    pub(super) fn polling(&self) -> Polling<'_> {
        self.state.lock().last_poll = None;
        Polling(self)
    }

    /// The worker holds nothing any more of what was revoked.
    pub(super) fn acknowledge(&self) {
        self.state.lock().acknowledged = true;
        self.bell.ring();
    }

    /// Reads on from elsewhere: what is queued of these partitions is dropped. Waits until it is so.
    pub(super) fn seek(&self, targets: BTreeMap<TopicPartition, Offset>) -> Result<()> {
        let mut state = self.state.lock();
        state.seeks = targets;
        state.sought = None;
        self.bell.ring();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            if let Some(sought) = state.sought.take() {
                return sought.map_err(|message| Error::Unavailable {
                    context: "reading from another offset".into(),
                    message,
                });
            }
            self.arrived.wait(&mut state);
        }
    }

    /// Whether everything there was of a partition has been taken.
    pub(super) fn is_drained(&self, partition: &TopicPartition) -> bool {
        let state = self.state.lock();
        state.ended.contains(partition) && !state.chunks.iter().any(|chunk| chunk.partition == *partition)
    }

    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.bell.ring();
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.state.lock().failure.clone()
    }
}

/// The worker is in a poll.
pub(super) struct Polling<'a>(&'a Inbox);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().last_poll = Some(Instant::now());
    }
}

/// The polling thread's side.
impl Inbox {
    /// How long the worker has not polled.
    pub(super) fn silence(&self) -> Duration {
        self.state
            .lock()
            .last_poll
            .map_or(Duration::ZERO, |last| last.elapsed())
    }

    /// How many records may be put in now.
    pub(super) fn room(&self) -> usize {
        let state = self.state.lock();
        if state.bytes < state.room.1 {
            state.room.0.saturating_sub(state.records)
        } else {
            0
        }
    }

    /// Puts in records of one partition; `ended` says whether its end was reached after them.
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

    /// Whether the worker has let go; asking takes the answer.
    pub(super) fn take_acknowledgement(&self) -> bool {
        std::mem::take(&mut self.state.lock().acknowledged)
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.state.lock().failure.get_or_insert(failure);
        self.arrived.notify_all();
        self.bell.ring();
    }

    /// Where to read on, if the worker wishes so; what is queued of it is dropped.
    pub(super) fn take_seeks(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut state = self.state.lock();
        let seeks = std::mem::take(&mut state.seeks);
        let partitions: Vec<_> = seeks.keys().cloned().collect();
        state.forget(&partitions);
        seeks
    }

    pub(super) fn sought(&self, result: Result<(), String>) {
        self.state.lock().sought = Some(result);
        self.arrived.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }
}

/// A batch within `limits`: at least one record.
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
