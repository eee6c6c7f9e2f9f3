//! A transaction of a member.

use bytes::Bytes;
use fail::fail_point;

use crate::member::Member;
use crate::producer::Ended;
use crate::wire::headers_of;
use limbic_stream::{
    BatchLimits, Committed, Error, NewRecord, Record, Result, StateChange, StateReader, Transaction,
    partition_of,
};

pub(super) struct KafkaTransaction<'a> {
    member: &'a mut Member,
    changes: Vec<StateChange>,
    offsets: Vec<Committed>,
    is_empty: bool,
    /// Whether the transaction is still open in librdkafka.
    open: bool,
}

impl<'a> KafkaTransaction<'a> {
    pub(super) const fn new(member: &'a mut Member) -> Self {
        Self {
            member,
            changes: Vec::new(),
            offsets: Vec::new(),
            is_empty: true,
            open: true,
        }
    }

    /// Sends the offsets, then commits.
    fn decide(&mut self) -> Result<()> {
        fail_point!("commit::before-offsets", |_| Err(Error::Aborted(
            "failpoint".into()
        )));
        if let Some(offsets) = self.member.offsets(&self.offsets)? {
            let proof = self.member.proof()?;
            let sent = self.member.producer.send_offsets(&offsets, &proof);
            self.settle(sent)?;
        }
        fail_point!("commit::before-commit", |_| Err(Error::Aborted(
            "failpoint".into()
        )));
        let committed = self.member.producer.commit();
        self.settle(committed)?;
        self.open = false;
        fail_point!("commit::after-commit");
        Ok(())
    }

    fn settle(&mut self, step: Result<(), Ended>) -> Result<()> {
        step.map_err(|ended| {
            // The transaction has been aborted, or its producer has failed.
            self.open = false;
            self.member.failed(ended)
        })
    }

    fn roll_back(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.member
            .producer
            .abort()
            .map_err(|ended| self.member.failed(ended))
    }
}

impl Transaction for KafkaTransaction<'_> {
    fn append(&mut self, record: NewRecord) -> Result<()> {
        let target = self.member.log.cluster.target(&record.topic)?;
        let partition = record
            .partition
            .unwrap_or_else(|| partition_of(&record.key, target.partitions));
        self.is_empty = false;
        let headers = Some(headers_of(&record));
        self.member
            .producer
            .send(&target.name, partition, &record.key, Some(&record.value), headers)
    }

    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()> {
        if !self.member.subscription.stateful {
            return Err(Error::Settings(format!(
                "the group `{}` has no state: subscribe as stateful",
                self.member.subscription.group
            )));
        }
        let changelog = self
            .member
            .log
            .cluster
            .names
            .state(&self.member.subscription.group);
        self.is_empty = false;
        self.member
            .producer
            .send(&changelog, partition, &key, value.as_deref(), None)?;
        self.changes.push((partition, key, value));
        Ok(())
    }

    fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>> {
        self.member.ready(limits)
    }

    fn state(&self) -> &dyn StateReader {
        &self.member.state
    }

    fn commit_offset(&mut self, committed: Committed) -> Result<()> {
        // Brokers refuse more than 4,096 bytes.
        if committed.metadata.len() > 4_000 {
            return Err(Error::TooLarge {
                size: committed.metadata.len(),
                limit: 4_000,
            });
        }
        self.is_empty = false;
        self.offsets
            .retain(|known| known.partition != committed.partition);
        self.offsets.push(committed);
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        if self.is_empty {
            return self.roll_back();
        }
        if let Err(error) = self.decide() {
            self.roll_back()?;
            return Err(error);
        }
        for (partition, key, value) in std::mem::take(&mut self.changes) {
            self.member.state.apply(partition, key, value);
        }
        self.member.state.measure();
        let offsets = std::mem::take(&mut self.offsets);
        self.member.committed_now(offsets);
        Ok(())
    }

    fn abort(mut self: Box<Self>) -> Result<()> {
        self.roll_back()
    }
}

impl Drop for KafkaTransaction<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.roll_back() {
            tracing::warn!(%error, "a dropped transaction could not be aborted");
        }
    }
}
