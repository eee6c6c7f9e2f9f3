//! What librdkafka tells its clients: log lines, errors, rebalances, deliveries.

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

/// Remembers the last thing that went wrong, to explain a time-out with.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    last: Mutex<Option<String>>,
    /// A right or a password is wrong.
    refused: AtomicBool,
}

impl Troubles {
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
        // That no broker is left says less than what happened to the last one.
        if last.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }

    pub(super) fn take(&self) -> Option<String> {
        self.last.lock().take()
    }

    /// Whether the cluster refuses, rather than not answering.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }
}

/// A client that reads without a group, or only looks.
#[derive(Debug, Default)]
pub(super) struct Onlooker(pub(super) Troubles);

impl ClientContext for Onlooker {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ConsumerContext for Onlooker {}

/// What a rebalance wants, in the order told.
pub(super) enum Transition {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// A member of a group. A rebalance is only noted here: the polling thread answers it after the hand-shake.
#[derive(Default)]
pub(super) struct Membership {
    transitions: Mutex<VecDeque<Transition>>,
    leaving: AtomicBool,
    troubles: Troubles,
}

impl Membership {
    pub(super) fn next_transition(&self) -> Option<Transition> {
        self.transitions.lock().pop_front()
    }

    /// From now on a revocation is answered at once: nobody works on these partitions any more.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.note(&error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // librdkafka waits for assign or unassign, whenever it comes; the list is its own and dies with the event.
        let assigned = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::SeqCst) {
            if assigned {
                take_on(consumer, partitions);
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

/// Takes on partitions, in the way that the group's protocol wants it.
pub(super) fn take_on(consumer: &BaseConsumer<Membership>, partitions: &TopicPartitionList) {
    let taken = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    };
    if let Err(error) = taken {
        tracing::warn!(%error, "partitions could not be taken on");
    }
}

/// Gives partitions back, in the way that the group's protocol wants it.
pub(super) fn release(consumer: &BaseConsumer<Membership>, partitions: &TopicPartitionList) {
    let released = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    };
    if let Err(error) = released {
        tracing::warn!(%error, "partitions could not be given back");
    }
}

/// A transactional producer: keeps the first failure of the transaction at hand.
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
