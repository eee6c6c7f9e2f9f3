//! Timers in the state of a stage.

use bytes::Bytes;
use limbic_domain::{TenantId, Utc};

use super::table::{time_from_key, time_to_key};
use super::{KeyFor, StateKey, StateValue, Table};
use crate::{Outputs, Result, StateReader};

/// Timers in the state of a stage, sorted by time and id. Each can have a value.
///
/// A timer does not call the stage. The stage asks for the timers that are due: for event time in [`Stage::watermark`],
/// for wall-clock time in [`Stage::tick`]. Keep one set of timers for each clock. Timers are committed with the batch
/// that set them, and move with the partition to another instance.
///
/// Event time is the time of a tenant. So timers of event time are kept in a set [of each tenant](Self::of).
///
/// [`Stage::watermark`]: crate::Stage::watermark
/// [`Stage::tick`]: crate::Stage::tick
#[derive(Debug, Clone)]
pub struct Timers<V = ()> {
    table: Table<TimerKey, V>,
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer<V> {
    /// When it is due.
    pub at: Utc,
    /// The id that it was set with.
    pub id: Bytes,
    /// The value that it was set with.
    pub value: V,
}

/// The time of a timer. The timer's id follows in the key.
#[derive(Debug)]
pub(super) struct TimerKey {
    at: Utc,
}

/// Bytes of the time in a key.
const TIME: usize = 8;

impl StateKey for TimerKey {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (time, _) = bytes.split_first_chunk::<TIME>()?;
        Some(Self {
            at: time_from_key(*time),
        })
    }
}

impl KeyFor<TimerKey> for (Utc, &[u8]) {
    fn write_key(&self, to: &mut Vec<u8>) {
        let (at, id) = self;
        to.extend_from_slice(&time_to_key(*at));
        to.extend_from_slice(id);
    }

    fn size_hint(&self) -> usize {
        TIME + self.1.len()
    }
}

impl<V: StateValue> Timers<V> {
    /// A set of timers. `name` is for error messages. `prefix` starts every key: no prefix of a stage may start with
    /// another one.
    pub const fn new(name: &'static str, prefix: &'static [u8]) -> Self {
        Self {
            table: Table::new(name, prefix),
        }
    }

    /// Like [`Self::new`], with a name and a prefix that are built at run time.
    pub const fn named(name: String, prefix: Vec<u8>) -> Self {
        Self {
            table: Table::named(name, prefix),
        }
    }

