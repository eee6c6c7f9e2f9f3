//! A log whose consumers a test or a benchmark changes.

use std::sync::Arc;

use crate::{
    Consumer, GroupProgress, GroupState, Log, NewRecord, Record, Result, Subscription, TopicInfo,
    TopicPartition, TopicSpec,
};

/// A log that passes everything on to another one, and wraps its consumers.
pub struct Wrapped<L, W> {
    log: L,
    wrap: W,
}

impl<L: Log, W> Wrapped<L, W>
where
    W: Fn(&Subscription, Box<dyn Consumer>) -> Box<dyn Consumer> + Send + Sync,
{
    /// Wraps each consumer of `log` with `wrap`.
    pub const fn new(log: L, wrap: W) -> Self {
        Self { log, wrap }
    }
}

impl<L: Log, W> Log for Wrapped<L, W>
where
    W: Fn(&Subscription, Box<dyn Consumer>) -> Box<dyn Consumer> + Send + Sync + 'static,
{
    fn identity(&self) -> Result<Arc<str>> {
        self.log.identity()
    }

    fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        self.log.ensure_topics(specs)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log.topics()
    }

    fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        self.log.topic(name)
    }

    fn publish(&self, records: Vec<NewRecord>) -> Result<()> {
        self.log.publish(records)
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        let consumer = self.log.subscribe(subscription.clone())?;
        Ok((self.wrap)(&subscription, consumer))
    }

    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>> {
        self.log.read(partition, from, records)
    }

    fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<Vec<GroupProgress>> {
        self.log.progress(group, topics)
    }

    fn state_of(&self, group: &str, partitions: u32) -> Result<Box<dyn GroupState>> {
        self.log.state_of(group, partitions)
    }

    fn trim(&self, before: &[(TopicPartition, u64)]) -> Result<()> {
        self.log.trim(before)
    }

    fn close(&self) -> Result<()> {
        self.log.close()
    }
}

impl<L, W> std::fmt::Debug for Wrapped<L, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapped").finish_non_exhaustive()
    }
}
