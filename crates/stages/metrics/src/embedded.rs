//! Time series in a SQLite file.
//!
//! A point is one row: the number of its series (tenant, measurement, tags), its time, and its fields in the format of
//! [`fields`](super::fields). Names and series are stored once, in their own tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use futures_util::TryStreamExt as _;
use limbic_domain::{TenantId, Utc};
use limbic_sqlite::Durability;
use parking_lot::Mutex;
use sqlx::{Any, AnyPool, Row as _, Transaction};

use crate::fields;
use crate::names::Name;
use crate::point::{Answer, Older, Pending, Point, Query, Series, SeriesError, SeriesStore, Written};
use crate::settings::KeepPoints;

/// Time series in `series.sqlite`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The connections of the API.
    pool: AnyPool,
    /// The connection of the stage, which reads of the API cannot take. One connection, so that the pages that it has read stay valid.
    writer: AnyPool,
    /// Committed names and series.
    known: Arc<Mutex<Known>>,
}

/// The numbers of names and series, and from when points are kept.
#[derive(Debug, Default)]
struct Known {
    names: HashMap<Name, i64>,
    /// The numbers of the names that the program knows, by their place.
    listed: Vec<Option<i64>>,
    series: HashMap<Arc<Series>, i64>,
    /// By tenant and measurement.
    kept_from: HashMap<(TenantId, String), Utc>,
}

/// Rows in one statement, the largest first: SQLite compiles a statement for each number of rows, and sqlx keeps them.
const ROWS_AT_ONCE: [usize; 5] = [400, 128, 32, 8, 1];

fn unavailable(what: &'static str) -> impl FnOnce(sqlx::Error) -> SeriesError {
    move |error| SeriesError::Unavailable(format!("{what}: {error}"))
}

/// The most points that one query adds up.
const MOST_POINTS: usize = 500_000;
/// The most series of a tenant and measurement that one query looks at.
const MOST_SERIES: usize = 100_000;

fn too_wide() -> SeriesError {
    SeriesError::BadQuery(format!(
        "the query reads more than {MOST_POINTS} points or {MOST_SERIES} series: ask for a shorter time, a longer step, or \
         `emotion_all` instead of `emotion`"
    ))
}

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS limbic_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS limbic_series_keys (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, measurement TEXT NOT NULL,
        tags TEXT NOT NULL, UNIQUE (tenant, measurement, tags))",
    "CREATE TABLE IF NOT EXISTS limbic_points (series INTEGER NOT NULL, at BIGINT NOT NULL, fields BLOB NOT NULL,
        PRIMARY KEY (series, at)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS limbic_series_retention (tenant TEXT NOT NULL, measurement TEXT NOT NULL, kept_from BIGINT NOT NULL,
        PRIMARY KEY (tenant, measurement))",
];
/// Pages of the file that are given back at once: 8 MiB.
const PAGES: u32 = 2_000;

