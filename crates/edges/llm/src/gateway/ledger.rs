//! What was spent, and the results of requests with an idempotency key, in an SQLite file.
//!
//! ```text
//!  open (the hold is durable) ─▶ attempt ─▶ close (its cost is durable, and with the last attempt the result)
//! ```
//!
//! One task writes. It commits all writes that wait together in one transaction. A committed write survives the end of the process.
//!
//! If the process ends between `open` and `close`, what the provider counted is not known. The next start counts the hold as
//! *unknown* cost of its day.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limbic_domain::{Micros, Slug, TenantId, Utc};
use limbic_sqlite::Durability;
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, AnyPool, Row as _};
use tokio::sync::{mpsc, oneshot};

use super::budget::Hold;
use super::filmed::OpenJob;
use super::jobs::{self, End, JobEnd, LeftJob, StoredJob};
use super::{Answered, Made};

const TABLES: [&str; 5] = [
    // The holds of attempts that run.
    "CREATE TABLE IF NOT EXISTS limbic_llm_holds (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, day BIGINT NOT NULL, cost BIGINT NOT NULL)
        WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS limbic_llm_spending (tenant TEXT NOT NULL, day BIGINT NOT NULL, settled BIGINT NOT NULL,
        unknown BIGINT NOT NULL, PRIMARY KEY (tenant, day)) WITHOUT ROWID",
    // What each request with an idempotency key has cost, and its result when it has one.
    "CREATE TABLE IF NOT EXISTS limbic_llm_requests (tenant TEXT NOT NULL, request TEXT NOT NULL, at BIGINT NOT NULL,
        settled BIGINT NOT NULL, unknown BIGINT NOT NULL, result TEXT, PRIMARY KEY (tenant, request)) WITHOUT ROWID",
    // The job of each request for a clip, as long as it runs; and why it gave no clip. A hold of a job that runs stays over a restart.
    "CREATE TABLE IF NOT EXISTS limbic_llm_jobs (tenant TEXT NOT NULL, request TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
        job TEXT NOT NULL, seconds BIGINT NOT NULL, started BIGINT NOT NULL, spent BIGINT NOT NULL, hold TEXT NOT NULL, day BIGINT NOT NULL,
        cost BIGINT NOT NULL, problem TEXT, PRIMARY KEY (tenant, request)) WITHOUT ROWID",
    // For the deletion of old ones.
    "CREATE INDEX IF NOT EXISTS limbic_llm_requests_at ON limbic_llm_requests (at)",
];

/// Most writes of one transaction.
const TOGETHER: usize = 256;
/// Writes that wait for the writer.
const WAITING: usize = 1_024;
/// How often old results are deleted, in milliseconds.
const CLEANING: i64 = 3_600_000;

/// The ledger cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger of language models cannot be used ({0}): check the disk and the data folder")]
pub struct LedgerError(pub(super) String);

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

/// The ledger of one node.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
    reader: AnyPool,
    writer: mpsc::Sender<Task>,
}

/// What is known at the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The settled and the unknown cost of each tenant on each day that is not over.
    pub spending: BTreeMap<(TenantId, i64), (u64, u64)>,
    /// How many attempts of the process before have an unknown end.
    pub lost: u64,
    /// The jobs that run.
    pub(super) jobs: Vec<LeftJob>,
}

/// Who pays for an attempt.
#[derive(Debug, Clone)]
pub(super) struct Payer {
    pub(super) tenant: TenantId,
    /// The idempotency key of the request, if it has one.
    pub(super) request: Option<String>,
    pub(super) at: Utc,
}

#[derive(Debug)]
enum Write {
    Open {
        id: String,
        payer: Payer,
        hold: Hold,
    },
    Close {
        id: String,
        payer: Payer,
        hold: Hold,
        settled: u64,
        unknown: u64,
        result: Option<String>,
        end: End,
    },
    Finish {
        payer: Payer,
        result: String,
    },
    Forget {
        payer: Payer,
    },
    /// An attempt has begun a job.
    Job {
        payer: Payer,
        job: Box<OpenJob>,
    },
}

#[derive(Debug)]
struct Task {
    write: Write,
    done: oneshot::Sender<Result<(), LedgerError>>,
}

/// The stored form of a result.
#[derive(Serialize, Deserialize)]
struct Stored {
    generated: Made,
    provider: Slug,
    cost: Micros,
}

/// What an attempt, or a request with an idempotency key, has cost so far, in micro-units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// The cost of attempts that have ended.
    pub settled: u64,
    /// The highest cost of attempts whose end is not known.
    pub unknown: u64,
}

