//! Generations of remembered ids, and when the next one begins.
//!
//! Ids are remembered in generations. Those of the two newest are known; older ones are removed. A generation ends when records were
//! accepted for the time for which an id is remembered. This time is counted from record to record, and one step counts an hour at
//! most: a clock that is wrong for a moment makes ids older by an hour, and a clock that goes back by nothing. A pause counts as an
//! hour too, so ids are remembered for longer where records are rare.

use limbic_stream::{DecodeProblem, Decoder, Encoder, Outputs, StageError, StateValue, Table};

/// The longest step from one record to the next that counts, in milliseconds.
const LONGEST_STEP: i64 = 3_600_000;

/// Where the generations of one kind of ids are stored.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) newest: Table<(), u64>,
    pub(crate) age: Table<(), Age>,
    /// In words, for messages.
    pub(crate) what: &'static str,
}

/// The age of the newest generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// How long records were accepted, in milliseconds.
    counted: i64,
    /// When the last record was accepted, in milliseconds since the epoch.
    last: i64,
    /// The number of ids.
    ids: u64,
}

impl StateValue for Age {
    const VERSION: u8 = 1;

    fn size_hint(&self) -> usize {
        24
    }

    fn encode(&self, to: &mut Encoder) {
        to.signed(self.counted);
        to.signed(self.last);
        to.unsigned(self.ids);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        Ok(Self {
            counted: from.signed()?,
            last: from.signed()?,
            ids: from.unsigned()?,
        })
    }
}

/// How long a generation lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// In milliseconds.
    pub(crate) millis: i64,
    /// The number of ids at which it ends early.
    pub(crate) most_ids: u64,
}

/// The generations of a partition during one batch.
#[derive(Debug)]
pub(crate) struct Generations {
    kind: &'static Kind,
    newest: u32,
    age: Option<Age>,
    /// Whether the generation before the newest has ids.
    has_earlier: bool,
}

impl Generations {
    /// Reads the generations of a partition. `oldest` is the oldest generation that has ids.
    pub(crate) fn read(
        kind: &'static Kind,
        partition: u32,
        oldest: Option<u32>,
        out: &Outputs<'_>,
    ) -> Result<Self, StageError> {
        let newest = kind.newest.get(out, partition, &())?.unwrap_or(1);
        let newest = u32::try_from(newest).unwrap_or(u32::MAX);
        Ok(Self {
            kind,
            newest,
            // Older programs numbered generations by the clock, and did not count.
            age: kind.age.get(out, partition, &())?,
            has_earlier: oldest.is_some_and(|oldest| oldest < newest),
        })
    }

    /// Notes that a record was accepted at this time, in milliseconds since the epoch. A new generation may begin.
    pub(crate) fn pass(&mut self, accepted_at: i64, length: Length) {
        let age = self.age.get_or_insert(Age {
            counted: 0,
            last: accepted_at,
            ids: 0,
        });
        let longest = (length.millis / 24).clamp(1_000, LONGEST_STEP);
        age.counted += accepted_at.saturating_sub(age.last).clamp(0, longest);
        age.last = accepted_at;
        let is_full = age.ids >= length.most_ids;
        if age.counted < length.millis && !is_full {
            return;
        }
        if is_full && age.counted < length.millis {
            tracing::warn!(
                what = self.kind.what,
                remembered_seconds = age.counted / 1_000,
                most = length.most_ids,
                "there are so many ids that the oldest are forgotten early: raise `ingest.most_ids` or add partitions"
            );
        }
        self.newest = self.newest.saturating_add(1);
        self.has_earlier = true;
        (age.counted, age.ids) = (0, 0);
    }

    /// The newest generation.
    pub(crate) const fn newest(&self) -> u32 {
        self.newest
    }

    /// The generation before it, if it has ids.
    pub(crate) fn earlier(&self) -> Option<u32> {
        self.newest.checked_sub(1).filter(|_| self.has_earlier)
    }

    /// An id was added to the newest generation.
    pub(crate) fn note(&mut self) {
        if let Some(age) = &mut self.age {
            age.ids += 1;
        }
    }

    pub(crate) fn keep(&self, partition: u32, out: &mut Outputs<'_>) {
        self.kind.newest.put(out, partition, &(), &self.newest.into());
        if let Some(age) = &self.age {
            self.kind.age.put(out, partition, &(), age);
        }
    }
}

#[cfg(test)]
mod tests {
    use limbic_stream::testing::MemoryState;

    use super::*;

    static KIND: Kind = Kind {
        newest: Table::new("newest", b"n"),
        age: Table::new("age", b"g"),
        what: "ids",
    };
    const DAY: i64 = 86_400_000;
    const LENGTH: Length = Length {
        millis: 15 * DAY,
        most_ids: 1_000,
    };

    #[test]
    fn one_wrong_reading_of_the_clock_forgets_nothing() {
        let state = MemoryState::default();
        let out = Outputs::new(&state);
        let mut generations = Generations::read(&KIND, 0, None, &out).unwrap();
        let now = 20_000 * DAY;
        generations.pass(now, LENGTH);
        let before = generations.newest();
        for second in 0..30 {
            generations.pass(now + 60 * DAY + second * 1_000, LENGTH);
        }
        generations.pass(now + 31_000, LENGTH);
        generations.pass(now - 60 * DAY, LENGTH);
        assert_eq!(generations.newest(), before);
    }

    #[test]
    fn a_generation_ends_after_its_time_or_with_its_last_id_and_survives_a_batch() {
        let mut state = MemoryState::default();
        let mut newest = Vec::new();
        for hour in 0..=15 * 24 {
            let mut out = Outputs::new(&state);
            let mut generations = Generations::read(&KIND, 0, None, &out).unwrap();
            generations.pass(hour * 3_600_000, LENGTH);
            generations.note();
            generations.keep(0, &mut out);
            newest.push(generations.newest());
            let effects = out.into_effects();
            state.commit(&effects);
        }
        assert_eq!(newest.iter().filter(|newest| **newest == 1).count(), 15 * 24);
        assert_eq!(newest.last(), Some(&2));

        let few = Length {
            most_ids: 3,
            ..LENGTH
        };
        let out = Outputs::new(&state);
        let mut generations = Generations::read(&KIND, 0, Some(2), &out).unwrap();
        assert_eq!(generations.earlier(), None);
        for _ in 0..3 {
            generations.pass(15 * DAY, few);
            generations.note();
        }
        assert_eq!((generations.newest(), generations.earlier()), (3, Some(2)));
    }
}
