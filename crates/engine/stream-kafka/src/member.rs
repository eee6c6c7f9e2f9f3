//! A member of a group: the part that runs on the worker's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::Inner;
use crate::context::MemberContext;
use crate::failure::to_log_error;
use crate::inbox::{Failure, Inbox, Taken};
use crate::poller::Poller;
use crate::producer::{Ended, TransactionalProducer, offset_list};
use crate::state::Stores;
use crate::transaction::KafkaTransaction;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Error, Polled, Record, Result, Skipped, StateChange, StateReader,
    Subscription, TopicPartition, Transaction,
};

/// Offsets without a record that may follow the last record that a group has read: the end of a transaction takes one, for each
/// producer that wrote to the partition last. A smaller gap before the earliest offset is therefore no lost record.
const TRANSACTION_ENDS: u64 = 8;

/// A partition that this member holds.
#[derive(Debug)]
struct Held {
    /// The next offset that the worker reads.
    position: u64,
    /// The first offset to read if the group has not committed one.
    start: u64,
    committed: Option<Committed>,
    /// Offsets that were deleted before this member came to them, since the last call of [`Consumer::skipped`].
    skipped: u64,
}

impl Held {
    /// The offsets that were deleted between the last commit and the earliest record, if there were records among them.
    fn lost_before_start(&self) -> u64 {
        let next = self
            .committed
            .as_ref()
            .map_or(self.start, |committed| committed.next);
        let lost = self.start.saturating_sub(next);
        if lost > TRANSACTION_ENDS { lost } else { 0 }
    }
}

pub(super) struct Member {
    pub(super) log: Arc<Inner>,
    pub(super) subscription: Subscription,
    pub(super) producer: TransactionalProducer,
    pub(super) state: Stores,
    consumer: Arc<BaseConsumer<MemberContext>>,
    inbox: Arc<Inbox>,
    poller: Option<JoinHandle<()>>,
    held: BTreeMap<TopicPartition, Held>,
    /// Assigned partitions whose state is not restored yet. The worker does not see them yet.
    preparing: Option<Vec<TopicPartition>>,
    /// The next poll must confirm to the polling thread that the revoked partitions are released.
    must_acknowledge: bool,
}

/// Marks the member as failed when the polling thread ends for any reason, so that no thread waits for it.
struct FailOnExit(Arc<Inbox>);

impl Drop for FailOnExit {
    fn drop(&mut self) {
        self.0
            .fail(Failure::Unavailable("the polling thread has ended".into()));
    }
}

impl Member {
    pub(super) fn join(log: &Arc<Inner>, subscription: Subscription) -> Result<Self> {
        let partitions = co_partitioned(log, &subscription)?;
        // A group without state needs it for its offsets.
        log.cluster.ensure_changelog(&subscription.group, partitions)?;
        let names = &log.cluster.names;
        let inbox = Arc::new(Inbox::default());
        let state = Stores::default();
        // First fence the earlier member of this name, then ask for its partitions.
        log.members.enter(&subscription, &inbox, state.gauge());
        let id = names.transactional_id(&subscription.group, &subscription.instance);
        let producer = TransactionalProducer::register(&log.cluster, &id)?;

        // One topic: partitions move one by one. Several topics: the member that holds a number of one topic must hold it
        // of every topic. Of librdkafka's assignors, only `range` guarantees this, because it divides each topic over the
        // same sorted members.
        let strategy = if subscription.topics.len() == 1 {
            "cooperative-sticky"
        } else {
            "range"
        };
        let context = format!("joining the group `{}`", subscription.group);
        let consumer: BaseConsumer<MemberContext> = log
            .cluster
            .clients
            .member(&names.group(&subscription.group), strategy)
            .create_with_context(MemberContext::default())
            .map_err(|error| to_log_error(&context, &error))?;
        let mut consumer = consumer;
        let notifier = Arc::clone(&inbox.notifier);
        consumer.set_nonempty_callback(move || notifier.notify());
        let consumer = Arc::new(consumer);
        let topics: Vec<String> = subscription
            .topics
            .iter()
            .map(|topic| names.topic(topic))
            .collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|error| to_log_error(&context, &error))?;

