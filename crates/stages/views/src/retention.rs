//! Deletes events that are older than the settings keep them.
//!
//! A *stream* is a tenant's events of one kind. Its time is that of its newest events: the lower median of the last
//! [`NEWEST`] rows, so a few events with a wrong time do not move it. Events are deleted that are older than the stream's
//! time *and* the node's clock allow. So a wrong reading of the clock alone deletes nothing.
//!
//! The time from which a stream is kept (`kept_from`) is in the database before the first row of that age is deleted, and
//! it never goes back. An event from before that time is not written any more. So a replay of old records does not bring
//! back what was deleted.
//!
//! Rows are deleted in steps of [`ROWS`] rows, each in its own transaction, from the oldest number on. Numbers follow the
//! order of arrival, which is nearly the order of time. A *sweep* over all numbers finds the rows of events that arrived
//! much later than they happened.

use std::collections::{HashMap, VecDeque};

use limbic_domain::{TenantId, Utc};
use sqlx::Row as _;

use crate::meters::ViewMeters;
use crate::settings::KeepEvents;
use crate::sqlite::table;
use crate::store::{Kind, Store, StoreError, database};

/// Rows that one step looks at.
const ROWS: i64 = 1_000;
/// Steps in one tick.
const STEPS: u32 = 4;
/// Ticks from the end of a round over all streams to the next round.
const TICKS_BETWEEN_ROUNDS: u32 = 30;
/// The rows whose times give the time of a stream.
const NEWEST: i64 = 101;
/// Pages of SQLite's file that are given back in one tick: 8 MiB.
const PAGES: u32 = 2_000;

/// A tenant's events of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) tenant: String,
    pub(crate) kind: Kind,
}

/// Deletes old events of all streams, a few at each tick.
#[derive(Debug)]
pub(crate) struct Retention {
    keep: KeepEvents,
    meters: ViewMeters,
    /// The streams that this round has not finished. The number is the last one that the front pass has looked at.
    visits: VecDeque<(Stream, Utc, i64)>,
    /// Where the sweep of each stream continues.
    sweeps: HashMap<Stream, i64>,
    /// Ticks until the next round.
    pause: u32,
}

impl Retention {
    pub(crate) fn new(keep: KeepEvents, meters: ViewMeters) -> Self {
        Self {
            keep,
            meters,
            visits: VecDeque::new(),
            sweeps: HashMap::new(),
            pause: 0,
        }
    }

    pub(crate) const fn meters(&self) -> &ViewMeters {
        &self.meters
    }

    /// Does a bounded part of the work.
    pub(crate) async fn tick(&mut self, store: &Store, now: Utc) -> Result<(), StoreError> {
        if !self.keep.is_limited() {
            return Ok(());
        }
        if self.visits.is_empty() {
            if self.pause > 0 {
                self.pause -= 1;
                return Ok(());
            }
            self.pause = TICKS_BETWEEN_ROUNDS;
            self.visits = self.due(store, now).await?;
        }
        for _ in 0..STEPS {
            let Some((stream, kept_from, after)) = self.visits.pop_front() else {
                break;
            };
            let step = store.delete_older(&stream, kept_from, after).await?;
            self.count(&stream, step.deleted);
            match step.last.filter(|_| step.deleted > 0) {
                Some(last) => self.visits.push_front((stream, kept_from, last)),
                None => self.sweep(store, stream, kept_from).await?,
            }
        }
        let freed = store.give_back(PAGES).await?;
        self.meters.freed.inc_by(freed);
        Ok(())
    }

    /// The streams whose events may be too old, each with the time from which it is kept.
    async fn due(&self, store: &Store, now: Utc) -> Result<VecDeque<(Stream, Utc, i64)>, StoreError> {
        let mut due = VecDeque::new();
        for stream in store.streams().await? {
            let Some(keep) = self.keep.of(stream.kind) else {
                continue;
            };
            let Some(time) = store.time_of(&stream).await? else {
                continue;
            };
            due.push_back((stream, time.min(now).plus_millis(-keep.as_millis()), 0));
        }
        Ok(due)
    }

