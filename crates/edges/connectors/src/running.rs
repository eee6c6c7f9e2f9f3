//! A connector on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use parking_lot::{Condvar, Mutex};

use crate::{ConnectorMeters, Next, Phase, Runner, Status, Target};

/// The wait after a mistake in the program.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// A connector that runs. It stops when this value is dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    wish: Mutex<Wish>,
    /// Wakes the thread when the wish changes.
    changed: Condvar,
    status: Mutex<Status>,
}

/// What people want of a connector.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    is_paused: bool,
    is_stopped: bool,
    /// Whether a wait for something new ends at once. A wait after a failure does not.
    is_woken: bool,
}

impl Running {
    /// Starts a thread for `runner`. `name` labels the metrics.
    pub fn start<T: Target + 'static>(
        name: &str,
        mut runner: Runner<T>,
        is_paused: bool,
        meters: ConnectorMeters,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.wish.lock().is_paused = is_paused;
        let label = name.to_owned();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("limbic-{name}"))
            .spawn(move || for_thread.run(&mut runner, &label, &meters))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The state of the connector.
    pub fn status(&self) -> Status {
        self.shared.status.lock().clone()
    }

    /// Asks the thread to stop when its present step is done. Does not wait for it.
    pub fn stop(&self) {
        self.shared.wish.lock().is_stopped = true;
        self.shared.changed.notify_all();
    }

    /// Ends a wait for something new, because the source has said that there is something. A wait after a failure goes on.
    pub fn wake(&self) {
        self.shared.wish.lock().is_woken = true;
        self.shared.changed.notify_all();
    }

    /// Pauses the connector, or lets it continue. Takes effect when the present step is done, after a few seconds at most.
    pub fn pause(&self, is_paused: bool) {
        self.shared.wish.lock().is_paused = is_paused;
        self.shared.changed.notify_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a connector panicked");
        }
    }
}

impl Shared {
    fn run<T: Target>(&self, runner: &mut Runner<T>, name: &str, meters: &ConnectorMeters) {
        loop {
            let wish = {
                let mut wish = self.wish.lock();
                let now = *wish;
                wish.is_woken = false;
                now
            };
            if wish.is_stopped {
                runner.pause();
                return;
            }
            let wait = if wish.is_paused {
                if runner.status().phase != Phase::Paused {
                    runner.pause();
                }
                None
            } else {
                Some(step(runner, name))
            };
            self.publish(runner.status(), name, meters);
            let mut now = self.wish.lock();
            let is_same = now.is_paused == wish.is_paused && !now.is_stopped;
            match wait {
                _ if !is_same => {}
                None => self.changed.wait(&mut now),
                Some(Next::Now) => {}
                Some(next @ (Next::After(wait) | Next::Idle(wait))) => {
                    let can_wake = matches!(next, Next::Idle(_));
                    let goes_on = |now: &mut Wish| {
                        let is_same = now.is_paused == wish.is_paused && !now.is_stopped;
                        is_same && !(can_wake && now.is_woken)
                    };
                    self.changed.wait_while_for(&mut now, goes_on, wait);
                }
            }
        }
    }

    fn publish(&self, status: &Status, name: &str, meters: &ConnectorMeters) {
        let mut known = self.status.lock();
        meters.update(name, &known, status);
        if known.phase != status.phase {
            let problem = status.problem.as_deref().unwrap_or_default();
            tracing::info!(connector = name, phase = ?status.phase, problem, "connector");
        }
        known.clone_from(status);
    }
}

fn step<T: Target>(runner: &mut Runner<T>, name: &str) -> Next {
    let done = catch_unwind(AssertUnwindSafe(|| runner.step(Instant::now(), Utc::now())));
    done.unwrap_or_else(|_| {
        tracing::error!(
            connector = name,
            "a connector panicked: this is a mistake in the program"
        );
        Next::After(AFTER_PANIC)
    })
}
