//! Event-time windows over a stage's state.
//!
//! A [`Windows`] holds nothing itself: every window lives in the state of its partition number, so it survives a restart
//! and moves with the partition to whoever takes over. What it does is a function of the records, their order within the
//! partition and the watermarks.
//!
//! * A window's result is handed out ([`Windows::advance`]) when the watermark passes its end: revision 0.
//! * A record that comes later, but within the lateness, leads to a **correction**: the window again, whole, with the next
//!   revision. A session that grew or merged names the windows its result stands in for ([`Closed::replaces`]).
//! * What comes later still is dropped, and counted where it is not forgotten ([`Windows::dropped_late`]).
//! * Of a topic that the watermark does not wait for, records may come long after it has passed. Its windows close with the
//!   watermark and yet take them in, if their lateness is counted [by its own records](Windows::late_by_own_records).
//!
//! State: a table of windows, one timer for each of them (so that closing reads only what is due), and one value each for
//! the watermark, the latest record and the number of dropped records.

mod layout;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::state::{DecodeProblem, Decoder, Encoder, StateValue};
use crate::{Error, Outputs, Result};
use bytes::Bytes;
use layout::Layout;
use limbic_domain::Utc;

/// What is kept of a window's records: an accumulator that does not mind their order.
pub trait Aggregate: Default + StateValue {
    /// What it takes from one record.
    type Item;

    /// Takes one record in.
    fn add(&mut self, item: &Self::Item);

    /// Takes in all that `other` took in. Only sessions merge.
    fn merge(&mut self, other: Self);
}

/// How time is cut. Lengths in milliseconds, more than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// One window after the other, each this long, the epoch being a boundary.
    Tumbling {
        /// The length.
        size: i64,
    },
    /// Windows of `size`, one beginning every `step`: a record is in all that cover it.
    Sliding {
        /// The length.
        size: i64,
        /// From one beginning to the next; at most `size`, or records would fall between.
        step: i64,
    },
    /// Records of a key that follow each other in less than `gap`; it ends `gap` after the last.
    Session {
        /// The silence that ends it.
        gap: i64,
    },
}

/// A stretch of time, `start` included, `end` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Milliseconds since the epoch.
    pub start: i64,
    /// Milliseconds since the epoch.
    pub end: i64,
}

/// A window's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed<A> {
    /// Whose it is.
    pub key: Bytes,
    /// Which stretch of time.
    pub window: Window,
    /// All of its records until now.
    pub value: A,
    /// 0 for the first result, one more for each correction.
    pub revision: u32,
    /// Results handed out before that this one stands in for: only sessions change their bounds.
    pub replaces: Vec<Window>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Added {
    /// Every window it belongs to is still open.
    OnTime,
    /// Some window it belongs to was closed already: a correction follows with the next [`Windows::advance`].
    Late,
    /// It came later than the lateness for some window it belongs to, which goes without it.
    DroppedLate,
}

/// A window as it is kept.
#[derive(Debug)]
struct Stored<A> {
    end: i64,
    value: A,
    /// How often it was handed out.
    revisions: u32,
    /// The time of its timer.
    due: i64,
    replaces: Vec<Window>,
}

impl<A: Aggregate> StateValue for Stored<A> {
    const VERSION: u8 = 1;

    fn size_hint(&self) -> usize {
        24 + 16 * self.replaces.len() + self.value.size_hint()
    }