impl Embedded {
    /// Opens or creates the file in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, SeriesError> {
        let file = folder.join("series.sqlite");
        // When a point is written, the log forgets its window. After that, a failure of the machine must not lose the point.
        let writer = limbic_sqlite::open_writer(&file, Durability::Machine, &[])
            .await
            .map_err(unavailable("opening the series"))?;
        for table in TABLES {
            sqlx::query(table)
                .execute(&writer)
                .await
                .map_err(unavailable("creating the series"))?;
        }
        let pool = limbic_sqlite::open(&file, Durability::Machine, &[])
            .await
            .map_err(unavailable("opening the series"))?;
        let known = Known {
            kept_from: read_kept_from(&pool).await?,
            ..Known::default()
        };
        Ok(Self {
            pool,
            writer,
            known: Arc::new(Mutex::new(known)),
        })
    }

    /// Makes the file able to give space back, if an older program has created it. That writes the file once again. If it
    /// fails, for instance because the disk is full, deleted points only make room for new ones.
    async fn prepare(&self) {
        if let Err(error) = limbic_sqlite::make_shrinkable(&self.writer).await {
            tracing::warn!(%error, "the series' file cannot shrink: deleted points only make room for new ones. The next start tries again");
        }
    }

    async fn write_all(&self, points: &[Point]) -> Result<Written, SeriesError> {
        let failed = || unavailable("writing the series");
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        let mut numbers = Numbers::new(Arc::clone(&self.known));
        numbers.assign(&mut transaction, points).await?;
        let Packed { rows, not_stored } = numbers.pack(points);
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let count = ROWS_AT_ONCE.into_iter().find(|count| *count <= rows.len());
            let count = count.expect("a statement of one row fits");
            let mut statement = sqlx::query(sqlx::AssertSqlSafe(insertion(count)));
            for ((series, at), packed) in rows.by_ref().take(count) {
                statement = statement.bind(series).bind(at).bind(packed);
            }
            statement.execute(&mut *transaction).await.map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())?;
        numbers.committed();
        Ok(Written {
            not_stored,
            ..Written::default()
        })
    }

    async fn add_up(&self, query: &Query) -> Result<Answer, SeriesError> {
        let failed = || unavailable("reading the series");
        let wanted = self.wanted_names(query).await?;
        let mut answer = Answer::new();
        let mut left = MOST_POINTS;
        for series in self.wanted_series(query).await? {
            // The statement ends when its rows are dropped, also when the caller has gone.
            let mut rows =
                sqlx::query("SELECT at, fields FROM limbic_points WHERE series = ? AND at >= ? AND at < ?")
                    .bind(series)
                    .bind(query.from.as_millis())
                    .bind(query.to.as_millis())
                    .fetch(&self.pool);
            while let Some(row) = rows.try_next().await.map_err(failed())? {
                left = left.checked_sub(1).ok_or_else(too_wide)?;
                let since = row.get::<i64, _>("at") - query.from.as_millis();
                let step = query.from.as_millis() + since.div_euclid(query.step) * query.step;
                for (name, value) in fields::read(row.get::<&[u8], _>("fields")) {
                    if let Some(name) = wanted.get(&name) {
                        let sums = answer.entry(step).or_default();
                        *sums.entry(name.clone()).or_default() += value;
                    }
                }
            }
        }
        Ok(answer)
    }

    /// The numbers of the series with all requested tags.
    async fn wanted_series(&self, query: &Query) -> Result<Vec<i64>, SeriesError> {
        let mut wanted = Vec::new();
        let mut left = MOST_SERIES;
        let mut rows =
            sqlx::query("SELECT id, tags FROM limbic_series_keys WHERE tenant = ? AND measurement = ?")
                .bind(query.tenant.as_str())
                .bind(&query.measurement)
                .fetch(&self.pool);
        let failed = || unavailable("reading the series");
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            left = left.checked_sub(1).ok_or_else(too_wide)?;
            let tags: BTreeMap<String, String> = serde_json::from_str(row.get("tags")).unwrap_or_default();
            let has = |(name, value): (&String, &String)| tags.get(name) == Some(value);
            if query.tags.iter().all(has) {
                wanted.push(row.get("id"));
            }
        }
        Ok(wanted)
    }

    /// The numbers of the requested fields that exist.
    async fn wanted_names(&self, query: &Query) -> Result<HashMap<i64, String>, SeriesError> {
        let mut wanted = HashMap::new();
        for name in &query.fields {
            let found = sqlx::query("SELECT id FROM limbic_names WHERE name = ?")
                .bind(name)
                .fetch_optional(&self.pool)
                .await
                .map_err(unavailable("reading the series"))?;
            wanted.extend(found.map(|row| (row.get::<i64, _>("id"), name.clone())));
        }
        Ok(wanted)
    }
}

/// A statement that inserts or replaces `rows` rows.
fn insertion(rows: usize) -> String {
    // Numbered parameters are slow: SQLite searches its list of parameters for each one.
    let values = vec!["(?, ?, ?)"; rows].join(", ");
    format!(
        "INSERT INTO limbic_points (series, at, fields) VALUES {values}
         ON CONFLICT (series, at) DO UPDATE SET fields = excluded.fields"
    )
}

/// Rows to write, by series and time.
#[derive(Default)]
struct Packed {
    rows: BTreeMap<(i64, i64), Vec<u8>>,
    /// Points that are older than the series are kept, by measurement.
    not_stored: BTreeMap<String, u64>,
}

/// The numbers as a transaction sees them. Those that it assigns are valid only after its commit.
struct Numbers {
    known: Arc<Mutex<Known>>,
    assigned: Known,
}

impl Numbers {
    fn new(known: Arc<Mutex<Known>>) -> Self {
        Self {
            known,
            assigned: Known::default(),
        }
    }

