//! The tests of [`stage`](super).

use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId};
use limbic_stream::testing::{Harness, RecordBuilder, check_batch_boundaries, record as build};

use super::*;

fn record(id: u8, to: &'static str, accepted_at: i64) -> RecordBuilder {
    build(topics::INTAKE)
        .key("default/x")
        .value("{}")
        .header(header::TO, to)
        .header(header::ID, vec![id; 16])
        .header(limbic_stream::header::ACCEPTED_AT, accepted_at.to_string())
}

/// The number of posts that were passed on. Ticks also publish progress.
fn posts_of(harness: &Harness<IngestStage>) -> usize {
    let written = harness.outputs().iter();
    written
        .filter(|(_, record)| &*record.topic == topics::POSTS)
        .count()
}

/// Remembers ids and statements for 24 seconds.
fn short_memory() -> Harness<IngestStage> {
    let day = limbic_domain::HumanDuration::from_secs(24);
    let settings = Settings {
        remember: day,
        restatements: day,
        ..Settings::default()
    };
    Harness::new(move || IngestStage::new(&settings)).described_by(IngestStage::spec())
}

fn harness() -> Harness<IngestStage> {
    Harness::new(|| IngestStage::new(&Settings::default())).described_by(IngestStage::spec())
}

#[test]
fn a_post_is_passed_on_once_and_invalid_records_become_dead_letters() {
    let mut harness = harness();
    harness.process([
        record(1, "posts", 0),
        record(1, "posts", 5),
        said(2, 5, sale(1.0, 5)),
        record(3, "moments", 5),
    ]);
    let to = harness.outputs().iter().map(|(_, record)| &*record.topic);
    assert_eq!(to.collect::<Vec<_>>(), ["posts", "outcomes"]);
    assert_eq!(harness.dead_letters().len(), 1);
}

/// A statement as the edge writes it to `intake`. `number` makes it a statement of its own.
fn said(number: u8, accepted_at: i64, outcome: Outcome) -> RecordBuilder {
    let at = Utc::from_millis(1_000 + i64::from(number));
    let id = format!("id of {}", outcome.key);
    let envelope = Envelope::new(TenantId::default(), id, at, outcome);
    record(number, "outcomes", accepted_at).value(envelope.encode())
}

fn sale(value: f64, stated_at: i64) -> Outcome {
    Outcome {
        value: Some(value),
        stated_at: Some(Utc::from_millis(stated_at)),
        ..Outcome::new("d", OutcomeKind::Conversion, "sale")
    }
}

/// Value, time and replaced value of each outcome that passed.
fn passed(harness: &Harness<IngestStage>) -> Vec<(Option<f64>, i64, Option<f64>)> {
    let outcomes = harness.outputs().iter().map(|(_, record)| {
        let outcome = Envelope::<Outcome>::decode(&record.value).unwrap();
        let replaced = outcome.data.replaces.and_then(|replaced| replaced.value);
        (outcome.data.value, outcome.at.as_millis(), replaced)
    });
    outcomes.collect()
}

#[test]
fn a_later_statement_passes_with_what_it_replaces_and_an_earlier_one_does_not_pass() {
    let mut harness = harness();
    let withdrawn = Outcome {
        withdrawn: true,
        ..sale(0.0, 40)
    };
    harness.process([
        said(1, 0, sale(5.0, 10)),
        // The same statement again, and one with the same content.
        said(1, 1, sale(5.0, 10)),
        said(2, 2, sale(5.0, 12)),
        said(3, 3, sale(0.0, 30)),
        said(4, 4, sale(9.0, 20)),
        said(5, 5, withdrawn),
    ]);
    let expected = [
        (Some(5.0), 1_001, None),
        (Some(0.0), 1_001, Some(5.0)),
        (Some(0.0), 1_001, Some(0.0)),
    ];
    assert_eq!(passed(&harness), expected);
    assert!(harness.dead_letters().is_empty());
    // A fresh instance knows the same, and a tie adds nothing.
    harness.restart();
    harness.process([said(6, 6, sale(7.0, 40))]);
    assert_eq!(passed(&harness).len(), 3);
}

