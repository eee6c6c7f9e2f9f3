//! Clips that models made: jobs that are asked for until they end, and files of the node.
//!
//! ```text
//!  start ─▶ name of the job (durable) ─▶ question ─▶ pending: wait ─▶ question … ─▶ file (durable) ─▶ cost and result (durable)
//!                                           └▶ refused, failed, forgotten, late ─▶ cost and reason (durable)
//! ```
//!
//! An idempotency key begins one job, whatever becomes of it: after a crash its job is asked for again, and a job that has ended without a
//! clip gives the same error to every request with its key.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::{Slug, TenantId, Utc};
use limbic_file_store::{FileStore, FileStoreError};
use limbic_stream::Backoff;
use serde::{Deserialize, Serialize};

use super::budget::{Hold, micros};
use super::call::{Resolved, Running};
use super::jobs::{JobEnd, LeftJob, StoredJob};
use super::ledger::{Payer, Used};
use super::painted::system_time;
use super::work::{Made, Maker};
use super::{Answered, Gateway, GatewayError, Inner, Outcome, Pieces, Source};
use crate::film::{Film, FilmJob, Filmed, Polled};
use crate::provider::{Attempt, Failure, FailureKind, Spent};
use crate::{Filmer, Usage};

/// The folder of the clips, in the folder of the ledger. Like that of the painted pictures, it is within the folder of the pictures.
pub const FILMED_FOLDER: &str = "pictures/clips";

/// Maximum duration of a question, with the download of the clip.
const QUESTION: Duration = Duration::from_mins(2);

/// The longest wait between two questions, unless the provider asks for a longer one.
const LONGEST_PACE: Duration = Duration::from_mins(2);

/// The longest wait that a provider can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// How often a clip that is made can arrive as something else, before its job has failed.
const DOWNLOADS: u32 = 3;

/// A request for a clip to the gateway.
#[derive(Debug, Clone)]
pub struct FilmAsk {
    /// Who asks, and pays.
    pub tenant: TenantId,
    /// The idempotency key, as in [`Ask::key`](super::Ask::key). A clip always has one.
    pub key: String,
    /// The request. Its model is the name of a route, or `PROVIDER/MODEL`.
    pub request: Film,
}

/// A clip that a model made, in the folder [`FILMED_FOLDER`] of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilmedFile {
    /// The name of the file: the SHA-256 hash of its bytes, and `.mp4`.
    pub file: String,
    /// `video/mp4`.
    pub media_type: String,
    /// Duration that the file states, in milliseconds. 0 if it states none.
    pub millis: u64,
    /// The size of the file.
    pub bytes: u64,
    /// The model that made it, in the provider's form.
    pub model: String,
    /// What it used. `None` if the provider does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl FilmedFile {
    /// Stores a clip. The file is durable when this returns.
    fn store(filmed: &Filmed, store: &FileStore) -> Result<Self, FileStoreError> {
        Ok(Self {
            file: store.put(&filmed.file, "mp4")?,
            media_type: "video/mp4".to_owned(),
            millis: filmed.about.millis,
            bytes: filmed.file.len() as u64,
            model: filmed.model.clone(),
            usage: filmed.usage,
        })
    }

    /// Whether the file is still there. If so, it is kept for longer.
    pub(super) fn is_there(&self, store: &FileStore, now: Utc) -> bool {
        store.size(&self.file) == Some(self.bytes) && store.used(&self.file, system_time(now)).is_ok()
    }
}

/// A job that runs at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenJob {
    pub(super) job: FilmJob,
    pub(super) provider: Slug,
    pub(super) started: Utc,
    /// The name of its hold in the ledger.
    pub(super) hold_id: String,
    pub(super) hold: Hold,
    /// What the attempts before it have cost, in micro-units.
    pub(super) spent: u64,
}

/// Why a job ended without a clip, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobProblem {
    provider: String,
    is_refused: bool,
    detail: String,
}

impl JobProblem {
    fn into_error(self) -> GatewayError {
        if self.is_refused {
            return GatewayError::Refused {
                provider: self.provider,
                detail: self.detail,
            };
        }
        GatewayError::Ended {
            provider: self.provider,
            detail: self.detail,
        }
    }
}

