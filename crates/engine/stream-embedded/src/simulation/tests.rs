//! The runs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limbic_domain::Utc;
use limbic_domain::random::Random;
use limbic_stream::runtime::count_stages;
use limbic_stream::verify::{verify_progress, verify_records};
use limbic_stream::{
    BatchLimits, Committed, Headers, Log as _, NewRecord, Retention, Subscription, TopicPartition, TopicSpec,
};

use super::files::{End, OpenOptions, World, world};
use super::log::{Handle, Simulated};
use super::schedule::{instance, run, started};
use super::stages::Pass;
use crate::EmbeddedOptions;
use crate::commit::Request;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `LIMBIC_SIMULATE_SCHEDULES` schedules from the seed `LIMBIC_SIMULATE_FROM` on `LIMBIC_SIMULATE_THREADS` threads; or the
/// one of `LIMBIC_SIMULATE_SEED`.
#[test]
fn nothing_is_lost_or_doubled_in_any_schedule() {
    if let Some(seed) = setting("LIMBIC_SIMULATE_SEED") {
        let outcome = run(seed, true);
        assert_eq!(outcome.violation, None, "seed {seed}: {outcome:?}");
        return;
    }
    let schedules = setting("LIMBIC_SIMULATE_SCHEDULES").unwrap_or(400);
    let from = setting("LIMBIC_SIMULATE_FROM").unwrap_or(0);
    let next = AtomicU64::new(0);
    let total: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let start = started();
    std::thread::scope(|scope| {
        for _ in 0..setting("LIMBIC_SIMULATE_THREADS").unwrap_or(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= schedules {
                        return;
                    }
                    let seed = from + number;
                    let outcome = run(seed, false);
                    assert!(
                        outcome.violation.is_none(),
                        "seed {seed}: {}. `LIMBIC_SIMULATE_SEED={seed} cargo test -p limbic-stream-embedded --lib simulation` repeats it",
                        outcome.violation.unwrap_or_default()
                    );
                    let mut total = total.lock().expect("no thread panics with it");
                    *total.entry("posts").or_default() += outcome.posts as u64;
                    for (kind, times) in outcome.met {
                        *total.entry(kind).or_default() += times;
                    }
                    if number.is_multiple_of(5_000) && number > 0 {
                        eprintln!("{number} of {schedules} schedules, {} s", start.elapsed().as_secs());
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no thread has panicked");
    eprintln!(
        "{schedules} schedules from seed {from}, {} s: {total:?}",
        start.elapsed().as_secs()
    );
    // The run means something only if faults happen.
    for kind in [
        "died",
        "power lost",
        "flush failed",
        "write failed",
        "interrupted",
        "database stepped back",
    ] {
        assert!(
            total.get(kind).is_some_and(|times| *times > 0),
            "no schedule has met `{kind}`"
        );
    }
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..30 {
        assert_eq!(run(seed, false), run(seed, false), "seed {seed}");
    }
}

/// A change of the catalogue is on the disk although its flush failed: the log follows the disk, before the caller repeats it.
#[test]
fn a_change_of_the_catalogue_whose_flush_failed_is_followed() {
    World::new(Random::new(1)).enter();
    let options = EmbeddedOptions {
        segment_bytes: 200,
        hold_back: 1,
        ..EmbeddedOptions::default()
    };
    let log = Simulated::open(Path::new("/log"), options).expect("an empty disk");
    let handle = Handle(log.clone());
    let limited = TopicSpec::new("few", 1).kept(Retention {
        bytes: Some(400),
        age: None,
    });
    handle.ensure_topics(&[limited]).expect("a new topic");
    let publish = |topic: &str, n: usize| {
        let record = NewRecord {
            topic: topic.into(),
            partition: Some(0),
            key: "k".into(),
            value: format!("{n:0100}").into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        };
        handle.publish(vec![record]).expect("a healthy disk");
    };
    (0..20).for_each(|n| publish("few", n));
    let failing = |change: &dyn Fn() -> bool| {
        world(|world| world.faults.sync = 1.0);
        assert!(!change(), "the flush fails");
        world(|world| world.faults.sync = 0.0);
        while log.shared.store.read().is_none() {
            log.move_committer();
        }
    };

    let retain = || log.shared.ask(|answer| Request::Retain(Utc::MIN, answer)).is_ok();
    failing(&retain);
    let (earliest, end) = handle.topic(&"few".into()).expect("it exists").offsets[0];
    let partition = TopicPartition {
        topic: "few".into(),
        partition: 0,
    };
    let found = handle.read(&partition, 0, 100).expect("what is left can be read");
    assert!(earliest > 0, "the disk has dropped a segment");
    assert_eq!((found[0].offset, found.len() as u64), (earliest, end - earliest));

    failing(&|| handle.ensure_topics(&[TopicSpec::new("first", 1)]).is_ok());
    handle
        .ensure_topics(&[TopicSpec::new("second", 1)])
        .expect("a healthy disk");
    publish("second", 1);
    drop((handle, log));
    let log = Simulated::open(Path::new("/log"), EmbeddedOptions::default()).expect("a healthy disk");
    let ends: Vec<_> = Handle(log).topics().expect("a healthy disk");
    let ends: Vec<_> = ends
        .iter()
        .map(|topic| (&*topic.name, topic.offsets[0].1))
        .collect();
    assert_eq!(ends, [("few", 20), ("first", 0), ("second", 1)]);
    World::leave();
}

/// What was cut off does not come back, also if the flush of the cut failed first.
#[test]
fn a_cut_is_on_the_disk_before_the_log_opens() {
    for seed in 0..100 {
        World::new(Random::new(seed)).enter();
        let journal = Path::new("/log/0.jnl");
        let mut file = OpenOptions::new()
            .create(true)
            .open(journal)
            .expect("an empty disk");
        file.write_all(&[1; 500]).expect("a healthy disk");
        file.sync_all().expect("a healthy disk");
        world(|world| world.faults.sync = 1.0);
        assert!(
            crate::journal::prepare(Path::new("/log")).is_err(),
            "the flush fails"
        );
        world(|world| world.faults.sync = 0.0);
        let prepared = crate::journal::prepare(Path::new("/log")).expect("a healthy disk");
        assert_eq!(prepared, Ok(()));
        world(|world| world.restart(End::PowerLost));
        assert_eq!(
            crate::files::length(journal).expect("it exists"),
            0,
            "seed {seed}"
        );
    }
    World::leave();
}

/// Deleted records are counted and passed although no record follows them, and a failure does not count them again.
#[test]
fn deleted_records_at_the_end_of_a_partition_are_counted_once() {
    World::new(Random::new(1)).enter();
    let options = EmbeddedOptions {
        segment_bytes: 100,
        hold_back: 1,
        ..EmbeddedOptions::default()
    };
    let log = Simulated::open(Path::new("/log"), options).expect("an empty disk");
    let handle = Handle(log.clone());
    let topics = [
        TopicSpec::new("in", 1).kept(Retention {
            bytes: None,
            age: Some(Duration::from_secs(1)),
        }),
        TopicSpec::new("in.dead", 1),
        TopicSpec::new("out", 1),
    ];
    handle.ensure_topics(&topics).expect("new topics");
    let publish = |id: u64| {
        let record = NewRecord {
            topic: "in".into(),
            partition: Some(0),
            key: "k".into(),
            value: id.to_string().into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        };
        handle.publish(vec![record]).expect("a healthy disk");
    };
    let turns = |count: usize| {
        let mut stage = instance(&log, 0);
        (0..count).for_each(|_| drop(stage.turn()));
    };
    publish(1);
    turns(20);
    publish(2);
    publish(4);
    let later = crate::clock::wall().plus_millis(60_000);
    let dropped = log.shared.ask(|answer| Request::Retain(later, answer));
    dropped.expect("a healthy disk");
    let counts = || count_stages(&handle, &Pass::spec()).expect("a healthy disk");
    for _ in 0..2 {
        turns(20);
        let counts = counts();
        assert_eq!((counts.consumed, counts.lag), (1, 0));
        assert_eq!(counts.skipped.get("in"), Some(&2));
    }
    publish(5);
    turns(20);
    let counts = counts();
    assert_eq!((counts.consumed, counts.lag, counts.skipped["in"]), (2, 0, 2));
    drop((handle, log));
    World::leave();
}

/// A deep check names a damaged record, and an offset that the log does not have.
#[test]
fn a_verification_names_each_damage() {
    World::new(Random::new(1)).enter();
    let options = EmbeddedOptions {
        tail_bytes: 0,
        ..EmbeddedOptions::default()
    };
    let log = Simulated::open(Path::new("/log"), options).expect("an empty disk");
    let handle = Handle(log.clone());
    let topics = ["in", "in.dead", "out"].map(|name| TopicSpec::new(name, 1));
    handle.ensure_topics(&topics).expect("new topics");
    let record = |n: usize| NewRecord {
        topic: "in".into(),
        partition: Some(0),
        key: "k".into(),
        value: format!("{n:0100}").into(),
        headers: Headers::new(),
        timestamp: Utc::from_millis(0),
    };
    handle
        .publish((0..3).map(record).collect())
        .expect("a healthy disk");
    let of = |what: &str| {
        let mut verdicts = verify_records(&handle).expect("the log answers");
        verdicts.extend(verify_progress(&handle, &[Pass::spec()]).expect("the log answers"));
        let found = verdicts.into_iter().find(|verdict| verdict.what == what);
        found.expect("it is compared").result
    };
    assert_eq!(of("topic in"), Ok("3 records can be read".to_owned()));
    assert_eq!(
        of("progress of pass"),
        Ok("0 records consumed, 3 wait".to_owned())
    );

    let partition = TopicPartition {
        topic: "in".into(),
        partition: 0,
    };
    let subscription = Subscription {
        group: "pass".into(),
        instance: "a".into(),
        topics: vec!["in".into()],
        stateful: false,
    };
    let mut member = handle.subscribe(subscription).expect("the log answers");
    member
        .poll(&BatchLimits::default())
        .expect("the partition is assigned");
    let mut transaction = member.begin().expect("the log answers");
    let committed = Committed {
        partition: partition.clone(),
        next: 9,
        metadata: String::new(),
    };
    transaction.commit_offset(committed).expect("a short commit");
    transaction.commit().expect("a healthy disk");
    drop(member);
    let beyond = of("progress of pass").expect_err("the offset is beyond the end");
    assert!(
        beyond.contains("offset 9") && beyond.contains("ends at 3"),
        "{beyond}"
    );

    {
        let known = log.shared.partition(&partition).expect("it exists");
        let segment = known.spans()[0].segment;
        let store = log.shared.store.read();
        let store = store.as_ref().expect("the store is open");
        let batches = store
            .batches(segment, (known.topic_id, 0), 0, 3, 1)
            .expect("a healthy disk");
        let mut damaged = batches[0].to_vec();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        let mut changes = store.changes();
        changes.records(segment, known.topic_id, 0, 0, damaged.into());
        changes.write(99).expect("a healthy disk");
    }
    let unreadable = of("topic in").expect_err("the record is damaged");
    assert!(unreadable.contains("cannot be read"), "{unreadable}");
    drop((handle, log));
    World::leave();
}
