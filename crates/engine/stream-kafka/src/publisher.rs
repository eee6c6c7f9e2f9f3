//! Publishing without a group, for the edge.
//!
//! One idempotent producer serves all threads, so that concurrent calls share requests. An acknowledged record is on all
//! in-sync replicas. Unlike in the embedded log, a call that *fails* may have written some of its records. The caller may
//! retry it, because the ingest stage removes duplicates.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};

use crate::aside::Aside;
use crate::cluster::{Cluster, Target};
use crate::context::{Deliveries, ObserverContext};
use crate::failure::to_log_error;
use crate::wire::headers_of;
use limbic_stream::{Error, NewRecord, Result, partition_of};

/// The outcome of the records of one call.
#[derive(Debug, Default)]
struct Receipt {
    state: Mutex<Outstanding>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Outstanding {
    records: usize,
    failure: Option<KafkaError>,
}

impl Receipt {
    fn expect_one(&self) {
        self.state.lock().records += 1;
    }

    fn settle(&self, failure: Option<KafkaError>) {
        let mut state = self.state.lock();
        state.records -= 1;
        if state.failure.is_none() {
            state.failure = failure;
        }
        if state.records == 0 {
            self.done.notify_all();
        }
    }

    /// Waits for all records of the call.
    fn wait(&self) -> Result<(), KafkaError> {
        let mut state = self.state.lock();
        while state.records > 0 {
            self.done.wait(&mut state);
        }
        state.failure.clone().map_or(Ok(()), Err)
    }
}

/// Passes each delivery report to the receipt of its call.
#[derive(Debug, Default)]
struct Receipts(ObserverContext);

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Deliveries::default().error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Receipts {
    type DeliveryOpaque = Arc<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Arc<Receipt>) {
        receipt.settle(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}

type Running = Arc<Aside<ThreadedProducer<Receipts>>>;

/// The producer. It is created at the first use, and again after a fatal error of librdkafka.
#[derive(Default)]
pub(super) struct Publisher(Mutex<Option<Running>>);

impl Publisher {
    pub(super) fn publish(&self, cluster: &Cluster, records: &[NewRecord]) -> Result<()> {
        let targets = records
            .iter()
            .map(|record| cluster.target(&record.topic))
            .collect::<Result<Vec<_>>>()?;
        let limit = cluster.clients.largest_record();
        if let Some(record) = records.iter().find(|record| record.size() > limit) {
            return Err(Error::TooLarge {
                size: record.size(),
                limit,
            });
        }
        let producer = self.running(cluster)?;
        let receipt = Arc::new(Receipt::default());
        let mut refused = None;
        for (record, target) in records.iter().zip(&targets) {
            if let Err(error) = send(&producer, record, target, &receipt) {
                refused = Some(error);
                break;
            }
        }
        let settled = receipt.wait();
        if producer.client().fatal_error().is_some() {
            self.0.lock().take_if(|running| Arc::ptr_eq(running, &producer));
        }
        refused
            .map_or(settled, Err)
            .map_err(|error| to_log_error("writing to Kafka", &error))
    }

    /// Lets the producer's thread end. Every call has already waited for its own records.
    pub(super) fn close(&self) {
        self.0.lock().take();
    }

    fn running(&self, cluster: &Cluster) -> Result<Running> {
        let mut running = self.0.lock();
        if let Some(running) = &*running {
            return Ok(Arc::clone(running));
        }
        let producer: ThreadedProducer<_> = cluster
            .clients
            .publisher()
            .create_with_context(Receipts::default())
            .map_err(|error| to_log_error("writing to Kafka", &error))?;
        Ok(Arc::clone(running.insert(Arc::new(Aside::new(producer)))))
    }
}

fn send(
    producer: &ThreadedProducer<Receipts>,
    record: &NewRecord,
    target: &Target,
    receipt: &Arc<Receipt>,
) -> Result<(), KafkaError> {
    let partition = record
        .partition
        .unwrap_or_else(|| partition_of(&record.key, target.partitions));
    let mut message = BaseRecord::with_opaque_to(&target.name, Arc::clone(receipt))
        .partition(partition as i32)
        .key(&record.key[..])
        .payload(&record.value[..])
        .headers(headers_of(record));
    receipt.expect_one();
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                message = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => {
                receipt.settle(None);
                return Err(error);
            }
        }
    }
}
