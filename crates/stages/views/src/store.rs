//! The view in a database: opening it and reading it; `write` writes it.

mod write;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use limbic_data_key::{DataKeys, NoRandomness};
use limbic_domain::{Statement, TenantId, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Row as _, Transaction};

use crate::compression::{self, BodyError};
use crate::{ids, schema, sqlite};

pub(crate) use write::Accepted;

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

/// Why no connection to PostgreSQL is possible.
async fn why_not(url: &str) -> sqlx::Error {
    match tokio::time::timeout(PATIENCE, AnyConnection::connect(url)).await {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
    }
}
