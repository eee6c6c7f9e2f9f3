//! The stages of a schedule: one with state, and one with a database that keeps its own offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use limbic_domain::Utc;
use limbic_stream::{
    Batch, BatchLimits, Cause, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec, Table,
    TopicPartition,
};

use super::files::world;
use super::schedule::story;

/// How often a post has been processed, by its id.
const TIMES: Table<Bytes, u64> = Table::new("times a post was processed", b"n");
/// The number of posts that were passed on.
const PASSED: Table<(), u64> = Table::new("posts passed on", b"q");
/// Posts that wait for the next tick.
const WAITING: Table<Bytes, u64> = Table::new("posts that wait", b"w");

/// What the stage does with a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    PassedOn,
    /// Passed on by a later tick.
    Waits,
    /// A dead letter that the stage writes.
    Refused,
    /// A dead letter, because the whole batch fails.
    FailsBatch,
    /// A dead letter, because the stage panics.
    Panics,
}

pub(super) const fn fate(id: u64) -> Fate {
    match id % 16 {
        3 | 8 => Fate::Waits,
        7 => Fate::Refused,
        11 => Fate::FailsBatch,
        13 => Fate::Panics,
        _ => Fate::PassedOn,
    }
}

/// Passes posts on, each once and with its number.
#[derive(Debug)]
pub(super) struct Pass;

impl Pass {
    pub(super) fn spec() -> StageSpec {
        StageSpec::new("pass")
            .reads(
                "in",
                EventTime::Records {
                    disorder: Duration::ZERO,
                },
            )
            .writes("out", Forward::Broadcast)
            .stateful()
            .batches(small_batches())
            .ticks(Duration::ZERO)
    }
}

impl Stage for Pass {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        away(0.03)?;
        for record in &batch.records {
            let id = id_of(record);
            match fate(id) {
                Fate::Refused => {
                    out.dead(record, "refused", "it is refused");
                    continue;
                }
                Fate::FailsBatch => return Err(StageError::poison("poison", "it fails the batch")),
                // A real panic would print a message.
                Fate::Panics => std::panic::resume_unwind(Box::new("a panic")),
                Fate::Waits => WAITING.put(out, record.partition, &&id.to_be_bytes()[..], &id),
                Fate::PassedOn => pass_on(out, &record.cause(), id)?,
            }
            let times = TIMES
                .get(out, record.partition, &&id.to_be_bytes()[..])?
                .unwrap_or(0)
                + 1;
            TIMES.put(out, record.partition, &&id.to_be_bytes()[..], &times);
            if times > 1 {
                story(|story| story.violation(format!("post {id} was processed again after a commit")));
            }
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], _: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        away(0.02)?;
        for partition in partitions {
            for (key, id) in WAITING.scan(out, *partition, b"", 2)? {
                WAITING.remove(out, *partition, &&key[..]);
                pass_on(out, &Cause::of_partition(*partition), id)?;
            }
        }
        Ok(())
    }
}

fn pass_on(out: &mut Outputs<'_>, cause: &Cause, id: u64) -> Result<(), StageError> {
    let number = PASSED.get(out, cause.partition, &())?.unwrap_or(0) + 1;
    PASSED.put(out, cause.partition, &(), &number);
    let value = format!("{id}:{}:{number}", cause.partition);
    out.emit_bytes(
        cause,
        "out",
        &format!("k{}", id % 5),
        Utc::from_millis(id as i64),
        value,
    );
    Ok(())
}

/// The id of a post.
pub(super) fn id_of(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.value).expect("posts are text");
    let id = text.split(':').next().expect("a text has a first part");
    id.parse().expect("posts start with their ids")
}

fn away(probability: f64) -> Result<(), StageError> {
    if world(|world| world.random.happens(probability)) {
        return Err(StageError::unavailable("away", "a server is away"));
    }
    Ok(())
}

fn small_batches() -> BatchLimits {
    BatchLimits {
        records: 4,
        bytes: 1 << 20,
        linger: Duration::ZERO,
    }
}

/// A database: rows and offsets change in one transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Database {
    pub(super) rows: BTreeMap<(u32, u64), u64>,
    next: BTreeMap<u32, u64>,
    pub(super) is_away: bool,
}

/// Keeps a row for each record in its database.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The offsets that this instance expects to find in the database.
    expected: BTreeMap<u32, u64>,
}

impl View {
    pub(super) fn spec() -> StageSpec {
        StageSpec::new("view")
            .reads("out", EventTime::Sources)
            .stateful()
            .batches(small_batches())
    }
}

impl Stage for View {
    fn process(&mut self, batch: &Batch, _: &mut Outputs<'_>) -> Result<(), StageError> {
        let loses_answer = world(|world| world.random.happens(0.03));
        story(|story| {
            let database = &mut story.database;
            if database.is_away {
                return Err(StageError::unavailable("database", "the database is away"));
            }
            let moved = |(partition, next): (&u32, &u64)| database.next.get(partition) != Some(next);
            if self.expected.iter().any(moved) {
                return Err(StageError::unavailable(
                    "moved",
                    "the database is at another offset",
                ));
            }
            for record in &batch.records {
                let next = database.next.entry(record.partition).or_default();
                if record.offset < *next {
                    continue;
                }
                *next = record.offset + 1;
                database
                    .rows
                    .insert((record.partition, record.offset), id_of(record));
            }
            if loses_answer {
                return Err(StageError::unavailable(
                    "database",
                    "the connection broke after the commit",
                ));
            }
            for record in &batch.records {
                if let Some(next) = database.next.get(&record.partition) {
                    self.expected.insert(record.partition, *next);
                }
            }
            Ok(())
        })
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, u64)>, StageError> {
        away(0.05)?;
        story(|story| {
            let database = &mut story.database;
            if database.is_away {
                return Err(StageError::unavailable("database", "the database is away"));
            }
            self.expected.clear();
            let mut offsets = Vec::new();
            for at in partitions {
                let next = *database.next.entry(at.partition).or_default();
                self.expected.insert(at.partition, next);
                offsets.push((at.clone(), next));
            }
            Ok(offsets)
        })
    }

    fn forget_offsets(&mut self, partitions: &[TopicPartition]) -> Result<(), StageError> {
        story(|story| {
            story.violation(format!(
                "the log ends before what the view has read: {partitions:?}"
            ));
        });
        Ok(())
    }
}
