//! The metric of the size of each stage's state.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use limbic_stream::{Log, StageSpec};
use prometheus::{IntGaugeVec, Opts, Registry};

/// The shortest time between two counts.
const EVERY: Duration = Duration::from_secs(30);
/// A count may read all of the state, so it takes at most this part of the time.
const SHARE: u32 = 200;

/// Counts the states in a thread until it is dropped.
pub(crate) struct StateSizes {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StateSizes {
    /// Counts the states of the stateful ones of `stages` in `log`, and shows them in `registry`.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        stages: &[StageSpec],
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let gauge = register(registry)?;
        let groups: Vec<Arc<str>> = stages
            .iter()
            .filter(|spec| spec.stateful)
            .map(|spec| Arc::clone(&spec.name))
            .collect();
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("limbic-state-sizes".into())
            .spawn(move || {
                let mut wait = Duration::from_secs(1);
                while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    let started = Instant::now();
                    count(&*log, &groups, &gauge);
                    wait = EVERY.max(started.elapsed() * SHARE);
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for StateSizes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been reported.
            let _ = thread.join();
        }
    }
}

pub(crate) fn register(registry: &Registry) -> anyhow::Result<IntGaugeVec> {
    let opts = Opts::new(
        "limbic_state_bytes",
        "Bytes of a stage's state, keys and values: with the embedded log all of it, on Kafka the partitions of this process. Counted every 30 s or less often.",
    );
    let gauge = IntGaugeVec::new(opts, &["stage"])?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn count(log: &dyn Log, groups: &[Arc<str>], gauge: &IntGaugeVec) {
    for group in groups {
        match log.state_bytes(group) {
            Ok(Some(bytes)) => {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                gauge.with_label_values(&[group]).set(bytes);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(stage = %group, %error, "the size of the state is counted later"),
        }
    }
}
