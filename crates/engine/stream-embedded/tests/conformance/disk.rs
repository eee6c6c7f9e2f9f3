//! Tests that only a log on a local disk needs: a second process, a torn tail, a full disk; and retention.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::{BatchLimits, Error, Log, Retention, Skipped, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

use crate::{compaction, options};
use limbic_stream::testing::conformance::client::{Client, all_of, limits, new_record_in, numbered, values};

const SCENARIO: &str = "LIMBIC_SCENARIO";

/// Runs the child's part of a test, if this process is a child. Failpoints are global to a process, so they need one.
fn run_child_if_asked() {
    let Ok(scenario) = std::env::var(SCENARIO) else {
        return;
    };
    let (name, path) = scenario.split_once(' ').unwrap();
    let path = Path::new(path);
    match name {
        "refused" => {
            let error = EmbeddedLog::open(path, options()).err().unwrap();
            assert!(matches!(error, Error::InUse { .. }), "{error}");
        }
        "half-written" => leave_half_written(path),
        "full" => meet_a_full_disk(path),
        "failing" => meet_a_failing_disk(path),
        step if step.starts_with("compaction::") => compaction::die_at(step, path),
        other => panic!("there is no scenario `{other}`"),
    }
}

/// The main function of a child process. It is not a test.
#[test]
fn child() {
    run_child_if_asked();
}

/// Runs a scenario in a child process. Returns whether it finished, and its output.
pub(crate) fn run(name: &str, path: &Path) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::child", "--test-threads", "1", "--nocapture"])
        .env(SCENARIO, format!("{name} {}", path.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

fn open(path: &Path) -> Arc<dyn Log> {
    Arc::new(EmbeddedLog::open(path, options()).unwrap())
}

fn topic(log: &Arc<dyn Log>, name: &str, retention: Retention) -> Arc<str> {
    log.ensure_topics(&[TopicSpec::new(name, 1).kept(retention)])
        .unwrap();
    name.into()
}

fn write(log: &Arc<dyn Log>, topic: &Arc<str>, values: &[String]) -> limbic_stream::Result<()> {
    log.publish(
        values
            .iter()
            .map(|value| new_record_in(topic, 0, value))
            .collect(),
    )
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let (passed, said) = run("refused", folder.path());
    assert!(passed, "{said}");
    log.close().unwrap();
    open(folder.path()).close().unwrap();
}

#[test]
fn calls_of_a_closed_log_fail_with_closed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let topic = topic(&log, "t", Retention::default());
    let mut client = Client::join(&log, "g", "a", std::slice::from_ref(&topic));
    client.hold(1);
    let patient = BatchLimits {
        linger: Duration::from_mins(1),
        ..limits()
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.poll(&patient));
        log.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    });
    assert!(matches!(client.consumer.rewind(), Err(Error::Closed)));
    assert!(matches!(
        write(&log, &topic, &numbered("", 1)),
        Err(Error::Closed)
    ));
    log.close().unwrap();
}

#[test]
fn a_record_above_the_size_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let topic = topic(&log, "t", Retention::default());
    let limit = options().max_record_bytes;
    let error = write(&log, &topic, &["x".repeat(limit)]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    write(&log, &topic, &["x".repeat(limit - "key".len())]).unwrap();
}

#[test]
fn a_log_whose_creation_was_interrupted_is_created_again() {
    for leave in ["0.jnl", "version", "both"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keyspaces")).unwrap();
        std::fs::write(folder.path().join("lock"), b"").unwrap();
        if leave != "version" {
            std::fs::write(folder.path().join("0.jnl"), vec![0; 1_000]).unwrap();
        }
        if leave != "0.jnl" {
            std::fs::write(folder.path().join("version"), b"").unwrap();
        }
        let log = open(folder.path());
        let topic = topic(&log, "t", Retention::default());
        write(&log, &topic, &numbered("", 3)).unwrap();
        log.close().unwrap();
        drop(log);
        // Records are never thrown away because of a version file.
        std::fs::write(folder.path().join("version"), b"").unwrap();
        assert!(EmbeddedLog::open(folder.path(), options()).is_err(), "{leave}");
    }
}

