//! The tests of [`harness`](super).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::StateReader;
use crate::testing::record;

/// Counts the records of each key. Its fields can make it break the contract in several ways.
#[derive(Default)]
struct Count {
    remembers: u64,
    breaks: Breaks,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Breaks {
    #[default]
    Nothing,
    /// The count is kept in a field.
    Field,
    /// One output a batch.
    Boundaries,
}

impl Stage for Count {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            if &record.value[..] == b"poison" {
                return Err(StageError::poison("poison", "cannot be counted"));
            }
            assert_ne!(&record.value[..], b"panic", "asked to");
            if &record.value[..] == b"later" {
                return Err(StageError::unavailable("later", "not now"));
            }
            let seen = out.get(record.partition, &record.key)?;
            let mut count = seen.map_or(0, |bytes| u64::from(bytes[0])) + 1;
            match self.breaks {
                Breaks::Nothing => {}
                Breaks::Field => {
                    self.remembers += 1;
                    count = self.remembers;
                }
                Breaks::Boundaries => count = batch.records.len() as u64,
            }
            out.put(record.partition, record.key.clone(), vec![count as u8]);
            out.emit_bytes(
                &record.cause(),
                "counts",
                "k",
                record.timestamp,
                count.to_string(),
            );
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for partition in partitions {
            let cause = crate::Cause::of_partition(*partition);
            out.emit_bytes(&cause, "ticks", "k", now, self.remembers.to_string());
        }
        Ok(())
    }
}

fn harness(breaks: Breaks) -> Harness<Count> {
    Harness::new(move || Count { remembers: 0, breaks })
}

fn post(key: &'static str) -> RecordBuilder {
    record("posts").key(key)
}

fn counts(harness: &Harness<Count>) -> Vec<&[u8]> {
    harness
        .outputs()
        .iter()
        .map(|(_, record)| &record.value[..])
        .collect()
}

fn message(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn effects_are_committed_once_although_each_call_is_repeated() {
    let mut harness = harness(Breaks::Nothing);
    harness.process([post("a"), post("b"), post("a")]);
    assert_eq!(counts(&harness), [b"1", b"1", b"2"]);
    harness.process([post("a")]);
    assert_eq!(harness.state().get(0, b"a").unwrap().unwrap()[..], [3]);
    assert_eq!(harness.state().len(), 2);
}

#[test]
fn a_stage_that_counts_in_a_field_fails_the_test() {
    let text = message(|| {
        harness(Breaks::Field).process([post("a")]);
    });
    assert!(text.contains("the same call on the same stage"), "{text}");
}

#[test]
fn a_stage_that_depends_on_its_own_past_fails_on_a_fresh_instance() {
    let mut harness = harness(Breaks::Nothing);
    harness.process([post("a")]);
    harness.stage().remembers = 7;
    let text = message(|| {
        harness.tick(Utc::from_millis(1));
    });
    assert!(text.contains("a fresh instance"), "{text}");
}

#[test]
fn with_once_a_stage_may_depend_on_something_outside() {
    let mut harness = harness(Breaks::Field).once();
    harness.process([post("a"), post("a")]);
    assert_eq!(counts(&harness), [b"1", b"2"]);
}

#[test]
fn an_aborted_batch_changes_nothing_and_a_restart_keeps_committed_state() {
    let mut harness = harness(Breaks::Nothing);
    harness.process_aborted([post("a")]).unwrap();
    assert!(harness.state().is_empty() && harness.outputs().is_empty());
    harness.process([post("a")]);
    harness.restart();
    harness.process([post("a")]);
    assert_eq!(counts(&harness), [b"1", b"2"]);
}

#[test]
fn a_partition_moves_with_its_state_and_the_others_stay() {
    let mut harness = harness(Breaks::Nothing);
    harness.process([post("a"), post("b").partition(1)]);
    harness.move_partition(1);
    assert_eq!(harness.instances.len(), 2);
    harness.process([post("a"), post("b").partition(1)]);
    assert_eq!(counts(&harness), [b"1", b"1", b"2", b"2"]);
    assert_eq!(harness.numbers_of(1).collect::<Vec<_>>(), [1]);
}

#[test]
fn poison_and_panics_become_dead_letters_and_a_retry_is_an_error() {
    let mut harness = harness(Breaks::Nothing);
    harness.process([post("a"), post("a").value("poison"), post("a").value("panic")]);
    let dead = harness.dead_letters().iter();
    let dead: Vec<_> = dead.map(|letter| (letter.record.offset, letter.reason)).collect();
    assert_eq!(dead, [(1, "poison"), (2, "panic")]);
    let error = harness.try_process([post("a").value("later")]).unwrap_err();
    assert_eq!(error.reason, "later");
    assert_eq!(counts(&harness), [b"1"]);
}

#[test]
fn batch_boundaries_that_change_a_result_fail_the_test() {
    let records: Vec<Record> = (0..20)
        .map(|n| post(if n % 3 == 0 { "a" } else { "b" }).offset(n).build())
        .collect();
    check_batch_boundaries(
        || harness(Breaks::Nothing),
        &records,
        |harness| {
            harness.tick(Utc::from_millis(1));
        },
    );
    let text = message(|| check_batch_boundaries(|| harness(Breaks::Boundaries), &records, |_| {}));
    assert!(text.contains("one record a batch"), "{text}");
}

/// Answers each record with the value of a reference table.
struct LookUp;

impl Stage for LookUp {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            let found = out.reference("prices")?.value("tea").cloned();
            out.emit_bytes(
                &record.cause(),
                "out",
                "k",
                record.timestamp,
                found.unwrap_or_default(),
            );
        }
        Ok(())
    }
}

#[test]
fn an_update_of_a_reference_table_is_seen_from_the_next_call_on() {
    let mut harness = Harness::new(|| LookUp);
    for price in ["1", "2"] {
        harness.set_references(References::default().with("prices", [("tea", price)]));
        harness.process([post("a")]);
    }
    let written = harness.outputs().iter().map(|(_, record)| &record.value[..]);
    assert_eq!(written.collect::<Vec<_>>(), [b"1", b"2"]);
}

#[test]
fn a_topic_that_the_description_does_not_name_fails_the_test() {
    let spec = StageSpec::new("count").reads("posts", crate::EventTime::Ignored);
    let text = message(|| {
        harness(Breaks::Nothing)
            .described_by(spec.clone())
            .process([post("a")]);
    });
    assert!(text.contains("wrote to `counts`"), "{text}");
    let text = message(|| {
        harness(Breaks::Nothing)
            .described_by(spec)
            .process([record("else")]);
    });
    assert!(text.contains("does not read `else`"), "{text}");
}
