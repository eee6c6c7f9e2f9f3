//! The outbox: calls that are running, and the effects of their answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender as Channel, unbounded};
use limbic_domain::{Utc, random};

use super::breaker::{Breaker, Permit, TickClock, TokenBucket};
use super::entry::Entry;
use super::store::Store;
use super::workers::{EntryId, Job, Returned, Workers};
use super::{
    Answer, Call, Conclusion, Enqueue, Enqueued, Finished, InvalidLimit, LastLook, Limits, OutboxMeters,
    Problem, Request, Sender,
};
use crate::{Backoff, Cause, Outputs, StageError, StateSchema, TopicPartition};

/// How long a tick waits for answers, unless [`Outbox::answer_wait`] says otherwise.
const ANSWER_WAIT: Duration = Duration::from_millis(100);

/// Requests to outside destinations. See the [module](crate::outbox).
pub struct Outbox<R: Request> {
    store: Store,
    destinations: BTreeMap<Arc<str>, Destination<R>>,
    /// Running calls, and answers that may not be committed yet.
    calls: HashMap<EntryId, Sent<R>>,
    /// Calls whose answer arrived after the last full check.
    fresh: Vec<EntryId>,
    /// The number of calls without an answer.
    unanswered: usize,
    jobs: u64,
    results: Channel<Returned<R>>,
    returned: Receiver<Returned<R>>,
    clock: TickClock,
    /// How far the stored times of each partition are ahead of `clock`, in milliseconds, at least 0: the instance before had a clock
    /// that was ahead.
    ahead: HashMap<u32, i64>,
    answer_wait: Duration,
    first_wait: Duration,
    /// New requests that wait, with the time of the tick that saw them first.
    first_seen: HashMap<EntryId, Duration>,
    meters: OutboxMeters,
}

struct Destination<R: Request> {
    limits: Limits,
    workers: Workers<R>,
    breaker: Breaker,
    bucket: Option<TokenBucket>,
    unanswered: usize,
    /// The problem that the last answer reported.
    problem: Option<Problem>,
}

/// A call that was sent.
struct Sent<R: Request> {
    destination: Arc<str>,
    job: u64,
    /// When the answer is assumed to be [`Answer::Unknown`].
    expires: Instant,
    entry: Entry<R>,
    /// The bytes of the entry. As long as the state holds the same bytes, the answer is not committed.
    stored: Bytes,
    answer: Option<Answer<R::Reply>>,
    /// Whether the breaker and the metrics have counted the answer.
    is_counted: bool,
}

impl<R: Request> Outbox<R> {
    /// An outbox without destinations. Its keys in the stage's state start with `name` and a slash. `name` is also the
    /// label `outbox` of its metrics.
    pub fn new(name: &str) -> Self {
        let (results, returned) = unbounded();
        Self {
            store: Store::new(name),
            destinations: BTreeMap::new(),
            calls: HashMap::new(),
            fresh: Vec::new(),
            unanswered: 0,
            jobs: 0,
            results,
            returned,
            clock: TickClock::default(),
            ahead: HashMap::new(),
            answer_wait: ANSWER_WAIT,
            first_wait: Duration::ZERO,
            first_seen: HashMap::new(),
            meters: OutboxMeters::unregistered(),
        }
    }

    /// Adds a destination.
    ///
    /// # Panics
    /// If the limits allow no call, or the name contains a slash. For limits from settings, use
    /// [`Self::try_destination`].
    #[must_use]
    pub fn destination(self, name: &str, limits: Limits, sender: impl Sender<R>) -> Self {
        self.try_destination(name, limits, sender)
            .unwrap_or_else(|error| panic!("destination `{name}`: {error}"))
    }

