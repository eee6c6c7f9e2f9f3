//! One schedule: the actors, their moves, and the faults.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_domain::random::{Random, hash};
use limbic_stream::runtime::{Health, RunOptions, StageMeters, Stepped};
use limbic_stream::{Backoff, Error, Headers, Log, NewRecord, Record, Retention, TopicPartition, TopicSpec};

use super::files::{End, Faults, World, world};
use super::log::{Handle, Simulated};
use super::oracle;
use super::stages::{Database, Pass, View};
use crate::clock::SteadyClock;
use crate::store::Store;
use crate::{EmbeddedOptions, compaction};

/// How deep actors interrupt each other.
const DEEPEST: u32 = 2;

/// What is remembered beyond a restart, to judge the result.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) shape: Shape,
    next_id: u64,
    /// Every post that was sent, with the answer.
    pub(super) posts: BTreeMap<u64, Answer>,
    /// For each key of the compacted topic: what was sent, and the answers, since the last one that was accepted.
    pub(super) values: BTreeMap<String, Vec<(String, Answer)>>,
    /// The hash of each record that a reader has seen.
    seen: BTreeMap<(Arc<str>, u32, u64), u64>,
    /// The offsets of each group.
    pub(super) offsets: BTreeMap<(Arc<str>, TopicPartition), Offsets>,
    /// Where `pass` began to read each partition, if this is known.
    pub(super) starts: BTreeMap<TopicPartition, Option<u64>>,
    pub(super) database: Database,
    backup: Database,
    pub(super) violation: Option<String>,
    depth: u32,
}

/// The last offset that a group has committed, and later ones with an unknown outcome.
type Offsets = (Option<u64>, Vec<u64>);

/// The settings of a schedule.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) partitions: u32,
    pub(super) posts: Posts,
    idles: bool,
    segment_bytes: u64,
    tail_bytes: usize,
}

/// When posts are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Posts {
    #[default]
    Never,
    /// When every reader has read them.
    Read,
    /// When there are too many, also unread ones.
    Many,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    /// The error says that nothing was stored.
    Refused,
    Unknown,
}

impl Story {
    pub(super) fn violation(&mut self, message: String) {
        world(|world| world.tell(|| format!("VIOLATION {message}")));
        self.violation.get_or_insert(message);
    }

    /// Notes a record that a reader sees. It must be the same for every reader at every time.
    pub(super) fn observe(&mut self, record: &Record) {
        let at = (record.topic.clone(), record.partition, record.offset);
        let content = hash(&record.value) ^ hash(&record.key).rotate_left(1);
        if *self.seen.entry(at.clone()).or_insert(content) != content {
            self.violation(format!("{at:?} has changed"));
        }
    }

    pub(super) fn committed(&mut self, group: &Arc<str>, offsets: &[(TopicPartition, u64)]) {
        for (partition, next) in offsets {
            if **group == *"pass" {
                self.starts.entry(partition.clone()).or_insert(Some(*next));
            }
            let key = (group.clone(), partition.clone());
            self.offsets.insert(key, (Some(*next), Vec::new()));
        }
    }

    pub(super) fn perhaps_committed(&mut self, group: &Arc<str>, offsets: &[(TopicPartition, u64)]) {
        for (partition, next) in offsets {
            if **group == *"pass" {
                self.starts.entry(partition.clone()).or_insert(None);
            }
            let key = (group.clone(), partition.clone());
            self.offsets.entry(key).or_default().1.push(*next);
        }
    }
}

/// The actors of the running process.
struct Cast {
    log: Arc<Simulated>,
    clock: SteadyClock,
    instances: [Option<Stepped>; 3],
}

thread_local! {
    static STORY: RefCell<Story> = RefCell::default();
    static CAST: RefCell<Option<Cast>> = const { RefCell::new(None) };
    static METERS: StageMeters = StageMeters::register(&prometheus::Registry::new()).expect("a new registry");
}

pub(super) fn story<T>(act: impl FnOnce(&mut Story) -> T) -> T {
    STORY.with(|story| act(&mut story.borrow_mut()))
}

fn chance(probability: f64) -> bool {
    world(|world| world.random.happens(probability))
}

fn below(bound: usize) -> usize {
    world(|world| world.random.below(bound))
}

/// The result of a schedule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) violation: Option<String>,
    /// Faults that happened, by kind.
    pub(super) met: BTreeMap<&'static str, u64>,
    pub(super) posts: usize,
}

