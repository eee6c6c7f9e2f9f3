//! The data that the log's threads share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};

use crate::EmbeddedOptions;
use crate::commit::{Committer, Request};
use crate::groups::Groups;
use crate::packed::summary;
use crate::partition::{Partition, Span};
use crate::signal::Signal;
use crate::store::{Meta, Store, TopicRow, failure};
use limbic_stream::{Error, Result, TopicPartition};

/// A topic and its partitions, by number.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) row: TopicRow,
    pub(super) partitions: Vec<Arc<Partition>>,
}

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) identity: Arc<str>,
    pub(super) options: EmbeddedOptions,
    /// `None` after closing, and while the committer reopens the store after a disk failure.
    pub(super) store: RwLock<Option<Store>>,
    pub(super) topics: RwLock<BTreeMap<Arc<str>, Topic>>,
    pub(super) groups: Mutex<Groups>,
    pub(super) signal: Signal,
    pub(super) requests: Sender<Request>,
    /// `None` after closing.
    pub(super) committer: Mutex<Option<Committer>>,
    /// Held by the thread that runs a compaction.
    pub(super) compacting: Mutex<()>,
    pub(super) closed: AtomicBool,
}

impl Shared {
    pub(super) fn topic(&self, name: &str) -> Result<Topic> {
        self.topics
            .read()
            .get(name)
            .cloned()
            .ok_or_else(|| Error::UnknownTopic(name.into()))
    }

    pub(super) fn partition(&self, name: &TopicPartition) -> Result<Arc<Partition>> {
        let topics = self.topics.read();
        let topic = topics
            .get(&name.topic)
            .ok_or_else(|| Error::UnknownTopic(name.topic.to_string()))?;
        topic
            .partitions
            .get(name.partition as usize)
            .cloned()
            .ok_or_else(|| {
                Error::Settings(format!(
                    "topic `{}` has {} partitions, numbered from 0: partition {} does not exist",
                    name.topic,
                    topic.partitions.len(),
                    name.partition
                ))
            })
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Runs `read` on the open store.
    pub(super) fn with_store<T>(&self, read: impl FnOnce(&Store) -> Result<T, fjall::Error>) -> Result<T> {
        let store = self.store.read();
        let Some(store) = store.as_ref() else {
            self.check_open()?;
            return Err(Error::Unavailable {
                context: "reading the log".into(),
                message: "it is being reopened after its disk failed".into(),
            });
        };
        read(store).map_err(|error| failure(&self.path, "reading the log", &error))
    }

    /// Runs one short step on the committer, under its lock.
    pub(super) fn with_committer<T>(&self, step: impl FnOnce(&mut Committer) -> Result<T>) -> Result<T> {
        self.check_open()?;
        let result = {
            let mut committer = self.committer.lock();
            step(committer.as_mut().ok_or(Error::Closed)?)
        };
        if self.store.read().is_none() {
            // From here on, the committer's thread tries to open the store again.
            let _ = self.requests.send(Request::Reopen);
        }
        result
    }

    /// Passes a request to the committer, on this thread if the committer is idle, and waits for the answer.
    pub(super) fn ask(&self, request: impl FnOnce(Sender<Result<()>>) -> Request) -> Result<()> {
        self.check_open()?;
        let (sender, answer) = crossbeam_channel::bounded(1);
        let request = request(sender);
        match self.committer.try_lock() {
            Some(mut committer) if self.requests.is_empty() => {
                committer.as_mut().ok_or(Error::Closed)?.serve(request, None);
                drop(committer);
                if self.store.read().is_none() {
                    // From here on, the committer's thread tries to open the store again.
                    let _ = self.requests.send(Request::Reopen);
                }
            }
            _ => self.requests.send(request).map_err(|_| Error::Closed)?,
        }
        answer.recv().map_err(|_| Error::Closed)?
    }
}

/// Loads the topics from the store: the bounds of each partition, and the segments that hold it.
pub(super) fn recover_topics(
    store: &Store,
    meta: &Meta,
    shared_path: &std::path::Path,
) -> Result<BTreeMap<Arc<str>, Topic>> {
    let mut topics = BTreeMap::new();
    for (name, row) in &meta.topics {
        let name: Arc<str> = name.as_str().into();
        let partitions = (0..row.partitions)
            .map(|number| {
                let at = TopicPartition {
                    topic: name.clone(),
                    partition: number,
                };
                recover_partition(store, meta, shared_path, at, row.id).map(Arc::new)
            })
            .collect::<Result<_>>()?;
        let topic = Topic {
            row: row.clone(),
            partitions,
        };
        topics.insert(name, topic);
    }
    Ok(topics)
}

fn recover_partition(
    store: &Store,
    meta: &Meta,
    path: &std::path::Path,
    name: TopicPartition,
    topic: u32,
) -> Result<Partition> {
    let floor = meta.floors.get(&(topic, name.partition)).copied().unwrap_or(0);
    let mut spans = Vec::new();
    let mut end = floor;
    for segment in meta.segments.keys() {
        let ends = store
            .ends(*segment, topic, name.partition)
            .map_err(|error| failure(path, "opening the log", &error))?;
        let Some((first, last)) = ends else {
            continue;
        };
        let (first, newest): (_, Bytes) = (summary(&first)?, last);
        let last = summary(&newest)?;
        end = end.max(last.end());
        spans.push(Span {
            segment: *segment,
            first: first.first,
            bytes: last.bytes_before + crate::compression::original_length(&newest) as u64,
            written_at: last.written_at,
        });
    }
    spans.sort_by_key(|span| span.first);
    Ok(Partition::new(name, topic, floor, end, spans))
}
