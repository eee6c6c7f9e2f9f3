//! The callbacks of librdkafka: log lines, errors, rebalances, deliveries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::failure::is_refusal;

fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{line}");
        }
    }
}

/// Keeps the latest error of a client, as the explanation of a later time-out.
#[derive(Debug, Default)]
pub(super) struct LastError {
    last: Mutex<Option<String>>,
    /// The cluster refused the credentials or a permission.
    refused: AtomicBool,
}

impl LastError {
    fn note(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        if code.is_some_and(is_refusal) {
            self.refused.store(true, Ordering::SeqCst);
        }
        let mut last = self.last.lock();
        // The error of a single broker says more than "all brokers down".
        if last.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }

    pub(super) fn take(&self) -> Option<String> {
        self.last.lock().take()
    }

    /// Whether the cluster refused the client.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }
}

/// The context of a client that reads without a group, or only asks for metadata and offsets.
#[derive(Debug, Default)]
pub(super) struct ObserverContext(pub(super) LastError);

impl ClientContext for ObserverContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ConsumerContext for ObserverContext {}

/// A change of assignments that the group demands, in the order received.
pub(super) enum Transition {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// The context of a group member. A rebalance is only queued here. The polling thread answers it after the handshake with
/// the worker.
#[derive(Default)]
pub(super) struct MemberContext {
    transitions: Mutex<VecDeque<Transition>>,
    leaving: AtomicBool,
    last_error: LastError,
}

impl MemberContext {
    pub(super) fn next_transition(&self) -> Option<Transition> {
        self.transitions.lock().pop_front()
    }

    /// From now on, revocations are answered immediately, because no worker reads these partitions any more.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.last_error.note(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // librdkafka waits for assign or unassign. The list belongs to the event and must be copied.
        let assigned = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::SeqCst) {
            if assigned {
                assign(consumer, partitions);
            } else {
                release(consumer, partitions);
            }
            return;
        }
        let partitions = partitions.clone();
        self.transitions.lock().push_back(if assigned {
            Transition::Assign(partitions)
        } else {
            Transition::Revoke(partitions)
        });
    }
}

/// Assigns partitions according to the group's rebalance protocol.
pub(super) fn assign(consumer: &BaseConsumer<MemberContext>, partitions: &TopicPartitionList) {
    let taken = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    };
    if let Err(error) = taken {
        tracing::warn!(%error, "partitions could not be assigned");
    }
}

/// Unassigns partitions according to the group's rebalance protocol.
pub(super) fn release(consumer: &BaseConsumer<MemberContext>, partitions: &TopicPartitionList) {
    let released = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    };
    if let Err(error) = released {
        tracing::warn!(%error, "partitions could not be released");
    }
}

/// The context of a transactional producer. Keeps the first delivery failure of the transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Deliveries {
    pub(super) failure: Arc<Mutex<Option<KafkaError>>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failure.lock().get_or_insert_with(|| error.clone());
        }
    }
}