/// In a child process: three batches are acknowledged, and a fourth is written but not flushed.
fn leave_half_written(path: &Path) {
    let log = open(path);
    let topic = topic(&log, "t", Retention::default());
    for batch in numbered("", 30).chunks(10) {
        write(&log, &topic, batch).unwrap();
    }
    fail::cfg_callback("commit::after-write-before-sync", || std::process::abort()).unwrap();
    let _ = write(&log, &topic, &[noise(100_000)]);
}

/// Text that cannot be compressed, so its size on disk equals its length.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    };
    std::iter::repeat_with(letter).take(length).collect()
}

fn newest_journal(path: &Path) -> PathBuf {
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .max_by_key(number)
        .unwrap()
}

/// A machine that loses power may keep any part of the data that was not flushed. In every case the log opens, and all
/// acknowledged records exist.
#[test]
fn a_half_written_last_batch_is_cut_off() {
    let made = tempfile::tempdir().unwrap();
    let (passed, _) = run("half-written", made.path());
    assert!(!passed, "the child should abort");
    let journal = std::fs::read(newest_journal(made.path())).unwrap();
    let end = journal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // The last batch has about 100,000 bytes. It gets a hole, or loses its end.
    let holes = [
        (end - 100_100, 4),
        (end - 50_000, 4_096),
        (end - 90_000, 8),
        (end - 13, 13),
        (end - 4, 4),
        (end - 40_000, 40_000),
    ];
    for (start, length) in holes {
        let folder = tempfile::tempdir().unwrap();
        copy(made.path(), folder.path());
        let mut torn = journal.clone();
        torn[start..start + length].fill(0);
        std::fs::write(newest_journal(folder.path()), &torn).unwrap();
        let log = open(folder.path());
        let topic: Arc<str> = "t".into();
        assert_eq!(values(&all_of(&log, &topic)), numbered("", 30), "hole at {start}");
        write(&log, &topic, &["after".into()]).unwrap();
        log.close().unwrap();
        let log = open(folder.path());
        assert_eq!(all_of(&log, &topic).len(), 31, "hole at {start}");
    }
}

