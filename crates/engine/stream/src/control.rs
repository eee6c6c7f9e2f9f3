//! Control records: how event time travels between stages.
//!
//! A stage that regroups records (its output's key is not its input's) mixes, in each output partition, what several
//! of its own partitions send. Only the senders know how far each has come. So each sender writes watermarks into every
//! partition of such an output, and a reader's watermark is the least over all senders. That a sender is *idle* is said
//! by the sender itself, never guessed by a reader: a sender that died holds time still until another takes over.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::record::header;
use crate::{Headers, NewRecord, Record};

/// What a control record says, as JSON in the header [`header::CONTROL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMark {
    /// Who says so: the partition number of the sending stage's input. For a heartbeat from the edge: 0.
    pub source: u32,
    /// How many such senders there are.
    pub of: u32,
    /// No record with an earlier time will follow from this sender. Milliseconds on the wire, so that a sender that
    /// has seen nothing can say so.
    #[serde(with = "millis")]
    pub at: Utc,
    /// The sender has nothing to read: do not wait for it.
    #[serde(default)]
    pub idle: bool,
}

/// A control record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A watermark.
    Watermark(WatermarkMark),
    /// A control record that this program does not know: skipped.
    Unknown,
}

impl WatermarkMark {
    /// This mark as a record for one partition of `topic`.
    pub fn record(&self, topic: &Arc<str>, partition: u32) -> NewRecord {
        let text = serde_json::to_vec(self).expect("a mark has string keys");
        NewRecord {
            topic: Arc::clone(topic),
            partition: Some(partition),
            key: Bytes::new(),
            value: Bytes::new(),
            headers: Headers::new().with(header::CONTROL, text),
            timestamp: self.at,
        }
    }
}

mod millis {
    use limbic_domain::Utc;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(at: &Utc, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Utc, D::Error> {
        i64::deserialize(deserializer).map(Utc::from_millis)
    }
}

impl Control {
    /// What `record` says, if it is a control record.
    pub fn of(record: &Record) -> Option<Self> {
        let bytes = record.headers.get(header::CONTROL)?;
        Some(serde_json::from_slice(bytes).map_or(Self::Unknown, Self::Watermark))
    }
}
