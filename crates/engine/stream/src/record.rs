//! Records, as written and as read.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::Utc;

/// Names of the headers that Limbic itself writes.
pub mod header {
    /// W3C Trace Context, `traceparent`.
    pub const TRACE_PARENT: &str = "traceparent";
    /// When the edge accepted the post that began this chain of causes: milliseconds since the epoch, decimal.
    pub const ACCEPTED_AT: &str = "limbic-accepted-at";
    /// Marks a control record: a watermark ([`crate::Control`]). Never shown to a stage.
    pub const CONTROL: &str = "limbic-control";
    /// The versions of the tables that the writing stage had ([`crate::reference`]): `campaigns@12.0.7`.
    pub const REFERENCES: &str = "limbic-references";
    /// Of a dead letter: the topic it came from.
    pub const DEAD_TOPIC: &str = "limbic-dead-topic";
    /// Of a dead letter: the partition it came from.
    pub const DEAD_PARTITION: &str = "limbic-dead-partition";
    /// Of a dead letter: its offset there.
    pub const DEAD_OFFSET: &str = "limbic-dead-offset";
    /// Of a dead letter: the stage that gave up on it.
    pub const DEAD_STAGE: &str = "limbic-dead-stage";
    /// Of a dead letter: why, in one word.
    pub const DEAD_REASON: &str = "limbic-dead-reason";
    /// Of a dead letter: why, in a sentence.
    pub const DEAD_DETAIL: &str = "limbic-dead-detail";
}

/// Headers in the order written: name and raw value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(Arc<str>, Bytes)>);

impl Headers {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub fn push(&mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.push(name, value);
        self
    }

    /// The first of that name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|(known, _)| &**known == name)
            .map(|(_, value)| value)
    }

    /// The first of that name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Bytes)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Where to.
    pub topic: Arc<str>,
    /// The partition, for control records and changelogs; `None` = by key ([`crate::partition_of`]).
    pub partition: Option<u32>,
    /// Records of one key keep their order.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The headers.
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

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where from.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// Its offset there. Offsets grow but need not be consecutive.
    pub offset: u64,
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The headers.
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