        let poller = Poller::new(
            Arc::clone(&consumer),
            Arc::clone(&inbox),
            names.clone(),
            log.cluster.options.max_poll_interval,
        );
        let fail_on_exit = FailOnExit(Arc::clone(&inbox));
        let poller = std::thread::Builder::new()
            .name(format!("poll {}", subscription.group))
            .spawn(move || {
                let _fail_on_exit = fail_on_exit;
                poller.run();
            })
            .map_err(|error| Error::Unavailable {
                context,
                message: error.to_string(),
            })?;
        Ok(Self {
            log: Arc::clone(log),
            subscription,
            producer,
            state,
            consumer,
            inbox,
            poller: Some(poller),
            held: BTreeMap::new(),
            preparing: None,
            must_acknowledge: false,
        })
    }

    fn check(&self) -> Result<()> {
        self.inbox
            .failure()
            .map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Restores the state, and finds the offset to continue at in each partition: the committed one of the group, or the one in
    /// the changelog if the cluster has forgotten the group.
    fn prepare(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.restore(partitions)?;
        let names = &self.log.cluster.names;
        let context = "reading committed offsets from Kafka";
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&names.topic(&partition.topic), partition.partition as i32);
        }
        let list = self
            .consumer
            .committed_offsets(list, self.log.cluster.options.call_timeout)
            .map_err(|error| to_log_error(context, &error))?;
        let mut held = BTreeMap::new();
        let mut forgotten = Vec::new();
        for partition in partitions {
            let topic = names.topic(&partition.topic);
            let element = list.find_partition(&topic, partition.partition as i32);
            let committed = match element {
                Some(element) => {
                    element.error().map_err(|error| to_log_error(context, &error))?;
                    committed_of(partition, element.offset(), element.metadata())
                }
                None => None,
            };
            let (start, end) = self.log.cluster.watermarks(&topic, partition.partition)?;
            let committed = match committed {
                None => {
                    let kept = self.kept_offset(partition, end)?;
                    forgotten.extend(kept.clone());
                    kept
                }
                known => known,
            };
            let position = committed
                .as_ref()
                .map_or(start, |committed| committed.next.max(start));
            let mut holding = Held {
                position,
                start,
                committed,
                skipped: 0,
            };
            holding.skipped = holding.lost_before_start();
            held.insert(partition.clone(), holding);
        }
        self.refuse_state_without_offsets(&held)?;
        self.held.extend(held);
        self.continue_at(&forgotten)
    }

    fn restore(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let mut numbers: Vec<u32> = partitions.iter().map(|partition| partition.partition).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| !self.state.holds(*number));
        let changelog = self.log.cluster.names.state(&self.subscription.group);
        self.state
            .restore(&self.log.cluster, &self.log.readers, &changelog, &numbers)
    }

    /// The offset that the changelog has of a partition whose offset the group does not have. `end` is the end of the partition.
    fn kept_offset(&self, partition: &TopicPartition, end: u64) -> Result<Option<Committed>> {
        let Some(kept) = self.state.offset(partition) else {
            return Ok(None);
        };
        if kept.next <= end {
            return Ok(Some(kept));
        }
        let next = kept.next;
        if !self.subscription.stateful {
            tracing::error!(%partition, next, end, "the topic was made again: the stage reads it from its beginning");
            return Ok(None);
        }
        Err(Error::Settings(format!(
            "the state of the group `{}` belongs to another log: it has read {partition} up to offset {next}, and the partition \
             ends at {end}. The topic was deleted and made again. To start from the beginning, delete the topic `{}` too; to continue, restore \
             the topic",
            self.subscription.group,
            self.log.cluster.names.state(&self.subscription.group),
        )))
    }

    /// Fails if a partition number has state and no offset in any topic: every record would count again. Only a changelog of an
    /// older program has no offsets.
    fn refuse_state_without_offsets(&self, held: &BTreeMap<TopicPartition, Held>) -> Result<()> {
        for partition in held.keys() {
            let number = partition.partition;
            let has_offset = held
                .iter()
                .chain(&self.held)
                .any(|(other, held)| other.partition == number && held.committed.is_some());
            if has_offset || !self.state.has_entries(number) {
                continue;
            }
            let names = &self.log.cluster.names;
            let (group, changelog) = (
                names.group(&self.subscription.group),
                names.state(&self.subscription.group),
            );
            return Err(Error::Settings(format!(
                "the group `{group}` has state for partition {number} and no offsets: the cluster has forgotten them, because the \
                 group had no members for `offsets.retention.minutes`. All records would count again. Set the offsets to where the \
                 group was (kafka-consumer-groups --group {group} --reset-offsets …), or delete the topic `{changelog}` to start \
                 again with all records"
            )));
        }
        Ok(())
    }

    /// Continues at offsets that the group does not have any more, and commits them again, so that others see them.
    fn continue_at(&self, forgotten: &[Committed]) -> Result<()> {
        if forgotten.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            group = %self.subscription.group,
            partitions = forgotten.len(),
            "the cluster has forgotten the offsets of this group: it continues at the offsets in its changelog"
        );
        let names = &self.log.cluster.names;
        let offsets: Vec<_> = forgotten
            .iter()
            .map(|committed| (names.topic(&committed.partition.topic), committed))
            .collect();
        if let Err(error) = self.consumer.commit(&offset_list(&offsets)?, CommitMode::Sync) {
            tracing::warn!(%error, "the offsets are not committed again yet: the next transaction does it");
        }
        let seek = forgotten.iter().map(|committed| {
            let position = self.held[&committed.partition].position;
            (committed.partition.clone(), Offset::Offset(position as i64))
        });
        self.inbox.seek(seek.collect())
    }

    fn let_go(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.held.remove(partition);
        }
        for partition in partitions {
            let number = partition.partition;
            if !self.held.keys().any(|held| held.partition == number) {
                self.state.give_up(number);
            }
        }
    }

    fn holding(&self, partition: &TopicPartition) -> Result<&Held> {
        self.held
            .get(partition)
            .ok_or_else(|| Error::Fenced(format!("{partition} is not held by this member")))
    }

    /// The offsets of a transaction. If `given` is empty, the last committed offset is committed again: only then the
    /// brokers can refuse the transaction of a zombie.
    pub(super) fn offsets(&self, given: &[Committed]) -> Result<Option<TopicPartitionList>> {
        for committed in given {
            self.holding(&committed.partition)?;
        }
        let names = &self.log.cluster.names;
        if given.is_empty() {
            let Some((partition, held)) = self.held.first_key_value() else {
                return Ok(None);
            };
            let again = held.committed.clone().unwrap_or_else(|| Committed {
                partition: partition.clone(),
                next: held.start,
                metadata: String::new(),
            });
            return offset_list(&[(names.topic(&partition.topic), &again)]).map(Some);
        }
        let offsets: Vec<_> = given
            .iter()
            .map(|committed| (names.topic(&committed.partition.topic), committed))
            .collect();
        offset_list(&offsets).map(Some)
    }

    /// The offsets of held partitions whose state `changes`, if neither `given` nor the changelog has them. State without offsets
    /// is worth nothing.
    pub(super) fn missing_in_changelog(
        &self,
        changes: &[StateChange],
        given: &[Committed],
    ) -> Vec<Committed> {
        let numbers: BTreeSet<u32> = changes.iter().map(|(number, _, _)| *number).collect();
        let missing = self.held.iter().filter(|(partition, _)| {
            numbers.contains(&partition.partition)
                && self.state.offset(partition).is_none()
                && given.iter().all(|given| given.partition != **partition)
        });
        missing
            .map(|(partition, held)| {
                held.committed.clone().unwrap_or_else(|| Committed {
                    partition: partition.clone(),
                    next: held.start,
                    metadata: String::new(),
                })
            })
            .collect()
    }

    /// Proves to the brokers that this member belongs to the group's current generation. The order matters. If the
    /// membership is lost *after* the metadata was taken, the brokers refuse the metadata. If it was lost before, the
    /// metadata would be empty, and the brokers would accept it.
    pub(super) fn proof(&self) -> Result<ConsumerGroupMetadata> {
        let proof = self.consumer.group_metadata();
        self.check()?;
        if self.consumer.assignment_lost() {
            return Err(Error::Fenced(
                "the group has assigned this member's partitions to other members".into(),
            ));
        }
        proof.ok_or_else(|| Error::Fenced("not a member of the group".into()))
    }

    /// Notes the offsets of a commit that succeeded.
    pub(super) fn committed_now(&mut self, offsets: Vec<Committed>) {
        for committed in offsets {
            if let Some(held) = self.held.get_mut(&committed.partition) {
                held.committed = Some(committed);
            }
        }
    }

    /// Converts the outcome of a failed transaction. A fenced member stays fenced.
    pub(super) fn failed(&self, ended: Ended) -> Error {
        match ended {
            Ended::Aborted(reason) => Error::Aborted(reason),
            Ended::Fenced(by) => {
                self.inbox.fail(Failure::Fenced(by.clone()));
                Error::Fenced(by)
            }
            Ended::Unknown(message) => {
                self.inbox.fail(Failure::Unavailable(message.clone()));
                Error::Unavailable {
                    context: "committing to Kafka".into(),
                    message,
                }
            }
        }
    }

    /// Queued records, without waiting. `None` if another event is queued first.
    pub(super) fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>> {
        let inbox = Arc::clone(&self.inbox);
        let _polling = inbox.polling();
        self.check()?;
        self.producer.serve();
        if self.preparing.is_some() {
            return Ok(None);
        }
        let Some((records, positions)) = self.inbox.take_ready(limits) else {
            return Ok(None);
        };
        self.note_deleted(&records)?;
        self.moved_to(positions);
        Ok(Some(records))
    }

    /// Notes the offsets before these records that retention has deleted. A gap between offsets may also be the end of a transaction, or
    /// an aborted one, so the earliest offset decides.
    fn note_deleted(&mut self, records: &[Record]) -> Result<()> {
        for run in records.chunk_by(|one, next| one.partition == next.partition && one.topic == next.topic) {
            let partition = TopicPartition {
                topic: Arc::clone(&run[0].topic),
                partition: run[0].partition,
            };
            let Some(held) = self.held.get_mut(&partition) else {
                continue;
            };
            let mut position = held.position;
            for record in run {
                let gap = record.offset.saturating_sub(position);
                if gap > TRANSACTION_ENDS {
                    let topic = self.log.cluster.names.topic(&partition.topic);
                    let (earliest, _) = self.log.cluster.watermarks(&topic, partition.partition)?;
                    held.skipped += earliest.min(record.offset).saturating_sub(position);
                }
                position = record.offset + 1;
            }
        }
        Ok(())
    }

    fn moved_to(&mut self, positions: Vec<(TopicPartition, u64)>) {
        for (partition, position) in positions {
            if let Some(held) = self.held.get_mut(&partition) {
                held.position = position;
            }
        }
    }

    fn leave(&mut self) {
        self.inbox.stop();
        if let Some(poller) = self.poller.take() {
            // The reason is in the inbox. A panic has already been reported.
            drop(poller.join());
        }
        self.log.members.exit(&self.subscription, &self.inbox);
    }
}