    /// The timers of one tenant: a set of its own within this one. A stage that uses it sets no timers in this set itself.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Self {
        let mut prefix = Vec::with_capacity(self.table.prefix().len() + tenant.as_str().len() + 1);
        prefix.extend_from_slice(self.table.prefix());
        prefix.extend_from_slice(tenant.as_str().as_bytes());
        // It is in no name of a tenant, so no prefix starts with another one.
        prefix.push(0);
        Self {
            table: self.table.under(prefix),
        }
    }

    /// Sets a timer. It replaces a timer with the same time and id. A timer with the same id and another time stays set:
    /// [cancel](Self::cancel) it.
    pub fn set(&self, out: &mut Outputs<'_>, partition: u32, at: Utc, id: &[u8], value: &V) {
        self.table.put(out, partition, &(at, id), value);
    }

    /// As [`Self::set`], for a timer that is not set: see [`Outputs::put_new`].
    pub(crate) fn set_new(&self, out: &mut Outputs<'_>, partition: u32, at: Utc, id: &[u8], value: &V) {
        let key = self.key(at, id);
        out.put_new(partition, key, value.to_bytes());
    }

    /// The key in the state of the timer with this time and id.
    pub fn key(&self, at: Utc, id: &[u8]) -> Vec<u8> {
        self.table.key(&(at, id))
    }

    /// Removes the timer with this time and id, if there is one. Use it after a timer is handled, or if it is no longer
    /// needed.
    pub fn cancel(&self, out: &mut Outputs<'_>, partition: u32, at: Utc, id: &[u8]) {
        self.table.remove(out, partition, &(at, id));
    }

    /// Up to `limit` timers that are due at `now` (their time is not later), sorted by time and id. They stay set until
    /// they are [cancelled](Self::cancel).
    pub fn due(
        &self,
        state: &impl StateReader,
        partition: u32,
        now: Utc,
        limit: usize,
    ) -> Result<Vec<Timer<V>>> {
        self.due_from(state, partition, now, self.table.prefix(), limit)
    }

    /// Like [`Self::due`], but only timers after `last`: for the next page, if timers stay set.
    pub fn due_after<T>(
        &self,
        state: &impl StateReader,
        partition: u32,
        now: Utc,
        last: &Timer<T>,
        limit: usize,
    ) -> Result<Vec<Timer<V>>> {
        let mut from = self.table.key(&(last.at, &last.id[..]));
        // The smallest key after that of `last`.
        from.push(0);
        self.due_from(state, partition, now, &from, limit)
    }

    fn due_from(
        &self,
        state: &impl StateReader,
        partition: u32,
        now: Utc,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Timer<V>>> {
        let mut due = Vec::new();
        for (key, bytes) in state.scan(partition, self.table.prefix(), from, limit)? {
            let TimerKey { at } = self.table.decode_key(partition, &key)?;
            if at > now {
                break;
            }
            let value = self.table.decode(partition, &key, &bytes)?;
            let id = key.slice(self.table.prefix().len() + TIME..);
            due.push(Timer { at, id, value });
        }
        Ok(due)
    }

    pub(super) const fn table(&self) -> &Table<TimerKey, V> {
        &self.table
    }

    /// Checks an entry by its key behind the prefix, and its value.
    pub(super) fn check(key: &[u8], value: &[u8]) -> std::result::Result<(), String> {
        TimerKey::from_key(key).ok_or("the key is damaged")?;
        V::from_bytes(value)
            .map(drop)
            .map_err(|problem| problem.to_string())
    }

    /// The time of the first timer, if there is one.
    pub fn first(&self, state: &impl StateReader, partition: u32) -> Result<Option<Utc>> {
        let prefix = self.table.prefix();
        let entries = state.scan(partition, prefix, prefix, 1)?;
        entries
            .first()
            .map(|(key, _)| Ok(self.table.decode_key(partition, key)?.at))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::MemoryState;

    const TIMERS: Timers<u64> = Timers::new("timers", b"t");

    fn at(millis: i64) -> Utc {
        Utc::from_millis(millis)
    }

    proptest! {
        #[test]
        fn due_timers_come_in_the_order_of_time_and_id_page_by_page(
            set in proptest::collection::btree_map((any::<i64>(), proptest::collection::vec(any::<u8>(), 0..3)), any::<u64>(), 0..40),
            now: i64,
            page in 1_usize..7,
        ) {
            let state = MemoryState::default();
            let mut out = Outputs::new(&state);
            for ((time, id), value) in &set {
                TIMERS.set(&mut out, 0, at(*time), id, value);
            }
            let expected: Vec<Timer<u64>> = set
                .iter()
                .filter(|((time, _), _)| *time <= now)
                .map(|((time, id), value)| Timer { at: at(*time), id: id.clone().into(), value: *value })
                .collect();
            let mut found = TIMERS.due(&out, 0, at(now), page).unwrap();
            while let Some(last) = found.last() {
                let next = TIMERS.due_after(&out, 0, at(now), last, page).unwrap();
                if next.is_empty() {
                    break;
                }
                found.extend(next);
            }
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(TIMERS.first(&out, 0).unwrap(), set.keys().next().map(|(time, _)| at(*time)));
        }
    }

    #[test]
    fn a_timer_that_one_call_sets_and_handles_is_not_written() {
        let handled = |state: &MemoryState| {
            let mut out = Outputs::new(state);
            TIMERS.set(&mut out, 5, at(10), b"a", &1);
            TIMERS.set(&mut out, 5, at(20), b"b", &2);
            for timer in TIMERS.due(&out, 5, at(15), 9).unwrap() {
                TIMERS.cancel(&mut out, 5, timer.at, &timer.id);
            }
            out.into_effects()
        };
        let mut state = MemoryState::default();
        let effects = handled(&state);
        assert_eq!(effects.state[&5].len(), 1, "the timer at 20: {effects:?}");
        let mut out = Outputs::new(&state);
        TIMERS.set(&mut out, 5, at(10), b"a", &1);
        let effects = out.into_effects();
        state.commit(&effects);
        // The state has the timer now, so its removal is written.
        state.commit(&handled(&state));
        assert_eq!(TIMERS.first(&state, 5).unwrap(), Some(at(20)));
    }

    #[test]
    fn timers_of_a_tenant_are_a_set_of_their_own() {
        let state = MemoryState::default();
        let mut out = Outputs::new(&state);
        let [short, long] = ["a", "a0"].map(|name| TenantId::new(name).unwrap());
        TIMERS.of(&short).set(&mut out, 0, at(1), b"x", &1);
        TIMERS.of(&long).set(&mut out, 0, at(0), b"x", &2);
        let due = |tenant| TIMERS.of(tenant).due(&out, 0, Utc::MAX, 9).unwrap();
        assert_eq!(
            due(&short).iter().map(|timer| timer.value).collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(
            due(&long).iter().map(|timer| timer.value).collect::<Vec<_>>(),
            [2]
        );
    }

    #[test]
    fn a_timer_is_replaced_cancelled_and_moves_with_its_partition() {
        let mut state = MemoryState::default();
        let mut out = Outputs::new(&state);
        TIMERS.set(&mut out, 5, at(10), b"a", &1);
        TIMERS.set(&mut out, 5, at(10), b"a", &2);
        TIMERS.set(&mut out, 5, at(11), b"b", &3);
        let effects = out.into_effects();
        state.commit(&effects);
        // Another instance reads the committed state.
        let mut out = Outputs::new(&state);
        let due = TIMERS.due(&out, 5, at(10), 9).unwrap();
        let due: Vec<_> = due.iter().map(|timer| timer.value).collect();
        assert_eq!(due, [2]);
        TIMERS.cancel(&mut out, 5, at(10), b"a");
        assert_eq!(TIMERS.first(&out, 5).unwrap(), Some(at(11)));
        assert_eq!(TIMERS.first(&out, 4).unwrap(), None);
    }
}
