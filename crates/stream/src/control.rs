//! Control records: how event time travels between stages.
//!
//! A stage that regroups records (its output's key is not its input's) mixes, in each output partition, what several
//! of its own partitions send. Only the senders know how far each has come. So each sender writes watermarks into every
//! partition of such an output, and a reader's watermark is the least over all senders. That a sender is *idle* is said
//! by the sender itself, never guessed by a reader: a sender that died holds time still until another takes over.

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::Record;
use crate::record::header;

/// What a control record says, as JSON in the header [`header::CONTROL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMark {
    /// Who says so: the partition number of the sending stage's input. For a heartbeat from the edge: 0.
    pub source: u32,
    /// How many such senders there are.
    pub of: u32,
    /// No record with an earlier time will follow from this sender.
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

impl Control {
    /// What `record` says, if it is a control record.
    pub fn of(record: &Record) -> Option<Self> {
        let bytes = record.headers.get(header::CONTROL)?;
        Some(serde_json::from_slice(bytes).map_or(Self::Unknown, Self::Watermark))
    }
}
