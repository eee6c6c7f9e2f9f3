//! The jobs of requests for clips, in the file of the ledger.

use limbic_domain::{Slug, TenantId, Utc};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::budget::Hold;
use super::filmed::{JobProblem, OpenJob};
use super::ledger::{LedgerError, Payer, signed};
use super::{Answered, Made};
use crate::FilmJob;

/// A job of the process before that runs, and the request that it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftJob {
    pub(super) tenant: TenantId,
    pub(super) request: String,
    pub(super) job: OpenJob,
}

/// What is known of the job of a request.
#[derive(Debug)]
pub(super) enum StoredJob {
    Runs(OpenJob),
    Ended(JobProblem),
}

/// How a job ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum JobEnd<'a> {
    Finished(&'a Answered<Made>),
    Failed(&'a JobProblem),
}

/// What becomes of the job of a hold that ends.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// The hold is that of an attempt without a job.
    NoJob,
    Remove,
    /// It is kept with the reason why it gave no clip.
    Fail(String),
}

fn damaged(error: &dyn std::fmt::Display) -> LedgerError {
    LedgerError(error.to_string())
}

/// The job of a row of the table.
fn open_job(row: &AnyRow) -> Result<OpenJob, LedgerError> {
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let provider: String = row.try_get("provider")?;
    Ok(OpenJob {
        job: FilmJob {
            name: row.try_get("job")?,
            model: row.try_get("model")?,
            seconds: number("seconds")?,
        },
        provider: Slug::new(&provider).map_err(|error| damaged(&error))?,
        started: Utc::from_millis(row.try_get("started")?),
        hold_id: row.try_get("hold")?,
        hold: Hold {
            day: row.try_get("day")?,
            tokens: 0,
            cost: number("cost")?,
        },
        spent: number("spent")?,
    })
}

/// The job of a request.
pub(super) async fn find(
    reader: &AnyPool,
    tenant: &TenantId,
    request: &str,
) -> Result<Option<StoredJob>, LedgerError> {
    let row = sqlx::query("SELECT * FROM limbic_llm_jobs WHERE tenant = ? AND request = ?")
        .bind(tenant.as_str())
        .bind(request)
        .fetch_optional(reader)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let problem: Option<String> = row.try_get("problem")?;
    let Some(problem) = problem else {
        return Ok(Some(StoredJob::Runs(open_job(&row)?)));
    };
    let problem = serde_json::from_str(&problem).map_err(|error| damaged(&error))?;
    Ok(Some(StoredJob::Ended(problem)))
}

/// The jobs that run.
pub(super) async fn left(connection: &mut AnyConnection) -> Result<Vec<LeftJob>, LedgerError> {
    let rows = sqlx::query("SELECT * FROM limbic_llm_jobs WHERE problem IS NULL")
        .fetch_all(connection)
        .await?;
    let job = |row: &AnyRow| {
        let tenant: String = row.try_get("tenant")?;
        Ok(LeftJob {
            tenant: TenantId::new(&tenant).map_err(|error| damaged(&error))?,
            request: row.try_get("request")?,
            job: open_job(row)?,
        })
    };
    rows.iter().map(job).collect()
}

/// Stores a job that runs.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    payer: &Payer,
    job: &OpenJob,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT OR REPLACE INTO limbic_llm_jobs (tenant, request, provider, model, job, seconds, started, spent, hold, day, cost)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(payer.tenant.as_str())
    .bind(payer.request.as_deref())
    .bind(job.provider.as_str())
    .bind(job.job.model.as_str())
    .bind(job.job.name.as_str())
    .bind(signed(job.job.seconds))
    .bind(job.started.as_millis())
    .bind(signed(job.spent))
    .bind(job.hold_id.as_str())
    .bind(job.hold.day)
    .bind(signed(job.hold.cost))
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the job whose hold has this id.
pub(super) async fn end(connection: &mut AnyConnection, hold: &str, end: &End) -> Result<(), LedgerError> {
    let query = match end {
        End::NoJob => return Ok(()),
        End::Remove => sqlx::query("DELETE FROM limbic_llm_jobs WHERE hold = ?"),
        End::Fail(problem) => {
            sqlx::query("UPDATE limbic_llm_jobs SET problem = ? WHERE hold = ?").bind(problem.as_str())
        }
    };
    query.bind(hold).execute(connection).await?;
    Ok(())
}