    fn encode(&self, to: &mut Encoder) {
        to.signed(self.end);
        to.signed(self.due);
        to.unsigned(self.revisions.into());
        to.length(self.replaces.len());
        for window in &self.replaces {
            to.signed(window.start);
            to.signed(window.end);
        }
        to.nested(&self.value);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let (end, due) = (from.signed()?, from.signed()?);
        let revisions = u32::try_from(from.unsigned()?).map_err(|_| DecodeProblem::Damaged)?;
        let replaces = (0..from.length()?)
            .map(|_| {
                Ok(Window {
                    start: from.signed()?,
                    end: from.signed()?,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            end,
            value: from.nested()?,
            revisions,
            due,
            replaces,
        })
    }
}

/// Windows of one kind, under a name of their own within the stage's state.
#[derive(Debug, Clone)]
pub struct Windows<A> {
    layout: Layout<A>,
    kind: WindowKind,
    lateness: i64,
    by_own_records: bool,
}

/// How far time has come, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Time {
    watermark: i64,
    /// The latest record, where it counts.
    latest: i64,
}

impl Time {
    /// From here on backwards, lateness is counted.
    const fn forgotten(self) -> i64 {
        if self.latest < self.watermark {
            self.latest
        } else {
            self.watermark
        }
    }
}

/// How many due windows are read at once.
const DUE_AT_ONCE: usize = 256;

impl<A: Aggregate> Windows<A> {
    /// Windows under `name` (unique within the stage), corrected for `lateness` milliseconds after the watermark has passed.
    pub fn new(name: &str, kind: WindowKind, lateness: i64) -> Result<Self> {
        let sound = match kind {
            WindowKind::Tumbling { size } => size > 0,
            WindowKind::Sliding { size, step } => step > 0 && step <= size,
            WindowKind::Session { gap } => gap > 0,
        };
        if !sound || lateness < 0 {
            return Err(Error::Settings(format!(
                "windows `{name}` cannot be {kind:?} with a lateness of {lateness} ms: lengths must be more than zero, \
                 a step at most the size, the lateness not negative"
            )));
        }
        Ok(Self {
            layout: Layout::new(name),
            kind,
            lateness,
            by_own_records: false,
        })
    }

    /// Counts the lateness from the latest record added, where the watermark is ahead of it: for records of a topic that a
    /// stage reads beside others and whose silence holds time back for none of them. How many windows are kept is
    /// still bounded: by what the lateness covers before that latest record.
    #[must_use]
    pub const fn late_by_own_records(mut self) -> Self {
        self.by_own_records = true;
        self
    }

    /// Adds one record of `key` that happened at `at`.
    pub fn add(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        at: Utc,
        item: &A::Item,
    ) -> Result<Added> {
        let mut worst = Added::OnTime;
        self.add_all(
            out,
            partition,
            [(Bytes::copy_from_slice(key), at, item)],
            |_, added| {
                worst = added;
            },
        )?;
        Ok(worst)
    }

