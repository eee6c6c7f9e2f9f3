//! The state tables of windows.

use bytes::Bytes;
use limbic_domain::{TenantId, Utc};

use super::recent::Recent;
use super::{Aggregate, Stored};
use crate::state::{KeyFor, StateKey, StateSchema, Table, Timer, Timers};
use crate::{Error, Outputs, Result, StateReader};

/// The tables of one set of windows. Their prefixes are the set's name, a zero byte and one letter.
#[derive(Debug, Clone)]
pub(super) struct Layout<A> {
    windows: Table<WindowKey, Stored<A>>,
    /// One timer of its tenant for each window: when it is next emitted, or when it is removed.
    due: Timers,
    /// The watermark of each tenant.
    pub(super) watermark: Table<TenantId, Utc>,
    /// The time of the latest record of each tenant. Kept only if lateness is counted by the windows' own records.
    pub(super) latest: Table<TenantId, Utc>,
    /// What older programs kept for all tenants together: timers, watermark, and time of the latest record.
    pub(super) former: Former,
    /// The number of records that were dropped as too late.
    pub(super) dropped: Table<(), u64>,
}

/// The timers, the watermark and the latest time of programs that had one event time for all tenants.
#[derive(Debug, Clone)]
pub(super) struct Former {
    pub(super) due: Timers,
    pub(super) watermark: Table<(), Utc>,
    pub(super) latest: Table<(), Utc>,
}

/// The key of a window in the state: the length of the record's key, the key, the start. The windows of one record key
/// are adjacent and sorted by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowKey {
    pub(super) key: Bytes,
    pub(super) start: i64,
}

/// A number as eight bytes that sort like the number.
const fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

const fn from_ordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

impl StateKey for WindowKey {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (key, start) = rest.split_last_chunk()?;
        (key.len() == u32::from_be_bytes(*length) as usize).then(|| Self {
            key: Bytes::copy_from_slice(key),
            start: from_ordered(*start),
        })
    }
}

impl KeyFor<WindowKey> for (&[u8], i64) {
    fn write_key(&self, to: &mut Vec<u8>) {
        let (key, start) = self;
        to.extend_from_slice(&(key.len() as u32).to_be_bytes());
        to.extend_from_slice(key);
        to.extend_from_slice(&ordered(*start));
    }

    fn size_hint(&self) -> usize {
        12 + self.0.len()
    }
}

impl<A: Aggregate> Layout<A> {
    pub(super) fn new(name: &str) -> Self {
        let part = |what: &str, letter: u8| {
            let prefix = [name.as_bytes(), &[0, letter]].concat();
            (format!("{what} of the windows {name}"), prefix)
        };
        let (windows, due) = (part("values", b'd'), part("due times", b'u'));
        let (watermark, latest) = (part("watermarks", b'v'), part("latest records", b'p'));
        let dropped = part("late records", b'l');
        let former = [
            part("due times of all tenants", b't'),
            part("watermark of all tenants", b'w'),
            part("latest record of all tenants", b'o'),
        ];
        let [former_due, former_watermark, former_latest] = former;
        Self {
            windows: Table::named(windows.0, windows.1),
            due: Timers::named(due.0, due.1),
            watermark: Table::named(watermark.0, watermark.1),
            latest: Table::named(latest.0, latest.1),
            dropped: Table::named(dropped.0, dropped.1),
            former: Former {
                due: Timers::named(former_due.0, former_due.1),
                watermark: Table::named(former_watermark.0, former_watermark.1),
                latest: Table::named(former_latest.0, former_latest.1),
            },
        }
    }

    /// The tables.
    pub(super) fn schema(&self) -> StateSchema
    where
        A: 'static,
    {
        StateSchema::new()
            .table(&self.windows)
            .timers_of_tenants(&self.due)
            .table(&self.watermark)
            .table(&self.latest)
            .table(&self.dropped)
            .timers(&self.former.due)
            .table(&self.former.watermark)
            .table(&self.former.latest)
    }

    /// The key of a window in the state.
    pub(super) fn key(&self, key: &[u8], start: i64) -> Vec<u8> {
        self.windows.key(&(key, start))
    }

