//! Event-time windows over a stage's state.
//!
//! [`Windows`] holds no data. Every window is in the state of its partition number, so it survives a restart and moves
//! with the partition. Its results are a function of the records, their order within the partition, and the watermarks.
//! Windows belong to a tenant, and close on the time of that tenant.
//!
//! * [`Windows::advance`] emits a window's result when the watermark passes the window's end. This result has revision 0.
//! * A later record that is within the lateness causes a **correction**: the whole window again, with the next revision.
//!   A session that grew or merged lists the windows that it replaces ([`Closed::replaces`]).
//! * A record that is later than the lateness is dropped and counted ([`Windows::dropped_late`]).
//! * The watermark does not wait for every topic. Records of a topic that it does not wait for may arrive long after it
//!   has passed their time. Such windows close with the watermark, and still accept those records if lateness is counted
//!   [by their own records](Windows::late_by_own_records).
//!
//! The state is a table of windows, one timer for each of them (so that closing reads only the windows that are due), one
//! value for each tenant's watermark and latest record, and the number of dropped records.

mod absorb;
mod layout;
mod recent;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::state::{DecodeProblem, Decoder, Encoder, StateValue};
use crate::{Error, Outputs, Result, StateReader, StateSchema, Timers};
use bytes::Bytes;
use layout::Layout;
use limbic_domain::{TenantId, Utc};
use recent::Recent;

/// The value that a window keeps of its records. The result must not depend on the order of the records.
pub trait Aggregate: Default + StateValue {
    /// The input from one record.
    type Item;

    /// Adds one record.
    fn add(&mut self, item: &Self::Item);

    /// Adds everything that was added to `other`. Only sessions merge.
    fn merge(&mut self, other: Self);
}

/// How time is divided into windows. Lengths are in milliseconds and greater than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Consecutive windows of one length. The epoch is a boundary.
    Tumbling {
        /// The length.
        size: i64,
    },
    /// Windows of length `size` that start every `step`. A record belongs to each window that covers it.
    Sliding {
        /// The length.
        size: i64,
        /// The distance between two starts. At most `size`; otherwise some records would belong to no window.
        step: i64,
    },
    /// Records of a key with less than `gap` between neighbours. The session ends `gap` after the last record.
    Session {
        /// The time without records that ends a session.
        gap: i64,
    },
}

/// A range of time that includes `start` and excludes `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Milliseconds since the epoch.
    pub start: i64,
    /// Milliseconds since the epoch.
    pub end: i64,
}

/// An emitted result of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed<A> {
    /// The key of the window's records.
    pub key: Bytes,
    /// The range of time.
    pub window: Window,
    /// The aggregate of all records of the window so far.
    pub value: A,
    /// 0 for the first result, then one more for each correction.
    pub revision: u32,
    /// Earlier results that this one replaces. Only sessions change their bounds.
    pub replaces: Vec<Window>,
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Added {
    /// Every window of the record is still open.
    OnTime,
    /// At least one window of the record was already closed. The next [`Windows::advance`] emits a correction.
    Late,
    /// The record was later than the lateness for at least one of its windows. That window does not contain it.
    DroppedLate,
}

/// A window in the state.
#[derive(Debug)]
struct Stored<A> {
    end: i64,
    value: A,
    /// How often its result was emitted.
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

/// Windows of one kind, under a name that is unique within the stage's state.
#[derive(Debug, Clone)]
pub struct Windows<A> {
    layout: Layout<A>,
    kind: WindowKind,
    lateness: i64,
    by_own_records: bool,
    recent: Recent<A>,
}

/// A window that a batch adds to.
struct Open<A> {
    stored: Stored<A>,
    /// The state does not have it.
    is_new: bool,
}

/// The progress of event time, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Time {
    watermark: i64,
    /// The latest record, if lateness is counted by own records; otherwise `i64::MAX`.
    latest: i64,
}

impl Time {
    /// Lateness is measured back from this time.
    const fn forgotten(self) -> i64 {
        if self.latest < self.watermark {
            self.latest
        } else {
            self.watermark
        }
    }
}

/// The number of due windows in one read of the state.
const DUE_PER_READ: usize = 256;

impl<A: Aggregate> Windows<A> {
    /// Windows under `name`, which is unique within the stage. They accept late records for `lateness` milliseconds after
    /// the watermark has passed their end.
    pub fn new(name: &str, kind: WindowKind, lateness: i64) -> Result<Self> {
        let sound = match kind {
            WindowKind::Tumbling { size } => size > 0,
            WindowKind::Sliding { size, step } => step > 0 && step <= size,
            WindowKind::Session { gap } => gap > 0,
        };
        if !sound || lateness < 0 {
            return Err(Error::Settings(format!(
                "windows `{name}` cannot be {kind:?} with a lateness of {lateness} ms: lengths must be greater than zero, \
                 a step must be at most the size, and the lateness must not be negative"
            )));
        }
        Ok(Self {
            layout: Layout::new(name),
            kind,
            lateness,
            by_own_records: false,
            recent: Recent::default(),
        })
    }

