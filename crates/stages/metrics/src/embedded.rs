//! Series in a SQLite file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Row as _};

use crate::point::{Answer, Pending, Point, Query, SeriesError, SeriesStore, Written};

/// Series in `series.sqlite`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    pool: AnyPool,
}

/// Rows in one statement.
const ROWS_AT_ONCE: usize = 200;

fn unavailable(what: &'static str) -> impl FnOnce(sqlx::Error) -> SeriesError {
    move |error| SeriesError::Unavailable(format!("{what}: {error}"))
}

impl Embedded {
    /// Opens or creates the file in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, SeriesError> {
        let url = format!("sqlite://{}?mode=rwc", folder.join("series.sqlite").display());
        sqlx::any::install_default_drivers();
        let options = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // FULL: the windows behind a point are forgotten by the log once it was written, and a failing
                    // machine must not take the point after that.
                    for pragma in [
                        "PRAGMA journal_mode = WAL",
                        "PRAGMA synchronous = FULL",
                        "PRAGMA busy_timeout = 10000",
                    ] {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            });
        let pool = options
            .connect(&url)
            .await
            .map_err(unavailable("opening the series"))?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS limbic_series (
                tenant TEXT NOT NULL, measurement TEXT NOT NULL, at BIGINT NOT NULL, tags TEXT NOT NULL,
                fields TEXT NOT NULL, PRIMARY KEY (tenant, measurement, at, tags)) WITHOUT ROWID",
        )
        .execute(&pool)
        .await
        .map_err(unavailable("creating the series"))?;
        Ok(Self { pool })
    }

    async fn write_all(&self, points: &[Point]) -> Result<Written, SeriesError> {
        let failed = || unavailable("writing the series");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed())?;
        for chunk in points.chunks(ROWS_AT_ONCE) {
            let mut sql =
                String::from("INSERT INTO limbic_series (tenant, measurement, at, tags, fields) VALUES ");
            for row in 0..chunk.len() {
                let comma = if row == 0 { "" } else { ", " };
                let p = row * 5;
                let _ = write!(
                    sql,
                    "{comma}(${}, ${}, ${}, ${}, ${})",
                    p + 1,
                    p + 2,
                    p + 3,
                    p + 4,
                    p + 5
                );
            }
            // The later of two in one statement wins, too.
            sql.push_str(
                " ON CONFLICT (tenant, measurement, at, tags) DO UPDATE SET fields = excluded.fields",
            );
            let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql));
            for point in chunk {
                let json = |map: serde_json::Result<String>| map.expect("names and finite numbers");
                statement = statement
                    .bind(point.tenant.as_str().to_owned())
                    .bind(point.measurement.clone())
                    .bind(point.at.as_millis())
                    .bind(json(serde_json::to_string(&point.tags)))
                    .bind(json(serde_json::to_string(&point.fields)));
            }
            statement.execute(&mut *transaction).await.map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())?;
        Ok(Written::default())
    }

    async fn add_up(&self, query: &Query) -> Result<Answer, SeriesError> {
        // Tags and fields are compared as values, never pasted into the statement.
        let mut sql = String::from(
            "SELECT $1 + ((s.at - $1) / $2) * $2 AS step, f.key AS field, SUM(f.value) AS total
             FROM limbic_series AS s, json_each(s.fields) AS f
             WHERE s.tenant = $3 AND s.measurement = $4 AND s.at >= $1 AND s.at < $5 AND f.key IN (",
        );
        let mut next = 6;
        for place in 0..query.fields.len() {
            let comma = if place == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}${next}");
            next += 1;
        }
        sql.push(')');
        for _ in &query.tags {
            let _ = write!(
                sql,
                " AND EXISTS (SELECT 1 FROM json_each(s.tags) AS t WHERE t.key = ${} AND t.value = ${})",
                next,
                next + 1
            );
            next += 2;
        }
        sql.push_str(" GROUP BY 1, 2");
        let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(query.from.as_millis())
            .bind(query.step)
            .bind(query.tenant.as_str().to_owned())
            .bind(query.measurement.clone())
            .bind(query.to.as_millis());
        for field in &query.fields {
            statement = statement.bind(field.clone());
        }
        for (name, value) in &query.tags {
            statement = statement.bind(name.clone()).bind(value.clone());
        }
        let rows = statement
            .fetch_all(&self.pool)
            .await
            .map_err(unavailable("reading the series"))?;
        let mut answer = Answer::new();
        for row in rows {
            let fields: &mut BTreeMap<String, f64> = answer.entry(row.get("step")).or_default();
            fields.insert(row.get("field"), row.get("total"));
        }
        Ok(answer)
    }
}

impl SeriesStore for Embedded {
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written> {
        Box::pin(self.write_all(points))
    }

    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer> {
        Box::pin(self.add_up(query))
    }
}