/// Changes the bytes of a journal.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Damage before acknowledged records is never taken for a torn tail, whatever it hits.
#[test]
fn a_damaged_journal_is_refused_and_a_repair_says_what_is_lost() {
    let made = tempfile::tempdir().unwrap();
    let log = open(made.path());
    let topic = topic(&log, "t", Retention::default());
    for n in 0..30 {
        write(&log, &topic, &[format!("{n:05}")]).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let mut whole = std::fs::read(newest_journal(made.path())).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    whole.truncate(end);
    std::fs::write(newest_journal(made.path()), &whole).unwrap();
    let place = whole.windows(5).position(|bytes| bytes == b"00015").unwrap();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let folder = tempfile::tempdir().unwrap();
        copy(made.path(), folder.path());
        let mut journal = whole.clone();
        change(&mut journal);
        std::fs::write(newest_journal(folder.path()), &journal).unwrap();
        folder
    };
    let changes: [(&str, Damage<'_>); 4] = [
        ("another byte", &|journal| journal[place] = b'9'),
        ("a zeroed page", &|journal| {
            journal[place - 200..place + 200].fill(0);
        }),
        ("an end tag", &|journal| {
            let tag = journal[..place]
                .windows(4)
                .rposition(|bytes| bytes == b"FJL\x03")
                .unwrap()
                - 9;
            journal[tag] ^= 4;
        }),
        ("a start tag", &|journal| {
            let tag = journal[..place]
                .windows(4)
                .rposition(|bytes| bytes == b"FJL\x03")
                .unwrap()
                + 4;
            journal[tag] ^= 4;
        }),
    ];
    for (name, change) in changes {
        let folder = damaged(change);
        let error = EmbeddedLog::open(folder.path(), options()).err().unwrap();
        assert!(matches!(error, Error::Corrupt(_)), "{name}: {error}");
        assert!(error.to_string().contains("limbic log repair"), "{error}");
        let found = EmbeddedLog::damages(folder.path()).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        assert!((10..=15).contains(&found[0].later_records), "{name}: {found:?}");
        let kept = EmbeddedLog::repair(folder.path()).unwrap();
        assert_eq!(std::fs::read(&kept[0]).unwrap().len(), whole.len(), "{name}");
        let log = open(folder.path());
        let left = values(&all_of(&log, &topic));
        assert!(
            (14..=15).contains(&left.len()) && left == numbered("", left.len()),
            "{name}: {left:?}"
        );
        write(&log, &topic, &["after".into()]).unwrap();
        log.close().unwrap();
    }
    // One bit of every byte of a batch with another behind it: the log opens with everything, or refuses, but it never opens with
    // less.
    let last = whole[..end - 20]
        .windows(4)
        .rposition(|bytes| bytes == b"FJL\x03")
        .unwrap()
        + 4;
    let first = whole.windows(5).position(|bytes| bytes == b"00028").unwrap() - 100;
    for position in first..last {
        let folder = damaged(&|journal| journal[position] ^= 1);
        match EmbeddedLog::open(folder.path(), options()) {
            Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{position}: {error}"),
            Ok(log) => {
                let log: Arc<dyn Log> = Arc::new(log);
                assert_eq!(all_of(&log, &topic).len(), 30, "{position}");
                log.close().unwrap();
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A small separate disk, unmounted when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Needs root. Without it, prints a notice and returns `None`.
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("\n*** SKIPPED: a small disk cannot be mounted (only root can) ***\n");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_refuses_writes_until_space_is_free() {
    let Some(disk) = SmallDisk::mount(96) else {
        return;
    };
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![1; 40 << 20]).unwrap();
    let path = disk.0.path().join("log");
    let log = open(&path);
    let topic = topic(&log, "t", Retention::default());
    let batch = |number: usize| vec![format!("{number:05} {}", "x".repeat(1 << 20))];
    let mut acknowledged = 0;
    let error = loop {
        match write(&log, &topic, &batch(acknowledged)) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(acknowledged > 5, "{acknowledged}");
    assert_eq!(all_of(&log, &topic).len(), acknowledged);
    std::fs::remove_file(filler).unwrap();
    write(&log, &topic, &batch(acknowledged)).unwrap();
    log.close().unwrap();
    drop(log);
    let log = open(&path);
    let found = values(&all_of(&log, &topic));
    let expected: Vec<String> = (0..=acknowledged).flat_map(batch).collect();
    assert!(
        found == expected,
        "every acknowledged record is stored once, in order"
    );
    log.close().unwrap();
}

#[test]
fn a_simulated_full_disk_refuses_writes_until_space_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let (passed, said) = run("full", folder.path());
    assert!(passed, "{said}");
}

/// In a child process: the system reports that the disk is full.
fn meet_a_full_disk(path: &Path) {
    let log = open(path);
    let topic = topic(&log, "t", Retention::default());
    write(&log, &topic, &numbered("", 1)).unwrap();
    fail::cfg("space::available", "return(1000)").unwrap();
    let error = write(&log, &topic, &["refused".into()]).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    let mut client = Client::join(&log, "g", "a", std::slice::from_ref(&topic));
    let records = client.take(1);
    let error = client.pass(&records, &topic).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    fail::remove("space::available");
    client.pass(&records, &topic).unwrap();
    assert_eq!(values(&all_of(&log, &topic)), ["00000", "00000"]);
}

#[test]
fn failed_writes_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (passed, said) = run("failing", folder.path());
    assert!(passed, "{said}");
}

/// In a child process: writes fail before and after they have reached the journal.
fn meet_a_failing_disk(path: &Path) {
    let log = open(path);
    let topic = topic(&log, "t", Retention::default());
    let other = Retention {
        age: Some(Duration::from_hours(1)),
        ..Retention::default()
    };
    let output = self::topic(&log, "out", other);
    write(&log, &topic, &numbered("", 10)).unwrap();
    let mut client = Client::join(&log, "g", "a", std::slice::from_ref(&topic));
    let records = client.take(10);
    // The write failed before it reached the journal. It had no effect, and the same call succeeds.
    fail::cfg("commit::refused", "1*return").unwrap();
    let error = client.pass(&records[..4], &output).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(all_of(&log, &output).is_empty());
    client.pass(&records[..4], &output).unwrap();
    // The write is in the journal, and then the flush failed. It is taken back and made again.
    fail::cfg("commit::sync-failed", "1*return").unwrap();
    client.pass(&records[4..], &output).unwrap();
    assert_eq!(values(&all_of(&log, &output)), numbered("", 10));
    client.consumer.rewind().unwrap();
    assert!(
        client
            .consumer
            .positions()
            .unwrap()
            .iter()
            .all(|(_, next, end)| next == end)
    );
    write(&log, &topic, &["later".into()]).unwrap();
    let records = client.take(1);
    assert_eq!(values(&records), ["later"]);
    // The outcome is unknown until the log opens again. The member receives an error that says so and loses its
    // membership, its partition stays assigned, and the next member finds the outcome.
    fail::cfg("commit::sync-failed", "1*return").unwrap();
    fail::cfg("store::open", "1*return").unwrap();
    let error = client.pass(&records, &output).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let error = client.pass(&records, &output).unwrap_err();
    assert!(error.is_fenced(), "{error}");
    let mut client = Client::join(&log, "g", "a", std::slice::from_ref(&topic));
    let again = client.take(1);
    // Nobody was told that it is stored, and the disk has refused it: it is not.
    assert_eq!(again, records);
    assert_eq!(values(&all_of(&log, &output)), numbered("", 10));
    client.pass(&again, &output).unwrap();
    drop(client);
    log.close().unwrap();
    let expected = [numbered("", 10), vec!["later".into()]].concat();
    assert_eq!(values(&all_of(&open(path), &output)), expected);
}

fn span(log: &Arc<dyn Log>, topic: &Arc<str>) -> (u64, u64) {
    let info = log.topics().unwrap();
    info.into_iter().find(|info| info.name == *topic).unwrap().offsets[0]
}

fn folders(path: &Path) -> usize {
    std::fs::read_dir(path.join("keyspaces")).unwrap().count()
}

#[test]
fn what_a_group_has_not_read_is_held_back_and_its_loss_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let small = EmbeddedOptions {
        segment_bytes: 20_000,
        ..options()
    };
    let embedded = Arc::new(EmbeddedLog::open(folder.path(), small).unwrap());
    let log: Arc<dyn Log> = embedded.clone();
    let limited = Retention {
        bytes: Some(50_000),
        age: None,
    };
    let topic = topic(&log, "t", limited);
    let mut client = Client::join(&log, "slow", "a", std::slice::from_ref(&topic));
    write(&log, &topic, &numbered("", 8)).unwrap();
    let records = client.take(8);
    client
        .pass(&records, &self::topic(&log, "out", Retention::default()))
        .unwrap();
    drop(client);
    let kilobyte = "x".repeat(1_000);
    let batch =
        |n: usize| -> Vec<String> { (0..10).map(|i| format!("{:05}{kilobyte}", n * 10 + i)).collect() };
    for n in 0..15 {
        write(&log, &topic, &batch(n)).unwrap();
    }
    // 150,000 bytes are more than the topic keeps, and the group has read next to nothing.
    embedded.retain(Utc::now()).unwrap();
    assert_eq!(span(&log, &topic), (0, 158));
    // Beyond the hard limit of 200,000 bytes, the disk matters more.
    for n in 15..60 {
        write(&log, &topic, &batch(n)).unwrap();
    }
    embedded.retain(Utc::now()).unwrap();
    let (earliest, end) = span(&log, &topic);
    assert!((350..420).contains(&earliest), "{earliest}");
    let mut client = Client::join(&log, "slow", "a", std::slice::from_ref(&topic));
    let records = client.take((end - earliest) as usize);
    assert_eq!(records[0].offset, earliest);
    let partition = limbic_stream::TopicPartition {
        topic: topic.clone(),
        partition: 0,
    };
    let skipped = Skipped {
        partition,
        records: earliest - 8,
        next: end,
    };
    assert_eq!(client.consumer.skipped(), [skipped]);
    assert_eq!(client.consumer.skipped(), [], "told once");
    // What every group has read is not held back.
    client.pass(&records, &"out".into()).unwrap();
    embedded.retain(Utc::now()).unwrap();
    assert!(span(&log, &topic).0 >= 500, "{:?}", span(&log, &topic));
}

#[test]
fn retention_by_size_drops_the_oldest_segments() {
    let folder = tempfile::tempdir().unwrap();
    let small = EmbeddedOptions {
        segment_bytes: 50_000,
        ..options()
    };
    let embedded = Arc::new(EmbeddedLog::open(folder.path(), small.clone()).unwrap());
    let log: Arc<dyn Log> = embedded.clone();
    let short = topic(
        &log,
        "short",
        Retention {
            bytes: Some(200_000),
            age: None,
        },
    );
    let forever = topic(&log, "forever", Retention::default());
    let mut client = Client::join(&log, "g", "a", std::slice::from_ref(&short));
    client.hold(1);
    let kilobyte = "x".repeat(1_000);
    for i in 0..60 {
        let batch: Vec<String> = (0..10).map(|j| format!("{:05}{kilobyte}", i * 10 + j)).collect();
        write(&log, &short, &batch).unwrap();
        write(&log, &forever, &batch).unwrap();
    }
    embedded.retain(Utc::now()).unwrap();
    let (earliest, end) = span(&log, &short);
    assert_eq!(end, 600);
    // At least 200,000 bytes are kept, and at most two segments more.
    assert!((250..=401).contains(&earliest), "{earliest}");
    assert_eq!(span(&log, &forever), (0, 600));
    assert_eq!(all_of(&log, &forever).len(), 600);
    let kept = all_of(&log, &short);
    assert_eq!(kept.first().unwrap().offset, earliest);
    assert_eq!(kept.len() as u64, end - earliest);
    // A reader that was behind continues at the earliest record.
    let records = client.take(1);
    assert_eq!(records[0].offset, earliest);
    drop(client);
    let before = folders(folder.path());
    assert!(before < 12, "dropped segments leave the disk: {before} keyspaces");
    drop(log);
    embedded.close().unwrap();
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder.path(), small).unwrap());
    assert_eq!(span(&log, &short), (earliest, end));
    assert_eq!(all_of(&log, &short), kept);
}

