//! Processes that are killed at every step of a commit.
//!
//! A test starts this test binary again as a child process. The child passes records from one topic to another and aborts
//! itself at a failpoint. Then the test checks the result.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{BatchLimits, Log};

use super::Backend;
use super::client::{Client, all_of, limits, new_record_in, numbered, sorted};

const JOB: &str = "LIMBIC_CRASH_JOB";
const RECORDS: usize = 60;
const PARTITIONS: u32 = 2;

/// The job of a child: an address, a step and the number of its passage at which to abort (none = not at all), a group,
/// two topics.
struct Job {
    address: String,
    step: String,
    passage: usize,
    group: String,
    input: String,
    output: String,
}

/// Runs the child's job, if this process is a child.
pub fn run_child_if_asked(open: fn(&str) -> Arc<dyn Log>) {
    let Ok(job) = std::env::var(JOB) else {
        return;
    };
    let mut parts = job.split('\n').map(str::to_owned);
    let mut part = || parts.next().unwrap();
    let job = Job {
        address: part(),
        step: part(),
        passage: part().parse().unwrap(),
        group: part(),
        input: part(),
        output: part(),
    };
    let log = open(&job.address);
    let passages = AtomicUsize::new(0);
    if !job.step.is_empty() {
        let passage = job.passage;
        fail::cfg_callback(job.step.as_str(), move || {
            if passages.fetch_add(1, Ordering::SeqCst) == passage {
                std::process::abort();
            }
        })
        .unwrap();
    }
    let output: Arc<str> = job.output.as_str().into();
    let mut client = Client::join(&log, &job.group, "a", &[job.input.as_str().into()]);
    let small = BatchLimits {
        records: 9,
        ..limits()
    };
    let total = |log| all_of(log, &output).len();
    while total(&log) < RECORDS {
        if let crate::Polled::Records(records) = client.poll(&small).unwrap() {
            client.pass(&records, &output).unwrap();
        }
    }
    client.consumer.close().unwrap();
    log.close().unwrap();
}

/// Runs a child. Returns whether it finished.
fn run(job: &Job) -> bool {
    let job = [
        &job.address,
        &job.step,
        &job.passage.to_string(),
        &job.group,
        &job.input,
        &job.output,
    ]
    .map(String::as_str)
    .join("\n");
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--test-threads", "1"])
        .env(JOB, job)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

pub fn a_kill_at_any_step_of_a_commit_neither_loses_nor_doubles(backend: &mut dyn Backend) {
    let written = numbered("", RECORDS);
    for (round, step) in backend.steps().iter().enumerate() {
        let topics = backend.topics(&[&format!("in-{round}"), &format!("out-{round}")], PARTITIONS);
        let records = written
            .iter()
            .enumerate()
            .map(|(i, value)| new_record_in(&topics[0], i as u32 % PARTITIONS, value));
        backend.log().publish(records.collect()).unwrap();
        let mut job = Job {
            address: backend.address(),
            step: (*step).into(),
            passage: 0,
            group: format!("g-{round}"),
            input: topics[0].to_string(),
            output: topics[1].to_string(),
        };
        for passage in [0, 1, 3] {
            job.passage = passage;
            let mut finished = true;
            backend.lend(&mut || finished = run(&job));
            assert!(!finished, "the child should abort at {step}, passage {passage}");
            check(backend, &job, &topics, &written);
        }
        job.step.clear();
        let mut finished = false;
        backend.lend(&mut || finished = run(&job));
        assert!(finished, "a child without a failpoint should finish");
        check(backend, &job, &topics, &written);
        assert_eq!(sorted(&all_of(&backend.log(), &topics[1])), written);
    }
}

/// Checks that the output contains exactly the input records that the group has read.
fn check(backend: &dyn Backend, job: &Job, topics: &[Arc<str>], written: &[String]) {
    let log = backend.log();
    let progress = log.progress(&job.group, &topics[..1]).unwrap();
    let read: Vec<_> = all_of(&log, &topics[0])
        .into_iter()
        .filter(|record| {
            progress.iter().any(|progress| {
                progress.committed.partition.partition == record.partition
                    && record.offset < progress.committed.next
            })
        })
        .collect();
    assert_eq!(sorted(&all_of(&log, &topics[1])), sorted(&read));
    assert_eq!(sorted(&all_of(&log, &topics[0])), written);
}
