//! Dead letters: the unchanged record, with headers that name its origin and the reason.

use bytes::Bytes;
use limbic_domain::topics;

use crate::record::header;
use crate::{DeadLetter, NewRecord, Record};

const PROVENANCE: [&str; 6] = [
    header::DEAD_TOPIC,
    header::DEAD_PARTITION,
    header::DEAD_OFFSET,
    header::DEAD_STAGE,
    header::DEAD_REASON,
    header::DEAD_DETAIL,
];

/// Maximum bytes of a detail.
const DETAIL_LIMIT: usize = 1_000;

/// The record that `stage` writes to `<topic>.dead` for `letter`: the unchanged key, value and headers, with headers for
/// its origin.
pub fn dead_letter(stage: &str, letter: &DeadLetter) -> NewRecord {
    let record = &letter.record;
    let mut headers = record.headers.clone();
    let mut detail = letter.detail.as_str();
    while detail.len() > DETAIL_LIMIT {
        let mut end = DETAIL_LIMIT;
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail = &detail[..end];
    }
    let values = [
        record.topic.to_string(),
        record.partition.to_string(),
        record.offset.to_string(),
        stage.to_owned(),
        letter.reason.to_owned(),
        detail.to_owned(),
    ];
    for (name, value) in PROVENANCE.into_iter().zip(values) {
        headers.push(name, Bytes::from(value));
    }
    NewRecord {
        topic: topics::dead(&record.topic).into(),
        // The same partition number as the source, so letters of one key stay in order.
        partition: Some(record.partition),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        timestamp: record.timestamp,
    }
}

/// The original record, for its original topic and only for the stage that gave up on it. `None` if `letter` is not a dead
/// letter.
pub fn revive(letter: &Record) -> Option<NewRecord> {
    let topic = letter.headers.text(header::DEAD_TOPIC)?.into();
    let mut headers = crate::Headers::new();
    for (name, value) in letter
        .headers
        .iter()
        .filter(|(name, _)| !PROVENANCE.contains(&&***name) && &***name != header::ONLY_FOR)
    {
        headers.push(name.clone(), value.clone());
    }
    if let Some(stage) = letter.headers.get(header::DEAD_STAGE) {
        headers.push(header::ONLY_FOR, stage.clone());
    }
    Some(NewRecord {
        topic,
        partition: None,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers,
        timestamp: letter.timestamp,
    })
}

#[cfg(test)]
mod tests {
    use limbic_domain::Utc;

    use super::*;
    use crate::Headers;

    #[test]
    fn a_dead_letter_keeps_the_record_unchanged_and_can_be_revived() {
        let record = Record {
            topic: "posts".into(),
            partition: 2,
            offset: 41,
            key: Bytes::from_static(b"k\xff"),
            value: Bytes::from_static(b"\xff\x00broken"),
            headers: Headers::new().with("traceparent", &b"00-x"[..]),
            timestamp: Utc::from_millis(5),
        };
        let letter = DeadLetter {
            record: record.clone(),
            reason: "malformed",
            detail: "ä".repeat(2_000),
        };
        let written = dead_letter("affect", &letter);
        assert_eq!((&written.key, &written.value), (&record.key, &record.value));
        assert_eq!(&*written.topic, "posts.dead");
        assert_eq!(written.headers.text(header::DEAD_OFFSET), Some("41"));
        assert!(
            written
                .headers
                .get(header::DEAD_DETAIL)
                .is_some_and(|detail| detail.len() <= DETAIL_LIMIT)
        );

        let read = Record {
            topic: written.topic,
            partition: 2,
            offset: 0,
            key: written.key,
            value: written.value,
            headers: written.headers,
            timestamp: written.timestamp,
        };
        let revived = revive(&read).unwrap();
        assert_eq!((&*revived.topic, &revived.value), ("posts", &record.value));
        let addressed = record.headers.clone().with(header::ONLY_FOR, "affect");
        assert_eq!(revived.headers, addressed);
        assert_eq!(revive(&record), None);
    }
}
