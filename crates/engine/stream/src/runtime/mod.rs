//! The runtime: what surrounds a [`Stage`].
//!
//! One instance is one thread ([`spawn`]). It polls, processes, moves the watermark, commits, and repeats.
//!
//! | failure | reaction |
//! |---|---|
//! | the stage asks for a retry ([`Retry::WithBackoff`]) | rewind, wait (exponential back-off with jitter), poll again; a rebalance is not delayed |
//! | a permanent error, or a panic, in a batch | bisect the batch until the failing record is isolated; it goes to the dead letters |
//! | the transaction was aborted | rewind and process again, every batch that shared it |
//! | the instance was fenced, or the outcome of a commit is not known | subscribe again and continue at the committed offset |
//! | the log is full or unreachable | wait and try again; the source slows down, nothing is dropped |
//! | a panic outside a batch (in `watermark`, `tick`, `assigned`) | stop, with the error in [`StageStatus`] |
//! | settings that cannot work, a damaged log | stop, with the error in [`StageStatus`] |
//!
//! [`Retry::WithBackoff`]: limbic_domain::Retry::WithBackoff

mod dead;
mod input_time;
mod isolate;
mod meters;
mod progress;
mod report;
mod step;
mod watermark;
mod work;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

pub use dead::{dead_letter, revive};
#[cfg(feature = "testing")]
pub(crate) use isolate::process_isolated;
pub use meters::StageMeters;
pub use progress::{Counters, StageCounts, count_stages};

use crate::{Backoff, Log, Stage, StageSpec, TopicPartition};

/// How an instance runs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Which instance of the stage: stable over restarts, unique among those alive.
    pub instance: Arc<str>,
    /// How long a partition must have nothing to read before event time stops waiting for it (wall clock).
    pub idle_after: Duration,
    /// How long a transaction may be open before it is committed, where batches that lie ready share one because commits
    /// are dear (Kafka).
    pub share_for: Duration,
    /// The waits after failures. The seed is mixed with the names of stage and instance.
    pub backoff: Backoff,
    /// How often an instance looks for changes of its reference topics.
    pub reference_interval: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            instance: "0".into(),
            idle_after: Duration::from_secs(1),
            share_for: Duration::from_millis(60),
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(15)),
            reference_interval: Duration::from_secs(1),
        }
    }
}

/// What an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not yet a member of its group.
    Starting,
    /// Working.
    Running,
    /// Waiting after a failure, to try again.
    Waiting(String),
    /// Drained and gone, as asked.
    Stopped,
    /// Given up; only a person can help.
    Failed(String),
}

/// What an instance is doing, to be looked at while it runs.
#[derive(Debug, Clone)]
pub struct StageStatus {
    /// How it is.
    pub health: Health,
    /// What it holds.
    pub partitions: Vec<TopicPartition>,
}

/// The shared part between an instance's thread and its handle.
#[derive(Debug)]
struct Shared {
    stopping: AtomicBool,
    status: Mutex<StageStatus>,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn set_health(&self, health: Health) {
        self.status.lock().health = health;
    }
}

/// A running instance of a stage.
#[derive(Debug)]
pub struct StageHandle {
    /// The stage's name.
    pub name: Arc<str>,
    shared: Arc<Shared>,
    wake: Sender<()>,
    finished: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl StageHandle {
    /// What it is doing now.
    pub fn status(&self) -> StageStatus {
        self.shared.status.lock().clone()
    }

    /// Asks it to finish the batch at hand, commit and leave its group. Returns at once.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Full means that it is being woken already.
        let _ = self.wake.try_send(());
    }

    /// Waits until it is gone; `false` if it is not by `deadline`. What it then had not committed is processed again
    /// by whoever takes over.
    pub fn join_by(&mut self, deadline: Instant) -> bool {
        let Some(thread) = self.thread.take() else {
            return true;
        };
        match self.finished.recv_deadline(deadline) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                self.thread = Some(thread);
                false
            }
            _ => thread.join().is_ok(),
        }
    }
}

/// Starts an instance of `stage` on a thread of its own.
pub fn spawn(
    log: Arc<dyn Log>,
    stage: Box<dyn Stage>,
    spec: StageSpec,
    options: RunOptions,
    meters: &StageMeters,
) -> std::io::Result<StageHandle> {
    let status = StageStatus {
        health: Health::Starting,
        partitions: Vec::new(),
    };
    let shared = Arc::new(Shared {
        stopping: AtomicBool::new(false),
        status: Mutex::new(status),
    });
    let (wake, woken) = bounded(1);
    let (finish, finished) = bounded::<()>(0);
    let name = Arc::clone(&spec.name);
    let thread_name = format!("{name}-{}", options.instance);
    let worker = worker::Worker::new(log, stage, spec, options, meters, Arc::clone(&shared), woken);
    let on_panic = Arc::clone(&shared);
    let thread = thread::Builder::new().name(thread_name).spawn(move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
            let message = isolate::panic_message(&*panic);
            tracing::error!(%message, "the stage's thread panicked");
            on_panic.set_health(Health::Failed(format!(
                "the stage's thread panicked: {message}. Restart the node, and report the panic"
            )));
        }
        drop(finish);
    })?;
    Ok(StageHandle {
        name,
        shared,
        wake,
        finished,
        thread: Some(thread),
    })
}