#[test]
fn a_statement_is_remembered_for_its_time_and_forgotten_after() {
    let other = |number: u8| Outcome {
        key: format!("other {number}"),
        ..sale(1.0, 1)
    };
    let after = |seconds: u8| {
        let mut harness = short_memory();
        harness.process([said(0, 0, sale(5.0, 10))]);
        for second in 1..=seconds {
            harness.process([said(second, i64::from(second) * 1_000, other(second))]);
        }
        harness.restart();
        harness.tick(Utc::MIN);
        harness.process([said(99, i64::from(seconds) * 1_000, sale(3.0, 20))]);
        *passed(&harness).last().unwrap()
    };
    assert_eq!(after(24), (Some(3.0), 1_000, Some(5.0)), "over the turn");
    assert_eq!(after(48), (Some(3.0), 1_099, None));
}

#[test]
fn what_an_earlier_version_has_accepted_is_a_duplicate_unless_it_is_a_correction() {
    let mut harness = harness();
    let id = crate::admission::seen_id("id of sale");
    let old = build(topics::INTAKE)
        .key("default/x")
        .value("{}")
        .header(header::TO, "posts")
        .header(header::ID, id.to_vec())
        .header(limbic_stream::header::ACCEPTED_AT, "0");
    harness.process([old]);
    let correction = Outcome {
        revision: 1,
        ..sale(2.0, 9)
    };
    harness.process([said(2, 1, sale(5.0, 5)), said(3, 2, correction)]);
    let values: Vec<_> = harness.outputs()[1..]
        .iter()
        .map(|(_, record)| Envelope::<Outcome>::decode(&record.value).unwrap().data.value)
        .collect();
    assert_eq!(values, [Some(2.0)]);
}

#[test]
fn an_id_is_remembered_in_the_next_generation_and_removed_two_generations_later() {
    let after = |seconds: u8| {
        let mut harness = short_memory();
        harness.process([record(0, "posts", 0)]);
        for second in 1..=seconds {
            harness.process([record(second, "posts", i64::from(second) * 1_000)]);
        }
        harness
    };
    let remembered = |harness: &Harness<IngestStage>| {
        let found = REMEMBERED.scan(harness.state(), 0, b"", 99).unwrap();
        found.into_iter().map(|(key, ())| key.id[0]).collect::<Vec<_>>()
    };
    let mut known = after(24);
    known.process([record(0, "posts", 24_001)]);
    assert_eq!(known.outputs().len(), 25, "known over the turn");

    let mut forgotten = after(48);
    assert_eq!(remembered(&forgotten).len(), 49);
    // A fresh instance removes the same ids: the newest generation is part of the state.
    forgotten.restart();
    forgotten.tick(Utc::MIN);
    assert_eq!(remembered(&forgotten), (24..=48).collect::<Vec<_>>());
    forgotten.process([record(0, "posts", 48_001), record(24, "posts", 48_001)]);
    assert_eq!(posts_of(&forgotten), 50);
}

#[test]
fn a_clock_that_is_wrong_for_some_seconds_makes_nothing_new() {
    let sixty_days = 60 * 86_400_000;
    let mut harness = harness();
    for number in 0..100 {
        harness.process([record(number, "posts", i64::from(number) * 1_000)]);
    }
    for number in 100..110 {
        harness.process([record(number, "posts", sixty_days + i64::from(number) * 1_000)]);
    }
    harness.tick(Utc::MIN);
    for number in 0..110 {
        harness.process([record(number, "posts", 200_000 + i64::from(number))]);
    }
    assert_eq!(posts_of(&harness), 110);
}

#[test]
fn batches_restarts_and_moves_do_not_change_what_is_passed_on() {
    let day = |n: i64| n * 86_400_000;
    let records: Vec<Record> = (0..60)
        .map(|n: u8| {
            let (id, at) = (n % 23, day(i64::from(n) / 2));
            record(id, "posts", at).offset(n.into()).build()
        })
        .collect();
    check_batch_boundaries(harness, &records, |harness| {
        harness.tick(Utc::MIN);
    });
    let mut whole = harness();
    whole.process(records.clone());
    let mut moved = harness();
    moved.process(records[..30].iter().cloned());
    moved.move_partition(0);
    moved.process(records[30..].iter().cloned());
    assert_eq!(moved.outputs(), whole.outputs());
}
