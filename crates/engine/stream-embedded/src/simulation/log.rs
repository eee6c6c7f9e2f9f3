//! The embedded log without its threads. Other actors may move before each call, and no caller learns what happened in a call
//! during which the machine died.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Error, GroupProgress, GroupState, Log, NewRecord, Polled, Record,
    Result, Skipped, StateReader, Subscription, TopicInfo, TopicPartition, TopicSpec, Transaction,
};
use parking_lot::Mutex;

use super::files::world;
use super::schedule::{interrupt, story};
use crate::commit::Request;
use crate::shared::Shared;
use crate::{EmbeddedLog, EmbeddedOptions};

pub(super) struct Simulated {
    log: EmbeddedLog,
    pub(super) shared: Arc<Shared>,
    requests: Receiver<Request>,
}

impl Simulated {
    pub(super) fn open(folder: &Path, options: EmbeddedOptions) -> Result<Arc<Self>> {
        let (shared, requests) = EmbeddedLog::recover(folder, options)?;
        let log = EmbeddedLog {
            shared: shared.clone(),
            threads: Mutex::new(None),
        };
        Ok(Arc::new(Self {
            log,
            shared,
            requests,
        }))
    }

    /// What the committer's thread does meanwhile.
    pub(super) fn move_committer(&self) {
        while let Ok(request) = self.requests.try_recv() {
            self.serve(request);
        }
        if self.shared.store.read().is_none() && world(|world| world.random.happens(0.5)) {
            self.serve(Request::Reopen);
        }
    }

    fn serve(&self, request: Request) {
        if let Some(committer) = &mut *self.shared.committer.lock() {
            committer.serve(request, Some(&self.requests));
        }
    }

    fn before(&self) -> Result<()> {
        interrupt();
        self.move_committer();
        check_alive()
    }

    /// Runs `call`, unless the machine is dead before it.
    fn call<T>(&self, call: impl FnOnce(&EmbeddedLog) -> Result<T>) -> Result<T> {
        self.before()?;
        let result = call(&self.log);
        check_alive()?;
        result
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        *self.shared.committer.lock() = None;
        *self.shared.store.write() = None;
    }
}

fn check_alive() -> Result<()> {
    if world(|world| world.is_dead) {
        Err(Error::Closed)
    } else {
        Ok(())
    }
}

/// A handle for a stage.
pub(super) struct Handle(pub(super) Arc<Simulated>);

impl Log for Handle {
    fn identity(&self) -> Result<Arc<str>> {
        self.0.call(Log::identity)
    }

    fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        self.0.call(|log| log.ensure_topics(specs))
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.0.call(Log::topics)
    }

    fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        self.0.call(|log| log.topic(name))
    }

    fn publish(&self, records: Vec<NewRecord>) -> Result<()> {
        self.0.call(|log| log.publish(records))
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        let group = subscription.group.clone();
        let inner = self.0.call(|log| log.subscribe(subscription))?;
        Ok(Box::new(Member {
            inner,
            log: self.0.clone(),
            group,
        }))
    }

    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>> {
        self.0.call(|log| log.read(partition, from, records))
    }

    fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<Vec<GroupProgress>> {
        self.0.call(|log| log.progress(group, topics))
    }

    fn state_of(&self, group: &str, partitions: u32) -> Result<Box<dyn GroupState>> {
        self.0.call(|log| log.state_of(group, partitions))
    }

    fn trim(&self, before: &[(TopicPartition, u64)]) -> Result<()> {
        self.0.call(|log| log.trim(before))
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

struct Member {
    inner: Box<dyn Consumer>,
    log: Arc<Simulated>,
    group: Arc<str>,
}

impl Consumer for Member {
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled> {
        self.log.before()?;
        let polled = self.inner.poll(limits);
        check_alive()?;
        world(|world| {
            world.tell(|| match &polled {
                Ok(Polled::Records(records)) => {
                    let places: Vec<_> = records
                        .iter()
                        .map(|record| (record.partition, record.offset))
                        .collect();
                    format!("{} polls {places:?}", self.group)
                }
                other => format!("{} polls {other:?}", self.group),
            });
        });
        if let Ok(Polled::Records(records)) = &polled {
            story(|story| records.iter().for_each(|record| story.observe(record)));
        }
        polled
    }

    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>> {
        self.log.before()?;
        self.inner.positions()
    }

    fn skipped(&mut self) -> Vec<Skipped> {
        let skipped = self.inner.skipped();
        world(|world| world.tell(|| format!("{} skips {skipped:?}", self.group)));
        skipped
    }

    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>> {
        self.log.before()?;
        self.inner.committed(partition)
    }

    fn state(&self) -> &dyn StateReader {
        self.inner.state()
    }

    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        self.log.before()?;
        Ok(Box::new(Open {
            inner: self.inner.begin()?,
            log: self.log.clone(),
            group: self.group.clone(),
            offsets: Vec::new(),
        }))
    }

    fn rewind(&mut self) -> Result<()> {
        self.log.before()?;
        world(|world| world.tell(|| format!("{} rewinds", self.group)));
        self.inner.rewind()
    }

    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.log.before()?;
        self.inner.seek(partition, offset)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.inner.close()
    }
}

struct Open<'a> {
    inner: Box<dyn Transaction + 'a>,
    log: Arc<Simulated>,
    group: Arc<str>,
    offsets: Vec<(TopicPartition, u64)>,
}

impl Transaction for Open<'_> {
    fn append(&mut self, record: NewRecord) -> Result<()> {
        self.inner.append(record)
    }

    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()> {
        self.inner.put_state(partition, key, value)
    }

    fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>> {
        self.inner.ready(limits)
    }

    fn state(&self) -> &dyn StateReader {
        self.inner.state()
    }

    fn commit_offset(&mut self, committed: Committed) -> Result<()> {
        self.offsets.push((committed.partition.clone(), committed.next));
        self.inner.commit_offset(committed)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Self {
            inner,
            log,
            group,
            offsets,
        } = *self;
        log.before()?;
        let result = inner.commit();
        let is_dead = check_alive().is_err();
        world(|world| world.tell(|| format!("{group} commits {offsets:?}: {result:?}, dead: {is_dead}")));
        story(|story| match &result {
            Ok(()) if !is_dead => story.committed(&group, &offsets),
            Err(Error::Fenced(_) | Error::Aborted(_) | Error::DiskFull { .. }) if !is_dead => {}
            _ => story.perhaps_committed(&group, &offsets),
        });
        check_alive()?;
        result
    }

    fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort()
    }
}
