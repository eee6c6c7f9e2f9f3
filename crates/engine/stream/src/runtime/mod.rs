//! The runtime, which runs a [`Stage`].
//!
//! One instance is one thread ([`spawn`]). It polls, processes, advances the watermark, commits, and repeats.
//!
//! | failure | reaction |
//! |---|---|
//! | the stage asks for a retry ([`Retry::WithBackoff`]) | rewind, wait (exponential back-off with jitter), poll again; a rebalance is not delayed |
//! | a permanent error, or a panic, in a batch | bisect the batch until the failing record is isolated; it goes to the dead letters |
//! | the transaction was aborted | rewind and process again, every batch that shared it |
//! | the instance was fenced, or the outcome of a commit is unknown | subscribe again and continue at the committed offset |
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
mod tenant_time;
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
pub(crate) use tenant_time::described_in as describe_times;

use crate::{Backoff, Log, Stage, StageSpec, TopicPartition};

/// Options of an instance.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The name of the instance: stable across restarts, and unique among the running instances of the stage.
    pub instance: Arc<str>,
    /// An input partition without records of a tenant for this long (wall clock) no longer holds the tenant's watermark back.
    pub idle_after: Duration,
    /// A tenant without records in any input of a partition number for this long is forgotten there: its event time begins again
    /// with its next record. Counted on the monotonic clock, from the start of the instance at the earliest.
    pub forget_tenants_after: Duration,
    /// The maximum time for which a transaction stays open. Available batches share a transaction if commits are
    /// expensive (Kafka).
    pub share_for: Duration,
    /// The waits after failures. The seed is mixed with the names of stage and instance.
    pub backoff: Backoff,
    /// How often an instance checks its reference topics for changes.
    pub reference_interval: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            instance: "0".into(),
            idle_after: Duration::from_secs(1),
            forget_tenants_after: Duration::from_hours(7 * 24),
            share_for: Duration::from_millis(60),
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(15)),
            reference_interval: Duration::from_secs(1),
        }
    }
}

/// The health of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not yet a member of its group.
    Starting,
    /// Processing records, or waiting for them.
    Running,
    /// Waiting after a failure. It will try again.
    Waiting(String),
    /// Stopped on request, after its last commit.
    Stopped,
    /// Stopped because of an error that a person must correct.
    Failed(String),
}

/// The current status of an instance.
#[derive(Debug, Clone)]
pub struct StageStatus {
    /// Whether it runs, waits or has stopped, and why.
    pub health: Health,
    /// The partitions that it holds.
    pub partitions: Vec<TopicPartition>,
}

/// The data that an instance's thread and its handle share.
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
    /// The current status.
    pub fn status(&self) -> StageStatus {
        self.shared.status.lock().clone()
    }

    /// Asks the instance to finish the current batch, commit and leave its group. Returns at once.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        // A full channel means that the thread is about to wake.
        let _ = self.wake.try_send(());
    }

    /// Waits until the instance has stopped. Returns `false` if it has not by `deadline`. Another instance then processes
    /// again what this one has not committed.
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

/// An instance that a test moves turn by turn, on the test's thread. Dropping it ends the instance as a kill does.
#[cfg(feature = "testing")]
pub struct Stepped {
    worker: worker::Worker,
    membership: Option<Box<dyn crate::Consumer>>,
    _woken: Sender<()>,
}

#[cfg(feature = "testing")]
impl Stepped {
    /// An instance that has not joined its group yet.
    pub fn new(
        log: Arc<dyn Log>,
        stage: Box<dyn Stage>,
        spec: StageSpec,
        options: RunOptions,
        meters: &StageMeters,
    ) -> Self {
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            status: Mutex::new(StageStatus {
                health: Health::Starting,
                partitions: Vec::new(),
            }),
        });
        let (wake, woken) = bounded(1);
        Self {
            worker: worker::Worker::new(log, stage, spec, options, meters, shared, woken),
            membership: None,
            _woken: wake,
        }
    }

    /// Joins the group, or polls once and processes what arrives. Returns the health after it.
    pub fn turn(&mut self) -> Health {
        self.worker.turn(&mut self.membership);
        self.worker.health()
    }
}

#[cfg(feature = "testing")]
impl std::fmt::Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepped").finish_non_exhaustive()
    }
}

/// Starts an instance of `stage` on its own thread.
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
