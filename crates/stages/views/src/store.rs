//! Reads and writes the view.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use limbic_data_key::{DataKeys, NoRandomness};
use limbic_domain::{Outcome, Statement, TenantId, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Row as _, Transaction};

use crate::compression::{self, BodyError};
use crate::{ids, schema, sqlite};

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
    /// A row's body cannot be sealed.
    #[error(transparent)]
    Unsealed(#[from] NoRandomness),
    /// A row's body cannot be read.
    #[error("the body of event `{id}`: {source}")]
    Body {
        /// The event's id.
        id: String,
        /// The reason.
        #[source]
        source: BodyError,
    },
    /// A later program has written the file.
    #[error(
        "the view has the format {found}, and this program knows formats up to {known}: upgrade the program, or remove the file to have the view built again"
    )]
    TooNew {
        /// The format of the file.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// An id in the database is not one that this program has written.
    #[error(
        "an event's id cannot be read: restore the view from a backup, or remove the file to have it built again"
    )]
    DamagedId,
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
    /// The state of an audience; its id and its entity are the audience.
    AudienceStatus,
    /// What a campaign has chosen, and what came of it; its id and its entity are the campaign.
    CampaignStatus,
    /// The deliveries to an ad platform from one partition; its id is `PLATFORM/PARTITION`, its entity the platform.
    PlatformStatus,
}

impl Kind {
    /// The kinds of which only the latest row of each id is kept, as long as the view exists.
    pub const STATUS: [Self; 3] = [Self::AudienceStatus, Self::CampaignStatus, Self::PlatformStatus];

    /// The kinds of events.
    pub const ALL: [Self; 6] = [
        Self::Post,
        Self::Reading,
        Self::Moment,
        Self::CreativeSet,
        Self::Decision,
        Self::Outcome,
    ];

    /// The name of many of them, as in the API's paths and in the settings.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Post => "posts",
            Self::Reading => "readings",
            Self::Moment => "moments",
            Self::CreativeSet => "creatives",
            Self::Decision => "decisions",
            Self::Outcome => "outcomes",
            Self::AudienceStatus => "audiences",
            Self::CampaignStatus => "campaigns",
            Self::PlatformStatus => "platforms",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = Self::ALL.into_iter().chain(Self::STATUS);
        all.into_iter().find(|kind| kind.as_str() == text)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Reading => "reading",
            Self::Moment => "moment",
            Self::CreativeSet => "creative_set",
            Self::Decision => "decision",
            Self::Outcome => "outcome",
            Self::AudienceStatus => "audience_status",
            Self::CampaignStatus => "campaign_status",
            Self::PlatformStatus => "platform_status",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewRow {
    pub(crate) tenant: TenantId,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) entity: String,
    pub(crate) body: String,
    /// Which row of the same id it takes the place of.
    pub(crate) replaces: Replaces,
}

/// Which row of the same id a new row takes the place of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Replaces {
    /// None: the row that is there stays.
    Nothing,
    /// An outcome whose statement is before this one.
    Before(Statement),
    /// A row that is not newer.
    NotNewer,
    /// A post or a reading of an earlier version of the post than this one.
    Revision(u64),
    /// Every row of the same entity. The row itself is not written.
    Deleted,
}

/// The view. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// The connections of the API.
    pub(crate) pool: AnyPool,
    /// The connections of the stage, which reads of the API cannot take: one to SQLite, several to PostgreSQL.
    pub(crate) writer: AnyPool,
    pub(crate) postgres: bool,
    /// The keys with which bodies are sealed.
    keys: Option<DataKeys>,
}

/// For how many records after it a refused one is remembered: more than one transaction of the log holds.
const REFUSED_FOR: u64 = 1_000_000;

/// Rows in one statement for PostgreSQL. Each has 6 parameters; the limit is 65,535.
const ROWS_AT_ONCE: usize = 200;

