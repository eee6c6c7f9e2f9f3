//! The polling thread of a member. It is the only thread that reads from librdkafka and answers rebalances.
//!
//! Every partition has its own queue. So the group's queue can be served (heartbeats, rebalances) while records wait for
//! space, and an end-of-partition event is known to belong to its partition.
//! The loop treats a rebalance as a state, not as a callback that blocks:
//!
//! ```text
//! Assign ─▶ split the queues ─▶ tell the worker ─▶ assign
//! Revoke ─▶ drop the queues and what is queued ─▶ tell the worker ─▶ (its next poll) ─▶ unassign
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use crate::context::{MemberContext, Transition, assign, release};
use crate::failure::is_refusal;
use crate::inbox::{Failure, Inbox};
use crate::names::Names;
use crate::wire::Decoder;
use limbic_stream::TopicPartition;

/// The maximum time between two reads of the group's queue. A log line in the queue can hide a later event.
const GROUP_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The maximum records that are taken from one partition before the next one is read.
const MAX_RECORDS_PER_PARTITION: usize = 1_000;
/// The time limit of a seek.
const SEEK: Duration = Duration::from_secs(10);

struct Source {
    partition: TopicPartition,
    queue: PartitionQueue<MemberContext>,
}

pub(super) struct Poller {
    consumer: Arc<BaseConsumer<MemberContext>>,
    inbox: Arc<Inbox>,
    names: Names,
    max_poll_interval: Duration,
    sources: Vec<Source>,
    first: usize,
    /// Revoked partitions that the worker has not released yet.
    revocation: Option<TopicPartitionList>,
    decoder: Decoder,
}

