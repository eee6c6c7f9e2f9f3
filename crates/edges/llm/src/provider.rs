//! The contract of a provider.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::outbox::{Answer, Call, Sender};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::{Generate, Generated, Usage};

/// One attempt at a request: for a text, for a picture ([`Paint`](crate::Paint)), for a clip ([`Film`](crate::Film)), or for the state of a
/// job ([`FilmJob`](crate::FilmJob)).
#[derive(Debug)]
pub struct Attempt<'a, R = Generate> {
    /// The idempotency key, the same for every attempt of a request at this provider and model.
    pub key: &'a str,
    /// The request. Its model is in the provider's form.
    pub request: &'a R,
    /// The time of the attempt.
    pub now: Utc,
    /// Maximum duration of the attempt, until the end of the reply.
    pub deadline: Duration,
}

impl<R> Clone for Attempt<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Attempt<'_, R> {}

/// The result of an attempt, when it is there.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Generated, Failure>> + Send + 'a>>;

/// Receives each piece of the text as it arrives. Together the pieces are [`Generated::text`].
pub type OnText<'a> = dyn FnMut(&str) + Send + 'a;

/// A connection to a language model.
pub trait Provider: Send + Sync + 'static {
    /// Makes one attempt within its deadline, on a tokio runtime. If it fails, pieces of the text may have been passed to
    /// `on_text`. Dropping the future ends the attempt.
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a>;
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What it means for other attempts.
    pub kind: FailureKind,
    /// What the provider spent on it.
    pub spent: Spent,
    /// What happened, with the provider's message. The provider's key is replaced by `***`, also where its server repeats it.
    pub detail: String,
}

/// What a failure means for other attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The provider works, but asks for a later attempt. The wait is `None` if it does not say how long.
    Throttled(Option<Duration>),
    /// The account's balance or its quota of the day or month is used up: every request fails until a person pays or the quota
    /// starts again.
    Exhausted,
    /// The provider refuses every request until a person acts: the key, the account, the model or the address is wrong.
    Blocked,
    /// The model or a content filter refuses this request.
    Refused,
    /// The provider refuses the form of this request.
    Rejected,
    /// It is not known what happened: no connection, no answer in time, a server error, a reply that is cut off or malformed.
    Unknown,
}

/// What a failed attempt cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spent {
    /// Nothing: the provider did not begin.
    Nothing,
    /// These tokens, pictures or seconds of video.
    Tokens(Usage),
    /// Not known: the provider began, and did not report.
    Unknown,
}

impl Failure {
    /// A failure before any token was spent.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            spent: Spent::Nothing,
            detail: detail.into(),
        }
    }

    /// The same failure, with what was spent.
    #[must_use]
    pub const fn spending(mut self, spent: Spent) -> Self {
        self.spent = spent;
        self
    }

    /// What it means for an outbox.
    pub fn into_answer(self) -> Answer<Generated> {
        let detail = self.detail;
        match self.kind {
            FailureKind::Throttled(wait) => Answer::RetryAfter { wait, detail },
            FailureKind::Exhausted | FailureKind::Blocked => Answer::Blocked { detail },
            FailureKind::Refused | FailureKind::Rejected => Answer::Rejected { detail },
            FailureKind::Unknown => Answer::Unknown { detail },
        }
    }
}

/// A provider as a destination of an outbox.
#[derive(Clone)]
pub struct Providing {
    provider: Arc<dyn Provider>,
    handle: Handle,
}

impl Providing {
    /// Attempts run on `handle`. The handle's runtime must outlive the outbox, and must have a thread of its own.
    pub fn new(provider: Arc<dyn Provider>, handle: Handle) -> Self {
        Self { provider, handle }
    }
}

impl Sender<Generate> for Providing {
    fn send(&self, calls: &[Call<Generate>]) -> Vec<Answer<Generated>> {
        let answer = |call: &Call<Generate>| {
            let attempt = Attempt {
                key: &call.key,
                request: &*call.request,
                now: call.now,
                deadline: call.deadline,
            };
            let result = self
                .handle
                .block_on(self.provider.generate(attempt, &mut |_: &str| {}));
            result.map_or_else(Failure::into_answer, Answer::Applied)
        };
        calls.iter().map(answer).collect()
    }
}