/// Runs the schedule of `seed`. Prints its events if they are to be told.
pub(super) fn run(seed: u64, is_told: bool) -> Outcome {
    std::panic::catch_unwind(|| play(seed, is_told)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let outcome = Outcome {
            violation: Some(format!("a panic: {}", text.unwrap_or("without a text"))),
            met: BTreeMap::new(),
            posts: 0,
        };
        // What is left of the schedule refers to its world.
        CAST.with(|cast| std::mem::forget(cast.take()));
        World::leave();
        outcome
    })
}

fn play(seed: u64, is_told: bool) -> Outcome {
    let mut random = Random::new(seed);
    let shape = Shape {
        partitions: 1 + random.below(3) as u32,
        posts: [Posts::Never, Posts::Read, Posts::Many][random.below(3)],
        idles: random.happens(0.5),
        segment_bytes: [300, 1_000, 1 << 20][random.below(3)],
        tail_bytes: [0, 300, 1 << 20][random.below(3)],
    };
    let mut new = World::new(random);
    new.is_told = is_told;
    new.enter();
    STORY.with(|story| {
        *story.borrow_mut() = Story {
            shape,
            ..Story::default()
        };
    });
    let lives = 1 + below(4);
    for _ in 0..lives {
        live();
        if story(|story| story.violation.is_some()) {
            break;
        }
    }
    if story(|story| story.violation.is_none()) {
        come_to_rest();
    }
    CAST.with(|cast| cast.borrow_mut().take());
    let world = World::leave().expect("the schedule's world");
    STORY.with(|story| {
        let story = std::mem::take(&mut *story.borrow_mut());
        Outcome {
            violation: story.violation,
            met: world.met,
            posts: story.posts.len(),
        }
    })
}

fn folder() -> &'static Path {
    Path::new("/log")
}

fn options() -> EmbeddedOptions {
    let shape = story(|story| story.shape.clone());
    EmbeddedOptions {
        segment_bytes: shape.segment_bytes,
        tail_bytes: shape.tail_bytes,
        compaction_keys: 2,
        compaction_bytes: 1,
        retention_interval: Duration::ZERO,
        ..EmbeddedOptions::default()
    }
}

/// One life of the process, from its start to its end.
fn live() {
    if chance(0.7) {
        let steps = below(60) as u32;
        world(|world| world.dies_in = Some(steps));
    }
    if chance(0.5) {
        change_faults();
    }
    if let Err(error) = start() {
        let is_dead = world(|world| world.is_dead);
        if !is_dead && matches!(error, Error::Corrupt(_)) {
            story(|story| story.violation(format!("the log does not open: {error}")));
        }
    } else {
        let moves = 5 + below(60);
        for _ in 0..moves {
            if world(|world| world.is_dead) || story(|story| story.violation.is_some()) {
                break;
            }
            make_a_move();
        }
    }
    end();
}

/// Opens the log and creates the instances.
fn start() -> Result<(), Error> {
    let log = Simulated::open(folder(), options())?;
    let shape = story(|story| story.shape.clone());
    let posts = TopicSpec::new("in", shape.partitions);
    let posts = match shape.posts {
        Posts::Never => posts,
        Posts::Read => posts.transient(Retention::default()),
        Posts::Many => posts.kept(Retention {
            bytes: Some(200),
            age: None,
        }),
    };
    Handle(log.clone()).ensure_topics(&[
        posts,
        TopicSpec::new("in.dead", shape.partitions),
        TopicSpec::new("out", shape.partitions),
        TopicSpec::new("table", 1).compacted(),
    ])?;
    oracle::check_offsets(&Handle(log.clone()))?;
    let cast = Cast {
        instances: [0, 1, 2].map(|number| Some(instance(&log, number))),
        clock: SteadyClock::new(crate::clock::wall(), crate::clock::monotonic()),
        log,
    };
    CAST.with(|place| *place.borrow_mut() = Some(cast));
    Ok(())
}

pub(super) fn instance(log: &Arc<Simulated>, number: usize) -> Stepped {
    let idles = story(|story| story.shape.idles);
    let options = RunOptions {
        instance: ["a", "b", "a"][number].into(),
        idle_after: if idles {
            Duration::ZERO
        } else {
            Duration::from_hours(1)
        },
        forget_tenants_after: Duration::from_hours(1),
        share_for: Duration::ZERO,
        backoff: Backoff::new(Duration::ZERO, Duration::ZERO),
        reference_interval: Duration::from_hours(1),
    };
    let log = Arc::new(Handle(log.clone()));
    METERS.with(|meters| {
        if number < 2 {
            Stepped::new(log, Box::new(Pass), Pass::spec(), options, meters)
        } else {
            Stepped::new(log, Box::<View>::default(), View::spec(), options, meters)
        }
    })
}