/// How long PostgreSQL may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The start of a sealed body in PostgreSQL. JSON never begins with it.
const SEALED: &str = "sealed:";

impl Store {
    /// The embedded view, in a file in `folder`.
    pub async fn sqlite(folder: &Path) -> Result<Self, StoreError> {
        let (pool, writer) = sqlite::open(folder).await?;
        Ok(Self {
            pool,
            writer,
            postgres: false,
            keys: None,
        })
    }

    /// The view in PostgreSQL, at `postgres://…`. Creates the tables that are missing.
    pub async fn postgres(url: &str) -> Result<Self, StoreError> {
        let store = Self::postgres_as_it_is(url).await?;
        store.with_tables(schema::POSTGRES).await
    }

    /// The view in PostgreSQL for a program that only reads: no table is created, so [`Self::has_tables`] may be false.
    pub async fn postgres_as_it_is(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let options = AnyPoolOptions::new().max_connections(8).acquire_timeout(PATIENCE);
        let connect = |options: AnyPoolOptions| async move {
            let connected = match options.connect(url).await {
                // The pool tries again until its time is over, and does not say why it failed.
                Err(sqlx::Error::PoolTimedOut) => Err(why_not(url).await),
                connected => connected,
            };
            connected.map_err(database("connecting to PostgreSQL"))
        };
        Ok(Self {
            pool: connect(options.clone()).await?,
            writer: connect(options.max_connections(4)).await?,
            postgres: true,
            keys: None,
        })
    }

    /// Whether the tables of the view are there. They always are in SQLite, and in PostgreSQL after [`Self::postgres`].
    pub async fn has_tables(&self) -> Result<bool, StoreError> {
        if !self.postgres {
            return Ok(true);
        }
        sqlx::query_scalar("SELECT to_regclass('limbic_view') IS NOT NULL")
            .fetch_one(&self.pool)
            .await
            .map_err(database("asking for the tables of the view"))
    }

