//! The transactional producer of a stage instance, and the ladder of what can go wrong with it.
//!
//! Used by the worker alone. The binding's own `flush` sleeps a tenth of a second at a time, so a commit waits for its
//! deliveries here, a millisecond at a time, and calls librdkafka's commit when nothing is outstanding.

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
use crate::failure::{Rung, fenced, told};
use limbic_stream::{Committed, Error, Result};

/// One step of a wait in which the producer's events are served.
const STEP: Duration = Duration::from_millis(1);

pub(super) struct TransactionalProducer {
    producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
    largest: usize,
}

/// How a transaction ended, if not well.
#[derive(Debug)]
pub(super) enum Ended {
    /// It left no trace; this member may go on.
    Aborted(String),
    /// It left no trace, and this member is out.
    Fenced(String),
    /// It is not known, and this producer is of no use any more.
    Unknown(String),
}

impl TransactionalProducer {
    /// Registers `id`: the producer that had it before is fenced, and its open transaction is aborted.
    pub(super) fn register(cluster: &Cluster, id: &str) -> Result<Self> {
        let context = format!("registering the producer `{id}`");
        let deliveries = Deliveries::default();
        let producer: BaseProducer<Deliveries> = cluster
            .clients
            .transactional(id)
            .create_with_context(deliveries.clone())
            .map_err(|error| told(&context, &error))?;
        let deadline = Instant::now() + cluster.options.patience;
        loop {
            match producer.init_transactions(Duration::from_secs(5)) {
                Ok(()) => break,
                Err(error) => {
                    producer.poll(Duration::ZERO);
                    if Rung::of(&error) != Rung::Retry || Instant::now() > deadline {
                        return Err(told(&context, &error));
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

    /// Lets librdkafka's events through: log lines, errors.
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

    /// Hands a record over; it is written by the time that the transaction is committed.
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
                // The commit or the abort that follows says what this means for the transaction.
                Err((error, _)) => return Err(told(&format!("writing to {topic}"), &error)),
            }
        }
    }

    /// Adds the offsets to the transaction, once everything that was sent is acknowledged.
    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Ended> {
        self.drain()?;
        self.climb(|producer| producer.send_offsets_to_transaction(offsets, group, Timeout::Never))
    }

    /// Commits, however long it takes: a commit that was begun must not be left undecided.
    pub(super) fn commit(&self) -> Result<(), Ended> {
        self.drain()?;
        self.climb(|producer| producer.commit_transaction(Timeout::Never))
    }

    /// Leaves no trace.
    pub(super) fn abort(&self) -> Result<(), Ended> {
        loop {
            // What is purged is reported, and nobody but this thread takes the reports: so, in small steps.
            match self.producer.abort_transaction(Duration::from_millis(100)) {
                Ok(()) => {
                    self.serve();
                    return Ok(());
                }
                Err(error) => match Rung::of(&error) {
                    Rung::Retry | Rung::Abort => self.serve_all(),
                    Rung::Fenced => return Err(Ended::Fenced(fenced(&error))),
                    Rung::Rebuild => return Err(Ended::Unknown(error.to_string())),
                },
            }
        }
    }

    /// Repeats a step as long as the ladder says so.
    fn climb(&self, step: impl Fn(&BaseProducer<Deliveries>) -> Result<(), KafkaError>) -> Result<(), Ended> {
        loop {
            match step(&self.producer) {
                Ok(()) => return Ok(()),
                Err(error) if Rung::of(&error) == Rung::Retry => self.producer.poll(STEP),
                Err(error) => return Err(self.ended(&error)),
            }
        }
    }

    /// What an error makes of the transaction; aborts it where that is the answer.
    fn ended(&self, error: &KafkaError) -> Ended {
        match Rung::of(error) {
            Rung::Rebuild => Ended::Unknown(error.to_string()),
            Rung::Fenced => {
                // A producer fenced by its epoch cannot abort, and need not; one whose group moved on must.
                if self.producer.client().fatal_error().is_none() {
                    drop(self.abort());
                }
                Ended::Fenced(fenced(error))
            }
            Rung::Retry | Rung::Abort => match self.abort() {
                Ok(()) => Ended::Aborted(error.to_string()),
                Err(worse) => worse,
            },
        }
    }

    /// Waits until nothing is outstanding.
    fn drain(&self) -> Result<(), Ended> {
        loop {
            let failure = self.deliveries.failure.lock().take();
            if let Some(failure) = failure {
                // The delivery's error says little when the reason is that another took over.
                return Err(match self.producer.client().fatal_error() {
                    Some((code, reason)) if matches!(Rung::of(&KafkaError::Global(code)), Rung::Fenced) => {
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

    /// Takes all reports there are.
    fn serve_all(&self) {
        let deadline = Instant::now() + Duration::from_millis(20);
        while Instant::now() < deadline && self.producer.in_flight_count() > 0 {
            self.producer.poll(STEP);
        }
    }
}

/// Offsets with their metadata, as librdkafka wants them.
pub(super) fn offset_list(offsets: &[(String, &Committed)]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (topic, committed) in offsets {
        let mut element = list.add_partition(topic, committed.partition.partition as i32);
        element
            .set_offset(Offset::Offset(committed.next as i64))
            .map_err(|error| told("committing an offset", &error))?;
        if !committed.metadata.is_empty() {
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}