impl Ledger {
    /// Opens or creates the file `llm.sqlite` in `folder`. `keep` is how long results are kept, in milliseconds. The writer ends
    /// with the last clone of the ledger.
    pub async fn open(folder: &Path, keep: i64, now: Utc) -> Result<(Self, Opening), LedgerError> {
        let file = folder.join("llm.sqlite");
        let writer = limbic_sqlite::open_writer(&file, Durability::Process, &[]).await?;
        for table in TABLES {
            sqlx::query(table).execute(&writer).await?;
        }
        let opening = begin(&writer, now, keep).await?;
        let reader = limbic_sqlite::open(&file, Durability::Process, &[]).await?;
        let (sender, tasks) = mpsc::channel(WAITING);
        tokio::spawn(write_all(writer, tasks, keep));
        let ledger = Self {
            folder: folder.to_owned(),
            reader,
            writer: sender,
        };
        Ok((ledger, opening))
    }

    /// The folder of its file.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The result of a request, if it has one.
    pub(super) async fn result(
        &self,
        tenant: &TenantId,
        request: &str,
    ) -> Result<Option<Answered<Made>>, LedgerError> {
        let row = sqlx::query(
            "SELECT result FROM limbic_llm_requests WHERE tenant = ? AND request = ? AND result IS NOT NULL",
        )
        .bind(tenant.as_str())
        .bind(request)
        .fetch_optional(&self.reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0)?;
        let stored: Stored = serde_json::from_str(&text).map_err(|error| LedgerError(error.to_string()))?;
        Ok(Some(Answered {
            generated: stored.generated,
            provider: stored.provider,
            cost: stored.cost,
        }))
    }

    /// What a request has cost so far.
    pub async fn cost(&self, tenant: &TenantId, request: &str) -> Result<Used, LedgerError> {
        let row =
            sqlx::query("SELECT settled, unknown FROM limbic_llm_requests WHERE tenant = ? AND request = ?")
                .bind(tenant.as_str())
                .bind(request)
                .fetch_optional(&self.reader)
                .await?;
        let Some(row) = row else {
            return Ok(Used::default());
        };
        Ok(Used {
            settled: row.try_get::<i64, _>(0)?.unsigned_abs(),
            unknown: row.try_get::<i64, _>(1)?.unsigned_abs(),
        })
    }

    pub(super) async fn open_hold(&self, id: &str, payer: &Payer, hold: Hold) -> Result<(), LedgerError> {
        let (id, payer) = (id.to_owned(), payer.clone());
        self.write(Write::Open { id, payer, hold }).await
    }

    /// Ends a hold. `answered` is the result of the request, if this attempt has given it: both become durable together.
    pub(super) async fn close_hold(
        &self,
        id: &str,
        payer: &Payer,
        hold: Hold,
        used: Used,
        answered: Option<&Answered<Made>>,
    ) -> Result<(), LedgerError> {
        let is_kept = payer.request.is_some();
        let result = answered.filter(|_| is_kept).map(stored).transpose()?;
        self.write(Write::Close {
            id: id.to_owned(),
            payer: payer.clone(),
            hold,
            settled: used.settled,
            unknown: used.unknown,
            result,
            end: End::NoJob,
        })
        .await
    }

    /// Stores that an attempt has begun a job. Its hold stays.
    pub(super) async fn open_job(&self, payer: &Payer, job: &OpenJob) -> Result<(), LedgerError> {
        let (payer, job) = (payer.clone(), Box::new(job.clone()));
        self.write(Write::Job { payer, job }).await
    }

    /// Ends a job and its hold, with the result or the reason.
    pub(super) async fn close_job(
        &self,
        payer: &Payer,
        job: &OpenJob,
        used: Used,
        end: JobEnd<'_>,
    ) -> Result<(), LedgerError> {
        let (result, end) = match end {
            JobEnd::Finished(answered) => (Some(stored(answered)?), End::Remove),
            JobEnd::Failed(problem) => {
                let problem =
                    serde_json::to_string(problem).map_err(|error| LedgerError(error.to_string()))?;
                (None, End::Fail(problem))
            }
        };
        self.write(Write::Close {
            id: job.hold_id.clone(),
            payer: payer.clone(),
            hold: job.hold,
            settled: used.settled,
            unknown: used.unknown,
            result,
            end,
        })
        .await
    }

