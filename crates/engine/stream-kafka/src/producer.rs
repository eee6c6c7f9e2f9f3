//! The transactional producer of a stage instance, and how it recovers from failures.
//!
//! Only the worker uses it. The binding's `flush` waits in steps of 100 ms. So a commit waits for its deliveries here, in
//! steps of 1 ms, and calls librdkafka's commit when no record is outstanding.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::util::Timeout;

use crate::cluster::Cluster;
use crate::context::Deliveries;
use crate::failure::{Recovery, fencing_reason, to_log_error};
use limbic_stream::{Committed, Error, Result};

/// The step of a wait in which the producer's events are served.
const STEP: Duration = Duration::from_millis(1);

pub(super) struct TransactionalProducer {
    producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
    largest: usize,
}

/// How a transaction failed.
#[derive(Debug)]
pub(super) enum Ended {
    /// The transaction had no effect. This member may continue.
    Aborted(String),
    /// The transaction had no effect. This member is fenced.
    Fenced(String),
    /// The outcome is unknown. This producer cannot be used any more.
    Unknown(String),
}

impl TransactionalProducer {
    /// Registers the transactional id. The earlier producer with this id is fenced, and its open transaction is aborted.
    pub(super) fn register(cluster: &Cluster, id: &str) -> Result<Self> {
        let context = format!("registering the producer `{id}`");
        let deliveries = Deliveries::default();
        let producer: BaseProducer<Deliveries> = cluster
            .clients
            .transactional(id)
            .create_with_context(deliveries.clone())
            .map_err(|error| to_log_error(&context, &error))?;
        let deadline = Instant::now() + cluster.options.call_timeout;
        loop {
            match producer.init_transactions(Duration::from_secs(5)) {
                Ok(()) => break,
                Err(error) => {
                    producer.poll(Duration::ZERO);
                    if Recovery::of(&error) != Recovery::Retry || Instant::now() > deadline {
                        return Err(to_log_error(&context, &error));
                    }
                }
            }
        }
        Ok(Self {
            producer,
            deliveries,
            largest: cluster.clients.largest_record(),
        })
    }

    /// Serves librdkafka's events: log lines and errors.
    pub(super) fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    pub(super) fn begin(&self) -> Result<(), Ended> {
        self.serve();
        *self.deliveries.failure.lock() = None;
        self.producer
            .begin_transaction()
            .map_err(|error| self.ended(&error))
    }

    /// Queues a record. It is written before the transaction is committed.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: u32,
        key: &[u8],
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<()> {
        let mut message = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(partition as i32)
            .key(key);
        message.payload = value;
        message.headers = headers;
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    message = back;
                    self.producer.poll(STEP);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), back)) => {
                    return Err(Error::TooLarge {
                        size: back.key.map_or(0, <[u8]>::len) + back.payload.map_or(0, <[u8]>::len),
                        limit: self.largest,
                    });
                }
                // The commit or abort that follows decides what this means for the transaction.
                Err((error, _)) => return Err(to_log_error(&format!("writing to {topic}"), &error)),
            }
        }
    }

    /// Adds the offsets to the transaction when every record is acknowledged.
    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Ended> {
        self.drain()?;
        self.retry_step(|producer| producer.send_offsets_to_transaction(offsets, group, Timeout::Never))
    }

    /// Commits without a time limit: a commit that has started must not stay undecided.
    pub(super) fn commit(&self) -> Result<(), Ended> {
        self.drain()?;
        self.retry_step(|producer| producer.commit_transaction(Timeout::Never))
    }

    /// Aborts the transaction.
    pub(super) fn abort(&self) -> Result<(), Ended> {
        loop {
            // Purged records are reported, and only this thread reads the reports. So the abort runs in small steps.
            match self.producer.abort_transaction(Duration::from_millis(100)) {
                Ok(()) => {
                    self.serve();
                    return Ok(());
                }
                Err(error) => match Recovery::of(&error) {
                    Recovery::Retry | Recovery::Abort => self.serve_all(),
                    Recovery::Fenced => return Err(Ended::Fenced(fencing_reason(&error))),
                    Recovery::Rebuild => return Err(Ended::Unknown(error.to_string())),
                },
            }
        }
    }

    /// Repeats a step while [`Recovery::Retry`] is the answer to its error.
    fn retry_step(
        &self,
        step: impl Fn(&BaseProducer<Deliveries>) -> Result<(), KafkaError>,
    ) -> Result<(), Ended> {
        loop {
            match step(&self.producer) {
                Ok(()) => return Ok(()),
                Err(error) if Recovery::of(&error) == Recovery::Retry => self.producer.poll(STEP),
                Err(error) => return Err(self.ended(&error)),
            }
        }
    }

    /// Converts an error to the outcome of the transaction. Aborts the transaction if necessary.
    fn ended(&self, error: &KafkaError) -> Ended {
        match Recovery::of(error) {
            Recovery::Rebuild => Ended::Unknown(error.to_string()),
            Recovery::Fenced => {
                // A producer that is fenced by its epoch cannot abort and does not need to. If only the group's
                // generation has changed, the producer must abort.
                if self.producer.client().fatal_error().is_none() {
                    drop(self.abort());
                }
                Ended::Fenced(fencing_reason(error))
            }
            Recovery::Retry | Recovery::Abort => match self.abort() {
                Ok(()) => Ended::Aborted(error.to_string()),
                Err(worse) => worse,
            },
        }
    }

    /// Waits until no record is outstanding.
    fn drain(&self) -> Result<(), Ended> {
        loop {
            let failure = self.deliveries.failure.lock().take();
            if let Some(failure) = failure {
                // If another producer has taken over, the delivery error does not say so. The fatal error does.
                return Err(match self.producer.client().fatal_error() {
                    Some((code, reason))
                        if matches!(Recovery::of(&KafkaError::Global(code)), Recovery::Fenced) =>
                    {
                        Ended::Fenced(reason)
                    }
                    Some((_, reason)) => Ended::Unknown(reason),
                    None => self.ended(&failure),
                });
            }
            if self.producer.in_flight_count() == 0 {
                return Ok(());
            }
            self.producer.poll(STEP);
        }
    }

    /// Serves all waiting reports.
    fn serve_all(&self) {
        let deadline = Instant::now() + Duration::from_millis(20);
        while Instant::now() < deadline && self.producer.in_flight_count() > 0 {
            self.producer.poll(STEP);
        }
    }
}

/// Converts offsets with their metadata to librdkafka's list.
pub(super) fn offset_list(offsets: &[(String, &Committed)]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (topic, committed) in offsets {
        let mut element = list.add_partition(topic, committed.partition.partition as i32);
        element
            .set_offset(Offset::Offset(committed.next as i64))
            .map_err(|error| to_log_error("committing an offset", &error))?;
        if !committed.metadata.is_empty() {
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}
