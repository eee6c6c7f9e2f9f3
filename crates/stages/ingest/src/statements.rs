//! The latest statement about each outcome, so that a later one can be passed on with what it replaces.
//!
//! State: one entry of some 60 bytes for each outcome. As with ids, there are generations of the length of
//! [`Settings::restatements`](crate::Settings), and the entries of older generations than the two newest are removed.

use std::cmp::Ordering;

use limbic_domain::{DecodeError, Envelope, Outcome, OutcomeKind, Statement, Utc};
use limbic_stream::{
    DecodeProblem, Decoder, Encoder, KeyFor, Outputs, Record, StageError, StateKey, StateSchema, StateValue,
    Table,
};

use crate::admission::seen_id;
use crate::generations::{Generations, Kind, Length};

const LATEST: Table<OfOutcome, Latest> = Table::new("latest statements", b"o");
static GENERATIONS: Kind = Kind {
    newest: Table::new("newest generation of statements", b"m"),
    age: Table::new("age of the newest generation of statements", b"h"),
    what: "statements about outcomes",
};

/// What became of a statement.
pub(crate) enum Said {
    /// The first one about its outcome: it passes as it is.
    Unchanged,
    /// A later one: it passes with what it replaces.
    Corrected(Box<Envelope<Outcome>>),
    /// It says nothing new, or a later one has passed already.
    Superseded,
    /// It cannot be read.
    Malformed(DecodeError),
}

#[derive(Debug)]
pub(crate) struct Statements {
    generation_millis: i64,
}

impl Statements {
    pub(crate) fn new(millis: i64) -> Self {
        Self {
            generation_millis: millis.max(1_000),
        }
    }

    pub(crate) const fn generation(&self) -> Length {
        Length {
            millis: self.generation_millis,
            most_ids: u64::MAX,
        }
    }

    /// Decides on one statement. `was_accepted` says whether an earlier version of this program has passed the outcome with this id.
    pub(crate) fn say(
        record: &Record,
        generations: &mut Generations,
        was_accepted: impl Fn(&Outputs<'_>, [u8; 16]) -> Result<bool, limbic_stream::Error>,
        out: &mut Outputs<'_>,
    ) -> Result<Said, StageError> {
        let mut outcome = match Envelope::<Outcome>::decode(&record.value) {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Said::Malformed(error)),
        };
        let partition = record.partition;
        let id = seen_id(&outcome.id);
        let newest = generations.newest();
        let newest_key = OfOutcome {
            generation: newest,
            id,
        };
        let mut said = Latest {
            statement: outcome.data.statement(outcome.at),
            at: outcome.at,
        };
        for generation in [Some(newest), newest.checked_sub(1)].into_iter().flatten() {
            let key = OfOutcome { generation, id };
            let Some(known) = LATEST.get(out, partition, &key)? else {
                continue;
            };
            if said.statement.order(&known.statement) != Ordering::Greater {
                return Ok(Said::Superseded);
            }
            // The event happened no later than a statement has said.
            said.at = known.at.min(said.at);
            LATEST.remove(out, partition, &key);
            LATEST.put(out, partition, &newest_key, &said);
            if said.statement.says_the_same_as(&known.statement) {
                return Ok(Said::Superseded);
            }
            outcome.at = said.at;
            outcome.data.stated_at = Some(said.statement.stated_at);
            outcome.data.replaces = Some(known.statement.replaced(known.at));
            return Ok(Said::Corrected(Box::new(outcome)));
        }
        // What an earlier version has passed is not known any more. Only a statement that calls itself a correction is news.
        let is_repeated = !outcome.data.is_correction() && was_accepted(out, id)?;
        LATEST.put(out, partition, &newest_key, &said);
        generations.note();
        Ok(if is_repeated {
            Said::Superseded
        } else {
            Said::Unchanged
        })
    }
}

/// Removes up to `most` entries of old generations.
pub(crate) fn forget(partition: u32, most: usize, out: &mut Outputs<'_>) -> Result<(), StageError> {
    let Some(newest) = GENERATIONS.newest.get(out, partition, &())? else {
        return Ok(());
    };
    for (key, _) in LATEST.scan(out, partition, b"", most)? {
        if u64::from(key.generation) + 1 >= newest {
            break;
        }
        LATEST.remove(out, partition, &key);
    }
    Ok(())
}

/// The generations of a partition.
pub(crate) fn generations(partition: u32, out: &Outputs<'_>) -> Result<Generations, StageError> {
    Generations::read(&GENERATIONS, partition, None, out)
}

/// Generation (4 bytes, big-endian) and id (16 bytes) of an outcome.
#[derive(Debug, Clone, Copy)]
struct OfOutcome {
    generation: u32,
    id: [u8; 16],
}

impl StateKey for OfOutcome {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (generation, id) = bytes.split_first_chunk()?;
        Some(Self {
            generation: u32::from_be_bytes(*generation),
            id: id.try_into().ok()?,
        })
    }
}

impl KeyFor<Self> for OfOutcome {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.generation.to_be_bytes());
        to.extend_from_slice(&self.id);
    }

    fn size_hint(&self) -> usize {
        20
    }
}

/// The latest statement of an outcome, and the time of the event.
#[derive(Debug, Clone, PartialEq)]
struct Latest {
    statement: Statement,
    at: Utc,
}

/// The kinds in the order of their numbers in the state.
const KINDS: [OutcomeKind; 8] = [
    OutcomeKind::Delivered,
    OutcomeKind::Refused,
    OutcomeKind::Withdrawn,
    OutcomeKind::Paused,
    OutcomeKind::Impression,
    OutcomeKind::Click,
    OutcomeKind::Conversion,
    OutcomeKind::Dismissal,
];

impl StateValue for Latest {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        let Statement {
            revision,
            stated_at,
            withdrawn,
            kind,
            value,
            count,
        } = self.statement;
        to.time(self.at);
        to.time(stated_at);
        to.unsigned(revision);
        to.unsigned(count);
        to.flag(withdrawn);
        let number = KINDS.iter().position(|known| *known == kind);
        to.byte(number.expect("every kind is listed") as u8);
        to.flag(value.is_some());
        if let Some(value) = value {
            to.number(value);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let at = from.time()?;
        let stated_at = from.time()?;
        let (revision, count, withdrawn) = (from.unsigned()?, from.unsigned()?, from.flag()?);
        let kind = KINDS.get(usize::from(from.byte()?)).copied();
        Ok(Self {
            statement: Statement {
                revision,
                stated_at,
                withdrawn,
                kind: kind.ok_or(DecodeProblem::Damaged)?,
                value: if from.flag()? { Some(from.number()?) } else { None },
                count,
            },
            at,
        })
    }
}

/// Adds the tables of statements to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema
        .table(&LATEST)
        .table(&GENERATIONS.newest)
        .table(&GENERATIONS.age)
}
