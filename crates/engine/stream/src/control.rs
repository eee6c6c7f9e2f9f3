//! Control records carry event time between stages.
//!
//! A stage that regroups records writes them under another key than its input has. So each of its output partitions mixes
//! records from several of its input partitions. Only the senders know how far each of them has read. Each sender
//! therefore writes its watermark into every partition of such an output, and the reader's watermark is the minimum over
//! all senders. A sender declares itself *idle*; a reader never guesses it. If a sender stops without this declaration,
//! the reader's watermark stays where it is until another instance takes over.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::record::header;
use crate::{Headers, NewRecord, Record};

/// The content of a control record: JSON in the header [`header::CONTROL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMark {
    /// The sender: the partition number of the sending stage's input. 0 for a heartbeat from the edge.
    pub source: u32,
    /// The number of senders of this output.
    pub of: u32,
    /// This sender will not write a record with an earlier time. Milliseconds on the wire, which can also express
    /// [`Utc::MIN`] for a sender that has read nothing.
    #[serde(with = "millis")]
    pub at: Utc,
    /// The sender has nothing to read. Readers do not wait for it.
    #[serde(default)]
    pub idle: bool,
}

/// A control record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The event time that a sender has reached.
    Watermark(WatermarkMark),
    /// A kind of control record that this version of the program does not know. Readers skip it.
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
    /// Parses the control header of `record`. `None` if it is an ordinary record.
    pub fn of(record: &Record) -> Option<Self> {
        let bytes = record.headers.get(header::CONTROL)?;
        Some(serde_json::from_slice(bytes).map_or(Self::Unknown, Self::Watermark))
    }
}