    /// The job of a request, if it has begun one that gave no clip yet.
    pub(super) async fn job(
        &self,
        tenant: &TenantId,
        request: &str,
    ) -> Result<Option<StoredJob>, LedgerError> {
        jobs::find(&self.reader, tenant, request).await
    }

    /// Stores the result of a request that was not paid for, because it came from the cache.
    pub(super) async fn finish(&self, payer: &Payer, answered: &Answered<Made>) -> Result<(), LedgerError> {
        let (payer, result) = (payer.clone(), stored(answered)?);
        self.write(Write::Finish { payer, result }).await
    }

    /// Removes the result of a request, whose file is lost. Its cost stays.
    pub(super) async fn forget(&self, payer: &Payer) -> Result<(), LedgerError> {
        self.write(Write::Forget { payer: payer.clone() }).await
    }

    /// Returns when the write is committed.
    async fn write(&self, write: Write) -> Result<(), LedgerError> {
        let ended = || LedgerError("its writer has ended".to_owned());
        let (done, committed) = oneshot::channel();
        self.writer
            .send(Task { write, done })
            .await
            .map_err(|_| ended())?;
        committed.await.map_err(|_| ended())?
    }
}

fn stored(answered: &Answered<Made>) -> Result<String, LedgerError> {
    let stored = Stored {
        generated: answered.generated.clone(),
        provider: answered.provider.clone(),
        cost: answered.cost,
    };
    serde_json::to_string(&stored).map_err(|error| LedgerError(error.to_string()))
}

/// Counts the holds that the process before left, and reads what was spent today.
async fn begin(writer: &AnyPool, now: Utc, keep: i64) -> Result<Opening, LedgerError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let left = sqlx::query("SELECT tenant, day, cost FROM limbic_llm_holds WHERE id NOT IN (SELECT hold FROM limbic_llm_jobs WHERE problem IS NULL)")
        .fetch_all(&mut *transaction)
        .await?;
    for row in &left {
        let (tenant, day, cost): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        spend(&mut transaction, &tenant, day, 0, cost.unsigned_abs()).await?;
    }
    sqlx::query("DELETE FROM limbic_llm_holds WHERE id NOT IN (SELECT hold FROM limbic_llm_jobs WHERE problem IS NULL)")
        .execute(&mut *transaction)
        .await?;
    let jobs = jobs::left(&mut transaction).await?;
    delete_before(&mut transaction, now.as_millis().saturating_sub(keep)).await?;
    let today = now.as_millis().div_euclid(86_400_000);
    let rows = sqlx::query("SELECT tenant, day, settled, unknown FROM limbic_llm_spending WHERE day >= ?")
        .bind(today)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let mut opening = Opening {
        lost: left.len() as u64,
        jobs,
        ..Opening::default()
    };
    for row in rows {
        let tenant: String = row.try_get(0)?;
        let tenant = TenantId::new(&tenant).map_err(|error| LedgerError(error.to_string()))?;
        let (day, settled, unknown): (i64, i64, i64) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        opening
            .spending
            .insert((tenant, day), (settled.unsigned_abs(), unknown.unsigned_abs()));
    }
    Ok(opening)
}

async fn write_all(pool: AnyPool, mut tasks: mpsc::Receiver<Task>, keep: i64) {
    let mut batch = Vec::new();
    let mut cleaned: Option<i64> = None;
    while tasks.recv_many(&mut batch, TOGETHER).await > 0 {
        let written = write_batch(&pool, &batch, keep, &mut cleaned).await;
        if let Err(error) = &written {
            tracing::error!(%error, writes = batch.len(), "costs of language models were not stored");
        }
        for task in batch.drain(..) {
            // A caller that has gone does not ask.
            let _ = task.done.send(written.clone());
        }
    }
    pool.close().await;
}

async fn write_batch(
    pool: &AnyPool,
    batch: &[Task],
    keep: i64,
    cleaned: &mut Option<i64>,
) -> Result<(), LedgerError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    for task in batch {
        write_one(&mut transaction, &task.write).await?;
    }
    let at = batch.iter().map(|task| task.write.at().as_millis()).max();
    if let Some(at) = at
        && cleaned.is_none_or(|last| at >= last.saturating_add(CLEANING))
    {
        delete_before(&mut transaction, at.saturating_sub(keep)).await?;
        *cleaned = Some(at);
    }
    transaction.commit().await?;
    Ok(())
}

