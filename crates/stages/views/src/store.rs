//! Reads and writes the view.

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use limbic_domain::TenantId;
use limbic_sqlite::Durability;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, Row as _, Transaction};

use crate::compression::{self, BodyError, BodyWriter};
use crate::schema;

/// Why the view cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database returned an error.
    #[error("{context}: {source}")]
    Database {
        /// What was tried.
        context: &'static str,
        /// The database's error.
        #[source]
        source: sqlx::Error,
    },
    /// Another instance has written the same records first.
    #[error("another instance has written {0} already")]
    Overtaken(String),
    /// A row's body cannot be read.
    #[error("the body of event `{id}`: {source}")]
    Body {
        /// The event's id.
        id: String,
        /// The reason.
        #[source]
        source: BodyError,
    },
    /// The text is not a cursor of this store.
    #[error("`{0}` is not a cursor: pass `next` of the page before, unchanged")]
    BadCursor(String),
}

pub(crate) fn database(context: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { context, source }
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A post; its entity is `network/id`.
    Post,
    /// A reading; its entity is the post's.
    Reading,
    /// A moment; its entity is the audience.
    Moment,
    /// Ads that the safety gate cleared; their entity is the campaign.
    CreativeSet,
    /// A decision; its entity is the campaign.
    Decision,
    /// An outcome; its entity is the decision.
    Outcome,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Reading => "reading",
            Self::Moment => "moment",
            Self::CreativeSet => "creative_set",
            Self::Decision => "decision",
            Self::Outcome => "outcome",
        }
    }
}

/// The end of a page. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(i64);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let number = text
            .strip_prefix('c')
            .and_then(|hex| i64::from_str_radix(hex, 16).ok());
        number
            .filter(|n| *n >= 0)
            .map(Self)
            .ok_or_else(|| StoreError::BadCursor(text.chars().take(40).collect()))
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The events, oldest first.
    pub items: Vec<Value>,
    /// Pass it as `after` to read the next page. `None` at the current end.
    pub next: Option<String>,
}

/// A new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRow {
    pub(crate) tenant: String,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) entity: String,
    pub(crate) body: String,
}

/// The view. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    postgres: bool,
}

/// Rows in one statement. Each has 7 parameters; SQLite's limit is 32,766.
const ROWS_AT_ONCE: usize = 200;

/// 8 MB in each connection.
const CACHE: &str = "PRAGMA cache_size = -8000";

impl Store {
    /// The embedded view, in a file in `folder`.
    pub async fn sqlite(folder: &Path) -> Result<Self, StoreError> {
        // If the machine fails, the last transactions can be lost. The offset is lost with them, so the stage reads the same
        // records from the log again.
        let pool = limbic_sqlite::open(&folder.join("view.sqlite"), Durability::Process, &[CACHE])
            .await
            .map_err(database("opening the view"))?;
        Self {
            pool,
            postgres: false,
        }
        .with_tables(schema::SQLITE)
        .await
    }

    /// The view in PostgreSQL, at `postgres://…`.
    pub async fn postgres(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let options = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(std::time::Duration::from_secs(5));
        let pool = options
            .connect(url)
            .await
            .map_err(database("connecting to PostgreSQL"))?;
        Self { pool, postgres: true }.with_tables(schema::POSTGRES).await
    }

    async fn with_tables(self, statements: &[&'static str]) -> Result<Self, StoreError> {
        let mut transaction = self.pool.begin().await.map_err(database("creating the tables"))?;
        for statement in statements {
            sqlx::query(*statement)
                .execute(&mut *transaction)
                .await
                .map_err(database("creating the tables"))?;
        }
        transaction
            .commit()
            .await
            .map_err(database("creating the tables"))?;
        Ok(self)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1")
            .execute(&self.pool)
            .await
            .map_err(database("asking the view"))?;
        Ok(())
    }

    /// The event with this id.
    pub async fn by_id(&self, tenant: &TenantId, kind: Kind, id: &str) -> Result<Option<Value>, StoreError> {
        let mut transaction = self.reading(tenant).await?;
        let row = sqlx::query(
            "SELECT seq, id, at, body FROM limbic_view WHERE tenant = $1 AND kind = $2 AND id = $3",
        )
        .bind(tenant.as_str())
        .bind(kind.as_str())
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database("reading an event"))?;
        row.as_ref().map(|row| self.item(row)).transpose()
    }