impl Consumer for Member {
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let inbox = Arc::clone(&self.inbox);
        let _polling = inbox.polling();
        self.check()?;
        self.producer.serve();
        if std::mem::take(&mut self.must_acknowledge) {
            self.inbox.acknowledge();
        }
        if self.preparing.is_none() {
            match self.inbox.take(limits)? {
                Taken::Records(records, positions) => {
                    self.note_deleted(&records)?;
                    self.moved_to(positions);
                    return Ok(Polled::Records(records));
                }
                Taken::Revoked(partitions) => {
                    self.let_go(&partitions);
                    self.must_acknowledge = true;
                    return Ok(Polled::Revoked(partitions));
                }
                Taken::Nothing => return Ok(Polled::Idle),
                Taken::Assigned(partitions) => self.preparing = Some(partitions),
            }
        }
        let partitions = self.preparing.take().unwrap_or_default();
        if let Err(error) = self.prepare(&partitions) {
            self.preparing = Some(partitions);
            return Err(error);
        }
        Ok(Polled::Assigned(partitions))
    }

    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>> {
        self.check()?;
        let mut positions = Vec::with_capacity(self.held.len());
        for (partition, held) in &self.held {
            // The last offsets of a partition may be transaction markers, which no position passes. A member that was
            // notified of the end is at the end.
            let end = if self.inbox.is_drained(partition) {
                held.position
            } else {
                let topic = self.log.cluster.names.topic(&partition.topic);
                self.log
                    .readers
                    .ends(&self.log.cluster, &topic, partition.partition)?
                    .1
            };
            positions.push((partition.clone(), held.position, end.max(held.position)));
        }
        Ok(positions)
    }

    fn skipped(&mut self) -> Vec<Skipped> {
        let skipped = self.held.iter_mut().filter(|(_, held)| held.skipped > 0);
        skipped
            .map(|(partition, held)| Skipped {
                partition: partition.clone(),
                records: std::mem::take(&mut held.skipped),
                next: held.position,
            })
            .collect()
    }

    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>> {
        Ok(self.holding(partition)?.committed.clone())
    }

    fn state(&self) -> &dyn StateReader {
        &self.state
    }

    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        self.check()?;
        self.producer.begin().map_err(|ended| self.failed(ended))?;
        Ok(Box::new(KafkaTransaction::new(self)))
    }

    fn rewind(&mut self) -> Result<()> {
        let mut targets = BTreeMap::new();
        for (partition, held) in &mut self.held {
            held.position = held
                .committed
                .as_ref()
                .map_or(held.start, |committed| committed.next.max(held.start));
            // What was not committed is found again.
            held.skipped = held.lost_before_start();
            targets.insert(partition.clone(), Offset::Offset(held.position as i64));
        }
        self.inbox.seek(targets)
    }

    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        let Some(held) = self.held.get_mut(partition) else {
            return Err(Error::Fenced(format!("{partition} is not held by this member")));
        };
        held.position = offset;
        self.inbox.seek(BTreeMap::from([(
            partition.clone(),
            Offset::Offset(offset as i64),
        )]))
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.leave();
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A committed offset with its metadata. `None` if the group has committed nothing in the partition.
pub(super) fn committed_of(partition: &TopicPartition, offset: Offset, metadata: &str) -> Option<Committed> {
    let Offset::Offset(next) = offset else { return None };
    Some(Committed {
        partition: partition.clone(),
        next: next.max(0) as u64,
        metadata: metadata.to_owned(),
    })
}

/// The number of partitions of the subscribed topics, which must be the same for all of them.
fn co_partitioned(log: &Inner, subscription: &Subscription) -> Result<u32> {
    let mut partitions = None;
    for topic in &subscription.topics {
        let target = log.cluster.target(topic)?;
        let number = *partitions.get_or_insert(target.partitions);
        if number != target.partitions {
            return Err(Error::Settings(format!(
                "the topics of group `{}` must have the same number of partitions: one has {number}, `{topic}` has {}",
                subscription.group, target.partitions
            )));
        }
    }
    partitions.ok_or_else(|| Error::Settings(format!("the group `{}` reads no topic", subscription.group)))
}
