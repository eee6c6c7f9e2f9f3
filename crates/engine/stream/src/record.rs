//! Records: new ones, and ones that were read.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::Utc;

/// Names of the headers that Limbic itself writes.
pub mod header {
    /// W3C Trace Context, `traceparent`.
    pub const TRACE_PARENT: &str = "traceparent";
    /// When the edge accepted the post that caused this record: milliseconds since the epoch, decimal.
    pub const ACCEPTED_AT: &str = "limbic-accepted-at";
    /// Marks a control record: a watermark ([`crate::Control`]). Stages do not receive it.
    pub const CONTROL: &str = "limbic-control";
    /// The versions of the tables that the writing stage used ([`crate::reference`]): `campaigns@12.0.7`.
    pub const REFERENCES: &str = "limbic-references";
    /// The only stage that processes this record: it gave up on the record before, and a person has sent it again. All other
    /// readers have processed the record already.
    pub const ONLY_FOR: &str = "limbic-only-for";
    /// For a dead letter: the topic that it came from.
    pub const DEAD_TOPIC: &str = "limbic-dead-topic";
    /// For a dead letter: the partition that it came from.
    pub const DEAD_PARTITION: &str = "limbic-dead-partition";
    /// For a dead letter: its offset there.
    pub const DEAD_OFFSET: &str = "limbic-dead-offset";
    /// For a dead letter: the stage that could not process it.
    pub const DEAD_STAGE: &str = "limbic-dead-stage";
    /// For a dead letter: the reason in one word.
    pub const DEAD_REASON: &str = "limbic-dead-reason";
    /// For a dead letter: the reason in a sentence.
    pub const DEAD_DETAIL: &str = "limbic-dead-detail";
}

/// Headers, names with raw values, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(Arc<str>, Bytes)>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a header.
    pub fn push(&mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.push(name, value);
        self
    }

    /// The value of the first header with this name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|(known, _)| &**known == name)
            .map(|(_, value)| value)
    }

    /// The value of the first header with this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Bytes)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The number of headers.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no headers.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A record that is not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The destination topic.
    pub topic: Arc<str>,
    /// The partition, for control records and changelogs; `None` = by key ([`crate::partition_of`]).
    pub partition: Option<u32>,
    /// The key. Records of one key keep their order.
    pub key: Bytes,
    /// The value. Empty = a tombstone in a compacted topic.
    pub value: Bytes,
    /// The headers, in order.
    pub headers: Headers,
    /// Event time.
    pub timestamp: Utc,
}

impl NewRecord {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        self.key.len()
            + self.value.len()
            + self
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
    }
}

/// A record that was read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic that it was read from.
    pub topic: Arc<str>,
    /// Its partition number, from 0.
    pub partition: u32,
    /// Its offset there. Offsets grow but need not be consecutive.
    pub offset: u64,
    /// The key. Empty for a record without a key.
    pub key: Bytes,
    /// The value. Empty = a tombstone in a compacted topic.
    pub value: Bytes,
    /// The headers, in order.
    pub headers: Headers,
    /// Event time.
    pub timestamp: Utc,
}

impl Record {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        self.key.len()
            + self.value.len()
            + self
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
    }
}