    async fn sweep(&mut self, store: &Store, stream: Stream, kept_from: Utc) -> Result<(), StoreError> {
        let after = self.sweeps.get(&stream).copied().unwrap_or_default();
        let step = store.delete_older(&stream, kept_from, after).await?;
        self.count(&stream, step.deleted);
        self.sweeps.insert(stream, step.last.unwrap_or_default());
        Ok(())
    }

    fn count(&self, stream: &Stream, deleted: u64) {
        if deleted > 0 {
            self.meters
                .deleted
                .with_label_values(&[stream.kind.as_str()])
                .inc_by(deleted);
            tracing::debug!(
                tenant = stream.tenant,
                kind = stream.kind.as_str(),
                deleted,
                "deleted old events"
            );
        }
    }
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Step {
    /// The last number that the step looked at. `None` = there are no later rows.
    pub(crate) last: Option<i64>,
    pub(crate) deleted: u64,
}

/// What was deleted of a tenant's events of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Events from before this time are deleted.
    pub before: Utc,
    /// How many events were deleted so far.
    pub events: u64,
    /// The highest number of a deleted event.
    pub(crate) last: i64,
}

impl Store {
    /// The table of a kind, and the condition that selects the rows of a stream: `$1` and `$2` are tenant and kind.
    fn rows_of(&self, kind: Kind) -> (&'static str, &'static str) {
        if self.postgres {
            return ("limbic_view", "tenant = $1 AND kind = $2");
        }
        let of_stream = "stream = (SELECT stream FROM limbic_streams WHERE tenant = $1 AND kind = $2)";
        (table(kind.as_str()), of_stream)
    }