    /// Assigns numbers to the names and series of `points` that have none.
    async fn assign(
        &mut self,
        transaction: &mut Transaction<'static, Any>,
        points: &[Point],
    ) -> Result<(), SeriesError> {
        let (mut series, mut names) = (HashSet::default(), HashSet::default());
        {
            let known = self.known.lock();
            for point in points {
                if known.series_of(&point.series).is_none() {
                    series.insert(Arc::clone(&point.series));
                }
                let unknown = point
                    .fields
                    .iter()
                    .filter(|(name, _)| known.name_of(name).is_none());
                names.extend(unknown.map(|(name, _)| name.clone()));
            }
        }
        for name in names {
            self.assign_name(transaction, name).await?;
        }
        for series in series {
            self.assign_series(transaction, series).await?;
        }
        Ok(())
    }

    /// The rows of `points`, whose names and series have numbers.
    fn pack(&self, points: &[Point]) -> Packed {
        let mut packed = Packed::default();
        let known = self.known.lock();
        for point in points {
            if !known.is_kept(point) {
                let measurement = point.series.measurement.clone();
                *packed.not_stored.entry(measurement).or_default() += 1;
                continue;
            }
            let series = known.series_of(&point.series);
            let series = series.or_else(|| self.assigned.series_of(&point.series));
            let series = series.expect("each series of the points has a number");
            let mut row = Vec::with_capacity(point.fields.len() * 4);
            for (name, value) in &point.fields {
                let number = known.name_of(name).or_else(|| self.assigned.name_of(name));
                fields::push(
                    &mut row,
                    number.expect("each name of the points has a number"),
                    *value,
                );
            }
            // Of two points of one series and time, the later one replaces the earlier.
            packed.rows.insert((series, point.at.as_millis()), row);
        }
        packed
    }

    async fn assign_name(
        &mut self,
        transaction: &mut Transaction<'static, Any>,
        name: Name,
    ) -> Result<(), SeriesError> {
        let row = sqlx::query(
            "INSERT INTO limbic_names (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
        )
        .bind(name.as_str().to_owned())
        .fetch_one(&mut **transaction)
        .await
        .map_err(unavailable("naming a field"))?;
        self.assigned.insert_name(name, row.get("id"));
        Ok(())
    }

    async fn assign_series(
        &mut self,
        transaction: &mut Transaction<'static, Any>,
        series: Arc<Series>,
    ) -> Result<(), SeriesError> {
        let row = sqlx::query(
            "INSERT INTO limbic_series_keys (tenant, measurement, tags) VALUES (?, ?, ?)
             ON CONFLICT (tenant, measurement, tags) DO UPDATE SET tags = excluded.tags RETURNING id",
        )
        .bind(series.tenant.as_str())
        .bind(&series.measurement)
        .bind(serde_json::to_string(&series.tags).expect("tags are text"))
        .fetch_one(&mut **transaction)
        .await
        .map_err(unavailable("naming a series"))?;
        self.assigned.series.insert(series, row.get("id"));
        Ok(())
    }

    fn committed(self) {
        let mut known = self.known.lock();
        for (place, number) in self.assigned.listed.into_iter().enumerate() {
            if let Some(number) = number {
                known.insert_listed(place, number);
            }
        }
        known.names.extend(self.assigned.names);
        known.series.extend(self.assigned.series);
    }
}

impl Known {
    fn series_of(&self, series: &Arc<Series>) -> Option<i64> {
        self.series.get(series).copied()
    }

    fn name_of(&self, name: &Name) -> Option<i64> {
        match name.number() {
            Some(place) => self.listed.get(usize::from(place)).copied().flatten(),
            None => self.names.get(name).copied(),
        }
    }

    fn insert_name(&mut self, name: Name, number: i64) {
        match name.number() {
            Some(place) => self.insert_listed(place.into(), number),
            None => {
                self.names.insert(name, number);
            }
        }
    }

    fn insert_listed(&mut self, place: usize, number: i64) {
        if self.listed.len() <= place {
            self.listed.resize(place + 1, None);
        }
        self.listed[place] = Some(number);
    }

    fn is_kept(&self, point: &Point) -> bool {
        if self.kept_from.is_empty() {
            return true;
        }
        let key = (point.series.tenant.clone(), point.series.measurement.clone());
        self.kept_from.get(&key).is_none_or(|from| point.at >= *from)
    }
}