    /// Adds the tables of all windows of this kind to `schema`, whatever their names: also those that no setting names any more.
    #[must_use]
    pub fn described_in(schema: StateSchema) -> StateSchema
    where
        A: 'static,
    {
        schema.entries("windows", b"", |key, value| {
            let end = key
                .iter()
                .position(|byte| *byte == 0)
                .ok_or("the key does not name windows")?;
            let name =
                std::str::from_utf8(&key[..end]).map_err(|_| "the name of the windows is not UTF-8")?;
            Layout::<A>::new(name).schema().check(key, value)
        })
    }

    /// Measures lateness from the latest record that was added, if the watermark is ahead of that record. Use this for a
    /// topic that the watermark does not wait for. The number of windows in the state is still bounded: the windows
    /// within the lateness before that latest record.
    #[must_use]
    pub const fn late_by_own_records(mut self) -> Self {
        self.by_own_records = true;
        self
    }

    /// Adds one record of `tenant` and `key` with the event time `at`.
    pub fn add(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        tenant: &TenantId,
        key: &[u8],
        at: Utc,
        item: &A::Item,
    ) -> Result<Added> {
        let mut worst = Added::OnTime;
        self.add_all(
            out,
            partition,
            tenant,
            [(Bytes::copy_from_slice(key), at, item)],
            |_, added| {
                worst = added;
            },
        )?;
        Ok(worst)
    }

