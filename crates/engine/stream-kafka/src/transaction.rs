//! A transaction of a member.

use std::collections::BTreeMap;

use bytes::Bytes;
use fail::fail_point;

use crate::changelog::{self, Written};
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
    /// The number of parts of the values that this transaction has written, if any has parts.
    parts: BTreeMap<(u32, Bytes), u32>,
    offsets: Vec<Committed>,
    /// Offsets of partitions whose state changes and whose offsets the changelog does not have yet. They stay as they are.
    first_in_changelog: Vec<Committed>,
    is_empty: bool,
    /// Whether the transaction is still open in librdkafka.
    open: bool,
}

impl<'a> KafkaTransaction<'a> {
    pub(super) const fn new(member: &'a mut Member) -> Self {
        Self {
            member,
            changes: Vec::new(),
            parts: BTreeMap::new(),
            offsets: Vec::new(),
            first_in_changelog: Vec::new(),
            is_empty: true,
            open: true,
        }
    }

    /// Writes a record of the changelog.
    fn write(&self, partition: u32, written: Written) -> Result<()> {
        let changelog = self
            .member
            .log
            .cluster
            .names
            .state(&self.member.subscription.group);
        let Written { key, value, headers } = written;
        self.member
            .producer
            .send(&changelog, partition, &key, value.as_deref(), headers)
    }

    /// Sends the offsets, to the group and to the changelog, then commits.
    fn decide(&mut self) -> Result<()> {
        let missing = self.member.missing_in_changelog(&self.changes, &self.offsets);
        for committed in self.offsets.iter().chain(&missing) {
            self.write(committed.partition.partition, changelog::of_offset(committed))?;
        }
        self.first_in_changelog = missing;
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
        self.is_empty = false;
        let known = self.parts.get(&(partition, key.clone())).copied();
        let before = known.unwrap_or_else(|| self.member.state.parts(partition, &key));
        let now = value.as_ref().map_or(0, |value| changelog::parts(value.len()));
        if before > 0 || now > 0 {
            self.parts.insert((partition, key.clone()), now);
        }
        for written in changelog::of_state(&key, value.as_ref(), before) {
            self.write(partition, written)?;
        }
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
            self.member.state.apply(partition, &key, value);
        }
        self.member.state.measure();
        let offsets = std::mem::take(&mut self.offsets);
        for committed in self.first_in_changelog.iter().chain(&offsets) {
            self.member.state.note_offset(committed);
        }
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
