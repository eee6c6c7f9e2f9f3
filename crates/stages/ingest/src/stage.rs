//! The stage `ingest`: passes each record of `intake` to `posts` or `outcomes`, once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use limbic_domain::{Slug, Utc, topics};
use limbic_stream::progress::{self, ReadProgress};
use limbic_stream::{
    Batch, EventTime, Forward, KeyFor, Outputs, Record, Stage, StageError, StageSpec, StateKey, StateReader,
    StateSchema, Table,
};

use crate::Settings;
use crate::admission::header;
use crate::generations::{Generations, Kind, Length};
use crate::statements::{self, Said, Statements};

/// Maximum number of ids that are removed in one tick and partition, so that a transaction stays small.
const REMOVED_PER_TICK: usize = 2_000;

/// The ids of accepted records. The key holds all information and takes 21 bytes.
const REMEMBERED: Table<Remembered, ()> = Table::new("remembered ids", b"s");
/// Ids that are two generations older than the newest are removed.
static GENERATIONS: Kind = Kind {
    newest: Table::new("newest generation of ids", b"n"),
    age: Table::new("age of the newest generation of ids", b"g"),
    what: "ids of accepted records",
};

/// Generation (4 bytes, big-endian) and id (16 bytes).
#[derive(Debug, Clone, Copy)]
struct Remembered {
    generation: u32,
    id: [u8; 16],
}

impl StateKey for Remembered {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (generation, id) = bytes.split_first_chunk()?;
        Some(Self {
            generation: u32::from_be_bytes(*generation),
            id: id.try_into().ok()?,
        })
    }
}

impl KeyFor<Self> for Remembered {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.generation.to_be_bytes());
        to.extend_from_slice(&self.id);
    }

    fn size_hint(&self) -> usize {
        20
    }
}

/// What a partition remembers, for a reader that is not the stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    partition: u32,
    newest: u32,
    /// The generation before the newest, if it has ids.
    earlier: Option<u32>,
}

impl Memory {
    /// The group whose state has the ids.
    pub(crate) const GROUP: &str = "ingest";

    /// Reads which generations of ids a partition remembers.
    pub(crate) fn read(state: &impl StateReader, partition: u32) -> limbic_stream::Result<Self> {
        let newest = GENERATIONS.newest.get(state, partition, &())?.unwrap_or(1);
        let newest = u32::try_from(newest).unwrap_or(u32::MAX);
        let earlier = match newest.checked_sub(1) {
            Some(earlier) => {
                let first = REMEMBERED.scan(state, partition, &earlier.to_be_bytes(), 1)?;
                (!first.is_empty()).then_some(earlier)
            }
            None => None,
        };
        Ok(Self {
            partition,
            newest,
            earlier,
        })
    }