    /// Adds records of `tenant` in order, and reads and writes each window once. `on_added` receives the index of each record
    /// and what happened to it. No two tenants may have a key in common.
    pub fn add_all<'i>(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        tenant: &TenantId,
        items: impl IntoIterator<Item = (Bytes, Utc, &'i A::Item)>,
        mut on_added: impl FnMut(usize, Added),
    ) -> Result<()>
    where
        A::Item: 'i,
    {
        let timers = &self.layout.due_of(tenant);
        let mut time = self.time(out, partition, tenant)?;
        let latest_before = time.latest;
        // Every window in the state has a record, so none of them starts after the latest record.
        let opened_until = if self.by_own_records && latest_before > i64::MIN {
            latest_before
        } else {
            i64::MAX
        };
        let mut dropped = 0;
        let mut open: BTreeMap<(Bytes, i64), Open<A>> = BTreeMap::new();
        self.recent.forget(partition);
        for (place, (key, at, item)) in items.into_iter().enumerate() {
            let at = at.as_millis();
            let added = match self.kind {
                WindowKind::Session { gap } => {
                    self.add_to_session(out, partition, timers, &key, at, gap, time, item)?
                }
                WindowKind::Tumbling { size } => self.add_aligned(
                    out,
                    partition,
                    timers,
                    &mut open,
                    &key,
                    [at.div_euclid(size) * size],
                    size,
                    time,
                    opened_until,
                    item,
                )?,
                WindowKind::Sliding { size, step } => {
                    let last = at.div_euclid(step) * step;
                    let starts = (0..)
                        .map(|n| last - n * step)
                        .take_while(|start| start + size > at);
                    self.add_aligned(
                        out,
                        partition,
                        timers,
                        &mut open,
                        &key,
                        starts,
                        size,
                        time,
                        opened_until,
                        item,
                    )?
                }
            };
            if added == Added::DroppedLate {
                dropped += 1;
            }
            time.latest = time.latest.max(at);
            on_added(place, added);
        }
        if self.by_own_records && time.latest > latest_before {
            let latest = Utc::from_millis(time.latest);
            self.layout.latest.put(out, partition, &tenant, &latest);
        }
        for ((key, start), Open { stored, is_new }) in open {
            let place = Bytes::from(self.layout.key(&key, start));
            let bytes = Bytes::from(stored.to_bytes());
            if is_new {
                out.put_new(partition, place.clone(), bytes.clone());
            } else {
                out.put(partition, place.clone(), bytes.clone());
            }
            self.recent.hold(partition, place, bytes, stored);
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
        timers: &Timers,
        open: &mut BTreeMap<(Bytes, i64), Open<A>>,
        key: &Bytes,
        starts: impl IntoIterator<Item = i64>,
        size: i64,
        time: Time,
        opened_until: i64,
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
            let Open { stored, is_new } = match open.entry((key.clone(), start)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let known = if start > opened_until {
                        None
                    } else {
                        let at = self.layout.key(key, start);
                        self.layout.get(out, partition, &at, &self.recent)?
                    };
                    place.insert(Open {
                        is_new: known.is_none(),
                        stored: known.unwrap_or_else(|| Stored {
                            end,
                            value: A::default(),
                            revisions: 0,
                            due: i64::MIN,
                            replaces: Vec::new(),
                        }),
                    })
                }
            };
            stored.value.add(item);
            if *is_new && stored.due == i64::MIN {
                Layout::<A>::set_due_of_new(timers, out, partition, key, start, end);
                stored.due = end;
            } else {
                Layout::<A>::move_due(timers, out, partition, key, start, &mut stored.due, end);
            }
        }
        Ok(worst)
    }

    /// Emits the results of `tenant` that are due at `watermark`, first results and corrections, in the order of time. Call it
    /// after each batch, also if the watermark did not change, because the batch may have caused corrections.
    pub fn advance(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
    ) -> Result<Vec<Closed<A>>> {
        let timers = &self.layout.due_of(tenant);
        let mut time = self.time(out, partition, tenant)?;
        if watermark.as_millis() > time.watermark {
            time.watermark = watermark.as_millis();
            self.layout.watermark.put(out, partition, &tenant, &watermark);
        }
        let mut closed = Vec::new();
        let mut last = None;
        loop {
            let page = Layout::<A>::due(
                timers,
                out,
                partition,
                time.watermark,
                last.as_ref(),
                DUE_PER_READ,
            )?;
            for timer in &page {
                let (key, start) = Layout::<A>::read_id(&timer.id)?;
                let due = timer.at.as_millis();
                closed.extend(self.take_due(out, partition, timers, &key, start, due, time)?);
            }
            if page.len() < DUE_PER_READ {
                return Ok(closed);
            }
            last = page.into_iter().last();
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the body of one loop")]
    fn take_due(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        timers: &Timers,
        key: &Bytes,
        start: i64,
        due: i64,
        time: Time,
    ) -> Result<Option<Closed<A>>> {
        if let WindowKind::Tumbling { size } | WindowKind::Sliding { size, .. } = self.kind {
            let end = start.saturating_add(size);
            let forget_at = self.forget_at(end);
            if due == forget_at && due != end {
                // There is nothing to emit, so its value need not be read.
                if forget_at <= time.forgotten() {
                    self.layout.remove(timers, out, partition, key, start, due);
                }
                return Ok(None);
            }
        }
        let place = self.layout.key(key, start);
        let Some(mut stored) = self.layout.get(out, partition, &place, &self.recent)? else {
            return Err(Error::Corrupt(format!(
                "a window that is due at {due} is not in the state of partition {partition}"
            )));
        };
        let forget_at = self.forget_at(stored.end);
        let changed = due == stored.end;
        if !changed && forget_at > time.forgotten() {
            // The latest record of the windows' own kind is not far enough ahead.
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
            self.layout.remove(timers, out, partition, key, start, stored.due);
        } else {
            Layout::<A>::move_due(timers, out, partition, key, start, &mut stored.due, forget_at);
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

    /// When a window that ends at `end` is removed: from then on every record of it is dropped. This is always after
    /// `end`, so the due time shows whether a window is to be emitted or to be removed.
    const fn forget_at(&self, end: i64) -> i64 {
        let reach = match self.kind {
            WindowKind::Session { gap } => gap,
            WindowKind::Tumbling { .. } | WindowKind::Sliding { .. } => 0,
        };
        let at = end.saturating_add(reach).saturating_add(self.lateness);
        if at > end { at } else { end.saturating_add(1) }
    }

    /// The greatest watermark of the tenant that [`Windows::advance`] received.
    pub fn watermark(&self, out: &Outputs<'_>, partition: u32, tenant: &TenantId) -> Result<Utc> {
        let known = self.layout.watermark.get(out, partition, &tenant)?;
        Ok(known.unwrap_or(Utc::MIN))
    }

    fn time(&self, out: &Outputs<'_>, partition: u32, tenant: &TenantId) -> Result<Time> {
        let latest = if self.by_own_records {
            let known = self.layout.latest.get(out, partition, &tenant)?;
            known.map_or(i64::MIN, Utc::as_millis)
        } else {
            i64::MAX
        };
        Ok(Time {
            watermark: self.watermark(out, partition, tenant)?.as_millis(),
            latest,
        })
    }

    /// The windows of a partition whose result was emitted and that still accept late records, as they were last emitted. For
    /// programs that compare the state with what the results became.
    pub fn emitted(&self, state: &impl StateReader, partition: u32) -> Result<Vec<Closed<A>>> {
        let mut emitted = Vec::new();
        for (id, stored) in self.layout.all(state, partition)? {
            let Some(revision) = stored.revisions.checked_sub(1) else {
                continue;
            };
            emitted.push(Closed {
                key: id.key,
                window: Window {
                    start: id.start,
                    end: stored.end,
                },
                value: stored.value,
                revision,
                replaces: stored.replaces,
            });
        }
        Ok(emitted)
    }

    /// How many records of the partition were ever too late for at least one window.
    pub fn dropped_late(&self, out: &Outputs<'_>, partition: u32) -> Result<u64> {
        Ok(self.layout.dropped.get(out, partition, &())?.unwrap_or(0))
    }
}
