//! One attempt at one provider, on a task of its own.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::budget::Hold;
use crate::provider::{Attempt, Failure, FailureKind, Provider, Spent};
use crate::{Generate, Generated};

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
    Done(Result<Generated, Failure>),
}

/// Reports the end of an attempt, also if the provider panics.
struct Report {
    number: usize,
    events: mpsc::UnboundedSender<(usize, Event)>,
    is_done: bool,
}

impl Report {
    fn done(mut self, result: Result<Generated, Failure>) {
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
    pub(super) provider: Arc<dyn Provider>,
    pub(super) key: String,
    /// The request, with the provider's name of the model.
    pub(super) request: Generate,
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
            let attempt = Attempt {
                key: &self.key,
                request: &self.request,
                now: self.now,
                deadline: self.deadline,
            };
            let mut on_text = |piece: &str| {
                let _ = events.send((self.number, Event::Text(piece.to_owned())));
            };
            let result = self.provider.generate(attempt, &mut on_text).await;
            report.done(result.and_then(|generated| judge(&self.request, generated)));
        });
        task.abort_handle()
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
