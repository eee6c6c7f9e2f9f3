//! Where a stage reads when its database is not where the log is: restored, stepped back, or away. Nothing is missing, nothing
//! is doubled, and counts and dead letters are exact.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{Utc, topics};
use limbic_stream::runtime::{Health, RunOptions, StageHandle, StageMeters, count_stages, revive, spawn};
use limbic_stream::{
    Backoff, Batch, BatchLimits, EventTime, Headers, Log, NewRecord, Outputs, Stage, StageError, StageSpec,
    TopicPartition, TopicSpec, header,
};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use parking_lot::Mutex;

/// A database that stores rows and offsets in one transaction.
#[derive(Debug, Default)]
struct Database {
    rows: Vec<String>,
    offsets: BTreeMap<TopicPartition, u64>,
    /// The calls that fail from now on.
    away: usize,
    /// Failed calls so far.
    failed: usize,
}

impl Database {
    fn answer(&mut self) -> Result<(), StageError> {
        if self.away == 0 {
            return Ok(());
        }
        self.away -= 1;
        self.failed += 1;
        Err(StageError::unavailable("database_away", "the database is away"))
    }
}

/// Writes each record to the database. A record `bad` becomes a dead letter.
struct Writer(Arc<Mutex<Database>>, BTreeMap<TopicPartition, u64>);

impl Stage for Writer {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut database = self.0.lock();
        database.answer()?;
        let mut next = self.1.clone();
        let mut rows = Vec::new();
        for record in &batch.records {
            let at = TopicPartition {
                topic: record.topic.clone(),
                partition: record.partition,
            };
            let known = next.get(&at).is_some_and(|next| record.offset < *next);
            let text = String::from_utf8_lossy(&record.value).into_owned();
            if text == "bad" {
                out.dead(record, "bad", "asked to be bad");
            } else if !known && !database.rows.contains(&text) {
                rows.push(text);
            }
            if !known {
                next.insert(at, record.offset + 1);
            }
        }
        if database.offsets != self.1 {
            return Err(StageError::unavailable(
                "behind",
                "the database has other offsets",
            ));
        }
        database.rows.extend(rows);
        database.offsets.clone_from(&next);
        self.1 = next;
        Ok(())
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, u64)>, StageError> {
        let mut database = self.0.lock();
        database.answer()?;
        self.1.clone_from(&database.offsets);
        let offset = |partition: &TopicPartition| database.offsets.get(partition).copied().unwrap_or(0);
        Ok(partitions
            .iter()
            .map(|partition| (partition.clone(), offset(partition)))
            .collect())
    }

    fn forget_offsets(&mut self, partitions: &[TopicPartition]) -> Result<(), StageError> {
        let mut database = self.0.lock();
        database
            .offsets
            .retain(|partition, _| !partitions.contains(partition));
        self.1.clone_from(&database.offsets);
        Ok(())
    }
}

struct World {
    log: Arc<dyn Log>,
    database: Arc<Mutex<Database>>,
    _folder: tempfile::TempDir,
}

fn spec_of(name: &str) -> StageSpec {
    StageSpec::new(name)
        .reads("in", EventTime::Ignored)
        .batches(BatchLimits {
            records: 10,
            ..BatchLimits::default()
        })
}

fn spec() -> StageSpec {
    spec_of("writer")
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).unwrap();
        log.ensure_topics(&[TopicSpec::new("in", 2), TopicSpec::new(topics::dead("in"), 2)])
            .unwrap();
        Self {
            log: Arc::new(log),
            database: Arc::default(),
            _folder: folder,
        }
    }

    /// Publishes the records with these numbers. Every tenth is bad.
    fn publish(&self, numbers: std::ops::Range<u32>) {
        let records = numbers.map(|n| NewRecord {
            topic: "in".into(),
            partition: Some(n % 2),
            key: "k".into(),
            value: if n % 10 == 0 {
                "bad".into()
            } else {
                format!("{n}").into()
            },
            headers: Headers::new(),
            timestamp: Utc::from_millis(i64::from(n)),
        });
        self.log.publish(records.collect()).unwrap();
    }

    fn start(&self) -> StageHandle {
        self.start_as("writer", &self.database)
    }

    /// Publishes this many records, and starts a stage that has read them when this returns.
    fn start_with(&self, records: u32) -> StageHandle {
        self.publish(0..records);
        let stage = self.start();
        self.drain(&stage);
        stage
    }

    fn start_as(&self, name: &str, database: &Arc<Mutex<Database>>) -> StageHandle {
        let meters = StageMeters::register(&prometheus::Registry::new()).unwrap();
        let options = RunOptions {
            backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(2)),
            ..RunOptions::default()
        };
        let stage = Box::new(Writer(database.clone(), BTreeMap::new()));
        spawn(self.log.clone(), stage, spec_of(name), options, &meters).unwrap()
    }

    /// Waits until the database has everything up to the end of the log, and the log knows it.
    fn drain(&self, stage: &StageHandle) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let ends = &self.log.topic(&"in".into()).unwrap().offsets;
            let stored: Vec<u64> = self.database.lock().offsets.values().copied().collect();
            let at_end = stored == ends.iter().map(|(_, end)| *end).collect::<Vec<_>>();
            let lag = count_stages(&*self.log, &spec()).unwrap().lag;
            if at_end && lag == 0 && stage.status().health == Health::Running {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{stored:?} of {ends:?}, lag {lag}, {:?}",
                stage.status()
            );
            std::thread::yield_now();
        }
    }

    /// Everything is there once: rows, counts, dead letters.
    fn check(&self, published: u32) {
        let mut rows: Vec<u32> = self
            .database
            .lock()
            .rows
            .iter()
            .map(|row| row.parse().unwrap())
            .collect();
        rows.sort_unstable();
        let expected: Vec<u32> = (0..published).filter(|n| n % 10 != 0).collect();
        assert_eq!(rows, expected);
        let counts = count_stages(&*self.log, &spec()).unwrap();
        assert_eq!(counts.consumed, u64::from(published));
        assert_eq!(counts.dead["in"]["bad"], u64::from(published.div_ceil(10)));
        let letters = self.log.topic(&topics::dead("in").into()).unwrap().offsets;
        assert_eq!(
            letters.iter().map(|(start, end)| end - start).sum::<u64>(),
            u64::from(published.div_ceil(10))
        );
    }
}

