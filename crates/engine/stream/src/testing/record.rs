//! A builder for the records that a test feeds to a stage.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{Envelope, Record as DomainRecord, Utc};

use crate::{Headers, NewRecord, Record};

/// Starts a record of `topic`: partition 0, no key, no value, no headers, at the epoch. The harness assigns offsets to
/// records that have none.
pub fn record(topic: &str) -> RecordBuilder {
    RecordBuilder {
        topic: topic.into(),
        partition: 0,
        offset: None,
        key: Bytes::new(),
        value: Bytes::new(),
        headers: Headers::new(),
        timestamp: Utc::from_millis(0),
    }
}

/// A builder of a record; see [`record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBuilder {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
    pub(super) offset: Option<u64>,
    key: Bytes,
    value: Bytes,
    headers: Headers,
    timestamp: Utc,
}

impl RecordBuilder {
    /// Sets the key. The partition does not change.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets the value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = value.into();
        self
    }

    /// Sets value and event time to those of `envelope`.
    #[must_use]
    pub fn event<T: DomainRecord>(self, envelope: &Envelope<T>) -> Self {
        self.at(envelope.at).value(envelope.encode())
    }

    /// Sets the event time.
    #[must_use]
    pub const fn at(mut self, at: Utc) -> Self {
        self.timestamp = at;
        self
    }

    /// Sets the partition number.
    #[must_use]
    pub const fn partition(mut self, partition: u32) -> Self {
        self.partition = partition;
        self
    }

    /// Sets the offset. Without it, the harness assigns the next offset of the partition, and [`Self::build`] uses 0.
    #[must_use]
    pub const fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The record that the stage receives.
    pub fn build(self) -> Record {
        Record {
            topic: self.topic,
            partition: self.partition,
            offset: self.offset.unwrap_or(0),
            key: self.key,
            value: self.value,
            headers: self.headers,
            timestamp: self.timestamp,
        }
    }
}

impl From<Record> for RecordBuilder {
    fn from(record: Record) -> Self {
        Self {
            topic: record.topic,
            partition: record.partition,
            offset: Some(record.offset),
            key: record.key,
            value: record.value,
            headers: record.headers,
            timestamp: record.timestamp,
        }
    }
}

/// Makes the output of one stage the input of the next: in partition 0, unless the record names another.
impl From<NewRecord> for RecordBuilder {
    fn from(written: NewRecord) -> Self {
        Self {
            topic: written.topic,
            partition: written.partition.unwrap_or(0),
            offset: None,
            key: written.key,
            value: written.value,
            headers: written.headers,
            timestamp: written.timestamp,
        }
    }
}

impl From<RecordBuilder> for Record {
    fn from(builder: RecordBuilder) -> Self {
        builder.build()
    }
}
