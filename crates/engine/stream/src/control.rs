//! Control records carry event time between stages, tenant by tenant.
//!
//! A stage that regroups records writes them under another key than its input has. So each of its output partitions mixes
//! records from several of its input partitions. Only the senders know how far each of them has read. Each sender
//! therefore writes its watermark into every partition of such an output, and the reader's watermark is the minimum over
//! all senders. A sender declares itself *idle*; a reader never guesses it. If a sender stops without this declaration,
//! the reader's watermark stays where it is until another instance takes over.
//!
//! A mark is about one tenant. A sender cannot name a tenant that it has never read. So it also says, in a mark without a
//! tenant, whether it has read everything that was written until a moment ago. If it has, readers do not wait for it to name
//! further tenants. Older programs had one event time for all tenants, and wrote only marks without a tenant.
//!
//! A stage that does not regroup writes such marks without a tenant too, into the same partition number. Its reader measures silence
//! itself, and must not take it for the end while records wait before that stage: a slow stage that works on one partition leaves
//! the others silent, and their records would come too late.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{TenantId, Utc};
use serde::{Deserialize, Serialize};

use crate::record::header;
use crate::{Headers, NewRecord, Record};

/// The content of a control record: JSON in the header [`header::CONTROL`], one mark or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMark {
    /// The sender: the partition number of the sending stage's input. 0 for a heartbeat from the edge.
    pub source: u32,
    /// The number of senders of this output.
    pub of: u32,
    /// The tenant whose time this is; `None` = the tenants that this sender has not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
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
    /// The event times that a sender has reached.
    Watermarks(Vec<WatermarkMark>),
    /// A kind of control record that this version of the program does not know. Readers skip it.
    Unknown,
}

/// Marks in one control record. It stays far below the largest record of any log.
const MARKS_PER_RECORD: usize = 1_000;

impl WatermarkMark {
    /// Whether it only says of a sender whether everything has been read there. (A heartbeat of an older program names no tenant
    /// either, but a time.)
    pub(crate) fn is_general(&self) -> bool {
        self.tenant.is_none() && self.at == Utc::MIN
    }

    /// This mark as a record for one partition of `topic`.
    pub fn record(&self, topic: &Arc<str>, partition: u32) -> NewRecord {
        Self::control(topic, partition, self, self.at)
    }

    /// Marks as records for each of the partitions of `topic`, in as few records as possible.
    pub fn records(marks: &[Self], topic: &Arc<str>, partitions: std::ops::Range<u32>) -> Vec<NewRecord> {
        let mut records = Vec::new();
        for chunk in marks.chunks(MARKS_PER_RECORD) {
            let of_first = if let [only] = chunk {
                only.record(topic, 0)
            } else {
                let latest = chunk.iter().map(|mark| mark.at).max().unwrap_or(Utc::MIN);
                Self::control(topic, 0, chunk, latest)
            };
            records.extend(partitions.clone().map(|partition| NewRecord {
                partition: Some(partition),
                ..of_first.clone()
            }));
        }
        records
    }

    fn control(
        topic: &Arc<str>,
        partition: u32,
        content: &(impl Serialize + ?Sized),
        timestamp: Utc,
    ) -> NewRecord {
        let text = serde_json::to_vec(content).expect("a mark has string keys");
        NewRecord {
            topic: Arc::clone(topic),
            partition: Some(partition),
            key: Bytes::new(),
            value: Bytes::new(),
            headers: Headers::new().with(header::CONTROL, text),
            timestamp,
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
        let marks = if bytes.first() == Some(&b'[') {
            serde_json::from_slice(bytes)
        } else {
            serde_json::from_slice(bytes).map(|mark| vec![mark])
        };
        Some(marks.map_or(Self::Unknown, Self::Watermarks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Control> {
        let record = crate::testing::record("posts").header(header::CONTROL, text.to_owned());
        Control::of(&record.build())
    }

    #[test]
    fn marks_of_older_programs_and_unknown_control_records_still_read() {
        let mark = WatermarkMark {
            source: 1,
            of: 3,
            tenant: None,
            at: Utc::from_millis(5),
            idle: false,
        };
        assert_eq!(
            of(r#"{"source":1,"of":3,"at":5}"#),
            Some(Control::Watermarks(vec![mark]))
        );
        assert_eq!(of(r#"{"snapshot":1}"#), Some(Control::Unknown));
        assert_eq!(of("[1"), Some(Control::Unknown));
        assert_eq!(Control::of(&crate::testing::record("posts").build()), None);
    }

    #[test]
    fn many_marks_take_few_records_and_none_are_no_record() {
        let topic: Arc<str> = "feelings".into();
        let marks: Vec<WatermarkMark> = (0..2_001)
            .map(|n| WatermarkMark {
                source: 0,
                of: 1,
                tenant: Some(TenantId::new(&format!("t{n}")).unwrap()),
                at: Utc::from_millis(n),
                idle: false,
            })
            .collect();
        let records = WatermarkMark::records(&marks, &topic, 0..2);
        assert_eq!(records.len(), 6);
        assert!(records.iter().all(|record| record.size() < 200_000));
        assert_eq!(WatermarkMark::records(&[], &topic, 0..2), []);
    }
}