    /// Whether the partition remembers this id.
    pub(crate) fn holds(&self, state: &impl StateReader, id: [u8; 16]) -> limbic_stream::Result<bool> {
        for generation in [Some(self.newest), self.earlier].into_iter().flatten() {
            if REMEMBERED.contains(state, self.partition, &Remembered { generation, id })? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Removes duplicates on the way from `intake` to `posts` and `outcomes`. A later statement about an outcome passes with what
/// it replaces; an earlier one that arrives after it does not pass.
///
/// Ids are remembered in generations of length [`Settings::remember`], counted by the times at which the edge accepted
/// records. The ids of a partition's two newest generations are remembered; older ones are removed.
///
/// It publishes how far it has read ([`limbic_domain::Progress`]), so that `deliver` notices posts that wait unread.
#[derive(Debug)]
pub struct IngestStage {
    name: Slug,
    generation: Length,
    statements: Statements,
}

impl IngestStage {
    /// A stage with `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            name: Slug::new(Memory::GROUP).expect("it is a slug"),
            generation: Length {
                millis: settings.remember.as_millis().max(1_000),
                // Two generations are remembered.
                most_ids: (settings.most_ids / 2).max(1),
            },
            statements: Statements::new(settings.restatements.as_millis()),
        }
    }

    /// The stage's topics and requirements, for the runtime.
    pub fn spec() -> StageSpec {
        StageSpec::new(Memory::GROUP)
            .reads(topics::INTAKE, EventTime::Ignored)
            .writes(topics::POSTS, Forward::Aligned)
            .writes(topics::OUTCOMES, Forward::Nothing)
            .writes(topics::PROGRESS, Forward::Nothing)
            .stateful()
            .ticks(std::time::Duration::from_secs(1))
    }

    /// Passes one record on, unless its id is remembered. Updates the generations of its partition.
    fn route(
        &self,
        record: &Record,
        known: &mut BTreeMap<u32, Known>,
        progress: &mut ReadProgress,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let to = record.headers.text(header::TO);
        let Some(to) = to.filter(|to| [topics::POSTS, topics::OUTCOMES].contains(to)) else {
            out.dead(
                record,
                "unroutable",
                format!("header {} names no topic the edge writes to", header::TO),
            );
            return Ok(());
        };
        let id: Option<[u8; 16]> = record
            .headers
            .get(header::ID)
            .and_then(|id| id.as_ref().try_into().ok());
        let Some(id) = id else {
            out.dead(
                record,
                "unroutable",
                format!("header {} is not 16 bytes", header::ID),
            );
            return Ok(());
        };
        let accepted = record
            .headers
            .text(limbic_stream::header::ACCEPTED_AT)
            .and_then(|text| text.parse().ok());
        let Some(accepted_at) = accepted else {
            out.dead(record, "unroutable", "no acceptance time");
            return Ok(());
        };
        let partition = record.partition;
        let known = match known.entry(partition) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unread) => unread.insert(Known::read(partition, out)?),
        };
        known.ids.pass(accepted_at, self.generation);
        let current = Remembered {
            generation: known.ids.newest(),
            id,
        };
        let mut is_duplicate = REMEMBERED.contains(out, partition, &current)?;
        if let Some(generation) = known.ids.earlier() {
            is_duplicate =
                is_duplicate || REMEMBERED.contains(out, partition, &Remembered { generation, id })?;
        }
        if is_duplicate {
            tracing::debug!(offset = record.offset, "duplicate");
            return Ok(());
        }
        REMEMBERED.put(out, partition, &current, &());
        known.ids.note();
        let key = std::str::from_utf8(&record.key)
            .map_err(|_| StageError::poison("unroutable", "the key is not UTF-8"))?;
        if to == topics::OUTCOMES {
            // An earlier version remembered the id of the outcome and not of the statement.
            let Known { ids, statements } = known;
            let was_accepted = |out: &Outputs<'_>, id: [u8; 16]| {
                let of = |generation| REMEMBERED.contains(out, partition, &Remembered { generation, id });
                let before = ids.earlier().map_or(Ok(false), of)?;
                Ok::<_, limbic_stream::Error>(before || of(ids.newest())?)
            };
            statements.pass(accepted_at, self.statements.generation());
            match Statements::say(record, statements, was_accepted, out)? {
                Said::Unchanged => {
                    out.emit_bytes(&record.cause(), to, key, record.timestamp, record.value.clone());
                }
                Said::Corrected(corrected) => out.emit(&record.cause(), to, key, &*corrected),
                Said::Superseded => tracing::debug!(offset = record.offset, "superseded or known"),
                Said::Malformed(error) => out.dead(record, "malformed", error),
            }
            return Ok(());
        }
        progress.note(record);
        out.emit_bytes(&record.cause(), to, key, record.timestamp, record.value.clone());
        Ok(())
    }
}

/// The generations of a partition during one batch.
struct Known {
    ids: Generations,
    statements: Generations,
}

impl Known {
    fn read(partition: u32, out: &Outputs<'_>) -> Result<Self, StageError> {
        let oldest = REMEMBERED.scan(out, partition, b"", 1)?;
        let oldest = oldest.first().map(|(remembered, ())| remembered.generation);
        Ok(Self {
            ids: Generations::read(&GENERATIONS, partition, oldest, out)?,
            statements: statements::generations(partition, out)?,
        })
    }
}

impl Stage for IngestStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut known = BTreeMap::new();
        let mut progress = ReadProgress::default();
        for record in &batch.records {
            self.route(record, &mut known, &mut progress, out)?;
        }
        progress.keep(out)?;
        for (partition, known) in known {
            known.ids.keep(partition, out);
            known.statements.keep(partition, out);
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], _: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        progress::publish(&self.name, partitions, out)?;
        for partition in partitions {
            statements::forget(*partition, REMOVED_PER_TICK, out)?;
            let Some(newest) = GENERATIONS.newest.get(out, *partition, &())? else {
                continue;
            };
            for (remembered, ()) in REMEMBERED.scan(out, *partition, b"", REMOVED_PER_TICK)? {
                if u64::from(remembered.generation) + 1 >= newest {
                    break;
                }
                REMEMBERED.remove(out, *partition, &remembered);
            }
        }
        Ok(())
    }
}

/// The tables of the stage's state.
pub(crate) fn schema() -> StateSchema {
    let schema = StateSchema::new()
        .table(&REMEMBERED)
        .table(&GENERATIONS.newest)
        .table(&GENERATIONS.age);
    progress::described_in(statements::described_in(schema))
}

#[cfg(test)]
mod tests {
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
}
