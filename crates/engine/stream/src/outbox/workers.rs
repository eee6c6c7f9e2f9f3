//! The threads of one destination.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender as Channel, unbounded};

use super::{Answer, Call, Request, Sender};

/// Identifies a call's entry: partition number and key in the state.
pub(super) type EntryId = (u32, Bytes);

/// The calls of one `send`.
pub(super) struct Job<R: Request> {
    pub(super) number: u64,
    pub(super) entries: Vec<EntryId>,
    pub(super) calls: Vec<Call<R>>,
}

/// A returned job, with one answer for each entry.
pub(super) struct Returned<R: Request> {
    pub(super) destination: Arc<str>,
    pub(super) job: u64,
    pub(super) entries: Vec<EntryId>,
    pub(super) answers: Vec<Answer<R::Reply>>,
}

/// Threads that make calls. They start when they are needed and end with the outbox.
pub(super) struct Workers<R: Request> {
    destination: Arc<str>,
    sender: Arc<dyn Sender<R>>,
    queue: Channel<Job<R>>,
    jobs: Receiver<Job<R>>,
    results: Channel<Returned<R>>,
    threads: usize,
    busy_jobs: usize,
    busy_calls: usize,
}

impl<R: Request> Workers<R> {
    pub(super) fn new(
        destination: Arc<str>,
        sender: Arc<dyn Sender<R>>,
        results: Channel<Returned<R>>,
    ) -> Self {
        // Never longer than the destination's concurrency, because the outbox starts no more calls.
        let (queue, jobs) = unbounded();
        Self {
            destination,
            sender,
            queue,
            jobs,
            results,
            threads: 0,
            busy_jobs: 0,
            busy_calls: 0,
        }
    }

    /// The calls that a thread still works on, including those past their deadline.
    pub(super) const fn busy(&self) -> usize {
        self.busy_calls
    }

    /// Starts a job. Its answers always come back on the channel of results.
    pub(super) fn start(&mut self, job: Job<R>) {
        self.busy_jobs += 1;
        self.busy_calls += job.entries.len();
        if self.busy_jobs > self.threads
            && let Err(error) = self.spawn()
            && self.threads == 0
        {
            let detail = format!("no thread for the call: {error}");
            let answers = job.entries.iter().map(|_| Answer::Unknown {
                detail: detail.clone(),
            });
            let returned = Returned {
                destination: Arc::clone(&self.destination),
                job: job.number,
                answers: answers.collect(),
                entries: job.entries,
            };
            // The outbox holds the receiving end as long as it exists.
            let _ = self.results.send(returned);
            return;
        }
        // This value also holds the receiving end.
        let _ = self.queue.send(job);
    }

    /// Notes a returned job.
    pub(super) const fn returned(&mut self, calls: usize) {
        self.busy_jobs -= 1;
        self.busy_calls -= calls;
    }

    fn spawn(&mut self) -> std::io::Result<()> {
        let destination = Arc::clone(&self.destination);
        let sender = Arc::clone(&self.sender);
        let jobs = self.jobs.clone();
        let results = self.results.clone();
        let name = format!("outbox-{destination}");
        thread::Builder::new().name(name).spawn(move || {
            while let Ok(job) = jobs.recv() {
                let answers = answers(&*sender, &job.calls);
                let returned = Returned {
                    destination: Arc::clone(&destination),
                    job: job.number,
                    entries: job.entries,
                    answers,
                };
                if results.send(returned).is_err() {
                    return;
                }
            }
        })?;
        self.threads += 1;
        Ok(())
    }
}

/// Returns exactly one answer for each call.
fn answers<R: Request>(sender: &dyn Sender<R>, calls: &[Call<R>]) -> Vec<Answer<R::Reply>> {
    let sent = catch_unwind(AssertUnwindSafe(|| sender.send(calls)));
    let missing = if sent.is_ok() {
        "the sender gave no answer"
    } else {
        "the sender panicked"
    };
    let mut answers = sent.unwrap_or_default();
    answers.truncate(calls.len());
    answers.resize_with(calls.len(), || Answer::Unknown {
        detail: missing.to_owned(),
    });
    answers
}
