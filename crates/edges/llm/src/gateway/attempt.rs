//! One attempt at one provider, on a task of its own.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_file_store::FileStore;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::budget::Hold;
use super::filmed::OpenJob;
use super::painted::{PaintedFile, system_time};
use super::work::{Made, Maker, Work};
use crate::provider::{Attempt, Failure, FailureKind, Spent};
use crate::{Generate, Generated, Painted};

/// An attempt that runs.
pub(super) struct Runner {
    pub(super) number: usize,
    pub(super) place: usize,
    /// The name of its hold in the ledger.
    pub(super) id: String,
    pub(super) hold: Hold,
    pub(super) task: AbortHandle,
    /// When it began.
    pub(super) began: Duration,
    /// When it must have sent text. `None` = it has, or there is no limit.
    pub(super) text_by: Option<Duration>,
}

/// What an attempt reports.
pub(super) enum Event {
    Text(String),
    Done(Result<Made, Failure>),
}

/// Reports the end of an attempt, also if the provider panics.
struct Report {
    number: usize,
    events: mpsc::UnboundedSender<(usize, Event)>,
    is_done: bool,
}

impl Report {
    fn done(mut self, result: Result<Made, Failure>) {
        self.is_done = true;
        let _ = self.events.send((self.number, Event::Done(result)));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.is_done {
            let failure = Failure::new(FailureKind::Unknown, "the attempt ended without a result")
                .spending(Spent::Unknown);
            let _ = self.events.send((self.number, Event::Done(Err(failure))));
        }
    }
}

/// What an attempt needs.
pub(super) struct Start {
    pub(super) number: usize,
    pub(super) maker: Maker,
    pub(super) key: String,
    /// The request, with the provider's name of the model.
    pub(super) work: Work,
    /// Where a picture is stored.
    pub(super) pictures: Arc<FileStore>,
    /// The job that an attempt at a clip begins, without its name.
    pub(super) job: Option<OpenJob>,
    pub(super) now: Utc,
    pub(super) deadline: Duration,
}

impl Start {
    /// Starts the attempt. It sends its pieces, and at its end one [`Event::Done`], unless it is ended before.
    pub(super) fn spawn(self, events: mpsc::UnboundedSender<(usize, Event)>) -> AbortHandle {
        let report = Report {
            number: self.number,
            events: events.clone(),
            is_done: false,
        };
        let task = tokio::spawn(async move {
            let result = match (&self.maker, &self.work) {
                (Maker::Texts(provider), Work::Text(request)) => {
                    let mut on_text = |piece: &str| {
                        let _ = events.send((self.number, Event::Text(piece.to_owned())));
                    };
                    let result = provider.generate(self.attempt(request), &mut on_text).await;
                    result
                        .and_then(|generated| judge(request, generated))
                        .map(Made::Text)
                }
                (Maker::Pictures(painter), Work::Picture(request)) => {
                    match painter.paint(self.attempt(request)).await {
                        Ok(picture) => self.stored(picture).await.map(Made::Picture),
                        Err(failure) => Err(failure),
                    }
                }
                (Maker::Clips(filmer), Work::Clip(request)) => {
                    let begun = filmer.start(self.attempt(request)).await;
                    begun.and_then(|name| self.begun(name)).map(Made::Job)
                }
                // A request is resolved to providers of its kind only.
                _ => Err(Failure::new(
                    FailureKind::Rejected,
                    "the provider makes something else",
                )),
            };
            report.done(result);
        });
        task.abort_handle()
    }

    fn attempt<'a, R>(&'a self, request: &'a R) -> Attempt<'a, R> {
        Attempt {
            key: &self.key,
            request,
            now: self.now,
            deadline: self.deadline,
        }
    }

    /// The job with its name.
    fn begun(&self, name: String) -> Result<OpenJob, Failure> {
        let mut job = self.job.clone().ok_or_else(|| {
            Failure::new(FailureKind::Unknown, "the attempt has no job").spending(Spent::Unknown)
        })?;
        job.job.name = name;
        Ok(job)
    }

    /// Stores a picture, before its cost is.
    async fn stored(&self, painted: Painted) -> Result<PaintedFile, Failure> {
        let spent = painted.usage.map_or(Spent::Unknown, Spent::Tokens);
        let (store, now) = (Arc::clone(&self.pictures), system_time(self.now));
        let stored = tokio::task::spawn_blocking(move || {
            let stored = PaintedFile::store(&painted, &store);
            store.sweep(&[], now);
            stored.map_err(|error| error.to_string())
        });
        let stored = stored.await.unwrap_or_else(|error| Err(error.to_string()));
        stored.map_err(|error| {
            let detail = format!("the picture cannot be stored: {error}");
            Failure::new(FailureKind::Unknown, detail).spending(spent)
        })
    }
}

/// A complete text that should be JSON and is not does not count as a reply.
fn judge(request: &Generate, generated: Generated) -> Result<Generated, Failure> {
    if request.schema.is_none() || generated.is_cut_off {
        return Ok(generated);
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&generated.text) {
        Ok(_) => Ok(generated),
        Err(error) => {
            let detail = format!("the text is not the JSON document that was asked for: {error}");
            let spent = generated.usage.map_or(Spent::Unknown, Spent::Tokens);
            Err(Failure::new(FailureKind::Unknown, detail).spending(spent))
        }
    }
}
