//! Time series in a SQLite file.
//!
//! A point is one row: the number of its series (tenant, measurement, tags), its time, and its fields in the format of
//! [`fields`](super::fields). Names and series are stored once, in their own tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use limbic_domain::TenantId;
use limbic_sqlite::Durability;
use parking_lot::Mutex;
use sqlx::{Any, AnyPool, Row as _, Transaction};

use crate::fields;
use crate::point::{Answer, Pending, Point, Query, SeriesError, SeriesStore, Written};

/// Time series in `series.sqlite`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    pool: AnyPool,
    /// One connection, so that the pages that it has read stay valid.
    writer: AnyPool,
    /// Committed names and series.
    known: Arc<Mutex<Known>>,
}

/// The numbers of names and series.
#[derive(Debug, Default)]
struct Known {
    names: HashMap<String, i64>,
    /// By tenant, measurement and tags.
    series: HashMap<TenantId, HashMap<String, HashMap<Tags, i64>>>,
}

/// Tags in the order of their names.
type Tags = BTreeMap<String, String>;

/// Rows in one statement, the largest first: SQLite compiles a statement for each number of rows, and sqlx keeps them.
const ROWS_AT_ONCE: [usize; 5] = [400, 128, 32, 8, 1];

fn unavailable(what: &'static str) -> impl FnOnce(sqlx::Error) -> SeriesError {
    move |error| SeriesError::Unavailable(format!("{what}: {error}"))
}

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS limbic_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS limbic_series_keys (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, measurement TEXT NOT NULL,
        tags TEXT NOT NULL, UNIQUE (tenant, measurement, tags))",
    "CREATE TABLE IF NOT EXISTS limbic_points (series INTEGER NOT NULL, at BIGINT NOT NULL, fields BLOB NOT NULL,
        PRIMARY KEY (series, at)) WITHOUT ROWID",
];

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
        Ok(Self {
            pool,
            writer,
            known: Arc::default(),
        })
    }

    async fn write_all(&self, points: &[Point]) -> Result<Written, SeriesError> {
        let failed = || unavailable("writing the series");
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        let mut numbers = Numbers::new(Arc::clone(&self.known));
        let mut rows: BTreeMap<(i64, i64), Vec<u8>> = BTreeMap::new();
        for point in points {
            let series = numbers.of_series(&mut transaction, point).await?;
            let mut packed = Vec::with_capacity(point.fields.len() * 4);
            for (name, value) in &point.fields {
                let name = numbers.of_name(&mut transaction, name).await?;
                fields::push(&mut packed, name, *value);
            }
            // Of two points of one series and time, the later one replaces the earlier.
            rows.insert((series, point.at.as_millis()), packed);
        }
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
        Ok(Written::default())
    }

    async fn add_up(&self, query: &Query) -> Result<Answer, SeriesError> {
        let failed = || unavailable("reading the series");
        let wanted = self.wanted_names(query).await?;
        let series =
            sqlx::query("SELECT id, tags FROM limbic_series_keys WHERE tenant = ? AND measurement = ?")
                .bind(query.tenant.as_str())
                .bind(&query.measurement)
                .fetch_all(&self.pool)
                .await
                .map_err(failed())?;
        let mut answer = Answer::new();
        for one in series {
            let tags: BTreeMap<String, String> = serde_json::from_str(one.get("tags")).unwrap_or_default();
            if query
                .tags
                .iter()
                .any(|(name, value)| tags.get(name) != Some(value))
            {
                continue;
            }
            let rows =
                sqlx::query("SELECT at, fields FROM limbic_points WHERE series = ? AND at >= ? AND at < ?")
                    .bind(one.get::<i64, _>("id"))
                    .bind(query.from.as_millis())
                    .bind(query.to.as_millis())
                    .fetch_all(&self.pool)
                    .await
                    .map_err(failed())?;
            for row in rows {
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

/// The numbers of names and series within a transaction. Those that it assigns are valid only after its commit.
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

    async fn of_name(
        &mut self,
        transaction: &mut Transaction<'static, Any>,
        name: &str,
    ) -> Result<i64, SeriesError> {
        let known = self.known.lock().names.get(name).copied();
        if let Some(number) = known.or_else(|| self.assigned.names.get(name).copied()) {
            return Ok(number);
        }
        let row = sqlx::query(
            "INSERT INTO limbic_names (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
        )
        .bind(name)
        .fetch_one(&mut **transaction)
        .await
        .map_err(unavailable("naming a field"))?;
        let number = row.get("id");
        self.assigned.names.insert(name.to_owned(), number);
        Ok(number)
    }

    async fn of_series(
        &mut self,
        transaction: &mut Transaction<'static, Any>,
        point: &Point,
    ) -> Result<i64, SeriesError> {
        let known = self.known.lock().series_of(point);
        if let Some(number) = known.or_else(|| self.assigned.series_of(point)) {
            return Ok(number);
        }
        let row = sqlx::query(
            "INSERT INTO limbic_series_keys (tenant, measurement, tags) VALUES (?, ?, ?)
             ON CONFLICT (tenant, measurement, tags) DO UPDATE SET tags = excluded.tags RETURNING id",
        )
        .bind(point.tenant.as_str())
        .bind(&point.measurement)
        .bind(serde_json::to_string(&point.tags).expect("tags are text"))
        .fetch_one(&mut **transaction)
        .await
        .map_err(unavailable("naming a series"))?;
        let number = row.get("id");
        let of_tenant = self.assigned.series.entry(point.tenant.clone()).or_default();
        let of_measurement = of_tenant.entry(point.measurement.clone()).or_default();
        of_measurement.insert(point.tags.clone(), number);
        Ok(number)
    }

    fn committed(self) {
        let mut known = self.known.lock();
        known.names.extend(self.assigned.names);
        for (tenant, measurements) in self.assigned.series {
            let of_tenant = known.series.entry(tenant).or_default();
            for (measurement, series) in measurements {
                of_tenant.entry(measurement).or_default().extend(series);
            }
        }
    }
}

impl Known {
    fn series_of(&self, point: &Point) -> Option<i64> {
        let of_measurement = self.series.get(&point.tenant)?.get(&point.measurement)?;
        of_measurement.get(&point.tags).copied()
    }
}

impl SeriesStore for Embedded {
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written> {
        Box::pin(self.write_all(points))
    }

    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer> {
        Box::pin(self.add_up(query))
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.pool.close().await;
            self.writer.close().await;
            Ok(())
        })
    }
}