/// Ends the process, and starts the machine again.
fn end() {
    let cast = CAST.with(|cast| cast.borrow_mut().take());
    // An end in order flushes once more. The process dies without it.
    if chance(0.5) {
        world(|world| world.is_dead = true);
    }
    drop(cast);
    world(|world| {
        let end = if world.random.happens(0.5) {
            world.note("killed");
            End::Killed
        } else {
            world.note("power lost");
            End::PowerLost
        };
        world.restart(end);
        world.faults = Faults::default();
    });
    if chance(0.1) {
        damage_a_bit();
    }
}

/// On a copy of the disk: a changed bit is refused, or costs at most the last commit.
fn damage_a_bit() {
    let before = World::leave().expect("the schedule's world");
    before.clone().enter();
    world(|world| world.faults = Faults::default());
    let commits = |options: &EmbeddedOptions| Store::open(folder(), options).map(|(_, meta)| meta.commits);
    let options = options();
    let whole = commits(&options);
    let journals = world(|world| world.journals());
    if let (Ok(whole), false) = (&whole, journals.is_empty()) {
        world(|world| {
            let (path, length) = world.random.one_of(&journals).clone();
            let bit = world.random.below(length * 8);
            world.flip(&path, bit);
        });
        match commits(&options) {
            Err(Error::Corrupt(_)) => {}
            Ok(left) if left + 1 >= *whole => {}
            other => story(|story| {
                story.violation(format!("one bit changed: of {whole} commits, {other:?} are left"));
            }),
        }
    }
    let after = World::leave().expect("the copy");
    let mut before = before;
    // The same bits must not follow.
    before.random = after.random;
    before.note("bit changed");
    before.enter();
}

/// Lets another actor move, now and then, before a call of the log.
pub(super) fn interrupt() {
    let may = story(|story| story.depth < DEEPEST);
    if !may || world(|world| world.is_dead) || !chance(0.04) {
        return;
    }
    story(|story| story.depth += 1);
    world(|world| world.note("interrupted"));
    make_a_move();
    story(|story| story.depth -= 1);
}

fn make_a_move() {
    let log = CAST.with(|cast| cast.borrow().as_ref().map(|cast| cast.log.clone()));
    let Some(log) = log else {
        return;
    };
    world(|world| {
        let passed = world.random.below(50) as u64;
        world.monotonic += passed;
        world.wall += passed as i64;
    });
    match below(20) {
        0..=9 => move_instance(below(3)),
        10..=14 => publish(&log),
        15 => put_value(&log),
        16 => maintain(&log),
        17 => replace_instance(&log, below(3)),
        18 => change_faults(),
        _ => change_surroundings(),
    }
}

fn move_instance(number: usize) {
    // It is away if it is in the middle of a turn.
    let taken = CAST.with(|cast| cast.borrow_mut().as_mut()?.instances[number].take());
    let Some(mut instance) = taken else {
        return;
    };
    let health = instance.turn();
    world(|world| world.tell(|| format!("instance {number}: {health:?}")));
    let is_dead = world(|world| world.is_dead);
    if !is_dead && matches!(health, Health::Failed(_) | Health::Stopped) {
        story(|story| story.violation(format!("instance {number} has stopped: {health:?}")));
    }
    CAST.with(|cast| {
        if let Some(cast) = &mut *cast.borrow_mut() {
            cast.instances[number] = Some(instance);
        }
    });
}

/// An instance dies, and another one takes its name.
fn replace_instance(log: &Arc<Simulated>, number: usize) {
    let taken = CAST.with(|cast| cast.borrow_mut().as_mut()?.instances[number].take());
    if taken.is_none() {
        return;
    }
    drop(taken);
    world(|world| world.note("instance replaced"));
    let new = instance(log, number);
    CAST.with(|cast| {
        if let Some(cast) = &mut *cast.borrow_mut() {
            cast.instances[number] = Some(new);
        }
    });
}

fn answer_of(result: &Result<(), Error>) -> Answer {
    match result {
        Ok(()) => Answer::Accepted,
        Err(Error::DiskFull { .. } | Error::Aborted(_) | Error::Fenced(_)) => Answer::Refused,
        Err(_) => Answer::Unknown,
    }
}

fn publish(log: &Arc<Simulated>) {
    let ids: Vec<u64> = story(|story| {
        let first = story.next_id;
        story.next_id += 1 + (first % 3);
        (first..story.next_id).collect()
    });
    let records = ids.iter().map(|id| {
        let key = format!("k{}", below(4));
        record("in", &key, &id.to_string(), *id)
    });
    let records = records.collect();
    // Before the answer, the outcome is unknown: another actor may read the post already.
    story(|story| story.posts.extend(ids.iter().map(|id| (*id, Answer::Unknown))));
    let answer = answer_of(&Handle(log.clone()).publish(records));
    world(|world| world.tell(|| format!("publish {ids:?}: {answer:?}")));
    story(|story| story.posts.extend(ids.iter().map(|id| (*id, answer))));
}