fn stop(mut stage: StageHandle) {
    stage.stop();
    assert!(stage.join_by(Instant::now() + Duration::from_mins(1)));
}

/// Puts the database back to where it was when `backup` was made.
fn restore(database: &Mutex<Database>, backup: &(Vec<String>, BTreeMap<TopicPartition, u64>)) {
    let mut database = database.lock();
    database.rows.clone_from(&backup.0);
    database.offsets.clone_from(&backup.1);
}

fn backup(database: &Mutex<Database>) -> (Vec<String>, BTreeMap<TopicPartition, u64>) {
    let database = database.lock();
    (database.rows.clone(), database.offsets.clone())
}

#[test]
fn a_database_restored_from_a_backup_and_locked_at_start_gets_every_record_again() {
    let world = World::new();
    let stage = world.start_with(300);
    let old = backup(&world.database);
    world.publish(300..600);
    world.drain(&stage);
    stop(stage);
    restore(&world.database, &old);
    for away in [0, 1, 2, 7] {
        restore(&world.database, &old);
        world.database.lock().away = away;
        let stage = world.start();
        world.drain(&stage);
        world.check(600);
        stop(stage);
    }
}

#[test]
fn a_database_that_steps_back_while_the_stage_runs_is_followed() {
    let world = World::new();
    let stage = world.start_with(100);
    let old = backup(&world.database);
    world.publish(100..200);
    world.drain(&stage);
    restore(&world.database, &old);
    // The next write finds out.
    world.publish(200..210);
    world.drain(&stage);
    world.check(210);
    stop(stage);
}

#[test]
fn a_database_that_is_away_while_partitions_are_assigned_is_waited_for() {
    let world = World::new();
    world.publish(0..50);
    world.database.lock().away = 20;
    let stage = world.start();
    world.drain(&stage);
    assert_eq!(world.database.lock().failed, 20);
    world.check(50);
    stop(stage);
}

#[test]
fn a_failure_in_the_middle_of_catching_up_does_not_lose_the_place() {
    let world = World::new();
    let stage = world.start_with(100);
    stop(stage);
    // Empty again, and away at different steps of the way.
    for away in 1..12 {
        restore(&world.database, &(Vec::new(), BTreeMap::new()));
        let stage = world.start();
        world.database.lock().away = away;
        world.drain(&stage);
        world.check(100);
        stop(stage);
    }
}

#[test]
fn a_record_that_is_sent_again_is_processed_by_the_stage_that_gave_up_on_it_only() {
    let world = World::new();
    let other = Arc::new(Mutex::new(Database::default()));
    world.publish(0..10);
    let (stage, second) = (world.start(), world.start_as("second", &other));
    world.drain(&stage);
    let dead = TopicPartition {
        topic: topics::dead("in").into(),
        partition: 0,
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    let letters = loop {
        let letters = world.log.read(&dead, 0, 10).unwrap();
        if letters.len() == 2 {
            break letters;
        }
        assert!(Instant::now() < deadline, "{letters:?}");
        std::thread::yield_now();
    };
    let of_writer = letters
        .iter()
        .find(|letter| letter.headers.text(header::DEAD_STAGE) == Some("writer"));
    // Its cause is corrected.
    let mut again = revive(of_writer.unwrap()).unwrap();
    again.value = "corrected".into();
    world.log.publish(vec![again]).unwrap();
    world.drain(&stage);
    while count_stages(&*world.log, &spec_of("second")).unwrap().lag > 0 {
        assert!(Instant::now() < deadline, "{:?}", second.status());
        std::thread::yield_now();
    }
    assert!(world.database.lock().rows.contains(&"corrected".to_owned()));
    assert!(!other.lock().rows.contains(&"corrected".to_owned()));
    let consumed = |name| count_stages(&*world.log, &spec_of(name)).unwrap().consumed;
    assert_eq!((consumed("writer"), consumed("second")), (11, 10));
    stop(stage);
    stop(second);
}

#[test]
fn a_log_that_was_made_again_under_a_database_is_read_from_its_beginning() {
    let old = World::new();
    old.publish(0..100);
    let stage = old.start();
    old.drain(&stage);
    stop(stage);
    let new = World {
        database: old.database.clone(),
        ..World::new()
    };
    assert_ne!(old.log.identity().unwrap(), new.log.identity().unwrap());
    // Fewer records than the database has read of the old log, and some that it has not.
    new.publish(60..120);
    let stage = new.start();
    new.drain(&stage);
    stop(stage);
    let mut rows: Vec<u32> = new
        .database
        .lock()
        .rows
        .iter()
        .map(|row| row.parse().unwrap())
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..120).filter(|n| n % 10 != 0).collect::<Vec<u32>>());
}
