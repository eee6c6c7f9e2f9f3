//! Records of the log.

use bytes::Bytes;
use limbic_domain::{
    CreativeSet, Decision, Draft, Envelope, Feeling, Hold, Moment, Outcome, Post, Posterior, Progress, Reading, Record,
};
use limbic_ingest::IngestStage;
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Control, header};

fn read<T: Record>(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::<T>::decode(bytes) {
        let written = envelope.encode();
        let again = Envelope::<T>::decode(&written).expect("what is written can be read");
        assert_eq!(again.encode(), written);
    }
}

/// A value is a record or is refused. What is written from it reads as the same.
pub fn records(bytes: &[u8]) {
    read::<Post>(bytes);
    read::<Reading>(bytes);
    read::<Feeling>(bytes);
    read::<Moment>(bytes);
    read::<Hold>(bytes);
    read::<Draft>(bytes);
    read::<CreativeSet>(bytes);
    read::<Decision>(bytes);
    read::<Outcome>(bytes);
    read::<Posterior>(bytes);
    read::<Progress>(bytes);
    let control = record("intake").header(header::CONTROL, Bytes::copy_from_slice(bytes)).build();
    let _ = Control::of(&control).expect("it is a control record");
}

/// The ingest stage passes a record on, drops it as a duplicate, or gives it a dead letter with a reason. It never fails.
pub fn intake(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == 0xff).map(Bytes::copy_from_slice);
    let mut next = || parts.next().unwrap_or_default();
    let (to, id, accepted_at, key, value) = (next(), next(), next(), next(), next());
    let to = match to.first() {
        Some(b'p') => Bytes::from_static(b"posts"),
        Some(b'o') => Bytes::from_static(b"outcomes"),
        _ => to,
    };
    let build = || {
        record("intake")
            .key(key.clone())
            .value(value.clone())
            .header("limbic-to", to.clone())
            .header("limbic-id", id.clone())
            .header(header::ACCEPTED_AT, accepted_at.clone())
    };
    let mut harness = Harness::new(|| IngestStage::new(&limbic_ingest::Settings::default()));
    if harness.try_process([build(), build()]).is_ok() {
        let ends = harness.outputs().len() + harness.dead_letters().len();
        assert!(ends > 0, "the record is somewhere");
    }
}
