//! The ids that the ingest stage remembers, seen from the edge.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use limbic_stream::{GroupState, Log};

use crate::SeenIds;
use crate::seen::SeenId;
use crate::stage::Memory;

/// How often a copy of the state reads what was committed.
const INTERVAL: Duration = Duration::from_secs(1);

/// The ids that the ingest stage remembers, in all of its partitions.
///
/// The stage knows an id in the partition of its author. If a post comes again under another author's name, it reaches another
/// partition, where its id is unknown. This memory looks in all partitions, so the edge recognises the post for as long as the
/// stage remembers its id. It is as durable as the stage's state, and every node sees the same.
///
/// The embedded log is asked for each id. On Kafka this is a copy in memory, about 50 bytes for each id; a thread reads once a second what
/// was committed, so an id that another node has accepted is known here when the stage has read it, and a second later at most.
pub struct RememberedIds {
    state: Arc<dyn GroupState>,
    partitions: u32,
    follower: Option<Follower>,
}

/// The thread that keeps a copy up to date.
struct Follower {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RememberedIds {
    /// The memory of the stage that runs on `log`, whose topics have `partitions` partitions. Returns when all ids are read.
    pub fn open(log: &dyn Log, partitions: u32) -> limbic_stream::Result<Self> {
        let state: Arc<dyn GroupState> = log.state_of(Memory::GROUP, partitions)?.into();
        let follower = if state.is_live() {
            None
        } else {
            tracing::info!(
                bytes = state.bytes(),
                "the ids of accepted records are in the memory of the edge"
            );
            Some(Follower::start(Arc::clone(&state))?)
        };
        Ok(Self {
            state,
            partitions,
            follower,
        })
    }

    /// Reads what was committed until now, instead of at the next interval.
    pub fn refresh(&self) -> limbic_stream::Result<()> {
        self.state.refresh()
    }

    fn find(&self, ids: &[SeenId]) -> limbic_stream::Result<Vec<bool>> {
        let mut known = vec![false; ids.len()];
        for partition in 0..self.partitions {
            let memory = Memory::read(&&*self.state, partition)?;
            for (known, id) in known.iter_mut().zip(ids) {
                *known = *known || memory.holds(&&*self.state, *id)?;
            }
        }
        Ok(known)
    }
}

impl std::fmt::Debug for RememberedIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RememberedIds")
            .field("partitions", &self.partitions)
            .field("is_copy", &self.follower.is_some())
            .finish_non_exhaustive()
    }
}

impl SeenIds for RememberedIds {
    /// If the state cannot be read, no id is known. The log is then not available for new records either.
    fn known(&self, ids: &[SeenId]) -> Vec<bool> {
        if ids.is_empty() {
            return Vec::new();
        }
        self.find(ids).unwrap_or_else(|error| {
            tracing::warn!(%error, "the ids of earlier posts cannot be read: a post under another author's name is not recognised");
            vec![false; ids.len()]
        })
    }

    /// The stage notes ids.
    fn note(&self, _: &[SeenId]) {}
}

impl Follower {
    fn start(state: Arc<dyn GroupState>) -> limbic_stream::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("edge-ids".into())
            .spawn(move || {
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    match state.refresh() {
                        Ok(()) => {}
                        Err(limbic_stream::Error::Closed) => break,
                        Err(error) => tracing::debug!(%error, "the copy of remembered ids stays as it is"),
                    }
                }
            });
        let thread = thread.map_err(|error| limbic_stream::Error::Unavailable {
            context: "reading the ids of accepted records".into(),
            message: error.to_string(),
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