    /// Seals the bodies of further rows with the newest of `keys`, and opens sealed ones. Rows that are there stay as they are. Fails if
    /// the newest row is sealed with another key.
    pub async fn sealed_with(mut self, keys: Option<DataKeys>) -> Result<Self, StoreError> {
        self.keys = keys;
        if !self.has_tables().await? {
            return Ok(self);
        }
        let mut transaction = self.reading_as("*").await?;
        let newest = if self.postgres {
            "SELECT seq, id, at, body FROM limbic_view ORDER BY seq DESC LIMIT 1"
        } else {
            sqlite::NEWEST_OF_LAST_STREAM
        };
        let row = sqlx::query(newest)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database("reading an event"))?;
        drop(transaction);
        row.as_ref().map(|row| self.item(row)).transpose()?;
        Ok(self)
    }

    /// PostgreSQL keeps a body as text: JSON, or [`SEALED`] and the sealed bytes.
    fn unsealed(&self, id: &str, body: String) -> Result<String, BodyError> {
        let Some(sealed) = body.strip_prefix(SEALED) else {
            return Ok(body);
        };
        let sealed = BASE64
            .decode(sealed)
            .map_err(|error| BodyError::Damaged(error.to_string()))?;
        let keys = self.keys.as_ref().ok_or(BodyError::NoKeys)?;
        let opened = keys.open(id.as_bytes(), &sealed)?;
        String::from_utf8(opened).map_err(|error| BodyError::Damaged(error.to_string()))
    }

    /// The body of a row as PostgreSQL keeps it.
    fn sealed(&self, row: &NewRow) -> Result<String, StoreError> {
        let Some(keys) = &self.keys else {
            return Ok(row.body.clone());
        };
        let sealed = keys.seal(row.id.as_bytes(), row.body.as_bytes())?;
        Ok(format!("{SEALED}{}", BASE64.encode(sealed)))
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

    /// Closes the connections. SQLite then moves what is in its write-ahead log to the file, and removes the log.
    pub async fn close(&self) {
        self.pool.close().await;
        self.writer.close().await;
    }

    #[cfg(test)]
    pub(crate) const fn readers(&self) -> &AnyPool {
        &self.pool
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1")
            .execute(&self.pool)
            .await
            .map_err(database("asking the view"))?;
        Ok(())
    }

    /// The database and its version, for instance `PostgreSQL 15.4`.
    pub async fn server(&self) -> Result<String, StoreError> {
        let (name, sql) = if self.postgres {
            ("PostgreSQL", "SELECT current_setting('server_version')")
        } else {
            ("SQLite", "SELECT sqlite_version()")
        };
        let version: String = sqlx::query_scalar(sql)
            .fetch_one(&self.pool)
            .await
            .map_err(database("asking the view"))?;
        Ok(format!("{name} {version}"))
    }

    /// The event with this id. SQLite has no index of the ids of readings: find them by their post, with [`Self::list`].
    pub async fn by_id(&self, tenant: &TenantId, kind: Kind, id: &str) -> Result<Option<Value>, StoreError> {
        let mut transaction = self.reading(tenant).await?;
        let sql = if self.postgres {
            "SELECT seq, id, at, body FROM limbic_view WHERE tenant = $1 AND kind = $2 AND id = $3"
        } else {
            sqlite::by_id(kind)
        };
        let mut query = sqlx::query(sql).bind(tenant.as_str()).bind(kind.as_str());
        if self.postgres {
            query = query.bind(id);
        } else {
            query = query.bind(ids::pack(id));
            if let Some(hash) = ids::hash(kind.as_str(), id) {
                query = query.bind(hash);
            }
        }
        let row = query
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database("reading an event"))?;
        let item = row.as_ref().map(|row| self.item(row)).transpose()?;
        Ok(item.map(|(item, _)| item))
    }

    /// The number of events of a kind.
    pub async fn count(&self, tenant: &TenantId, kind: Kind) -> Result<u64, StoreError> {
        let mut transaction = self.reading(tenant).await?;
        let sql = if self.postgres {
            "SELECT COUNT(*) AS n FROM limbic_view WHERE tenant = $1 AND kind = $2"
        } else {
            sqlite::count(kind)
        };
        let row = sqlx::query(sql)
            .bind(tenant.as_str())
            .bind(kind.as_str())
            .fetch_one(&mut *transaction)
            .await
            .map_err(database("counting events"))?;
        Ok(row.get::<i64, _>("n") as u64)
    }

    pub(crate) async fn reading(&self, tenant: &TenantId) -> Result<Transaction<'static, Any>, StoreError> {
        self.reading_as(tenant.as_str()).await
    }

    /// A transaction that reads the rows of a tenant; `*` = of all tenants, for the stage.
    pub(crate) async fn reading_as(&self, tenant: &str) -> Result<Transaction<'static, Any>, StoreError> {
        let pool = if tenant == "*" { &self.writer } else { &self.pool };
        let mut transaction = pool.begin().await.map_err(database("reading the view"))?;
        self.act_for(&mut transaction, tenant).await?;
        Ok(transaction)
    }

    /// A transaction that writes rows of all tenants, while no other transaction numbers rows.
    pub(crate) async fn writing(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let mut transaction = self.writing_without_lock().await?;
        if self.postgres {
            sqlx::query(schema::POSTGRES_WRITE_LOCK)
                .execute(&mut *transaction)
                .await
                .map_err(database("writing the view"))?;
        }
        Ok(transaction)
    }

    /// A transaction that writes rows of all tenants. SQLite has one writer at a time.
    pub(crate) async fn writing_without_lock(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let begun = if self.postgres {
            self.writer.begin().await
        } else {
            // Takes SQLite's write lock at the start: a read transaction that becomes a write transaction cannot wait for
            // it.
            self.writer.begin_with("BEGIN IMMEDIATE").await
        };
        let mut transaction = begun.map_err(database("writing the view"))?;
        self.act_for(&mut transaction, "*").await?;
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

    /// Gives the offset of each `old` source to its `new` source, if that has none.
    pub(crate) async fn rename_sources(&self, names: &[(String, String)]) -> Result<(), StoreError> {
        for (old, new) in names {
            let sql = "UPDATE limbic_view_offsets SET source = $1 WHERE source = $2
                 AND NOT EXISTS (SELECT 1 FROM limbic_view_offsets WHERE source = $1)";
            sqlx::query(sql)
                .bind(new)
                .bind(old)
                .execute(&self.writer)
                .await
                .map_err(database("moving an offset"))?;
        }
        Ok(())
    }

    /// Removes the offsets of these sources. Their events stay.
    pub(crate) async fn forget_offsets(&self, sources: &[String]) -> Result<(), StoreError> {
        for source in sources {
            for sql in [
                "DELETE FROM limbic_view_offsets WHERE source = $1",
                "DELETE FROM limbic_view_refused WHERE source = $1",
            ] {
                sqlx::query(sql)
                    .bind(source)
                    .execute(&self.writer)
                    .await
                    .map_err(database("removing an offset"))?;
            }
        }
        Ok(())
    }

    /// The next offset of each source, if there is one.
    pub(crate) async fn offsets(&self, sources: &[String]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut offsets = Vec::with_capacity(sources.len());
        for source in sources {
            let row = sqlx::query("SELECT next FROM limbic_view_offsets WHERE source = $1")
                .bind(source)
                .fetch_optional(&self.writer)
                .await
                .map_err(database("reading an offset"))?;
            offsets.push(row.map(|row| row.get::<i64, _>("next") as u64));
        }
        Ok(offsets)
    }

    /// Writes rows and moves the offsets in one transaction. `moves`: source, its expected offset, its new offset. Rows of
    /// events that are older than the view keeps are not written: returns their number, by kind.
    pub(crate) async fn write(
        &self,
        mut rows: Vec<NewRow>,
        moves: &[(String, Option<u64>, u64)],
    ) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let mut transaction = self.writing().await?;
        move_offsets(&mut transaction, moves).await?;
        let not_stored = drop_older(&mut transaction, &mut rows).await?;
        self.insert(&mut transaction, rows).await?;
        transaction
            .commit()
            .await
            .map_err(database("committing events"))?;
        Ok(not_stored)
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'static, Any>,
        rows: Vec<NewRow>,
    ) -> Result<(), StoreError> {
        let rows = self.remove_replaced(transaction, rows).await?;
        if self.postgres {
            insert_into_postgres(self, transaction, &rows).await
        } else {
            sqlite::write(transaction, rows, self.keys.as_ref()).await
        }
    }

    /// As [`Self::write`], without the rows that the database refuses, which it notes instead. Each row has its source and offset.
    /// It is slower: call it after [`Self::write`] has been refused ([`Self::refuses`]).
    pub(crate) async fn write_accepted(
        &self,
        rows: Vec<(String, u64, NewRow)>,
        moves: &[(String, Option<u64>, u64)],
    ) -> Result<Accepted, StoreError> {
        let mut transaction = self.writing().await?;
        move_offsets(&mut transaction, moves).await?;
        let mut accepted = Accepted::default();
        // The next part is the last one. Parts are written in order, because they are numbered.
        let mut parts = vec![rows];
        while let Some(mut part) = parts.pop() {
            let mut new: Vec<NewRow> = part.iter().map(|(.., row)| row.clone()).collect();
            act(&mut transaction, "SAVEPOINT part").await?;
            let mut outcome = drop_older(&mut transaction, &mut new).await;
            if outcome.is_ok()
                && let Err(error) = self.insert(&mut transaction, new).await
            {
                outcome = Err(error);
            }
            match outcome {
                Ok(not_stored) => {
                    for (kind, events) in not_stored {
                        *accepted.not_stored.entry(kind).or_default() += events;
                    }
                }
                Err(error) if self.refuses(&error) => {
                    act(&mut transaction, "ROLLBACK TO SAVEPOINT part").await?;
                    if part.len() > 1 {
                        let second = part.split_off(part.len() / 2);
                        parts.extend([second, part]);
                    } else {
                        let refused = part.into_iter().map(|(source, offset, _)| Refused {
                            source,
                            offset,
                            reason: error.to_string().replace('\0', ""),
                        });
                        accepted.refused.extend(refused);
                    }
                }
                Err(error) => return Err(error),
            }
            act(&mut transaction, "RELEASE SAVEPOINT part").await?;
        }
        for refused in &accepted.refused {
            refused.note(&mut transaction).await?;
        }
        transaction
            .commit()
            .await
            .map_err(database("committing events"))?;
        Ok(accepted)
    }

    /// The offsets of this source's records that the database refused, with the reasons.
    pub(crate) async fn refused(&self, source: &str) -> Result<BTreeMap<u64, String>, StoreError> {
        let rows = sqlx::query("SELECT record, reason FROM limbic_view_refused WHERE source = $1")
            .bind(source)
            .fetch_all(&self.writer)
            .await
            .map_err(database("reading what was refused"))?;
        let refused = rows
            .iter()
            .map(|row| (row.get::<i64, _>("record") as u64, row.get("reason")));
        Ok(refused.collect())
    }

    /// Whether the database refuses the data itself: the same data would be refused again. Everything else may pass: a connection
    /// that breaks, a full disk, a transaction that meets another one, a missing table or right.
    pub(crate) fn refuses(&self, error: &StoreError) -> bool {
        let StoreError::Database {
            source: sqlx::Error::Database(error),
            ..
        } = error
        else {
            return false;
        };
        let code = error.code().unwrap_or_default();
        if self.postgres {
            // Data exception, violated constraint, program limit (for instance a value that is too large for an index).
            return ["22", "23", "54"].iter().any(|class| code.starts_with(class));
        }
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH; the upper bits say which constraint.
        let primary = code.parse::<u32>().map(|code| code & 0xff);
        primary.is_ok_and(|code| [18, 19, 20].contains(&code))
    }

    /// Removes the rows whose place `rows` take. Returns the rows to write: without those whose place a later row or a row of the
    /// database has taken already.
    async fn remove_replaced(
        &self,
        transaction: &mut Transaction<'static, Any>,
        rows: Vec<NewRow>,
    ) -> Result<Vec<NewRow>, StoreError> {
        if rows.iter().all(|row| row.replaces == Replaces::Nothing) {
            return Ok(rows);
        }
        let mut left: Vec<NewRow> = Vec::with_capacity(rows.len());
        for row in rows {
            if row.replaces == Replaces::Nothing {
                left.push(row);
                continue;
            }
            let is_same =
                |other: &NewRow| (&other.tenant, other.kind, &other.id) == (&row.tenant, row.kind, &row.id);
            let is_later = |other: &NewRow| match (other.replaces, row.replaces) {
                (Replaces::Revision(other), Replaces::Revision(revision)) => other >= revision,
                _ => false,
            };
            if left.iter().any(|other| is_same(other) && is_later(other)) {
                continue;
            }
            left.retain(|other| !is_same(other));
            if row.replaces == Replaces::Deleted {
                left.retain(|other| {
                    (&other.tenant, other.kind, &other.entity) != (&row.tenant, row.kind, &row.entity)
                });
                let delete = if self.postgres {
                    "DELETE FROM limbic_view WHERE tenant = $1 AND kind = $2 AND entity = $3"
                } else {
                    sqlite::DELETE_POST
                };
                sqlx::query(delete)
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.kind)
                    .bind(row.entity)
                    .execute(&mut **transaction)
                    .await
                    .map_err(database("deleting a post"))?;
                continue;
            }
            let (find, delete) = if self.postgres {
                (
                    "SELECT seq, id, at, body FROM limbic_view WHERE tenant = $1 AND kind = $2 AND id = $3",
                    "DELETE FROM limbic_view WHERE tenant = $1 AND kind = $2 AND id = $3",
                )
            } else {
                (sqlite::replaced(row.kind), sqlite::delete_replaced(row.kind))
            };
            let of_row = |sql| {
                let query = sqlx::query(sql)
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.kind);
                if self.postgres {
                    query.bind(row.id.clone())
                } else {
                    query.bind(ids::pack(&row.id)).bind(row.entity.clone())
                }
            };
            let known = of_row(find)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(database("reading an event"))?;
            if let Some(known) = known {
                if !self.is_replaced(&known, &row)? {
                    continue;
                }
                of_row(delete)
                    .execute(&mut **transaction)
                    .await
                    .map_err(database("correcting an event"))?;
            }
            left.push(row);
        }
        Ok(left)
    }

    /// Whether `row` takes the place of the row `known` of the database.
    fn is_replaced(&self, known: &AnyRow, row: &NewRow) -> Result<bool, StoreError> {
        let at = known.get::<i64, _>("at");
        match &row.replaces {
            Replaces::Nothing => Ok(false),
            Replaces::Deleted => Ok(true),
            Replaces::NotNewer => Ok(at <= row.at),
            Replaces::Revision(revision) => {
                let (known, _) = self.item(known)?;
                Ok(known["revision"].as_u64().unwrap_or(0) < *revision)
            }
            Replaces::Before(statement) => {
                let known: Option<Outcome> = serde_json::from_value(self.item(known)?.0).ok();
                let known = known.map(|known| known.statement(Utc::from_millis(at)));
                Ok(known.is_none_or(|known| known.order(statement) == Ordering::Less))
            }
        }
    }

    /// An event as the API returns it: its data, with `id` and `at` if the data has no such fields; and the bytes of its body.
    pub(crate) fn item(&self, row: &AnyRow) -> Result<(Value, usize), StoreError> {
        let (id, body) = if self.postgres {
            let (id, body): (String, String) = (row.get("id"), row.get("body"));
            match self.unsealed(&id, body) {
                Ok(body) => (id, body),
                Err(source) => return Err(StoreError::Body { id, source }),
            }
        } else {
            let id = ids::unpack(row.get::<&[u8], _>("id")).ok_or(StoreError::DamagedId)?;
            match compression::read(self.keys.as_ref(), &id, row.get::<&[u8], _>("body")) {
                Ok(body) => (id, body),
                Err(source) => return Err(StoreError::Body { id, source }),
            }
        };
        let mut value = serde_json::from_str(&body).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut value {
            fields.entry("id").or_insert_with(|| id.into());
            let at = Utc::from_millis(row.get("at"));
            fields.entry("at").or_insert_with(|| at.to_string().into());
        }
        Ok((value, body.len()))
    }
}

