//! The polling thread of a member: the only one that reads from librdkafka and that answers rebalances.
//!
//! Every partition has a queue of its own, so that the group's own queue can be served (heartbeats are accounted,
//! rebalances noticed) while records wait for room, and so that the end of a partition is known to be *its* end.
//! A rebalance is a state that the loop passes through, not a callback that blocks:
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

use crate::context::{Membership, Transition, release, take_on};
use crate::failure::is_refusal;
use crate::inbox::{Failure, Inbox};
use crate::names::Names;
use crate::wire::Decoder;
use limbic_stream::TopicPartition;

/// Longest wait without a look at the group's queue: log lines in it can hide that something else is there.
const LOOK: Duration = Duration::from_millis(50);
/// Most records taken from one partition before the next one has its turn.
const TURN: usize = 1_000;
/// How long a seek may take.
const SEEK: Duration = Duration::from_secs(10);

struct Source {
    partition: TopicPartition,
    queue: PartitionQueue<Membership>,
}

pub(super) struct Poller {
    consumer: Arc<BaseConsumer<Membership>>,
    inbox: Arc<Inbox>,
    names: Names,
    max_poll_interval: Duration,
    sources: Vec<Source>,
    first: usize,
    /// Partitions asked back, until the worker has let go of them.
    revocation: Option<TopicPartitionList>,
    decoder: Decoder,
}

impl Poller {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Membership>>,
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

    /// Polls until the worker says stop or the member has failed.
    pub(super) fn run(mut self) {
        while !self.inbox.is_stopped() && self.inbox.failure().is_none() {
            self.watch_worker();
            self.serve_group();
            let moved = self.pass_transition() | self.seek() | self.fetch();
            if !moved {
                self.inbox.bell.wait(Instant::now() + LOOK);
            }
        }
        self.leave();
    }

    /// A worker that polls no more is taken for dead. First comes the failure, which a commit looks at; then, leaving,
    /// the partitions.
    fn watch_worker(&self) {
        if self.inbox.silence() > self.max_poll_interval {
            self.inbox.fail(Failure::Fenced(format!(
                "the worker did not poll for {:?} and was taken for dead",
                self.max_poll_interval
            )));
        }
    }

    /// Events of the group and the client: rebalances are noted, errors are looked at.
    fn serve_group(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event {
                // Its queue was split before the partition was assigned: nothing comes this way.
                Ok(message) => {
                    use rdkafka::Message as _;
                    tracing::error!(
                        topic = message.topic(),
                        partition = message.partition(),
                        "a record on the group's queue"
                    );
                    self.inbox
                        .fail(Failure::Unavailable("a record came on the wrong queue".into()));
                }
                Err(error) => self.look_at(&error),
            }
        }
    }

    /// What an error means for the member. Most of them librdkafka mends by itself.
    fn look_at(&self, error: &KafkaError) {
        match error {
            KafkaError::MessageConsumptionFatal(code) => {
                self.inbox.fail(Failure::Fenced(format!(
                    "the group does not know this member any more: {code}"
                )));
            }
            other => match other.rdkafka_error_code() {
                Some(code) if is_refusal(code) => {
                    self.inbox.fail(Failure::Refused(format!(
                        "reading from Kafka: the cluster refuses: {code}"
                    )));
                }
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    self.inbox.fail(Failure::Refused(format!(
                        "a topic of this stage is gone: {other}"
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
            let bell = Arc::clone(&self.inbox.bell);
            queue.set_nonempty_callback(move || bell.ring());
            self.sources.push(Source { partition, queue });
        }
        if partitions.count() > 0 {
            self.inbox.assigned(self.logical(partitions));
        }
        take_on(&self.consumer, partitions);
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

    /// Moves to where the worker wants to read on.
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
        // A partition whose first offset is still being looked up cannot be moved yet.
        while !left.is_empty() && Instant::now() < deadline && !self.inbox.is_stopped() {
            let mut list = TopicPartitionList::new();
            for (partition, offset) in &left {
                let topic = self.names.topic(&partition.topic);
                if let Err(error) = list.add_partition_offset(&topic, partition.partition as i32, *offset) {
                    self.inbox.sought(Err(error.to_string()));
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
                self.inbox.bell.wait(Instant::now() + Duration::from_millis(10));
            }
        }
        let done = left.is_empty();
        self.inbox.sought(if done {
            Ok(())
        } else {
            Err(problem.unwrap_or_else(|| "timed out".into()))
        });
        true
    }

    /// Takes what has arrived, partition after partition, as long as there is room.
    fn fetch(&mut self) -> bool {
        let mut moved = false;
        for turn in 0..self.sources.len() {
            let index = (self.first + turn) % self.sources.len();
            let room = self.inbox.room().min(TURN);
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
                    Some(Err(error)) => self.look_at(&error),
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

    /// Gives everything back. A member that failed leaves its group at once, even if its worker sleeps on.
    fn leave(mut self) {
        self.sources.clear();
        self.consumer.context().leave();
        if let Some(partitions) = self.revocation.take() {
            release(&self.consumer, &partitions);
        }
        // Every question must be answered, or the group is never left.
        while let Some(transition) = self.consumer.context().next_transition() {
            match transition {
                Transition::Assign(partitions) => take_on(&self.consumer, &partitions),
                Transition::Revoke(partitions) => release(&self.consumer, &partitions),
            }
        }
        if self.inbox.is_stopped() {
            return;
        }
        self.consumer.unsubscribe();
        while !self.inbox.is_stopped() {
            drop(self.consumer.poll(LOOK));
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
