//! The committer is the only writer of the log. It collects the calls that arrive while it is busy, writes them as one
//! atomic batch, and flushes once. Only then it makes the records visible and answers the callers.
//!
//! If the committer is idle, the calling thread commits directly, which saves two thread switches for each commit.
//! Otherwise the call is queued for the committer's thread ([`run`]).
//!
//! The committer also creates and drops topics and segments, so the structure of the log needs no other lock.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use fail::fail_point;
use limbic_domain::Utc;

use crate::clock;
use crate::compaction::{self, Swap};
use crate::compression::Compressor;
use crate::groups::Membership;
use crate::packed::Payload;
use crate::partition::Partition;
use crate::shared::Shared;
use crate::space;
use crate::store::{Meta, TopicRow};
use limbic_stream::{Committed, Error, Result, TopicSpec};

/// Payloads of several producers are joined into one batch up to this size, in bytes.
const MERGED: usize = 256 << 10;

/// The maximum bytes of a segment of a compacted topic. A compaction round reads at least one segment.
const COMPACTED_SEGMENT: u64 = 16 << 20;
/// The prefix of the class of every transient topic.
pub(super) const TRANSIENT_CLASS: &str = "transient ";
/// The maximum bytes of a segment of transient topics. Segments are small, so that records that every reader has read are
/// deleted soon.
const TRANSIENT_SEGMENT: u64 = 16 << 20;

/// The interval between attempts to open the store again after a disk failure.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// One publish or one transaction.
pub(super) struct Step {
    pub(super) records: Vec<(Arc<Partition>, Vec<Payload>)>,
    pub(super) state: Vec<(Bytes, Option<Bytes>)>,
    pub(super) offsets: Vec<Committed>,
    /// The member that owns the transaction, and the partition numbers that it must hold.
    pub(super) member: Option<(Membership, BTreeSet<u32>)>,
    pub(super) answer: Sender<Result<()>>,
}

/// A request to the committer.
pub(super) enum Request {
    Commit(Step),
    EnsureTopics(Vec<TopicSpec>, Sender<Result<()>>),
    /// Drop the segments that retention no longer keeps at this time of the wall clock.
    Retain(Utc, Sender<Result<()>>),
    /// Open the store again. The committer repeats this until it succeeds.
    Reopen,
    Stop,
}

/// The committer's thread. It serves the callers that found the committer busy, until it receives [`Request::Stop`].
pub(super) fn run(shared: &Shared, queue: &Receiver<Request>) {
    loop {
        // While the store is closed, the thread tries to open it again and again, so that a caller whose group is in
        // doubt receives an answer.
        let request = if shared.store.read().is_some() {
            queue.recv().ok()
        } else {
            match queue.recv_timeout(REOPEN_INTERVAL) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => Some(Request::Reopen),
                Err(RecvTimeoutError::Disconnected) => None,
            }
        };
        let Some(request) = request else {
            return;
        };
        let mut committer = shared.committer.lock();
        let stop = committer
            .as_mut()
            .is_none_or(|committer| committer.serve(request, Some(queue)));
        if stop {
            return;
        }
    }
}

/// A segment that is being written.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) id: u32,
    pub(super) bytes: u64,
    since: Utc,
}

/// A group of steps that was written, but may not be durable yet.
pub(super) struct Written {
    pub(super) number: u64,
    pub(super) steps: Vec<Step>,
    pub(super) batches: Vec<(Arc<Partition>, Batch)>,
    pub(super) epochs: Vec<(Arc<str>, u64)>,
    /// The segments that hold the group, with their classes.
    segments: Vec<(u32, String)>,
    /// The caller has received an error that says that the outcome is unknown.
    pub(super) answered: bool,
}

pub(super) struct Batch {
    pub(super) segment: u32,
    pub(super) first: u64,
    pub(super) end: u64,
    /// The batch as readers of new records receive it.
    pub(super) bytes: Bytes,
    /// The batch as it is stored on disk.
    pub(super) stored: Bytes,
}

pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) commits: u64,
    /// The segment that each class writes to. Topics of one class share segments.
    pub(super) active: HashMap<String, Active>,
    next_segment: u32,
    /// Segments that a durable commit has recorded.
    pub(super) listed: HashSet<u32>,
    epochs: HashMap<Arc<str>, u64>,
    /// The segment of each compacted topic that compaction wrote last.
    pub(super) clean: HashMap<u32, u32>,
    /// A swap of segments whose commit is running, or has failed with an unknown outcome.
    pub(super) swapping: Option<Swap>,
    /// One entry for each batch in memory, oldest first: the partition of the batch.
    tail: VecDeque<Arc<Partition>>,
    tail_bytes: usize,
    compressor: Compressor,
    /// A group whose outcome is unknown until the store is open again, and the error for its callers if the group was not
    /// written.
    pub(super) in_doubt: Option<(Written, Error)>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, meta: &Meta) -> Self {
        let active = continued(&shared, meta);
        Self {
            shared,
            commits: meta.commits,
            active,
            next_segment: meta.segments.keys().last().map_or(0, |last| last + 1),
            listed: meta.segments.keys().copied().collect(),
            epochs: HashMap::new(),
            clean: compaction::clean_segments(meta),
            swapping: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            compressor: Compressor::default(),
            in_doubt: None,
        }
    }

    /// Serves `request`, together with the commits that wait in `queue`. Returns whether the request was
    /// [`Request::Stop`].
    pub(super) fn serve(&mut self, request: Request, queue: Option<&Receiver<Request>>) -> bool {
        let mut waiting = Some(request);
        while let Some(request) = waiting.take() {
            match request {
                Request::Stop => return true,
                Request::Commit(step) => {
                    let mut bytes = step.bytes();
                    let mut steps = vec![step];
                    // Calls that arrived during the last flush share the next one.
                    while bytes < self.shared.options.group_bytes {
                        match queue.map(Receiver::try_recv) {
                            Some(Ok(Request::Commit(step))) => {
                                bytes += step.bytes();
                                steps.push(step);
                            }
                            Some(Ok(other)) => {
                                waiting = Some(other);
                                break;
                            }
                            Some(Err(_)) | None => break,
                        }
                    }
                    self.commit(steps);
                }
                Request::EnsureTopics(specs, answer) => {
                    let result = self.ensure_topics(&specs);
                    let _ = answer.send(result);
                }
                Request::Retain(now, answer) => {
                    let result = self.retain(now);
                    let _ = answer.send(result);
                }
                Request::Reopen => {
                    if let Err(error) = self.reopen() {
                        tracing::warn!(%error, "the log cannot be opened again yet: the next attempt follows");
                    }
                }
            }
        }
        false
    }

    fn commit(&mut self, steps: Vec<Step>) {
        let steps = self.admit(steps);
        if steps.is_empty() {
            return;
        }
        if let Err(error) = self.check_room(steps.iter().map(Step::bytes).sum()) {
            self.settle(&steps);
            return answer_all(&steps, &error);
        }
        let now = clock::wall();
        let prepared = self.reopen().and_then(|()| self.place(&steps, now));
        let segments = match prepared {
            Ok(segments) => segments,
            Err(error) => {
                self.settle(&steps);
                return answer_all(&steps, &error);
            }
        };
        let written = self.assemble(steps, segments, now);
        match self.write(&written) {
            Ok(()) => self.publish(written),
            Err(error) => self.after_failure(written, &error),
        }
    }

    /// Keeps the steps that may commit. The other callers receive [`Error::Fenced`].
    fn admit(&self, steps: Vec<Step>) -> Vec<Step> {
        let mut groups = self.shared.groups.lock();
        steps
            .into_iter()
            .filter(|step| match &step.member {
                None => true,
                Some((member, numbers)) => match groups.committing(member, numbers) {
                    Ok(()) => true,
                    Err(error) => {
                        let _ = step.answer.send(Err(error));
                        false
                    }
                },
            })
            .collect()
    }

    pub(super) fn check_room(&self, bytes: usize) -> Result<()> {
        let needed = self.shared.options.reserve_bytes + 2 * bytes as u64;
        match space::available(&self.shared.path) {
            Some(available) if available < needed => Err(Error::DiskFull {
                path: self.shared.path.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The segment that each topic of these steps is written to now. Creates segments where necessary.
    fn place(&mut self, steps: &[Step], now: Utc) -> Result<HashMap<u32, (u32, String)>> {
        let mut segments = HashMap::new();
        for (partition, _) in steps.iter().flat_map(|step| &step.records) {
            if let Entry::Vacant(place) = segments.entry(partition.topic_id) {
                let row = self.shared.topic(&partition.name.topic)?.row;
                let class = class(&row);
                let segment = self.active_segment(&class, &row, now)?;
                place.insert((segment, class));
            }
        }
        Ok(segments)
    }

    fn active_segment(&mut self, class: &str, row: &TopicRow, now: Utc) -> Result<u32> {
        let options = &self.shared.options;
        let retention = row.retention();
        let largest = match retention.bytes {
            _ if row.is_compacted() => options.segment_bytes.min(COMPACTED_SEGMENT),
            None if row.is_transient() => options.segment_bytes.min(TRANSIENT_SEGMENT),
            Some(bytes) => (bytes.saturating_mul(u64::from(row.partitions)) / 4).min(options.segment_bytes),
            None => options.segment_bytes,
        };
        let longest = retention.age.map(|age| age.as_millis() as i64 / 4);
        if let Some(active) = self.active.get(class) {
            let is_limited =
                row.is_compacted() || row.is_transient() || retention != limbic_stream::Retention::default();
            let full = is_limited && active.bytes >= largest;
            let old = longest.is_some_and(|longest| now.millis_since(active.since) > longest);
            if !full && !old {
                return Ok(active.id);
            }
        }
        let id = self.new_segment()?;
        let active = Active {
            id,
            bytes: 0,
            since: now,
        };
        self.active.insert(class.into(), active);
        Ok(id)
    }

    /// Creates a segment under a number that was never used before. It is permanent when a commit has recorded it.
    pub(super) fn new_segment(&mut self) -> Result<u32> {
        let id = self.next_segment;
        if let Some(store) = self.shared.store.write().as_mut() {
            store.create_segment(id, &self.shared.path)?;
        }
        self.next_segment += 1;
        Ok(id)
    }

    /// Assigns offsets to the records.
    fn assemble(&mut self, mut steps: Vec<Step>, segments: HashMap<u32, (u32, String)>, now: Utc) -> Written {
        let mut merged: BTreeMap<(u32, u32), (Arc<Partition>, Vec<Payload>)> = BTreeMap::new();
        for (partition, payloads) in steps.iter_mut().flat_map(|step| step.records.drain(..)) {
            let place = merged
                .entry((partition.topic_id, partition.number()))
                .or_insert_with(|| (partition, Vec::new()));
            for payload in payloads {
                match place.1.last_mut() {
                    Some(last) if last.len() + payload.len() <= MERGED => last.extend(&payload),
                    _ => place.1.push(payload),
                }
            }
        }
        let mut batches = Vec::new();
        for (partition, payloads) in merged.into_values() {
            let segment = segments[&partition.topic_id].0;
            let mut first = partition.end();
            let mut before = partition.bytes_in(segment);
            for payload in payloads {
                let end = first + u64::from(payload.records());
                let bytes = payload.seal(first, now, before);
                let stored = self.compressor.write(partition.topic_id, &bytes);
                before += bytes.len() as u64;
                let batch = Batch {
                    segment,
                    first,
                    end,
                    bytes,
                    stored,
                };
                batches.push((partition.clone(), batch));
                first = end;
            }
        }
        let groups = self.shared.groups.lock();
        let epochs = steps
            .iter()
            .filter_map(|step| step.member.as_ref())
            .map(|(member, _)| (member.group.clone(), groups.epoch(&member.group)))
            .filter(|(group, epoch)| self.epochs.get(group) != Some(epoch))
            .collect();
        Written {
            number: self.commits + 1,
            steps,
            batches,
            segments: segments.into_values().collect(),
            epochs,
            answered: false,
        }
    }

    pub(super) fn write(&self, written: &Written) -> Result<(), fjall::Error> {
        let store = self.shared.store.read();
        let store = store.as_ref().ok_or(fjall::Error::Poisoned)?;
        let mut changes = store.changes();
        for (id, class) in &written.segments {
            if !self.listed.contains(id) {
                changes.segment(*id, class);
            }
        }
        for (partition, batch) in &written.batches {
            changes.records(
                batch.segment,
                partition.topic_id,
                partition.number(),
                batch.first,
                batch.stored.clone(),
            );
        }
        for (group, epoch) in &written.epochs {
            changes.epoch(group, *epoch);
        }
        for step in &written.steps {
            for (key, value) in &step.state {
                changes.state(key.clone(), value.clone());
            }
            if let Some((member, _)) = &step.member {
                for committed in &step.offsets {
                    changes.offset(&member.group, committed);
                }
            }
        }
        fail_point!("commit::before-write");
        fail_point!("commit::refused", |_| Err(fjall::Error::Io(
            std::io::ErrorKind::StorageFull.into()
        )));
        changes.write(written.number)?;
        fail_point!("commit::after-write-before-sync");
        fail_point!("commit::sync-failed", |_| Err(fjall::Error::Poisoned));
        store.persist()
    }

    /// Makes a durable group visible to readers, and answers its callers.
    pub(super) fn publish(&mut self, written: Written) {
        self.commits = written.number;
        let now = clock::wall();
        for (partition, batch) in written.batches {
            let bytes = batch.bytes.len();
            self.listed.insert(batch.segment);
            if let Some(active) = self.active.values_mut().find(|active| active.id == batch.segment) {
                active.bytes += bytes as u64;
            }
            partition.grow(batch.segment, batch.first, batch.end, now, batch.bytes);
            self.tail.push_back(partition);
            self.tail_bytes += bytes;
        }
        while self.tail_bytes > self.shared.options.tail_bytes {
            let Some(partition) = self.tail.pop_front() else {
                break;
            };
            self.tail_bytes -= partition.forget_oldest();
        }
        self.epochs.extend(written.epochs);
        {
            let mut groups = self.shared.groups.lock();
            for step in &written.steps {
                let Some((member, numbers)) = &step.member else {
                    continue;
                };
                for committed in &step.offsets {
                    groups.record(&member.group, committed.clone());
                }
                groups.settled(member, numbers);
            }
        }
        self.shared.signal.raise();
        fail_point!("commit::after-sync-before-ack");
        for step in &written.steps {
            let _ = step.answer.try_send(Ok(()));
        }
    }

    /// Ends the running commit of these steps' members.
    pub(super) fn settle(&self, steps: &[Step]) {
        let mut groups = self.shared.groups.lock();
        for (member, numbers) in steps.iter().filter_map(|step| step.member.as_ref()) {
            groups.settled(member, numbers);
        }
        drop(groups);
        self.shared.signal.raise();
    }

    /// Closes these segments for writing. The next record of each class starts a new segment.
    pub(super) fn seal(&mut self, segments: &HashSet<u32>) {
        self.active.retain(|_, active| !segments.contains(&active.id));
    }

    /// Creates the segments of a group again if they were lost with a write that was not made.
    pub(super) fn restore_segments(&self, written: &Written) -> Result<()> {
        if let Some(store) = self.shared.store.write().as_mut() {
            for (id, _) in written
                .segments
                .iter()
                .filter(|(id, _)| !self.listed.contains(id))
            {
                store.create_segment(*id, &self.shared.path)?;
            }
        }
        Ok(())
    }

    /// Removes the batches of this partition that end at or before `end` from memory.
    pub(super) fn forget_before(&mut self, partition: &Arc<Partition>, end: u64) {
        let mut left = partition.recent_before(end);
        let tail_bytes = &mut self.tail_bytes;
        self.tail.retain(|other| {
            let is_forgotten = left > 0 && Arc::ptr_eq(other, partition);
            if is_forgotten {
                left -= 1;
                *tail_bytes -= partition.forget_oldest();
            }
            !is_forgotten
        });
    }

    /// Removes a segment from the list of recorded ones.
    pub(super) fn unlist(&mut self, segment: u32) {
        self.listed.remove(&segment);
    }
}

impl Step {
    fn bytes(&self) -> usize {
        let records: usize = self
            .records
            .iter()
            .flat_map(|(_, payloads)| payloads)
            .map(Payload::len)
            .sum();
        let state: usize = self
            .state
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len))
            .sum();
        records + state
    }
}

/// The class of a topic. Topics with the same cleanup share a class; a topic that is compacted or has a limit in bytes
/// has its own.
pub(super) fn class(row: &TopicRow) -> String {
    let retention = row.retention();
    match (retention.bytes, retention.age) {
        _ if row.is_compacted() => format!("compact {}", row.id),
        (bytes, age) if row.is_transient() => {
            let age = age.map_or(0, |age| age.as_millis());
            format!("{TRANSIENT_CLASS}{} {age}", bytes.unwrap_or(0))
        }
        (Some(_), _) => format!("topic {}", row.id),
        (None, Some(age)) => format!("age {}", age.as_millis()),
        (None, None) => "keep".into(),
    }
}

/// The newest segment of each class. Writing continues there.
fn continued(shared: &Shared, meta: &Meta) -> HashMap<String, Active> {
    let topics = shared.topics.read();
    let mut active: HashMap<String, Active> = HashMap::new();
    for (id, class) in &meta.segments {
        let spans = topics
            .values()
            .flat_map(|topic| &topic.partitions)
            .flat_map(|partition| partition.spans())
            .filter(|span| span.segment == *id);
        let newest = Active {
            id: *id,
            bytes: spans.clone().map(|span| span.bytes).sum(),
            since: spans.map(|span| span.written_at).min().unwrap_or_default(),
        };
        active.insert(class.clone(), newest);
    }
    active
}

pub(super) fn answer_all(steps: &[Step], error: &Error) {
    for step in steps {
        let _ = step.answer.try_send(Err(error.clone()));
    }
}