#[test]
fn records_of_a_transient_topic_leave_the_disk_after_every_reader_has_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let specs = [
        TopicSpec::new("passing", 1).transient(Retention::default()),
        TopicSpec::new("also", 1).transient(Retention::default()),
        TopicSpec::new("kept", 1),
    ];
    log.ensure_topics(&specs).unwrap();
    let topics = ["passing", "also", "kept"].map(Arc::<str>::from);
    for i in 0..40 {
        for topic in &topics {
            write(&log, topic, &[format!("{i:05}{}", noise(50_000))]).unwrap();
        }
    }
    let before = |topic: &Arc<str>, offset: u64| {
        let partition = limbic_stream::TopicPartition {
            topic: topic.clone(),
            partition: 0,
        };
        (partition, offset)
    };
    let refused = log.trim(&[before(&topics[2], 40)]).unwrap_err();
    assert!(matches!(refused, Error::Settings(_)), "{refused}");
    // One of the two topics that share the segment still needs it.
    log.trim(&[before(&topics[0], 40), before(&topics[1], 39)])
        .unwrap();
    assert_eq!(span(&log, &topics[0]), (0, 40));
    log.trim(&[before(&topics[1], 40)]).unwrap();
    assert_eq!(
        span(&log, &topics[0]),
        (40, 40),
        "an offset is never assigned twice"
    );
    assert_eq!(span(&log, &topics[1]), (40, 40));
    assert_eq!(span(&log, &topics[2]), (0, 40));
    write(&log, &topics[0], &["after".into()]).unwrap();
    log.close().unwrap();
    let log = open(folder.path());
    assert_eq!(span(&log, &topics[0]), (40, 41), "also after reopening");
    assert_eq!(values(&all_of(&log, &topics[0])), ["after"]);
    assert_eq!(all_of(&log, &topics[2]).len(), 40);
}

#[test]
fn retention_by_age_drops_old_segments_and_keeps_the_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Arc::new(EmbeddedLog::open(folder.path(), options()).unwrap());
    let log: Arc<dyn Log> = embedded.clone();
    let hour = Retention {
        bytes: None,
        age: Some(Duration::from_hours(1)),
    };
    let (left, right) = (topic(&log, "left", hour), topic(&log, "right", hour));
    for topic in [&left, &right] {
        write(&log, topic, &numbered("", 20)).unwrap();
    }
    let now = Utc::now();
    embedded.retain(now).unwrap();
    assert_eq!(span(&log, &left), (0, 20));
    embedded.retain(now.plus_millis(2 * 3_600_000)).unwrap();
    for topic in [&left, &right] {
        assert_eq!(span(&log, topic), (20, 20));
        assert!(all_of(&log, topic).is_empty());
    }
    embedded.close().unwrap();
    drop((log, embedded));
    let log = open(folder.path());
    assert_eq!(span(&log, &left), (20, 20));
    write(&log, &left, &["on".into()]).unwrap();
    let records = all_of(&log, &left);
    assert_eq!((records[0].offset, records.len()), (20, 1));
}
