//! Reads committed records without a group.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::cluster::{Cluster, ends};
use crate::context::ObserverContext;
use crate::failure::{is_refusal, to_log_error};
use limbic_stream::{Error, Result};

/// Idle consumers that the next reader can use. Connecting takes longer than reading.
#[derive(Default)]
pub(super) struct Readers(Mutex<Vec<BaseConsumer<ObserverContext>>>);

/// The maximum number of idle consumers.
const KEPT: usize = 4;

impl Readers {
    /// Reads `topic` (its name in the cluster) from the offset given for each partition. Stops when `each` returns
    /// [`ControlFlow::Break`], or at the end. It reads only committed records, up to the first open transaction.
    pub(super) fn scan(
        &self,
        cluster: &Cluster,
        topic: &str,
        from: &BTreeMap<u32, u64>,
        mut each: impl FnMut(u32, &BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let consumer = self.borrow(cluster)?;
        let context = || format!("reading {topic}");
        let timeout = cluster.options.call_timeout;
        let mut wanted = TopicPartitionList::new();
        let mut open: Vec<u32> = Vec::new();
        for (partition, offset) in from {
            let (low, end) = ends(&consumer, topic, *partition, timeout)?;
            // A consumer that starts after the end would be reset to the earliest offset.
            if *offset < end {
                wanted
                    .add_partition_offset(
                        topic,
                        *partition as i32,
                        Offset::Offset((*offset).max(low) as i64),
                    )
                    .map_err(|error| to_log_error(&context(), &error))?;
                open.push(*partition);
            }
        }
        consumer
            .assign(&wanted)
            .map_err(|error| to_log_error(&context(), &error))?;
        let mut deadline = Instant::now() + timeout;
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let partition = message.partition() as u32;
                    if open.contains(&partition) && each(partition, &message).is_break() {
                        open.retain(|other| *other != partition);
                    }
                    deadline = Instant::now() + timeout;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.retain(|other| *other != partition as u32);
                }
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_refusal) => {
                    return Err(to_log_error(&context(), &error));
                }
                Some(Err(_)) | None if Instant::now() < deadline => {}
                Some(Err(error)) => return Err(to_log_error(&context(), &error)),
                None => {
                    return Err(Error::Unavailable {
                        context: context(),
                        message: consumer.context().0.take().unwrap_or_else(|| "no answer".into()),
                    });
                }
            }
        }
        consumer
            .unassign()
            .map_err(|error| to_log_error(&context(), &error))?;
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push(consumer);
        }
        Ok(())
    }

    /// The earliest offset of a partition, and its last stable offset.
    pub(super) fn ends(&self, cluster: &Cluster, topic: &str, partition: u32) -> Result<(u64, u64)> {
        let consumer = self.borrow(cluster)?;
        let ends = ends(&consumer, topic, partition, cluster.options.call_timeout)?;
        self.0.lock().push(consumer);
        Ok(ends)
    }

    pub(super) fn close(&self) {
        self.0.lock().clear();
    }

    fn borrow(&self, cluster: &Cluster) -> Result<BaseConsumer<ObserverContext>> {
        if let Some(kept) = self.0.lock().pop() {
            return Ok(kept);
        }
        let nobody = cluster.names.group("outside");
        cluster
            .clients
            .reader(&nobody)
            .create_with_context(ObserverContext::default())
            .map_err(|error| to_log_error("reading from Kafka", &error))
    }
}