    /// All streams.
    async fn streams(&self) -> Result<Vec<Stream>, StoreError> {
        // PostgreSQL has no list of them. Each step of the recursion finds the next one in the index.
        let sql = if self.postgres {
            "WITH RECURSIVE streams AS (
                (SELECT tenant, kind FROM limbic_view ORDER BY tenant, kind LIMIT 1)
                UNION ALL
                SELECT later.tenant, later.kind FROM streams, LATERAL (
                    SELECT tenant, kind FROM limbic_view WHERE (tenant, kind) > (streams.tenant, streams.kind)
                    ORDER BY tenant, kind LIMIT 1) AS later)
             SELECT tenant, kind FROM streams"
        } else {
            "SELECT tenant, kind FROM limbic_streams ORDER BY stream"
        };
        let mut transaction = self.reading_as("*").await?;
        let rows = sqlx::query(sql).fetch_all(&mut *transaction).await;
        let rows = rows.map_err(database("listing the streams of events"))?;
        let stream = |row: &sqlx::any::AnyRow| {
            Some(Stream {
                tenant: row.get("tenant"),
                kind: Kind::parse(row.get("kind"))?,
            })
        };
        Ok(rows.iter().filter_map(stream).collect())
    }

    /// The time of a stream: the lower median of its newest rows. `None` if there are none.
    async fn time_of(&self, stream: &Stream) -> Result<Option<Utc>, StoreError> {
        let (table, of_stream) = self.rows_of(stream.kind);
        let sql = format!("SELECT at FROM {table} WHERE {of_stream} ORDER BY seq DESC LIMIT {NEWEST}");
        let mut transaction = self.reading_as("*").await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&stream.tenant)
            .bind(stream.kind.as_str())
            .fetch_all(&mut *transaction)
            .await
            .map_err(database("reading the time of the newest events"))?;
        let mut times: Vec<i64> = rows.iter().map(|row| row.get("at")).collect();
        times.sort_unstable();
        let middle = times.len().saturating_sub(1) / 2;
        Ok(times.get(middle).copied().map(Utc::from_millis))
    }

    /// Looks at the next rows of a stream after the number `after`, and deletes those from before `kept_from`.
    pub(crate) async fn delete_older(
        &self,
        stream: &Stream,
        kept_from: Utc,
        after: i64,
    ) -> Result<Step, StoreError> {
        let (table, of_stream) = self.rows_of(stream.kind);
        let sql = format!(
            "SELECT MAX(seq) AS last, MAX(CASE WHEN at < $4 THEN seq END) AS last_old FROM
             (SELECT seq, at FROM {table} WHERE {of_stream} AND seq > $3 ORDER BY seq LIMIT {ROWS}) AS next_rows"
        );
        let mut transaction = self.reading_as("*").await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&stream.tenant)
            .bind(stream.kind.as_str())
            .bind(after)
            .bind(kept_from.as_millis())
            .fetch_one(&mut *transaction)
            .await
            .map_err(database("looking for old events"))?;
        drop(transaction);
        let mut step = Step {
            last: row.get("last"),
            deleted: 0,
        };
        let Some(last_old) = row.get::<Option<i64>, _>("last_old") else {
            return Ok(step);
        };
        // First the time, in a transaction of its own that excludes writers: those that come later see it.
        self.keep_from(stream, kept_from).await?;
        step.deleted = self.delete_between(stream, kept_from, after, last_old).await?;
        Ok(step)
    }

    async fn keep_from(&self, stream: &Stream, kept_from: Utc) -> Result<(), StoreError> {
        let failed = || database("writing from when events are kept");
        let mut transaction = self.writing().await?;
        sqlx::query(
            "INSERT INTO limbic_view_retention (tenant, kind, kept_from, last, deleted) VALUES ($1, $2, $3, 0, 0)
             ON CONFLICT (tenant, kind) DO UPDATE SET kept_from = excluded.kept_from
             WHERE limbic_view_retention.kept_from < excluded.kept_from",
        )
        .bind(&stream.tenant)
        .bind(stream.kind.as_str())
        .bind(kept_from.as_millis())
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    async fn delete_between(
        &self,
        stream: &Stream,
        kept_from: Utc,
        after: i64,
        last: i64,
    ) -> Result<u64, StoreError> {
        let failed = || database("deleting old events");
        let (table, of_stream) = self.rows_of(stream.kind);
        let sql = format!("DELETE FROM {table} WHERE {of_stream} AND seq > $3 AND seq <= $4 AND at < $5");
        let mut transaction = self.writing_without_lock().await?;
        let deleted = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&stream.tenant)
            .bind(stream.kind.as_str())
            .bind(after)
            .bind(last)
            .bind(kept_from.as_millis())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?
            .rows_affected();
        sqlx::query(
            "UPDATE limbic_view_retention SET deleted = deleted + $3, last = CASE WHEN last < $4 THEN $4 ELSE last END
             WHERE tenant = $1 AND kind = $2",
        )
        .bind(&stream.tenant)
        .bind(stream.kind.as_str())
        .bind(deleted as i64)
        .bind(last)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        transaction.commit().await.map_err(failed())?;
        Ok(deleted)
    }

    /// What was deleted of a tenant's events of a kind. `None` = nothing.
    pub async fn deleted(&self, tenant: &TenantId, kind: Kind) -> Result<Option<Deleted>, StoreError> {
        let mut transaction = self.reading_as(tenant.as_str()).await?;
        self.deleted_in(&mut transaction, tenant, kind).await
    }

    pub(crate) async fn deleted_in(
        &self,
        transaction: &mut sqlx::Transaction<'static, sqlx::Any>,
        tenant: &TenantId,
        kind: Kind,
    ) -> Result<Option<Deleted>, StoreError> {
        let row = sqlx::query(
            "SELECT kept_from, last, deleted FROM limbic_view_retention WHERE tenant = $1 AND kind = $2 AND deleted > 0",
        )
        .bind(tenant.as_str())
        .bind(kind.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(database("reading what was deleted"))?;
        Ok(row.map(|row| Deleted {
            before: Utc::from_millis(row.get("kept_from")),
            events: row.get::<i64, _>("deleted") as u64,
            last: row.get("last"),
        }))
    }

    /// Makes SQLite's file able to give space back, if an older program has created it. That writes the file once again. If it
    /// fails, for instance because the disk is full, deleted rows only make room for new ones.
    pub(crate) async fn prepare_retention(&self) {
        if self.postgres {
            return;
        }
        if let Err(error) = limbic_sqlite::make_shrinkable(&self.writer).await {
            tracing::warn!(%error, "the view's file cannot shrink: deleted events only make room for new ones. The next start tries again");
        }
    }

    /// Gives up to `pages` unused pages of a SQLite file back to the disk. Returns the bytes. PostgreSQL does this itself.
    async fn give_back(&self, pages: u32) -> Result<u64, StoreError> {
        if self.postgres {
            return Ok(0);
        }
        limbic_sqlite::give_back(&self.writer, pages)
            .await
            .map_err(database("giving space back to the disk"))
    }
}
