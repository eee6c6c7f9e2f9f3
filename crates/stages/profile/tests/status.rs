//! What the stage `moments` publishes about audiences.
#![expect(clippy::unwrap_used, reason = "tests")]

mod kit;

use kit::{reading, record, write};
use limbic_domain::{AudiencePhase, AudienceStatus, TextFingerprint, Utc, topics};
use limbic_profile::{MomentStage, ProfileStage, Settings};
use limbic_stream::Record;
use limbic_stream::testing::Harness;

/// The feelings about football in posts of these seconds, one a second, each by another person.
fn feelings(seconds: std::ops::Range<i64>) -> Vec<Record> {
    feelings_with_texts(seconds, |_| None)
}

/// The same, with the fingerprints of the texts of these seconds.
fn feelings_with_texts(
    seconds: std::ops::Range<i64>,
    text: impl Fn(i64) -> Option<TextFingerprint>,
) -> Vec<Record> {
    let mut profile = Harness::new(|| ProfileStage::new(&Settings::default()).unwrap());
    let readings: Vec<Record> = seconds
        .map(|second| {
            let (author, id) = (format!("author-{second}"), second.to_string());
            let mut reading = reading(
                &author,
                &id,
                Utc::from_millis(second * 1_000),
                0.25,
                &["football"],
            );
            reading.data.affect.fingerprint = text(second);
            record(topics::READINGS, 0, second.cast_unsigned(), write(&reading))
        })
        .collect();
    profile.process(readings);
    let feelings = profile
        .outputs()
        .iter()
        .filter(|(_, new)| &*new.topic == topics::FEELINGS);
    let numbered = feelings.zip(0..);
    numbered
        .map(|((_, new), offset)| record(topics::FEELINGS, 0, offset, new.clone()))
        .collect()
}

fn published(harness: &Harness<MomentStage>) -> Vec<AudienceStatus> {
    let all = harness.events::<AudienceStatus>(topics::STATUS);
    let all = all.into_iter().map(|status| status.data);
    all.filter(|status| status.audience.as_str() == "everyone:football")
        .collect()
}

#[test]
fn a_tick_publishes_what_has_changed_and_nothing_else() {
    let mut harness =
        Harness::new(|| MomentStage::new(&Settings::default()).unwrap()).described_by(MomentStage::spec());
    harness.process(feelings(0..3));
    harness.tick(Utc::from_millis(0));
    assert_eq!(published(&harness), [], "the feelings wait for event time");
    harness.watermark(0, Utc::from_millis(10_000));
    harness.tick(Utc::from_millis(1));
    harness.tick(Utc::from_millis(2));
    let [status] = &published(&harness)[..] else {
        panic!("{:?}", published(&harness))
    };
    assert_eq!((status.posts, status.since), (3, Utc::from_millis(0)));
    assert_eq!(
        status.phase,
        AudiencePhase::Learning {
            posts: 3,
            needed: 100
        },
        "{status:?}"
    );
    harness.process(feelings(20..22));
    harness.watermark(0, Utc::from_millis(30_000));
    harness.tick(Utc::from_millis(3));
    let posts: Vec<u64> = published(&harness).iter().map(|status| status.posts).collect();
    assert_eq!(posts, [3, 5]);
}

#[test]
fn the_share_of_copies_is_published() {
    let mut harness =
        Harness::new(|| MomentStage::new(&Settings::default()).unwrap()).described_by(MomentStage::spec());
    // Two texts that are not alike, and three posts of each; then a text of its own.
    let text = |second| {
        Some(TextFingerprint::from_bits(
            [0, u64::MAX, 0xf0f0_f0f0_f0f0_f0f0][(second / 3) as usize],
        ))
    };
    harness.process(feelings_with_texts(0..7, text));
    harness.watermark(0, Utc::from_millis(10_000));
    harness.tick(Utc::from_millis(1));
    let statuses = published(&harness);
    let status = statuses.last().unwrap();
    assert!((status.copied - 4.0 / 7.0).abs() < 1e-3, "{status:?}");
    assert!(status.automated.abs() < 1e-9, "{status:?}");
}

#[test]
fn an_audience_that_was_silent_for_long_is_counted_anew() {
    let settings = Settings::default();
    let silence = settings.audience.expiry.as_millis() / 1_000 + 10;
    let mut harness =
        Harness::new(|| MomentStage::new(&Settings::default()).unwrap()).described_by(MomentStage::spec());
    harness.process(feelings(0..3));
    harness.process(feelings(silence..silence + 2));
    harness.watermark(0, Utc::from_millis((silence + 10) * 1_000));
    harness.tick(Utc::from_millis(1));
    let statuses = published(&harness);
    let status = statuses.last().unwrap();
    assert_eq!(
        (status.posts, status.since),
        (2, Utc::from_millis(silence * 1_000))
    );
}

#[test]
fn feelings_that_a_watermark_passes_at_once_are_released_in_transactions_of_bounded_size() {
    const BOUND: usize = 50;
    let last = Utc::from_millis(10_000_000);
    let build = |bound: usize| {
        move || {
            let stage = MomentStage::new(&Settings::default()).unwrap();
            stage.largest_transaction(bound)
        }
    };
    let posts = |harness: &Harness<MomentStage>| published(harness).last().map_or(0, |status| status.posts);
    let all = feelings(0..400);

    let mut whole = Harness::new(build(usize::MAX)).described_by(MomentStage::spec());
    whole.process(all.clone());
    whole.watermark(0, last);
    whole.tick(Utc::from_millis(0));
    assert_eq!(posts(&whole), 400);

    let mut harness = Harness::new(build(BOUND)).described_by(MomentStage::spec());
    harness.process(all);
    harness.watermark(0, last);
    let mut counted = vec![0];
    while counted.last() < Some(&400) {
        // Another instance goes on, although event time does not.
        harness.restart();
        harness.tick(Utc::from_millis(0));
        counted.push(posts(&harness));
        assert!(counted.is_sorted() && counted.len() < 40, "{counted:?}");
    }
    let largest = counted.windows(2).map(|two| two[1] - two[0]).max();
    // A tick also publishes, so it releases a little less than the bound. The first count has two calls in it.
    assert!(largest <= Some(2 * BOUND as u64), "{counted:?}");
    let moments = |harness: &Harness<MomentStage>| {
        let written = harness.outputs().iter();
        let moments = written.filter(|(_, record)| &*record.topic == topics::MOMENTS);
        moments
            .map(|(_, record)| record.value.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(moments(&harness), moments(&whole));
    // Nothing waits any more, and a late feeling counts at once.
    harness.process(feelings(400..401));
    harness.tick(Utc::from_millis(1));
    assert_eq!(posts(&harness), 401);
}