impl Gateway {
    /// Answers a request for a clip, which is a file of this node when this returns. That takes minutes. If the caller goes away, the job is
    /// followed and its clip stored nevertheless. Runs on a tokio runtime.
    pub async fn film(&self, ask: FilmAsk) -> Result<Outcome<FilmedFile>, GatewayError> {
        let FilmAsk { tenant, key, request } = ask;
        let work = super::work::Work::Clip(request);
        let mut ignore = |_| {};
        let outcome = self.ask((tenant, Some(key)), work, super::CacheUse::Off, &mut ignore);
        let clip = |made: &Made| match made {
            Made::Clip(filmed) => Some(filmed.clone()),
            _ => None,
        };
        outcome.await?.map(clip).ok_or_else(super::used_for_another)
    }

    /// The bytes of a clip that this node has. `None` if it is no longer there.
    pub fn clip(&self, filmed: &FilmedFile) -> Option<Vec<u8>> {
        self.0.clips.read(&filmed.file, filmed.bytes).ok()
    }

    /// Follows the jobs that ran when the process before ended. Call it once, on a tokio runtime. The jobs are followed until they end or the
    /// runtime does.
    pub fn resume_jobs(&self) {
        for LeftJob { tenant, request, job } in std::mem::take(&mut *self.0.left_jobs.lock()) {
            let inner = Arc::clone(&self.0);
            let payer = Payer {
                tenant,
                request: Some(request),
                at: inner.clock.now(),
            };
            let key = super::shared_request::request_key(&payer);
            let work = async move {
                let result = inner.follow(&payer, job).await;
                if let Err(error) = &result {
                    tracing::warn!(%error, tenant = %payer.tenant, "a clip that was ordered before the start has not come");
                }
                result
            };
            let _ = self.0.join(key, work);
        }
    }
}

impl Inner {
    /// The clip of a request with an idempotency key that has no result yet.
    pub(super) async fn film(
        self: &Arc<Self>,
        resolved: &Resolved,
        request: &str,
    ) -> Result<Outcome<Made>, GatewayError> {
        let payer = &resolved.payer;
        let job = match self.ledger.job(&payer.tenant, request).await? {
            Some(StoredJob::Ended(problem)) => return Err(problem.into_error()),
            Some(StoredJob::Runs(job)) => job,
            None => {
                let begun = Running::new(self, resolved, &Pieces(None)).run().await?;
                match begun.generated {
                    Made::Job(job) => job,
                    // An attempt at a clip begins a job.
                    _ => return Err(GatewayError::Stopped),
                }
            }
        };
        self.follow(payer, job).await
    }

    /// Asks for the state of a job until it has ended. If another request with the key can have more success, the job goes on.
    async fn follow(self: &Arc<Self>, payer: &Payer, job: OpenJob) -> Result<Outcome<Made>, GatewayError> {
        let maker = self
            .connection(&job.provider)
            .map(|connection| connection.upstream.maker.clone());
        let Some(Maker::Clips(filmer)) = maker else {
            let detail = "its job runs, but the provider is no longer in the settings: add it again, and repeat the request";
            return Err(not_now(&job, detail));
        };
        let age = self
            .clock
            .now()
            .as_millis()
            .saturating_sub(job.started.as_millis());
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let begin = self.clock.elapsed();
        let deadline = begin + self.settings.video_deadline.get().saturating_sub(age);
        let pace = filmer.pace();
        let backoff = Backoff::new(pace, LONGEST_PACE).with_seed(seed(&job.job.name));
        let (mut failures, mut downloads) = (0, 0);
        let mut next = begin + pace.saturating_sub(age);
        loop {
            self.clock.sleep_until(next.min(deadline)).await;
            let wait = match self.question(&*filmer, &job).await {
                Ok(Polled::Pending) => {
                    failures = 0;
                    pace
                }
                Ok(Polled::Finished(clip)) => return self.finish_job(payer, &job, clip).await,
                Ok(Polled::Ended(failure)) => return Err(self.end_job(payer, &job, failure).await),
                Err(failure) => {
                    downloads += u32::from(matches!(failure.spent, Spent::Tokens(_)));
                    let is_late = self.clock.elapsed() >= deadline;
                    if downloads >= DOWNLOADS {
                        return Err(self.end_job(payer, &job, failure).await);
                    }
                    let asked = match failure.kind {
                        FailureKind::Throttled(asked) => asked.unwrap_or_default(),
                        _ => Duration::ZERO,
                    };
                    let can_pass = matches!(failure.kind, FailureKind::Throttled(_) | FailureKind::Unknown);
                    if !can_pass && !is_late {
                        // A person must act: the key, the account or the settings are wrong.
                        return Err(not_now(&job, &failure.detail));
                    }
                    failures += 1;
                    backoff.wait(failures).max(pace).max(asked.min(LONGEST_WAIT))
                }
            };
            let now = self.clock.elapsed();
            if now >= deadline {
                let detail = "the job has not ended within llm.video_deadline, so it is not asked for again";
                let late = Failure::new(FailureKind::Unknown, detail).spending(Spent::Unknown);
                return Err(self.end_job(payer, &job, late).await);
            }
            next = now + wait;
        }
    }