/// Deletes the results of requests from before `at`, and the reasons of jobs that gave none.
async fn delete_before(connection: &mut AnyConnection, at: i64) -> Result<(), LedgerError> {
    for old in [
        "DELETE FROM limbic_llm_requests WHERE at < ? AND NOT EXISTS (SELECT 1 FROM limbic_llm_jobs AS job
            WHERE job.tenant = limbic_llm_requests.tenant AND job.request = limbic_llm_requests.request AND job.problem IS NULL)",
        "DELETE FROM limbic_llm_jobs WHERE started < ? AND problem IS NOT NULL",
    ] {
        sqlx::query(old).bind(at).execute(&mut *connection).await?;
    }
    Ok(())
}

impl Write {
    const fn at(&self) -> Utc {
        match self {
            Self::Open { payer, .. }
            | Self::Close { payer, .. }
            | Self::Finish { payer, .. }
            | Self::Job { payer, .. }
            | Self::Forget { payer } => payer.at,
        }
    }
}

async fn write_one(connection: &mut AnyConnection, write: &Write) -> Result<(), LedgerError> {
    match write {
        Write::Open { id, payer, hold } => {
            sqlx::query("INSERT INTO limbic_llm_holds (id, tenant, day, cost) VALUES (?, ?, ?, ?)")
                .bind(id.as_str())
                .bind(payer.tenant.as_str())
                .bind(hold.day)
                .bind(signed(hold.cost))
                .execute(&mut *connection)
                .await?;
            // As long as the attempt runs, its cost is unknown.
            charge(connection, payer, 0, signed(hold.cost)).await
        }
        Write::Close {
            id,
            payer,
            hold,
            settled,
            unknown,
            result,
            end,
        } => {
            sqlx::query("DELETE FROM limbic_llm_holds WHERE id = ?")
                .bind(id.as_str())
                .execute(&mut *connection)
                .await?;
            spend(connection, payer.tenant.as_str(), hold.day, *settled, *unknown).await?;
            charge(
                connection,
                payer,
                signed(*settled),
                signed(*unknown) - signed(hold.cost),
            )
            .await?;
            jobs::end(connection, id, end).await?;
            match result {
                Some(result) => keep(connection, payer, result).await,
                None => Ok(()),
            }
        }
        Write::Job { payer, job } => jobs::insert(connection, payer, job).await,
        Write::Finish { payer, result } => {
            charge(connection, payer, 0, 0).await?;
            keep(connection, payer, result).await
        }
        Write::Forget { payer } => {
            sqlx::query("UPDATE limbic_llm_requests SET result = NULL WHERE tenant = ? AND request = ?")
                .bind(payer.tenant.as_str())
                .bind(payer.request.as_deref())
                .execute(&mut *connection)
                .await?;
            Ok(())
        }
    }
}

/// Stores the result of a request. The first result stays.
async fn keep(connection: &mut AnyConnection, payer: &Payer, result: &str) -> Result<(), LedgerError> {
    let Some(request) = &payer.request else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE limbic_llm_requests SET result = ? WHERE tenant = ? AND request = ? AND result IS NULL",
    )
    .bind(result)
    .bind(payer.tenant.as_str())
    .bind(request.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to the spending of a day.
async fn spend(
    connection: &mut AnyConnection,
    tenant: &str,
    day: i64,
    settled: u64,
    unknown: u64,
) -> Result<(), LedgerError> {
    if settled == 0 && unknown == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO limbic_llm_spending (tenant, day, settled, unknown) VALUES (?, ?, ?, ?)
            ON CONFLICT (tenant, day) DO UPDATE SET settled = settled + excluded.settled, unknown = unknown + excluded.unknown",
    )
    .bind(tenant)
    .bind(day)
    .bind(signed(settled))
    .bind(signed(unknown))
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to the cost of a request with an idempotency key. It is kept from its last attempt on: a request that succeeds late has its
/// result as long as others.
async fn charge(
    connection: &mut AnyConnection,
    payer: &Payer,
    settled: i64,
    unknown: i64,
) -> Result<(), LedgerError> {
    let Some(request) = &payer.request else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO limbic_llm_requests (tenant, request, at, settled, unknown) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (tenant, request) DO UPDATE SET at = excluded.at, settled = settled + excluded.settled,
            unknown = unknown + excluded.unknown",
    )
    .bind(payer.tenant.as_str())
    .bind(request.as_str())
    .bind(payer.at.as_millis())
    .bind(settled)
    .bind(unknown)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn signed(cost: u64) -> i64 {
    i64::try_from(cost).unwrap_or(i64::MAX)
}