/// Writes a value or a tombstone to the compacted topic.
fn put_value(log: &Arc<Simulated>) {
    let id = story(|story| {
        story.next_id += 1;
        story.next_id
    });
    let key = format!("k{}", below(3));
    let value = if chance(0.3) {
        String::new()
    } else {
        id.to_string()
    };
    let answer = answer_of(&Handle(log.clone()).publish(vec![record("table", &key, &value, id)]));
    story(|story| {
        let sent = story.values.entry(key).or_default();
        if answer == Answer::Accepted {
            sent.clear();
        }
        sent.push((value, answer));
    });
}

fn record(topic: &str, key: &str, value: &str, time: u64) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        partition: None,
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        headers: Headers::new(),
        timestamp: Utc::from_millis(time as i64),
    }
}

/// Retention and compaction.
fn maintain(log: &Arc<Simulated>) {
    if chance(0.5) && story(|story| story.shape.posts == Posts::Read) {
        let handle = Handle(log.clone());
        // A failure is tried again by the next round, as in a node.
        if let Ok(progress) = handle.progress("pass", &["in".into()]) {
            let read: Vec<_> = progress
                .into_iter()
                .map(|progress| (progress.committed.partition, progress.committed.next))
                .collect();
            let _ = handle.trim(&read);
        }
    } else if chance(0.5) {
        log.move_committer();
        let _ = compaction::compact(&log.shared, crate::clock::wall(), true);
    } else {
        log.move_committer();
        let mut clock = CAST.with(|cast| {
            let cast = cast.borrow();
            cast.as_ref().map(|cast| cast.clock.clone())
        });
        if let Some(clock) = &mut clock {
            crate::maintain(&log.shared, clock);
        }
        CAST.with(|cast| {
            if let (Some(cast), Some(clock)) = (&mut *cast.borrow_mut(), clock) {
                cast.clock = clock;
            }
        });
    }
}

fn change_faults() {
    world(|world| {
        let random = &mut world.random;
        world.faults = Faults {
            sync: [0.0, 0.02, 0.3][random.below(3)],
            write: [0.0, 0.02, 0.2][random.below(3)],
            rotation: [0.0, 0.1, 0.5][random.below(3)],
            is_full: random.happens(0.15),
        };
    });
}

/// Clocks and the database.
fn change_surroundings() {
    match below(5) {
        // Longer than a member may take for a batch.
        0 => world(|world| {
            world.note("paused");
            world.monotonic += 600_000;
            world.wall += 600_000;
        }),
        1 => world(|world| {
            world.note("clock jumped");
            let days = world.random.below(120) as i64 - 60;
            world.wall += days * 86_400_000;
        }),
        2 => {
            world(|world| world.note("database away or back"));
            story(|story| story.database.is_away = !story.database.is_away);
        }
        3 => story(|story| story.backup = story.database.clone()),
        _ => {
            world(|world| world.note("database stepped back"));
            story(|story| story.database = story.backup.clone());
        }
    }
}

/// Without faults: runs until nothing moves any more, and compares the result with what was acknowledged.
fn come_to_rest() {
    world(|world| world.faults = Faults::default());
    story(|story| story.database.is_away = false);
    if let Err(error) = start() {
        return story(|story| story.violation(format!("the log does not open at the end: {error}")));
    }
    let log = CAST.with(|cast| cast.borrow().as_ref().map(|cast| cast.log.clone()));
    let handle = Handle(log.expect("the log is open"));
    story(|story| story.depth = DEEPEST);
    let mut before = None;
    let mut still = 0;
    for _ in 0..1_000 {
        for number in 0..3 {
            move_instance(number);
        }
        if story(|story| story.violation.is_some()) {
            return;
        }
        let now = oracle::position(&handle);
        still = if now == before { still + 1 } else { 0 };
        before = now;
        // A stage may fail by chance a few times in a row.
        if still == 12 {
            let judged = oracle::judge(&handle);
            return story(|story| {
                if let Err(error) = judged {
                    story.violation(format!("the log cannot be read at the end: {error}"));
                }
            });
        }
    }
    story(|story| story.violation("it does not come to rest".into()));
}

/// The time of a test run is only shown.
pub(super) fn started() -> Instant {
    Instant::now()
}
