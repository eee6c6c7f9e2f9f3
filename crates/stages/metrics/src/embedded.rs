//! Time series in a SQLite file.
//!
//! A point is one row: the number of its series (tenant, measurement, tags), its time, and its fields in the format of
//! [`fields`](super::fields). Names and series are stored once, in their own tables.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use limbic_sqlite::Durability;
use parking_lot::Mutex;
use sqlx::{Any, AnyPool, Row as _, Transaction};

use crate::fields;
use crate::point::{Answer, Pending, Point, Query, SeriesError, SeriesStore, Written};

/// Time series in `series.sqlite`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    pool: AnyPool,
    known: Arc<Mutex<Known>>,
}

/// The numbers of committed names and series.
#[derive(Debug, Clone, Default)]
struct Known {
    names: HashMap<String, i64>,
    series: HashMap<Series, i64>,
}

/// The identity of a series: tenant, measurement, tags as JSON in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Series {
    tenant: String,
    measurement: String,
    tags: String,
}

/// Rows in one statement.
const ROWS_AT_ONCE: usize = 400;

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
        // When a point is written, the log forgets its window. After that, a failure of the machine must not lose the point.
        let pool = limbic_sqlite::open(&folder.join("series.sqlite"), Durability::Machine, &[])
            .await
            .map_err(unavailable("opening the series"))?;
        for table in TABLES {
            sqlx::query(table)
                .execute(&pool)
                .await
                .map_err(unavailable("creating the series"))?;
        }
        Ok(Self {
            pool,
            known: Arc::default(),
        })
    }

    async fn write_all(&self, points: &[Point]) -> Result<Written, SeriesError> {
        let failed = || unavailable("writing the series");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed())?;
        // The numbers that this transaction assigns are valid only after its commit.
        let mut known = self.known.lock().clone();
        let mut rows: BTreeMap<(i64, i64), Vec<u8>> = BTreeMap::new();
        for point in points {
            let series = Series {
                tenant: point.tenant.as_str().to_owned(),
                measurement: point.measurement.clone(),
                tags: serde_json::to_string(&point.tags).expect("tags are text"),
            };
            let series = number_of_series(&mut transaction, &mut known, series).await?;
            let mut packed = Vec::with_capacity(point.fields.len() * 4);
            for (name, value) in &point.fields {
                let name = number_of_name(&mut transaction, &mut known, name).await?;
                fields::push(&mut packed, name, *value);
            }
            // Of two points of one series and time, the later one replaces the earlier.
            rows.insert((series, point.at.as_millis()), packed);
        }
        let rows: Vec<((i64, i64), Vec<u8>)> = rows.into_iter().collect();
        for chunk in rows.chunks(ROWS_AT_ONCE) {
            let mut sql = String::from("INSERT INTO limbic_points (series, at, fields) VALUES ");
            for row in 0..chunk.len() {
                // Numbered parameters are slow: SQLite searches its list of parameters for each one.
                sql.push_str(if row == 0 { "(?, ?, ?)" } else { ", (?, ?, ?)" });
            }
            sql.push_str(" ON CONFLICT (series, at) DO UPDATE SET fields = excluded.fields");
            let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql));
            for ((series, at), packed) in chunk {
                statement = statement.bind(*series).bind(*at).bind(packed.clone());
            }
            statement.execute(&mut *transaction).await.map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())?;
        *self.known.lock() = known;
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

async fn number_of_name(
    transaction: &mut Transaction<'static, Any>,
    known: &mut Known,
    name: &str,
) -> Result<i64, SeriesError> {
    if let Some(number) = known.names.get(name) {
        return Ok(*number);
    }
    let row = sqlx::query(
        "INSERT INTO limbic_names (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
    )
    .bind(name)
    .fetch_one(&mut **transaction)
    .await
    .map_err(unavailable("naming a field"))?;
    let number = row.get("id");
    known.names.insert(name.to_owned(), number);
    Ok(number)
}

async fn number_of_series(
    transaction: &mut Transaction<'static, Any>,
    known: &mut Known,
    series: Series,
) -> Result<i64, SeriesError> {
    if let Some(number) = known.series.get(&series) {
        return Ok(*number);
    }
    let row = sqlx::query(
        "INSERT INTO limbic_series_keys (tenant, measurement, tags) VALUES (?, ?, ?)
         ON CONFLICT (tenant, measurement, tags) DO UPDATE SET tags = excluded.tags RETURNING id",
    )
    .bind(&series.tenant)
    .bind(&series.measurement)
    .bind(&series.tags)
    .fetch_one(&mut **transaction)
    .await
    .map_err(unavailable("naming a series"))?;
    let number = row.get("id");
    known.series.insert(series, number);
    Ok(number)
}

impl SeriesStore for Embedded {
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written> {
        Box::pin(self.write_all(points))
    }

    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer> {
        Box::pin(self.add_up(query))
    }
}
