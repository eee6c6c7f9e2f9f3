//! The encoding of records in Kafka.
//!
//! Event time has its own header, [`EVENT_TIME`], for three reasons. Brokers refuse a record timestamp that is more than
//! an hour in the future. They replace a timestamp of 0 by the current time. And they would measure retention from it, so
//! that the replay of an old year would be deleted while it is written. Kafka's own timestamp stays the wall clock, from
//! which [`limbic_stream::Retention`] is measured.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::Utc;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

use limbic_stream::{Headers, NewRecord, Record};

/// The header of event time: milliseconds since the epoch, signed, 64 bits, big-endian. It is removed when the record is
/// read.
pub(super) const EVENT_TIME: &str = "limbic-at";

/// The headers of a record for Kafka.
pub(super) fn headers_of(record: &NewRecord) -> OwnedHeaders {
    let time = record.timestamp.as_millis().to_be_bytes();
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1).insert(Header {
        key: EVENT_TIME,
        value: Some(&time[..]),
    });
    for (name, value) in record.headers.iter() {
        headers = headers.insert(Header {
            key: name,
            value: Some(&value[..]),
        });
    }
    headers
}

/// Converts messages to records. Keeps the names of headers, so that each name is allocated once.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    names: Vec<Arc<str>>,
}

impl Decoder {
    /// The maximum number of header names that are kept. Limbic uses about ten; a foreign topic may have any number.
    const NAMES: usize = 64;

    /// Converts `message` to a record of `topic` (its logical name).
    pub(super) fn record(&mut self, message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Record {
        let mut headers = Headers::new();
        let mut timestamp = None;
        // The binding panics if a header name is not UTF-8. Only a foreign record can have one.
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            for header in message.headers().iter().flat_map(|headers| headers.iter()) {
                let value = header.value.unwrap_or_default();
                match <[u8; 8]>::try_from(value) {
                    Ok(time) if header.key == EVENT_TIME => {
                        timestamp = Some(Utc::from_millis(i64::from_be_bytes(time)));
                    }
                    _ => headers.push(self.name(header.key), Bytes::copy_from_slice(value)),
                }
            }
        }));
        if decoded.is_err() {
            tracing::warn!(%topic, partition = message.partition(), offset = message.offset(),
                "the name of a header is not UTF-8: this header and the following ones are skipped");
        }
        let written_at = || message.timestamp().to_millis().unwrap_or_default();
        Record {
            topic: Arc::clone(topic),
            partition: message.partition() as u32,
            offset: message.offset() as u64,
            key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
            value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            headers,
            timestamp: timestamp.unwrap_or_else(|| Utc::from_millis(written_at())),
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        if self.names.len() < Self::NAMES {
            self.names.push(Arc::clone(&new));
        }
        new
    }
}