async fn read_kept_from(pool: &AnyPool) -> Result<HashMap<(TenantId, String), Utc>, SeriesError> {
    let rows = sqlx::query("SELECT tenant, measurement, kept_from FROM limbic_series_retention")
        .fetch_all(pool)
        .await
        .map_err(unavailable("reading from when points are kept"))?;
    let kept = rows.iter().filter_map(|row| {
        let tenant = TenantId::new(row.get("tenant")).ok()?;
        let from = Utc::from_millis(row.get("kept_from"));
        Some(((tenant, row.get("measurement")), from))
    });
    Ok(kept.collect())
}

/// Retention. The time from which points are kept is in the database before the first point of that age is deleted, and never
/// goes back.
impl Embedded {
    async fn find_older(&self, keep: &KeepPoints, now: Utc) -> Result<Vec<Older>, SeriesError> {
        let rows = sqlx::query(
            "SELECT tenant, measurement,
                MIN((SELECT MIN(at) FROM limbic_points WHERE series = id)) AS oldest,
                MAX((SELECT MAX(at) FROM limbic_points WHERE series = id)) AS newest
             FROM limbic_series_keys GROUP BY tenant, measurement",
        )
        .fetch_all(&self.writer)
        .await
        .map_err(unavailable("looking for old points"))?;
        let limits: BTreeMap<&str, i64> = keep
            .limits()
            .map(|(name, keep)| (name, keep.as_millis()))
            .collect();
        let older = rows.iter().filter_map(|row| {
            let measurement: String = row.get("measurement");
            let keep = limits.get(measurement.as_str())?;
            let oldest = row.get::<Option<i64>, _>("oldest")?;
            let newest = row.get::<Option<i64>, _>("newest")?;
            let kept_from = Utc::from_millis(newest).min(now).plus_millis(-keep);
            (oldest < kept_from.as_millis()).then_some(Older {
                tenant: TenantId::new(row.get("tenant")).ok()?,
                measurement,
                kept_from,
            })
        });
        Ok(older.collect())
    }

    async fn delete_older(&self, older: &Older, most: u32) -> Result<u64, SeriesError> {
        let failed = || unavailable("deleting old points");
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        sqlx::query(
            "INSERT INTO limbic_series_retention (tenant, measurement, kept_from) VALUES (?, ?, ?)
             ON CONFLICT (tenant, measurement) DO UPDATE SET kept_from = MAX(kept_from, excluded.kept_from)",
        )
        .bind(older.tenant.as_str())
        .bind(&older.measurement)
        .bind(older.kept_from.as_millis())
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        let deleted = sqlx::query(
            "DELETE FROM limbic_points WHERE (series, at) IN
             (SELECT series, at FROM limbic_series_keys JOIN limbic_points ON series = id
              WHERE tenant = ? AND measurement = ? AND at < ? LIMIT ?)",
        )
        .bind(older.tenant.as_str())
        .bind(&older.measurement)
        .bind(older.kept_from.as_millis())
        .bind(i64::from(most))
        .execute(&mut *transaction)
        .await
        .map_err(failed())?
        .rows_affected();
        transaction.commit().await.map_err(failed())?;
        let key = (older.tenant.clone(), older.measurement.clone());
        let mut known = self.known.lock();
        let kept_from = known.kept_from.entry(key).or_insert(Utc::MIN);
        *kept_from = older.kept_from.max(*kept_from);
        Ok(deleted)
    }
}

impl SeriesStore for Embedded {
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written> {
        Box::pin(self.write_all(points))
    }

    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer> {
        Box::pin(self.add_up(query))
    }

    fn older<'a>(&'a self, keep: &'a KeepPoints, now: Utc) -> Pending<'a, Vec<Older>> {
        Box::pin(self.find_older(keep, now))
    }

    fn delete<'a>(&'a self, older: &'a Older, most: u32) -> Pending<'a, u64> {
        Box::pin(self.delete_older(older, most))
    }

    fn prepare_retention(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.prepare().await;
            Ok(())
        })
    }

    fn give_back(&self) -> Pending<'_, u64> {
        Box::pin(async {
            let freed = limbic_sqlite::give_back(&self.writer, PAGES).await;
            freed.map_err(unavailable("giving space back to the disk"))
        })
    }

    fn deleted_before<'a>(&'a self, tenant: &'a TenantId, measurement: &'a str) -> Pending<'a, Option<Utc>> {
        let key = (tenant.clone(), measurement.to_owned());
        let deleted = self.known.lock().kept_from.get(&key).copied();
        Box::pin(async move { Ok(deleted) })
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.pool.close().await;
            self.writer.close().await;
            Ok(())
        })
    }
}