    /// The window at a key that [`Self::key`] made. It is decoded only if it is not the one that `recent` holds.
    pub(super) fn get(
        &self,
        out: &Outputs<'_>,
        partition: u32,
        key: &[u8],
        recent: &Recent<A>,
    ) -> Result<Option<Stored<A>>> {
        let Some(bytes) = out.get(partition, key)? else {
            return Ok(None);
        };
        match recent.take(partition, key, &bytes) {
            Some(stored) => Ok(Some(stored)),
            None => self.windows.decode(partition, key, &bytes).map(Some),
        }
    }

    pub(super) fn put(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
        stored: &Stored<A>,
    ) {
        self.windows.put(out, partition, &(key, start), stored);
    }

    /// The timers of a tenant's windows.
    pub(super) fn due_of(&self, tenant: &TenantId) -> Timers {
        self.due.of(tenant)
    }

    /// Sets the timer of a window that the state does not have.
    pub(super) fn set_due_of_new(
        timers: &Timers,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
        due: i64,
    ) {
        let id = Self::id(key, start);
        timers.set_new(out, partition, Utc::from_millis(due), &id, &());
    }

    /// Up to `limit` windows of a key, in the order of time.
    pub(super) fn of_key(
        &self,
        out: &Outputs<'_>,
        partition: u32,
        key: &[u8],
        limit: usize,
    ) -> Result<Vec<(WindowKey, Stored<A>)>> {
        let prefix = [&(key.len() as u32).to_be_bytes(), key].concat();
        self.windows.scan(out, partition, &prefix, limit)
    }

    /// Up to `limit` windows of any key.
    pub(super) fn page(
        &self,
        out: &Outputs<'_>,
        partition: u32,
        limit: usize,
    ) -> Result<Vec<(WindowKey, Stored<A>)>> {
        self.windows.scan(out, partition, b"", limit)
    }

    /// All windows, in the order of their keys.
    pub(super) fn all(
        &self,
        state: &impl StateReader,
        partition: u32,
    ) -> Result<Vec<(WindowKey, Stored<A>)>> {
        self.windows.scan(state, partition, b"", usize::MAX)
    }

    /// Moves the window's timer from `due` to `to`. `i64::MIN` means that there is no timer.
    pub(super) fn move_due(
        timers: &Timers,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
        due: &mut i64,
        to: i64,
    ) {
        if *due == to {
            return;
        }
        let id = Self::id(key, start);
        if *due != i64::MIN {
            timers.cancel(out, partition, Utc::from_millis(*due), &id);
        }
        timers.set(out, partition, Utc::from_millis(to), &id, &());
        *due = to;
    }

    pub(super) fn remove(
        &self,
        timers: &Timers,
        out: &mut Outputs<'_>,
        partition: u32,
        key: &[u8],
        start: i64,
        due: i64,
    ) {
        self.windows.remove(out, partition, &(key, start));
        let id = Self::id(key, start);
        timers.cancel(out, partition, Utc::from_millis(due), &id);
    }

    /// The timers that are due at `watermark`, after `last`.
    pub(super) fn due(
        timers: &Timers,
        out: &Outputs<'_>,
        partition: u32,
        watermark: i64,
        last: Option<&Timer<()>>,
        limit: usize,
    ) -> Result<Vec<Timer<()>>> {
        let now = Utc::from_millis(watermark);
        match last {
            None => timers.due(out, partition, now, limit),
            Some(last) => timers.due_after(out, partition, now, last, limit),
        }
    }

    pub(super) fn id(key: &[u8], start: i64) -> Vec<u8> {
        [key, &ordered(start)].concat()
    }

    /// Parses a timer's id into the record key and the start of its window.
    pub(super) fn read_id(id: &Bytes) -> Result<(Bytes, i64)> {
        let (key, start) = id.split_last_chunk().ok_or_else(|| {
            Error::Corrupt("a timer in the state of windows has an id that is too short".into())
        })?;
        Ok((id.slice(..key.len()), from_ordered(*start)))
    }
}