    /// Events of one entity (a post's `network/id`, an audience, a campaign, a decision), or of all entities, after
    /// `after`.
    pub async fn list(
        &self,
        tenant: &TenantId,
        kind: Kind,
        entity: Option<&str>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, 1_000) as usize;
        let after = after.unwrap_or_default().0;
        let mut transaction = self.reading(tenant).await?;
        let query = if let Some(entity) = entity {
            sqlx::query(
                "SELECT seq, id, at, body FROM limbic_view
                 WHERE tenant = $1 AND kind = $2 AND seq > $3 AND entity = $4 ORDER BY seq LIMIT $5",
            )
            .bind(tenant.as_str())
            .bind(kind.as_str())
            .bind(after)
            .bind(entity)
            .bind(limit as i64 + 1)
        } else {
            sqlx::query(
                "SELECT seq, id, at, body FROM limbic_view
                 WHERE tenant = $1 AND kind = $2 AND seq > $3 ORDER BY seq LIMIT $4",
            )
            .bind(tenant.as_str())
            .bind(kind.as_str())
            .bind(after)
            .bind(limit as i64 + 1)
        };
        let rows = query
            .fetch_all(&mut *transaction)
            .await
            .map_err(database("reading a page"))?;
        let more = rows.len() > limit;
        let rows = &rows[..rows.len().min(limit)];
        let last = rows.last().map(|row| Cursor(row.get::<i64, _>("seq")));
        Ok(Page {
            items: rows.iter().map(|row| self.item(row)).collect::<Result<_, _>>()?,
            next: last.filter(|_| more).map(|cursor| cursor.to_string()),
        })
    }

    /// The number of events of a kind.
    pub async fn count(&self, tenant: &TenantId, kind: Kind) -> Result<u64, StoreError> {
        let mut transaction = self.reading(tenant).await?;
        let row = sqlx::query("SELECT COUNT(*) AS n FROM limbic_view WHERE tenant = $1 AND kind = $2")
            .bind(tenant.as_str())
            .bind(kind.as_str())
            .fetch_one(&mut *transaction)
            .await
            .map_err(database("counting events"))?;
        Ok(row.get::<i64, _>("n") as u64)
    }

    async fn reading(&self, tenant: &TenantId) -> Result<Transaction<'static, Any>, StoreError> {
        let mut transaction = self.pool.begin().await.map_err(database("reading the view"))?;
        self.act_for(&mut transaction, tenant.as_str()).await?;
        Ok(transaction)
    }

    /// Sets the tenant whose rows this transaction may see, for row-level security.
    async fn act_for(
        &self,
        transaction: &mut Transaction<'static, Any>,
        tenant: &str,
    ) -> Result<(), StoreError> {
        if self.postgres {
            sqlx::query("SELECT set_config('limbic.tenant', $1, true)")
                .bind(tenant)
                .execute(&mut **transaction)
                .await
                .map_err(database("choosing the tenant"))?;
        }
        Ok(())
    }

    /// The next offset of each source, if there is one.
    pub(crate) async fn offsets(&self, sources: &[String]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut offsets = Vec::with_capacity(sources.len());
        for source in sources {
            let row = sqlx::query("SELECT next FROM limbic_view_offsets WHERE source = $1")
                .bind(source)
                .fetch_optional(&self.pool)
                .await
                .map_err(database("reading an offset"))?;
            offsets.push(row.map(|row| row.get::<i64, _>("next") as u64));
        }
        Ok(offsets)
    }

    /// Writes rows and moves the offsets in one transaction. `moves`: source, its expected offset, its new offset.
    pub(crate) async fn write(
        &self,
        rows: &[NewRow],
        moves: &[(String, Option<u64>, u64)],
    ) -> Result<(), StoreError> {
        let mut transaction = if self.postgres {
            self.pool.begin().await.map_err(database("writing the view"))?
        } else {
            // Takes SQLite's write lock at the start: a read transaction that becomes a write transaction cannot wait for
            // it.
            self.pool
                .begin_with("BEGIN IMMEDIATE")
                .await
                .map_err(database("writing the view"))?
        };
        self.act_for(&mut transaction, "*").await?;
        if self.postgres {
            sqlx::query(schema::POSTGRES_WRITE_LOCK)
                .execute(&mut *transaction)
                .await
                .map_err(database("writing the view"))?;
        }
        for (source, expected, next) in moves {
            let outcome = match expected {
                Some(expected) => {
                    sqlx::query("UPDATE limbic_view_offsets SET next = $1 WHERE source = $2 AND next = $3")
                        .bind(*next as i64)
                        .bind(source)
                        .bind(*expected as i64)
                        .execute(&mut *transaction)
                        .await
                        .map_err(database("moving an offset"))?
                }
                None => sqlx::query(
                    "INSERT INTO limbic_view_offsets (source, next) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                )
                .bind(source)
                .bind(*next as i64)
                .execute(&mut *transaction)
                .await
                .map_err(database("moving an offset"))?,
            };
            if outcome.rows_affected() != 1 {
                return Err(StoreError::Overtaken(source.clone()));
            }
        }
        let mut writer = BodyWriter::new();
        for chunk in rows.chunks(ROWS_AT_ONCE) {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(self.insert(chunk.len())));
            for row in chunk {
                query = query
                    .bind(row.tenant.clone())
                    .bind(row.kind)
                    .bind(row.id.clone())
                    .bind(row.at)
                    .bind(row.entity.clone());
                query = if self.postgres {
                    query.bind(row.body.clone())
                } else {
                    query.bind(writer.write(&row.body))
                };
            }
            query
                .execute(&mut *transaction)
                .await
                .map_err(database("writing events"))?;
        }
        transaction.commit().await.map_err(database("committing events"))
    }

    /// A statement that inserts `rows` rows.
    fn insert(&self, rows: usize) -> String {
        // SQLite would keep every page as it was before a statement that may abort half-way, to restore it. OR FAIL does not
        // restore: a failure ends the transaction as a whole.
        let verb = if self.postgres { "INSERT" } else { "INSERT OR FAIL" };
        let mut sql = format!("{verb} INTO limbic_view (tenant, kind, id, at, entity, body) VALUES ");
        for row in 0..rows {
            sql.push_str(if row == 0 { "" } else { ", " });
            if self.postgres {
                let p = row * 6;
                let _ = write!(
                    sql,
                    "(${}, ${}, ${}, ${}, ${}, ${})",
                    p + 1,
                    p + 2,
                    p + 3,
                    p + 4,
                    p + 5,
                    p + 6
                );
            } else {
                // Numbered parameters are slow: SQLite searches its list of parameters for each one.
                sql.push_str("(?, ?, ?, ?, ?, ?)");
            }
        }
        sql.push_str(" ON CONFLICT (tenant, kind, id) DO NOTHING");
        sql
    }

    /// An event as the API returns it: its data, with `id` and `at` if the data has no such fields.
    fn item(&self, row: &AnyRow) -> Result<Value, StoreError> {
        let body = if self.postgres {
            row.get::<String, _>("body")
        } else {
            compression::read(row.get::<&[u8], _>("body")).map_err(|source| StoreError::Body {
                id: row.get("id"),
                source,
            })?
        };
        let mut value = serde_json::from_str(&body).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut value {
            fields
                .entry("id")
                .or_insert_with(|| row.get::<String, _>("id").into());
            let at = limbic_domain::Utc::from_millis(row.get("at"));
            fields.entry("at").or_insert_with(|| at.to_string().into());
        }
        Ok(value)
    }
}
