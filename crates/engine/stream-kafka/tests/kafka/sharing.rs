//! Available batches share a transaction, which keeps all promises of a transaction.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use limbic_stream::runtime::{RunOptions, StageMeters, count_stages, spawn};
use limbic_stream::{
    Backoff, Batch, BatchLimits, EventTime, Forward, Log, Outputs, Stage, StageError, StageSpec,
    TopicPartition,
};
use limbic_stream_kafka::{KafkaLog, KafkaOptions};

use crate::cluster::{self, address, log, options, record, topic, values};
use crate::patient::{Notes, patient};

const RECORDS: usize = 1_000;
const BATCH: usize = 100;
/// Every n-th record is poison.
const POISON: usize = 250;
const CHILD: &str = "LIMBIC_SHARING_CHILD";

/// Numbers the records that it passes on, with a count in its state.
#[derive(Default)]
struct Numbering {
    batches: AtomicUsize,
    /// The batch at which it fails once.
    fails_at: Option<usize>,
    has_failed: AtomicBool,
    /// The batch at which the process aborts.
    dies_at: Option<usize>,
}

impl Stage for Numbering {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        if self.dies_at == Some(number) {
            std::process::abort();
        }
        for record in &batch.records {
            let value: usize = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
            if value.is_multiple_of(POISON) {
                out.dead(record, "poison", "forced by the test");
                continue;
            }
            let before = out.get(record.partition, b"count")?;
            let count = before.map_or(0, |bytes| {
                std::str::from_utf8(&bytes).unwrap().parse::<u64>().unwrap()
            }) + 1;
            out.put(record.partition, "count", count.to_string());
            let cause = record.cause();
            out.emit_bytes(&cause, "out", "k", record.timestamp, count.to_string());
        }
        if self.fails_at == Some(number) && !self.has_failed.swap(true, Ordering::Relaxed) {
            return Err(StageError::unavailable("wanted", "forced by the test"));
        }
        Ok(())
    }
}

/// A cluster with waiting records.
fn filled(address: &str, options: &KafkaOptions) -> KafkaLog {
    let log = log(address, options, 1);
    log.ensure_topics(&[topic("in.dead", 1)]).unwrap();
    log.publish((0..RECORDS).map(|n| record("in", "k", n)).collect())
        .unwrap();
    log
}

fn spec() -> StageSpec {
    StageSpec::new("stage")
        .reads("in", EventTime::Ignored)
        .writes("out", Forward::Nothing)
        .stateful()
        .batches(BatchLimits {
            records: BATCH,
            ..cluster::limits()
        })
}

/// Runs the stage until all records are processed.
fn run(log: &KafkaLog, notes: &Arc<Notes>, stage: Numbering) {
    let run = RunOptions {
        // Only the number of available batches limits a transaction.
        share_for: cluster::PATIENCE,
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_secs(15)),
        ..RunOptions::default()
    };
    let meters = StageMeters::register(&prometheus::Registry::new()).unwrap();
    let patient = Arc::new(patient(log.clone(), Arc::clone(notes), RECORDS as u64));
    let mut handle = spawn(patient, Box::new(stage), spec(), run, &meters).unwrap();
    let deadline = Instant::now() + cluster::PATIENCE;
    while count_stages(log, &spec()).unwrap().consumed < RECORDS as u64 {
        assert!(Instant::now() < deadline, "{:?}", handle.status());
    }
    handle.stop();
    assert!(handle.join_by(deadline));
}

/// Checks that every record was processed once, in order.
fn check(log: &KafkaLog) {
    let good = RECORDS - RECORDS / POISON;
    let expected: Vec<String> = (1..=good).map(|n| n.to_string()).collect();
    assert_eq!(values(log, "out", 1), expected);
    let poison: Vec<String> = (0..RECORDS)
        .step_by(POISON)
        .map(|value| value.to_string())
        .collect();
    assert_eq!(values(log, "in.dead", 1), poison);

    let counts = count_stages(log, &spec()).unwrap();
    assert_eq!((counts.consumed, counts.lag), (RECORDS as u64, 0));
    assert_eq!(counts.produced["out"], good as u64);
    assert_eq!(counts.dead["in"]["poison"], poison.len() as u64);

    let mut heir = log.subscribe(cluster::subscription("b")).unwrap();
    cluster::join(&mut *heir, 1);
    let count = heir.state().get(0, b"count").unwrap().unwrap();
    assert_eq!(count, good.to_string());
    heir.close().unwrap();
}

#[test]
fn available_batches_share_a_transaction() {
    let Some(address) = address() else { return };
    let log = filled(&address, &options());
    let notes = Arc::new(Notes::default());
    run(&log, &notes, Numbering::default());
    check(&log);
    let batches = notes.committed();
    assert!(batches[0] > 1, "batches by transaction: {batches:?}");
}

#[test]
fn an_abort_repeats_every_batch_of_the_transaction() {
    let Some(address) = address() else { return };
    let log = filled(&address, &options());
    let notes = Arc::new(Notes::default());
    notes.abort_next();
    run(&log, &notes, Numbering::default());
    check(&log);
    assert!(notes.aborted()[0] > 1, "{:?}", notes.aborted());
    let batches = notes.committed();
    assert_eq!(
        batches[0], 1,
        "after the abort, one batch has its own transaction; batches by transaction: {batches:?}"
    );
    assert!(batches[1..].iter().any(|batches| *batches > 1), "{batches:?}");
}

#[test]
fn a_batch_that_must_be_retried_does_not_delay_the_batches_before_it() {
    let Some(address) = address() else { return };
    let log = filled(&address, &options());
    let notes = Arc::new(Notes::default());
    let stage = Numbering {
        fails_at: Some(3),
        ..Numbering::default()
    };
    run(&log, &notes, stage);
    check(&log);
    let batches = notes.committed();
    // Three batches and the failed one, of which nothing was committed.
    assert_eq!(batches[..2], [4, 1], "batches by transaction: {batches:?}");
}

#[test]
fn a_kill_between_batches_of_one_transaction_neither_loses_nor_doubles() {
    let Some(address) = address() else { return };
    let options = options();
    let log = filled(&address, &options);
    let died = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sharing::child", "--test-threads", "1"])
        .env(CHILD, format!("{address} {}", options.prefix))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!died.success(), "the child should abort");
    let from_the_start = TopicPartition {
        topic: "out".into(),
        partition: 0,
    };
    assert_eq!(log.read(&from_the_start, 0, 1).unwrap(), []);
    assert_eq!(count_stages(&log, &spec()).unwrap().consumed, 0);

    run(&log, &Arc::default(), Numbering::default());
    check(&log);
}

/// The main function of a child process. It is not a test.
#[test]
fn child() {
    let Ok(job) = std::env::var(CHILD) else { return };
    let (address, prefix) = job.split_once(' ').unwrap();
    let options = options().prefixed(prefix);
    let log = KafkaLog::connect(address, options).unwrap();
    let stage = Numbering {
        dies_at: Some(3),
        ..Numbering::default()
    };
    run(&log, &Arc::default(), stage);
}