impl Poller {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<MemberContext>>,
        inbox: Arc<Inbox>,
        names: Names,
        max_poll_interval: Duration,
    ) -> Self {
        Self {
            consumer,
            inbox,
            names,
            max_poll_interval,
            sources: Vec::new(),
            first: 0,
            revocation: None,
            decoder: Decoder::default(),
        }
    }

    /// Polls until the worker stops it or the member fails.
    pub(super) fn run(mut self) {
        while !self.inbox.is_stopped() && self.inbox.failure().is_none() {
            self.watch_worker();
            self.serve_group();
            let moved = self.pass_transition() | self.seek() | self.fetch();
            if !moved {
                self.inbox.notifier.wait(Instant::now() + GROUP_POLL_INTERVAL);
            }
        }
        self.leave();
    }

    /// Treats a worker that does not poll as dead. The failure is set first, because commits check it. Then the member
    /// leaves the group, which frees its partitions.
    fn watch_worker(&self) {
        if self.inbox.time_since_poll() > self.max_poll_interval {
            self.inbox.fail(Failure::Fenced(format!(
                "the worker did not poll for {:?}, so its partitions go to other members",
                self.max_poll_interval
            )));
        }
    }

    /// Serves the events of the group and the client: rebalances are queued, errors are examined.
    fn serve_group(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event {
                // The partition's queue was split off before the partition was assigned, so no record can arrive here.
                Ok(message) => {
                    use rdkafka::Message as _;
                    tracing::error!(
                        topic = message.topic(),
                        partition = message.partition(),
                        "librdkafka delivered a record to the group's queue"
                    );
                    self.inbox.fail(Failure::Unavailable(
                        "a record arrived on the group's queue, not on its partition's".into(),
                    ));
                }
                Err(error) => self.handle_error(&error),
            }
        }
    }

    /// Decides what an error means for the member. librdkafka recovers from most errors by itself.
    fn handle_error(&self, error: &KafkaError) {
        match error {
            KafkaError::MessageConsumptionFatal(code) => {
                self.inbox.fail(Failure::Fenced(format!(
                    "this member is no longer in the group: {code}"
                )));
            }
            other => match other.rdkafka_error_code() {
                Some(code) if is_refusal(code) => {
                    self.inbox.fail(Failure::Refused(format!(
                        "reading from Kafka: the cluster refused the request: {code}"
                    )));
                }
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    self.inbox.fail(Failure::Refused(format!(
                        "a topic of this stage does not exist any more: {other}"
                    )));
                }
                _ => tracing::debug!(error = %other, "reading from Kafka"),
            },
        }
    }

    fn pass_transition(&mut self) -> bool {
        if let Some(partitions) = self.revocation.take() {
            if self.inbox.take_acknowledgement() {
                release(&self.consumer, &partitions);
                return true;
            }
            self.revocation = Some(partitions);
            return false;
        }
        match self.consumer.context().next_transition() {
            Some(Transition::Assign(partitions)) => self.begin(&partitions),
            Some(Transition::Revoke(partitions)) => self.end(partitions),
            None => return false,
        }
        true
    }

    fn begin(&mut self, partitions: &TopicPartitionList) {
        for partition in self.logical(partitions) {
            let topic = self.names.topic(&partition.topic);
            let Some(mut queue) = self
                .consumer
                .split_partition_queue(&topic, partition.partition as i32)
            else {
                self.inbox
                    .fail(Failure::Unavailable(format!("{partition} has no queue")));
                return;
            };
            let notifier = Arc::clone(&self.inbox.notifier);
            queue.set_nonempty_callback(move || notifier.notify());
            self.sources.push(Source { partition, queue });
        }
        if partitions.count() > 0 {
            self.inbox.assigned(self.logical(partitions));
        }
        assign(&self.consumer, partitions);
    }

    fn end(&mut self, partitions: TopicPartitionList) {
        let revoked = self.logical(&partitions);
        self.sources.retain(|source| !revoked.contains(&source.partition));
        if revoked.is_empty() {
            release(&self.consumer, &partitions);
            return;
        }
        self.inbox.revoked(revoked);
        self.revocation = Some(partitions);
    }

    /// Moves to the offsets that the worker asked for.
    fn seek(&self) -> bool {
        let targets = self.inbox.take_seeks();
        if targets.is_empty() {
            return false;
        }
        let deadline = Instant::now() + SEEK;
        let mut left: Vec<_> = targets
            .into_iter()
            .filter(|(partition, _)| self.sources.iter().any(|source| source.partition == *partition))
            .collect();
        let mut problem = None;
        // A partition cannot seek while its first offset is still being looked up.
        while !left.is_empty() && Instant::now() < deadline && !self.inbox.is_stopped() {
            let mut list = TopicPartitionList::new();
            for (partition, offset) in &left {
                let topic = self.names.topic(&partition.topic);
                if let Err(error) = list.add_partition_offset(&topic, partition.partition as i32, *offset) {
                    self.inbox.seek_result(Err(error.to_string()));
                    return true;
                }
            }
            match self.consumer.seek_partitions(list, SEEK) {
                Ok(list) => left.retain(|(partition, _)| {
                    let topic = self.names.topic(&partition.topic);
                    let element = list.find_partition(&topic, partition.partition as i32);
                    match element.map_or(Ok(()), |element| element.error()) {
                        Ok(()) => false,
                        Err(error) => {
                            problem = Some(error.to_string());
                            true
                        }
                    }
                }),
                Err(error) => problem = Some(error.to_string()),
            }
            if !left.is_empty() {
                self.inbox
                    .notifier
                    .wait(Instant::now() + Duration::from_millis(10));
            }
        }
        let done = left.is_empty();
        self.inbox.seek_result(if done {
            Ok(())
        } else {
            Err(problem.unwrap_or_else(|| "timed out".into()))
        });
        true
    }

    /// Moves records from the partitions' queues to the inbox while it has space.
    fn fetch(&mut self) -> bool {
        let mut moved = false;
        for turn in 0..self.sources.len() {
            let index = (self.first + turn) % self.sources.len();
            let room = self.inbox.room().min(MAX_RECORDS_PER_PARTITION);
            if room == 0 {
                self.first = index;
                break;
            }
            let Source { partition, queue } = &self.sources[index];
            let mut records = Vec::new();
            let mut ended = false;
            while records.len() < room {
                match queue.poll(Duration::ZERO) {
                    Some(Ok(message)) => {
                        ended = false;
                        records.push(self.decoder.record(&message, &partition.topic));
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => ended = true,
                    Some(Err(error)) => self.handle_error(&error),
                    None => break,
                }
            }
            if !records.is_empty() || ended {
                moved = true;
                self.inbox.put(partition, records, ended);
            }
        }
        moved
    }

    /// Releases all partitions and leaves the group. A failed member leaves at once, even if its worker still runs.
    fn leave(mut self) {
        self.sources.clear();
        self.consumer.context().leave();
        if let Some(partitions) = self.revocation.take() {
            release(&self.consumer, &partitions);
        }
        // Every rebalance must be answered, otherwise the group is never left.
        while let Some(transition) = self.consumer.context().next_transition() {
            match transition {
                Transition::Assign(partitions) => assign(&self.consumer, &partitions),
                Transition::Revoke(partitions) => release(&self.consumer, &partitions),
            }
        }
        if self.inbox.is_stopped() {
            return;
        }
        self.consumer.unsubscribe();
        while !self.inbox.is_stopped() {
            drop(self.consumer.poll(GROUP_POLL_INTERVAL));
        }
    }

    fn logical(&self, partitions: &TopicPartitionList) -> Vec<TopicPartition> {
        partitions
            .elements()
            .iter()
            .filter_map(|element| {
                Some(TopicPartition {
                    topic: self.names.logical(element.topic())?,
                    partition: element.partition() as u32,
                })
            })
            .collect()
    }
}
