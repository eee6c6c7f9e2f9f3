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
mod tests;