    async fn question(&self, filmer: &dyn Filmer, job: &OpenJob) -> Result<Polled, Failure> {
        let attempt = Attempt {
            key: &job.hold_id,
            request: &job.job,
            now: self.clock.now(),
            deadline: QUESTION,
        };
        filmer.poll(attempt).await
    }

    /// Stores the clip, then its cost and the result.
    async fn finish_job(
        &self,
        payer: &Payer,
        job: &OpenJob,
        filmed: Filmed,
    ) -> Result<Outcome<Made>, GatewayError> {
        let (store, now) = (Arc::clone(&self.clips), system_time(self.clock.now()));
        let stored = tokio::task::spawn_blocking(move || {
            let stored = FilmedFile::store(&filmed, &store);
            store.sweep(&[], now);
            stored.map_err(|error| error.to_string())
        });
        let stored = stored.await.unwrap_or_else(|error| Err(error.to_string()));
        // The provider keeps the clip for a while, so the job is not over.
        let filmed = stored
            .map_err(|error| not_now(job, &format!("the clip is made, but cannot be stored: {error}")))?;
        let spent = filmed.usage.map_or(Spent::Unknown, Spent::Tokens);
        let used = self.used(job, spent);
        let answered = Answered {
            generated: Made::Clip(filmed),
            provider: job.provider.clone(),
            cost: micros(
                job.spent
                    .saturating_add(used.settled)
                    .saturating_add(used.unknown),
            ),
        };
        self.meters.job(&job.provider, "finished");
        self.close_job(payer, job, used, JobEnd::Finished(&answered))
            .await;
        Ok(Outcome {
            answered: Arc::new(answered),
            source: Source::Provider,
        })
    }

    /// Ends a job that has given no clip.
    async fn end_job(&self, payer: &Payer, job: &OpenJob, failure: Failure) -> GatewayError {
        let is_refused = failure.kind == FailureKind::Refused;
        let problem = JobProblem {
            provider: format!("{}/{}", job.provider, job.job.model),
            is_refused,
            detail: failure.detail,
        };
        let name = if is_refused { "refused" } else { "failed" };
        self.meters.job(&job.provider, name);
        let used = self.used(job, failure.spent);
        self.close_job(payer, job, used, JobEnd::Failed(&problem)).await;
        problem.into_error()
    }

    /// What a job has cost.
    fn used(&self, job: &OpenJob, spent: Spent) -> Used {
        match spent {
            Spent::Nothing => Used::default(),
            Spent::Tokens(usage) => {
                self.meters.used(&job.provider, usage);
                let price = self.price(&job.provider, &job.job.model);
                let settled = price.map_or(job.hold.cost, |price| price.of(usage));
                Used { settled, unknown: 0 }
            }
            Spent::Unknown => Used {
                settled: 0,
                unknown: job.hold.cost,
            },
        }
    }

    async fn close_job(&self, payer: &Payer, job: &OpenJob, used: Used, end: JobEnd<'_>) {
        self.meters.cost(&job.provider, used);
        if used.unknown > 0 {
            self.settle_unknown(&payer.tenant, job.hold);
        } else {
            self.settle(&payer.tenant, job.hold, 0, used.settled);
        }
        if let Err(error) = self.ledger.close_job(payer, job, used, end).await {
            // The job stays in the ledger: a repeated request, or the next start, asks for it again.
            tracing::error!(%error, tenant = %payer.tenant, "the end of a job was not stored");
        }
    }
}

/// No clip now. The job goes on, and another request with its key asks for it again.
fn not_now(job: &OpenJob, detail: &str) -> GatewayError {
    GatewayError::Failed {
        detail: format!("{}/{}: {detail}", job.provider, job.job.model),
        wait: None,
    }
}

/// Different jobs are not asked for at the same time.
fn seed(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let bytes = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(bytes)
}
