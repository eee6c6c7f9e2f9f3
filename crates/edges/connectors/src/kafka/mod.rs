//! A topic of an external Kafka cluster: JSON messages, mapped to posts.
//!
//! The connector reads every partition from the offsets in its cursor and commits nothing, so that the owners of the cluster see no
//! group of consumers. The cursor moves after the log has the posts. New partitions are read from their beginning; they are looked
//! for every few minutes.

mod component;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::Backoff;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaConfRes;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::http::{refused, unavailable};
use crate::mapping::JsonMapping;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, MOST_BYTES, Page};

pub use component::{Begin, KafkaTopicSettings};

/// How long a pull waits for the first message.
const WAIT: Duration = Duration::from_millis(500);
/// How long a question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often new partitions are looked for.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// Reads a topic of a Kafka cluster.
pub struct KafkaTopic {
    settings: KafkaTopicSettings,
    mapping: JsonMapping,
    /// The source, for people.
    name: String,
    open: Option<Open>,
    /// What ended the last connection, if the messages before it were returned first.
    failed: Option<ConnectorError>,
}

/// The next offset of each partition.
type Offsets = BTreeMap<i32, i64>;

struct Open {
    consumer: BaseConsumer,
    offsets: Offsets,
    since: Instant,
}

impl KafkaTopic {
    fn new(settings: KafkaTopicSettings, mapping: JsonMapping) -> Self {
        let name = format!("the topic {} of {}", settings.topic, settings.brokers);
        Self {
            settings,
            mapping,
            name,
            open: None,
            failed: None,
        }
    }

    fn error_of(&self, what: &str, error: &KafkaError) -> ConnectorError {
        let detail = match error {
            // The text of this error contains the value of the setting, which can be a password.
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
                return refused(
                    &self.name,
                    format!("settings: librdkafka has no setting `{name}`"),
                );
            }
            KafkaError::ClientConfig(_, _, name, _) => {
                let detail = format!("settings: librdkafka does not accept the value of `{name}`");
                return refused(&self.name, detail);
            }
            KafkaError::ClientCreation(problem) => {
                return refused(&self.name, format!("settings: {problem}"));
            }
            other => format!("{what}: {other}"),
        };
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::InvalidArgument,
            ) => refused(&self.name, detail),
            _ => unavailable(&self.name, detail, Failure::Connection, None),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.settings.settings {
            config.set(name, value.reveal());
        }
        config
            .set("bootstrap.servers", &self.settings.brokers)
            // librdkafka demands a name. No offset is committed under it.
            .set("group.id", "limbic-connector")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            // What waits in memory, while pages are not accepted.
            .set("queued.max.messages.kbytes", "8192")
            .set("client.id", "limbic");
        config
    }

    /// Opens the topic at the offsets of a cursor, or where the settings say. Counts what is not there any more.
    fn connect(&self, stored: Option<&Offsets>, page: &mut Page) -> Result<Open, ConnectorError> {
        let failed = |what: &'static str| move |error: KafkaError| self.error_of(what, &error);
        let consumer: BaseConsumer = self.config().create().map_err(failed("cannot connect"))?;
        let topic = &self.settings.topic;
        let metadata = consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .map_err(failed("cannot read the metadata"))?;
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic && found.error().is_none())
            .flat_map(|found| {
                found
                    .partitions()
                    .iter()
                    .map(rdkafka::metadata::MetadataPartition::id)
            })
            .collect();
        if partitions.is_empty() {
            return Err(refused(&self.name, "the cluster has no such topic".to_owned()));
        }
        let mut offsets = Offsets::new();
        let mut assigned = TopicPartitionList::new();
        for partition in partitions {
            let (low, high) = consumer
                .fetch_watermarks(topic, partition, PATIENCE)
                .map_err(failed("cannot read the ends of a partition"))?;
            let next = match stored {
                Some(stored) => stored.get(&partition).copied().unwrap_or(low),
                None if self.settings.begin == Begin::Newest => high,
                None => low,
            };
            let next = if next < low {
                page.dropped
                    .entry("deleted by the topic's retention before it was read")
                    .and_modify(|count| *count += (low - next).unsigned_abs())
                    .or_insert((low - next).unsigned_abs());
                low
            } else if next > high {
                // The topic was deleted and made again.
                tracing::warn!(
                    partition,
                    "the partition has fewer records than were read: reading it from its beginning"
                );
                low
            } else {
                next
            };
            offsets.insert(partition, next);
            assigned
                .add_partition_offset(topic, partition, Offset::Offset(next))
                .map_err(failed("cannot assign a partition"))?;
        }
        consumer
            .assign(&assigned)
            .map_err(failed("cannot assign the partitions"))?;
        Ok(Open {
            consumer,
            offsets,
            since: Instant::now(),
        })
    }

    /// The messages that are there, or those of the next half second.
    fn read(&mut self, open: &mut Open, page: &mut Page, most: usize) -> Result<(), ConnectorError> {
        let (mut messages, mut bytes) = (0, 0);
        while messages < most && bytes < MOST_BYTES {
            let wait = if messages == 0 { WAIT } else { Duration::ZERO };
            match open.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    self.take(&message, &mut open.offsets, page);
                }
                // The client reconnects to brokers by itself.
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    let error = self.error_of("cannot read", &error);
                    if messages == 0 {
                        return Err(error);
                    }
                    // First the messages before it.
                    self.failed = Some(error);
                    break;
                }
            }
            messages += 1;
        }
        page.has_more = messages == most || bytes >= MOST_BYTES;
        Ok(())
    }

    fn take(&self, message: &BorrowedMessage<'_>, offsets: &mut Offsets, page: &mut Page) {
        offsets.insert(message.partition(), message.offset() + 1);
        if let Some(at) = message.timestamp().to_millis() {
            page.clock = page.clock.max(Some(Utc::from_millis(at)));
        }
        let Some(payload) = message.payload() else {
            return page.drop_one("a message without content");
        };
        let items = self.mapping.items(payload);
        if items.is_empty() {
            page.drop_one("another kind of message");
        }
        let place = format!("partition {}, offset {}", message.partition(), message.offset());
        page.items.extend(items.into_iter().map(|item| match item {
            Item::Unreadable(problem) => Item::Unreadable(format!("{place}: {problem}")),
            other => other,
        }));
    }
}

/// Whether the client goes on by itself after this error.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}

impl Connector for KafkaTopic {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let stored: Option<Offsets> = match after {
            None => None,
            Some(cursor) => {
                Some(
                    serde_json::from_str(&cursor.0).map_err(|_| ConnectorError::UnknownCursor {
                        source_name: self.name.clone(),
                        cursor: cursor.0.chars().take(100).collect(),
                    })?,
                )
            }
        };
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut page = Page::default();
        let is_there =
            |open: &Open| stored.as_ref() == Some(&open.offsets) && open.since.elapsed() < LOOK_AGAIN;
        let mut open = match self.open.take().filter(is_there) {
            Some(open) => open,
            None => self.connect(stored.as_ref(), &mut page)?,
        };
        self.read(&mut open, &mut page, most)?;
        let next = serde_json::to_string(&open.offsets).expect("numbers are text as keys");
        page.next = Some(Cursor(next));
        if self.failed.is_none() {
            self.open = Some(open);
        }
        Ok(page)
    }

    fn reset(&mut self) {
        self.open = None;
        self.failed = None;
    }

    fn wait_when_idle(&self) -> Duration {
        Duration::ZERO
    }

    fn schedule(&self, _: Failure) -> Backoff {
        Backoff::new(Duration::from_secs(1), Duration::from_mins(1))
    }
}