/// The result of [`Store::write_accepted`].
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// The number of events that are older than the view keeps, by kind.
    pub(crate) not_stored: BTreeMap<&'static str, u64>,
    pub(crate) refused: Vec<Refused>,
}

/// A record that the database refuses.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) source: String,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

impl Refused {
    /// Notes the refusal, and forgets those whose dead letters are certainly in the log.
    async fn note(&self, transaction: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
        let failed = || database("noting what was refused");
        sqlx::query("INSERT INTO limbic_view_refused (source, record, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(self.source.clone())
            .bind(self.offset as i64)
            .bind(self.reason.clone())
            .execute(&mut **transaction)
            .await
            .map_err(failed())?;
        sqlx::query("DELETE FROM limbic_view_refused WHERE source = $1 AND record < $2")
            .bind(self.source.clone())
            .bind(self.offset.saturating_sub(REFUSED_FOR) as i64)
            .execute(&mut **transaction)
            .await
            .map_err(failed())?;
        Ok(())
    }
}

/// Why no connection to PostgreSQL is possible.
async fn why_not(url: &str) -> sqlx::Error {
    match tokio::time::timeout(PATIENCE, AnyConnection::connect(url)).await {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
    }
}

async fn act(transaction: &mut Transaction<'static, Any>, statement: &'static str) -> Result<(), StoreError> {
    let done = sqlx::query(statement).execute(&mut **transaction).await;
    done.map(drop).map_err(database("writing events in parts"))
}

/// Moves each source from its expected offset to its new one.
async fn move_offsets(
    transaction: &mut Transaction<'static, Any>,
    moves: &[(String, Option<u64>, u64)],
) -> Result<(), StoreError> {
    for (source, expected, next) in moves {
        let outcome = match expected {
            Some(expected) => {
                sqlx::query("UPDATE limbic_view_offsets SET next = $1 WHERE source = $2 AND next = $3")
                    .bind(*next as i64)
                    .bind(source.clone())
                    .bind(*expected as i64)
                    .execute(&mut **transaction)
                    .await
                    .map_err(database("moving an offset"))?
            }
            None => sqlx::query(
                "INSERT INTO limbic_view_offsets (source, next) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(source.clone())
            .bind(*next as i64)
            .execute(&mut **transaction)
            .await
            .map_err(database("moving an offset"))?,
        };
        if outcome.rows_affected() != 1 {
            return Err(StoreError::Overtaken(source.clone()));
        }
    }
    Ok(())
}

/// Removes the rows of events from before the time from which their stream is kept. Returns their number, by kind.
async fn drop_older(
    transaction: &mut Transaction<'static, Any>,
    rows: &mut Vec<NewRow>,
) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    let streams: BTreeSet<(TenantId, &'static str)> =
        rows.iter().map(|row| (row.tenant.clone(), row.kind)).collect();
    let mut kept_from: BTreeMap<(TenantId, &'static str), i64> = BTreeMap::new();
    for (tenant, kind) in streams {
        let known =
            sqlx::query("SELECT kept_from FROM limbic_view_retention WHERE tenant = $1 AND kind = $2")
                .bind(tenant.as_str().to_owned())
                .bind(kind)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(database("reading from when events are kept"))?;
        if let Some(known) = known {
            kept_from.insert((tenant, kind), known.get("kept_from"));
        }
    }
    let mut not_stored = BTreeMap::new();
    if kept_from.is_empty() {
        return Ok(not_stored);
    }
    rows.retain(|row| {
        let from = kept_from.get(&(row.tenant.clone(), row.kind));
        let is_kept = from.is_none_or(|from| row.at >= *from);
        if !is_kept {
            *not_stored.entry(row.kind).or_default() += 1;
        }
        is_kept
    });
    Ok(not_stored)
}

async fn insert_into_postgres(
    store: &Store,
    transaction: &mut Transaction<'static, Any>,
    rows: &[NewRow],
) -> Result<(), StoreError> {
    for chunk in rows.chunks(ROWS_AT_ONCE) {
        let mut sql = String::from("INSERT INTO limbic_view (tenant, kind, id, at, entity, body) VALUES ");
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "" } else { ", " });
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
        }
        sql.push_str(" ON CONFLICT (tenant, kind, id) DO NOTHING");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for row in chunk {
            query = query
                .bind(row.tenant.as_str().to_owned())
                .bind(row.kind)
                .bind(row.id.clone())
                .bind(row.at)
                .bind(row.entity.clone())
                .bind(store.sealed(row)?);
        }
        query
            .execute(&mut **transaction)
            .await
            .map_err(database("writing events"))?;
    }
    Ok(())
}