    /// Adds a destination. Returns an error that names the limit if the limits allow no call.
    ///
    /// # Panics
    /// If the name contains a slash.
    pub fn try_destination(
        mut self,
        name: &str,
        limits: Limits,
        sender: impl Sender<R>,
    ) -> Result<Self, InvalidLimit> {
        assert!(!name.contains('/'), "a destination's name holds no slash");
        limits.check()?;
        let name: Arc<str> = name.into();
        let destination = Destination {
            workers: Workers::new(Arc::clone(&name), Arc::new(sender), self.results.clone()),
            breaker: Breaker::new(limits.breaker_failures, limits.breaker_pause),
            bucket: limits.rate.map(TokenBucket::new),
            limits,
            unanswered: 0,
            problem: None,
        };
        self.destinations.insert(name, destination);
        Ok(self)
    }

    /// How long [`Self::drive`] waits for answers before the stage commits. Later answers are kept for the next tick. A
    /// longer wait puts more results into one transaction, but a destination that hangs delays the others by this time.
    /// Default: 100 ms.
    #[must_use]
    pub const fn answer_wait(mut self, wait: Duration) -> Self {
        self.answer_wait = wait;
        self
    }

    /// How long a new request waits before it is sent. The wait starts with the first tick that sees the request, and starts again
    /// after a restart. Default: 0 (no wait).
    #[must_use]
    pub const fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: OutboxMeters) -> Self {
        self.meters = meters;
        self
    }

    /// Adds the entries of the outbox `name` to `schema`.
    #[must_use]
    pub fn described_in(name: &str, schema: StateSchema) -> StateSchema {
        Store::describe::<R>(name, schema)
    }

    /// Whether there is a destination of this name.
    pub fn has_destination(&self, name: &str) -> bool {
        self.destinations.contains_key(name)
    }

    /// The problem of a destination, if its last answer since this process started reported one.
    pub fn problem(&self, destination: &str) -> Option<&Problem> {
        self.destinations.get(destination)?.problem.as_ref()
    }

    /// Stores a request in the partition of its cause. It is sent by a later [`Self::drive`], after this transaction has
    /// committed.
    pub fn enqueue(
        &self,
        out: &mut Outputs<'_>,
        cause: &Cause,
        new: &Enqueue<'_>,
        request: &R,
    ) -> Result<Enqueued, StageError> {
        match self.destinations.get(new.destination) {
            None => Ok(Enqueued::UnknownDestination),
            Some(destination) => {
                let most = destination.limits.waiting;
                self.store.enqueue(out, cause, new, request, most)
            }
        }
    }

    /// Sends the requests that are due in these partitions, and passes every finished request to `finish`, which writes
    /// its result. Call it in a tick. Requests that the same transaction enqueues are not sent yet.
    pub fn drive(
        &mut self,
        partitions: &[u32],
        now: Utc,
        out: &mut Outputs<'_>,
        finish: impl FnMut(&mut Outputs<'_>, &Finished<'_, R>),
    ) -> Result<(), StageError> {
        self.drive_with(partitions, now, out, |_, _| LastLook::Send, finish)
    }

    /// As [`Self::drive`], but calls `look` for each request right before each attempt, so that the stage can withdraw it or
    /// let it wait.
    pub fn drive_with(
        &mut self,
        partitions: &[u32],
        now: Utc,
        out: &mut Outputs<'_>,
        mut look: impl FnMut(&Outputs<'_>, &R) -> LastLook,
        mut finish: impl FnMut(&mut Outputs<'_>, &Finished<'_, R>),
    ) -> Result<(), StageError> {
        let elapsed = self.clock.advance(now);
        for partition in partitions {
            if !self.ahead.contains_key(partition) {
                let stored = self.store.time(out, *partition)?;
                let ahead = stored.map_or(0, |stored| stored.millis_since(self.clock.time()));
                self.ahead.insert(*partition, ahead.max(0));
            }
        }
        self.collect();
        self.fresh.clear();
        let answered = self.calls.iter().filter(|(_, sent)| sent.answer.is_some());
        let answered: Vec<EntryId> = answered.map(|(id, _)| id.clone()).collect();
        for id in answered {
            self.settle(&id, now, elapsed, out, &mut finish)?;
        }
        let mut queues = self.due(partitions, elapsed, out)?;
        let wait_until = Instant::now() + self.answer_wait;
        loop {
            self.start(&mut queues, now, elapsed, out, &mut look, &mut finish)?;
            if self.unanswered == 0 || Instant::now() >= wait_until {
                break;
            }
            let expiries = self.calls.values().filter(|sent| sent.answer.is_none());
            let wake = expiries
                .map(|sent| sent.expires)
                .min()
                .map_or(wait_until, |first| first.min(wait_until));
            if let Ok(returned) = self.returned.recv_deadline(wake) {
                self.take(returned);
                self.collect();
            }
            self.expire(Instant::now());
            for id in std::mem::take(&mut self.fresh) {
                self.settle(&id, now, elapsed, out, &mut finish)?;
            }
        }
        self.measure(partitions, elapsed, out)
    }

    /// The time in a partition on the outbox's own clock. Waits are measured with it. It runs with the times of the ticks; a jump of them
    /// has no effect. It never goes back, also when the partition moves. Before the first tick it is [`Utc::MIN`].
    pub fn time_in(&self, partition: u32) -> Utc {
        let ahead = self.ahead.get(&partition).copied().unwrap_or(0);
        self.clock.time().plus_millis(ahead)
    }

    /// These partitions now belong to another instance. Answers to their requests are ignored.
    pub fn revoked(&mut self, partitions: &[TopicPartition]) {
        let gone = |id: &EntryId| partitions.iter().any(|partition| partition.partition == id.0);
        self.first_seen.retain(|id, _| !gone(id));
        self.ahead
            .retain(|number, _| partitions.iter().all(|gone| gone.partition != *number));
        for (_, sent) in self.calls.extract_if(|id, _| gone(id)) {
            if sent.answer.is_none() {
                self.unanswered -= 1;
                if let Some(destination) = self.destinations.get_mut(&sent.destination) {
                    destination.unanswered -= 1;
                }
            }
        }
    }

    /// Receives every returned job.
    fn collect(&mut self) {
        while let Ok(returned) = self.returned.try_recv() {
            self.take(returned);
        }
    }

    /// Receives one returned job.
    fn take(&mut self, returned: Returned<R>) {
        if let Some(destination) = self.destinations.get_mut(&returned.destination) {
            destination.workers.returned(returned.entries.len());
        }
        for (id, answer) in returned.entries.into_iter().zip(returned.answers) {
            self.answered(&id, returned.job, answer);
        }
    }

    /// Notes the answer of a call, unless the call was forgotten or already has an answer.
    fn answered(&mut self, id: &EntryId, job: u64, answer: Answer<R::Reply>) {
        let Some(sent) = self.calls.get_mut(id) else {
            return;
        };
        if sent.job != job || sent.answer.is_some() {
            return;
        }
        sent.answer = Some(answer);
        self.fresh.push(id.clone());
        self.unanswered -= 1;
        if let Some(destination) = self.destinations.get_mut(&sent.destination) {
            destination.unanswered -= 1;
        }
    }

    /// Assumes [`Answer::Unknown`] for calls whose deadline has passed.
    fn expire(&mut self, instant: Instant) {
        let overdue = |sent: &Sent<R>| sent.answer.is_none() && sent.expires <= instant;
        let overdue = self.calls.iter().filter(|(_, sent)| overdue(sent));
        let overdue: Vec<_> = overdue.map(|(id, sent)| (id.clone(), sent.job)).collect();
        for (id, job) in overdue {
            let answer = Answer::Unknown {
                detail: "no answer within the deadline".to_owned(),
            };
            self.answered(&id, job, answer);
        }
    }

    /// Applies the answer of a call. When the committed state has another entry, or none, the answer was committed, and
    /// the call is forgotten.
    fn settle(
        &mut self,
        id: &EntryId,
        now: Utc,
        elapsed: Duration,
        out: &mut Outputs<'_>,
        finish: &mut impl FnMut(&mut Outputs<'_>, &Finished<'_, R>),
    ) -> Result<(), StageError> {
        let (partition, entry_key) = id;
        let time = self.time_in(*partition);
        let Some(sent) = self.calls.get_mut(id) else {
            return Ok(());
        };
        let Some(answer) = &sent.answer else {
            return Ok(());
        };
        let Some(destination) = self.destinations.get_mut(&sent.destination) else {
            return Ok(());
        };
        match out.get(*partition, entry_key)? {
            Some(stored) if stored == sent.stored => {}
            // Changed by the same call of `drive`, or by a committed transaction.
            _ => {
                let is_committed = out.committed().get(*partition, entry_key)?.as_ref() != Some(&sent.stored);
                if is_committed {
                    self.calls.remove(id);
                }
                return Ok(());
            }
        }
        let limits = &destination.limits;
        let meta = &sent.entry.meta;
        // A call that the destination refuses because of the account says nothing about the request.
        let attempts = meta.attempts + u32::from(!matches!(answer, Answer::Blocked { .. }));
        let first_sent = meta.first_sent.unwrap_or(time);
        let backoff = Backoff::new(limits.backoff_first, limits.backoff_longest)
            .with_seed(random::hash(meta.key.as_bytes()))
            .wait(meta.attempts);
        let is_new = !std::mem::replace(&mut sent.is_counted, true);
        if is_new {
            destination.problem = Problem::of(answer, now);
        }
        let breaker = &mut destination.breaker;
        let again = match answer {
            Answer::Applied(_) | Answer::Rejected { .. } => {
                if is_new {
                    breaker.answered();
                }
                None
            }
            Answer::RetryAfter { wait, detail } => {
                let asked = limits.bounded_wait(wait.unwrap_or(backoff));
                if is_new {
                    breaker.paused(elapsed, asked);
                }
                // A destination that always says "now" gets the same back-off as one that says nothing.
                Some((asked.max(backoff), detail))
            }
            Answer::Blocked { detail } => {
                if is_new && breaker.blocked(elapsed) {
                    tracing::error!(
                        outbox = self.store.name(), destination = %sent.destination, detail, pause = ?limits.breaker_pause,
                        "the destination refuses every request: check its address, key and account. Requests wait meanwhile"
                    );
                }
                Some((backoff.max(limits.breaker_pause), detail))
            }
            Answer::Unknown { detail } => {
                if is_new && breaker.failed(elapsed) {
                    tracing::warn!(
                        outbox = self.store.name(), destination = %sent.destination, detail,
                        pause = ?limits.breaker_pause, "the destination keeps failing: its circuit breaker is open"
                    );
                }
                Some((backoff, detail))
            }
        };
        let conclusion = match (answer, &again) {
            (Answer::Applied(reply), _) => Some(Conclusion::Applied(reply)),
            (Answer::Rejected { detail }, _) => Some(Conclusion::Rejected { detail }),
            (_, Some((wait, detail))) => {
                let last = later(first_sent, limits.give_up_after);
                let is_used_up = attempts >= limits.attempts && !matches!(answer, Answer::Blocked { .. });
                let gives_up = is_used_up || later(time, *wait) > last;
                let after = Duration::from_millis(time.millis_since(first_sent).max(0).unsigned_abs());
                gives_up.then_some(Conclusion::GaveUp { after, detail })
            }
            (_, None) => None,
        };
        if is_new {
            let word = match &conclusion {
                Some(Conclusion::Applied(_)) => sent.entry.request.applied(),
                Some(Conclusion::Rejected { .. }) => "rejected",
                Some(Conclusion::Withdrawn { .. }) => "withdrawn",
                Some(Conclusion::GaveUp { .. }) => "gave_up",
                None if matches!(answer, Answer::Blocked { .. }) => "blocked",
                None => "retried",
            };
            let labels = [self.store.name(), &sent.destination, word];
            self.meters.answers.with_label_values(&labels).inc();
        }
        if let Some(conclusion) = conclusion {
            let finished = Finished {
                cause: meta.cause(*partition),
                destination: &sent.destination,
                key: &meta.key,
                request: &*sent.entry.request,
                at: meta.at,
                attempts,
                conclusion,
            };
            finish(out, &finished);
            self.store.finish::<R>(out, *partition, &sent.destination, meta)?;
            self.store.put_time(out, *partition, time);
        } else if let Some((wait, _)) = again {
            let mut after = meta.clone();
            after.attempts = attempts;
            after.first_sent = Some(first_sent);
            after.due = later(time, wait);
            self.store.put_back(
                out,
                *partition,
                &sent.destination,
                meta,
                &after,
                &*sent.entry.request,
            )?;
            self.store.put_time(out, *partition, time);
        }
        Ok(())
    }

    /// The requests to send in this tick, for each destination that may be called.
    fn due(
        &mut self,
        partitions: &[u32],
        elapsed: Duration,
        out: &Outputs<'_>,
    ) -> Result<BTreeMap<Arc<str>, VecDeque<EntryId>>, StageError> {
        let mut queues = BTreeMap::new();
        let partitions: Vec<(u32, Utc)> = partitions
            .iter()
            .map(|partition| (*partition, self.time_in(*partition)))
            .collect();
        for (name, destination) in &self.destinations {
            if destination.breaker.permit(elapsed) == Permit::Nothing {
                continue;
            }
            let most = destination.limits.per_tick;
            let is_waiting = |seen: &Duration| elapsed.saturating_sub(*seen) < self.first_wait;
            let waiting = self.first_seen.values().filter(|seen| is_waiting(seen)).count();
            let committed = out.committed();
            let due = self
                .store
                .due(committed, &partitions, name, most + waiting, &self.calls)?;
            let mut queue = VecDeque::new();
            for (id, is_new) in due {
                if is_new && !self.first_wait.is_zero() {
                    let seen = *self.first_seen.entry(id.clone()).or_insert(elapsed);
                    if elapsed.saturating_sub(seen) < self.first_wait {
                        continue;
                    }
                }
                if queue.len() < most {
                    queue.push_back(id);
                }
            }
            queues.insert(Arc::clone(name), queue);
        }
        Ok(queues)
    }

    /// Starts as many calls as the limits allow.
    fn start(
        &mut self,
        queues: &mut BTreeMap<Arc<str>, VecDeque<EntryId>>,
        now: Utc,
        elapsed: Duration,
        out: &mut Outputs<'_>,
        look: &mut impl FnMut(&Outputs<'_>, &R) -> LastLook,
        finish: &mut impl FnMut(&mut Outputs<'_>, &Finished<'_, R>),
    ) -> Result<(), StageError> {
        let times = |partition: u32| {
            let ahead = self.ahead.get(&partition).copied().unwrap_or(0);
            self.clock.time().plus_millis(ahead)
        };
        for (name, queue) in queues {
            let Some(destination) = self.destinations.get_mut(name) else {
                continue;
            };
            while !queue.is_empty() {
                let room = destination
                    .limits
                    .concurrency
                    .saturating_sub(destination.workers.busy());
                let permitted = match destination.breaker.permit(elapsed) {
                    Permit::Any => usize::MAX,
                    Permit::Probe => usize::from(destination.unanswered == 0),
                    Permit::Nothing => 0,
                };
                let tokens = destination
                    .bucket
                    .as_mut()
                    .map_or(usize::MAX, |bucket| bucket.available(elapsed));
                let size = room
                    .min(permitted)
                    .min(tokens)
                    .min(destination.limits.batch)
                    .min(queue.len());
                if size == 0 {
                    break;
                }
                if let Some(bucket) = &mut destination.bucket {
                    bucket.take(size);
                }
                self.jobs += 1;
                let deadline = destination.limits.deadline;
                // The sender's own time-out should come first, because its error says more.
                let expires = Instant::now() + deadline + deadline / 4;
                let mut job = Job {
                    number: self.jobs,
                    entries: Vec::with_capacity(size),
                    calls: Vec::with_capacity(size),
                };
                let mut sent = Vec::with_capacity(size);
                for id in queue.drain(..size) {
                    self.first_seen.remove(&id);
                    let (stored, entry) = self.store.committed::<R>(out.committed(), &id)?;
                    let meta = &entry.meta;
                    let withdrawn = match look(out, &entry.request) {
                        LastLook::Send => None,
                        LastLook::Withdraw { detail } => Some(detail),
                        LastLook::Wait { wait, most, detail } => {
                            let time = times(id.0);
                            let since = meta.waiting_since.unwrap_or(time);
                            if time >= later(since, most) {
                                Some(format!("{detail} It has waited for {} s.", most.as_secs()))
                            } else {
                                let mut after = meta.clone();
                                after.waiting_since = Some(since);
                                after.due = later(time, wait);
                                self.store
                                    .put_back(out, id.0, name, meta, &after, &*entry.request)?;
                                self.store.put_time(out, id.0, time);
                                continue;
                            }
                        }
                    };
                    if let Some(detail) = withdrawn {
                        let finished = Finished {
                            cause: meta.cause(id.0),
                            destination: name,
                            key: &meta.key,
                            request: &*entry.request,
                            at: meta.at,
                            attempts: meta.attempts,
                            conclusion: Conclusion::Withdrawn { detail: &detail },
                        };
                        finish(out, &finished);
                        self.store.finish::<R>(out, id.0, name, meta)?;
                        let labels = [self.store.name(), name, "withdrawn"];
                        self.meters.answers.with_label_values(&labels).inc();
                        continue;
                    }
                    job.calls.push(Call {
                        key: Arc::clone(&entry.meta.key),
                        request: Arc::clone(&entry.request),
                        attempt: entry.meta.attempts + 1,
                        now,
                        deadline,
                    });
                    job.entries.push(id.clone());
                    let call = Sent {
                        destination: Arc::clone(name),
                        job: self.jobs,
                        expires,
                        entry,
                        stored,
                        answer: None,
                        is_counted: false,
                    };
                    sent.push((id, call));
                }
                if let Some(bucket) = &mut destination.bucket {
                    bucket.give_back(size - sent.len());
                }
                if sent.is_empty() {
                    continue;
                }
                self.unanswered += sent.len();
                destination.unanswered += sent.len();
                self.calls.extend(sent);
                destination.workers.start(job);
            }
        }
        Ok(())
    }

    /// Updates the metrics of each destination.
    fn measure(&self, partitions: &[u32], elapsed: Duration, out: &Outputs<'_>) -> Result<(), StageError> {
        for (name, destination) in &self.destinations {
            let mut waiting = 0;
            for &partition in partitions {
                waiting += self.store.count(out, partition, name)?.waiting;
            }
            let labels = [self.store.name(), name];
            let set = |gauge: &prometheus::IntGaugeVec, value: u64| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauge.with_label_values(&labels).set(value);
            };
            set(&self.meters.waiting, waiting);
            set(&self.meters.in_flight, destination.workers.busy() as u64);
            let breaker = match destination.breaker.permit(elapsed) {
                Permit::Any => 0,
                Permit::Probe => 1,
                Permit::Nothing => 2,
            };
            set(&self.meters.breaker, breaker);
        }
        Ok(())
    }
}

/// `time` plus `wait`.
fn later(time: Utc, wait: Duration) -> Utc {
    time.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