    /// Adds records in their order, each window read and written once. `tell` hears what became of each.
    pub fn add_all<'i>(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        items: impl IntoIterator<Item = (Bytes, Utc, &'i A::Item)>,
        mut tell: impl FnMut(usize, Added),
    ) -> Result<()>
    where
        A::Item: 'i,
    {
        let mut time = self.time(out, partition)?;
        let latest_before = time.latest;
        let mut dropped = 0;
        let mut open: BTreeMap<(Bytes, i64), Stored<A>> = BTreeMap::new();
        for (place, (key, at, item)) in items.into_iter().enumerate() {
            let at = at.as_millis();
            let added = match self.kind {
                WindowKind::Session { gap } => {
                    self.add_to_session(out, partition, &key, at, gap, time, item)?
                }
                WindowKind::Tumbling { size } => self.add_aligned(
                    out,
                    partition,
                    &mut open,
                    &key,
                    [at.div_euclid(size) * size],
                    size,
                    time,
                    item,
                )?,
                WindowKind::Sliding { size, step } => {
                    let last = at.div_euclid(step) * step;
                    let starts = (0..)
                        .map(|n| last - n * step)
                        .take_while(|start| start + size > at);
                    self.add_aligned(out, partition, &mut open, &key, starts, size, time, item)?
                }
            };
            if added == Added::DroppedLate {
                dropped += 1;
            }
            time.latest = time.latest.max(at);
            tell(place, added);
        }
        if self.by_own_records && time.latest > latest_before {
            let latest = Utc::from_millis(time.latest);
            self.layout.latest.put(out, partition, &(), &latest);
        }
        for ((key, start), stored) in open {
            self.layout.put(out, partition, &key, start, &stored);
        }
        if dropped > 0 {
            let before = self.dropped_late(out, partition)?;
            self.layout.dropped.put(out, partition, &(), &(before + dropped));
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the two halves of one loop")]
    fn add_aligned(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        open: &mut BTreeMap<(Bytes, i64), Stored<A>>,
        key: &Bytes,
        starts: impl IntoIterator<Item = i64>,
        size: i64,
        time: Time,
        item: &A::Item,
    ) -> Result<Added> {
        use std::collections::btree_map::Entry;
        let mut worst = Added::OnTime;
        for start in starts {
            let end = start.saturating_add(size);
            if end.saturating_add(self.lateness) <= time.forgotten() {
                worst = Added::DroppedLate;
                continue;
            }
            if end <= time.watermark {
                worst = worst.max(Added::Late);
            }
            let stored = match open.entry((key.clone(), start)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let known: Option<Stored<A>> = self.layout.get(out, partition, key, start)?;
                    let stored = known.unwrap_or_else(|| Stored {
                        end,
                        value: A::default(),
                        revisions: 0,
                        due: i64::MIN,
                        replaces: Vec::new(),
                    });
                    place.insert(stored)
                }
            };
            stored.value.add(item);
            self.layout
                .move_due(out, partition, key, start, &mut stored.due, end);
        }
        Ok(worst)
    }

    /// The results due now that event time has come to `watermark`: first ones and corrections, in the order of time. Call
    /// it after each batch, too, with the watermark as it stands, for the corrections to be handed out.
    pub fn advance(&self, out: &mut Outputs<'_>, partition: u32, watermark: Utc) -> Result<Vec<Closed<A>>> {
        let mut time = self.time(out, partition)?;
        if watermark.as_millis() > time.watermark {
            time.watermark = watermark.as_millis();
            self.layout.watermark.put(out, partition, &(), &watermark);
        }
        let mut closed = Vec::new();
        let mut last = None;
        loop {
            let page = self
                .layout
                .due(out, partition, time.watermark, last.as_ref(), DUE_AT_ONCE)?;
            for timer in &page {
                let (key, start) = Layout::<A>::read_id(&timer.id)?;
                closed.extend(self.take_due(out, partition, &key, start, timer.at.as_millis(), time)?);
            }
            if page.len() < DUE_AT_ONCE {
                return Ok(closed);
            }
            last = page.into_iter().last();
        }
    }

    fn take_due(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &Bytes,
        start: i64,
        due: i64,
        time: Time,
    ) -> Result<Option<Closed<A>>> {
        let Some(mut stored) = self.layout.get(out, partition, key, start)? else {
            return Err(Error::Corrupt(format!(
                "a window that is due at {due} is not in the state of partition {partition}"
            )));
        };
        let forget_at = self.forget_at(stored.end);
        let changed = due == stored.end;
        if !changed && forget_at > time.forgotten() {
            // Its own records have not come that far.
            return Ok(None);
        }
        let revision = stored.revisions;
        let replaces = std::mem::take(&mut stored.replaces);
        if changed {
            stored.revisions += 1;
        }
        let window = Window {
            start,
            end: stored.end,
        };
        let replaces = replaces.into_iter().filter(|other| *other != window).collect();
        if forget_at <= time.forgotten() {
            self.layout.remove(out, partition, key, start, stored.due);
        } else {
            self.layout
                .move_due(out, partition, key, start, &mut stored.due, forget_at);
            self.layout.put(out, partition, key, start, &stored);
        }
        Ok(changed.then(|| Closed {
            key: key.clone(),
            window,
            value: stored.value,
            revision,
            replaces,
        }))
    }

    /// When a window that ends at `end` is forgotten: no record that is not dropped can belong to it any more. Always after
    /// its end, so that a due time tells a window to be handed out from one to be forgotten.
    const fn forget_at(&self, end: i64) -> i64 {
        let reach = match self.kind {
            WindowKind::Session { gap } => gap,
            WindowKind::Tumbling { .. } | WindowKind::Sliding { .. } => 0,
        };
        let at = end.saturating_add(reach).saturating_add(self.lateness);
        if at > end { at } else { end.saturating_add(1) }
    }

    /// How far event time of the partition has come, as told to [`Windows::advance`].
    pub fn watermark(&self, out: &Outputs<'_>, partition: u32) -> Result<Utc> {
        let known = self.layout.watermark.get(out, partition, &())?;
        Ok(known.unwrap_or(Utc::MIN))
    }

    fn time(&self, out: &Outputs<'_>, partition: u32) -> Result<Time> {
        let latest = if self.by_own_records {
            let known = self.layout.latest.get(out, partition, &())?;
            known.map_or(i64::MIN, Utc::as_millis)
        } else {
            i64::MAX
        };
        Ok(Time {
            watermark: self.watermark(out, partition)?.as_millis(),
            latest,
        })
    }

    /// How many records of the partition came too late for some window, ever.
    pub fn dropped_late(&self, out: &Outputs<'_>, partition: u32) -> Result<u64> {
        Ok(self.layout.dropped.get(out, partition, &())?.unwrap_or(0))
    }
}
