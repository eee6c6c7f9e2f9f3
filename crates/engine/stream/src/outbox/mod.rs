//! The outbox runs slow or random work outside the engine: an ad platform, a webhook, a language model. Each request is
//! sent at least once. If the destination honours the idempotency key, it has one effect.
//!
//! ```text
//!            one transaction                         one transaction
//!  cause ────────────────────▶ entry ──▶ Sender ──────────────────────▶ result record
//!           offset + entry    (state)    │    ▲      result + entry removed
//!                                        ▼    │
//!                                   destination: idempotency key
//! ```
//!
//! A stage owns an [`Outbox`]. In `process` it calls [`Outbox::enqueue`]. In `tick` it calls [`Outbox::drive`], which
//! sends the requests that are due and returns every finished request, so that the stage writes its result as a record.
//!
//! | the answer | what follows |
//! |---|---|
//! | [`Answer::Applied`] | the request is finished |
//! | [`Answer::RetryAfter`] | the whole destination pauses for the time that it asks for, within a minimum and a maximum; counts as an attempt |

//! | [`Answer::Unknown`] (failed, timed out, panicked) | another attempt with the same key after a back-off; counts as an attempt |
//!
//! A stage can examine every request right before an attempt, and withdraw it or let it wait ([`Outbox::drive_with`]). New requests can be
//! delayed ([`Outbox::first_wait`]), so that a record that arrives during the delay can still lead to a withdrawal.
//!
//! After [`Limits::attempts`] attempts, or [`Limits::give_up_after`] after the first one, the request is finished as
//! [`Conclusion::GaveUp`].
//!
//! # Laws
//!
//! * **Durable first.** `drive` sends only entries that an earlier transaction has committed.
//! * **One key.** Every attempt of a request has the same idempotency key, in every process.
//! * **One result.** The entry is removed in the transaction that writes its result. If that transaction aborts, the answer
//!   is kept in memory and applied again; the request is not sent again.
//! * **Destinations are independent.** Each has its own threads, breaker and token bucket. A destination that hangs delays the
//!   others by at most [`Outbox::answer_wait`] per tick.
//! * **Order** ([`Enqueue::order`]): of the requests with one order key in a partition, the next one is sent only after the
//!   previous one is finished.
//! * **Bounded.** Calls in flight, calls per second, requests waiting, attempts and every wait have limits.
//! * **Time and chance are passed in.** Waits are measured by a clock that runs with the `now` of the ticks, jitter comes from the
//!   idempotency key. Only the deadline of a running call uses the machine's monotonic clock.
//! * **The wall clock may jump.** Between two ticks the outbox's clock advances by 5 minutes at most, and after a jump by the usual time
//!   between ticks. So no jump sends, gives up or delays requests. Its time is stored in the partition and never goes back.
//!
//! # What it is not
//!
//! It is not a queue between stages (use a topic). It is not exactly-once for a destination that ignores idempotency
//! keys: if the process is killed between a call and its commit, the call is repeated.
//!
//! # Example
//!
//! ```
//! # use limbic_domain::Utc;
//! # use limbic_stream::testing::{Harness, record};
//! use limbic_stream::outbox::{Answer, Call, Conclusion, Enqueue, Limits, Outbox, Request, Sender};
//! use limbic_stream::{Batch, Outputs, Stage, StageError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greeting(String);
//!
//! impl Request for Greeting {
//!     const VERSION: u32 = 1;
//!     type Reply = String;
//! }
//!
//! /// A destination that answers at once. A real one calls a server.
//! struct Echo;
//!
//! impl Sender<Greeting> for Echo {
//!     fn send(&self, calls: &[Call<Greeting>]) -> Vec<Answer<String>> {
//!         calls.iter().map(|call| Answer::Applied(format!("hello, {}", call.request.0))).collect()
//!     }
//! }
//!
//! struct Greeter(Outbox<Greeting>);
//!
//! impl Stage for Greeter {
//!     fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
//!         for record in &batch.records {
//!             let name = String::from_utf8_lossy(&record.value).into_owned();
//!             let key = format!("greeting-{name}");
//!             let new = Enqueue { destination: "echo", key: &key, order: None, at: record.timestamp };
//!             self.0.enqueue(out, &record.cause(), &new, &Greeting(name))?;
//!         }
//!         Ok(())
//!     }
//!
//!     fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
//!         self.0.drive(partitions, now, out, |out, finished| {
//!             if let Conclusion::Applied(reply) = finished.conclusion {
//!                 out.emit_bytes(&finished.cause, "greetings", finished.key, finished.at, reply.clone());
//!             }
//!         })
//!     }
//! }
//!
//! let build = || Greeter(Outbox::new("greetings").destination("echo", Limits::default(), Echo));
//! let mut stage = Harness::new(build).once();
//! stage.process([record("names").value("Ada")]);
//! stage.tick(Utc::from_millis(0));
//! assert_eq!(&stage.outputs()[0].1.value[..], b"hello, Ada");
//! ```

mod breaker;
mod drive;
mod entry;
mod limits;
mod meters;
mod store;
#[cfg(test)]
mod tests;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use breaker::{Breaker, Permit, TokenBucket};
pub use drive::Outbox;
pub use limits::{InvalidLimit, Limits, Rate};
pub use meters::OutboxMeters;

use crate::Cause;

/// A task for a destination, in the form in which it is stored until it is finished.
pub trait Request: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of the stored form. If you change the form, increase it, and read older forms in [`Self::migrate`].
    const VERSION: u32;

    /// The destination's reply to an applied request. `()` if there is no content.
    type Reply: Send + 'static;

    /// What the metrics call an answer that applied it. One of a few words.
    fn applied(&self) -> &'static str {
        "applied"
    }

    /// Reads a stored request of an older version. The default returns an error, which stops the stage.
    fn migrate(version: u32, stored: serde_json::Value) -> Result<Self, String> {
        let _ = stored;
        Err(format!(
            "version {version} cannot be read, only version {}",
            Self::VERSION
        ))
    }
}

/// What a destination answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The request has had its effect, in this attempt or an earlier one.
    Applied(T),
    /// The destination works, but asks for a later attempt.
    RetryAfter {
        /// The wait that it asks for, or `None`. Limited by [`Limits::retry_after`].
        wait: Option<Duration>,
        /// The destination's message.
        detail: String,
    },
    /// The destination refuses every request until a person acts: the account, its key, its balance or the address is wrong. The
    /// destination is paused. This attempt does not count, and the request is given up only when it has waited too long.
    Blocked {
        /// The destination's message.
        detail: String,
    },
    /// The destination refuses the request permanently.
    Rejected {
        /// The destination's message.
        detail: String,
    },
    /// It is not known whether the request had its effect: no connection, a time-out, a server error.
    Unknown {
        /// What happened.
        detail: String,
    },
}

/// An answer of a destination that concerns all its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The time of the tick that received it.
    pub at: Utc,
    /// Whether the destination refuses every request until a person acts ([`Answer::Blocked`]).
    pub is_blocked: bool,
    /// The destination's message.
    pub detail: String,
}

impl Problem {
    /// The problem that an answer reports at `at`; `None` if it is a success, or about one request.
    fn of<T>(answer: &Answer<T>, at: Utc) -> Option<Self> {
        let (is_blocked, detail) = match answer {
            Answer::Applied(_) | Answer::Rejected { .. } => return None,
            Answer::Blocked { detail } => (true, detail),
            Answer::RetryAfter { detail, .. } | Answer::Unknown { detail } => (false, detail),
        };
        Some(Self {
            at,
            is_blocked,
            detail: detail.clone(),
        })
    }
}

/// One attempt at a request.
#[derive(Debug)]
pub struct Call<R> {
    /// The idempotency key, the same for every attempt.
    pub key: Arc<str>,
    /// The task.
    pub request: Arc<R>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The time of the tick that sends it.
    pub now: Utc,
    /// Maximum duration of the call. A later answer is ignored, and [`Answer::Unknown`] is assumed.
    pub deadline: Duration,
}

/// The connection to one destination.
///
/// `send` blocks: it runs on threads that the outbox owns, at most [`Limits::concurrency`] calls at the same time. It must
/// return within the deadline, and must be idempotent by [`Call::key`] as far as the destination allows.
pub trait Sender<R: Request>: Send + Sync + 'static {
    /// Makes these calls (at most [`Limits::batch`]) and returns one answer for each, in the same order. A missing answer
    /// or a panic counts as [`Answer::Unknown`].
    fn send(&self, calls: &[Call<R>]) -> Vec<Answer<R::Reply>>;
}

/// The stage's decision about a request right before an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastLook {
    /// It may be sent.
    Send,
    /// It is looked at again after `wait`. If it has waited for `most` since the first such answer, it is withdrawn.
    Wait {
        /// The time until the next look.
        wait: Duration,
        /// The longest time that a request waits in all.
        most: Duration,
        /// What it waits for.
        detail: String,
    },
    /// It is not sent any more, and is finished as [`Conclusion::Withdrawn`].
    Withdraw {
        /// Why.
        detail: String,
    },
}

/// The data of a new request.
#[derive(Debug, Clone, Copy)]
pub struct Enqueue<'a> {
    /// The destination's name, as given to [`Outbox::destination`].
    pub destination: &'a str,
    /// The idempotency key: a function of the request's cause, unique per destination.
    pub key: &'a str,
    /// Requests with the same order key are sent one after another, in the order in which they were enqueued. `None` = in
    /// any order.
    pub order: Option<&'a str>,
    /// Event time of the cause.
    pub at: Utc,
}

/// The result of [`Outbox::enqueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The request waits to be sent.
    Accepted,
    /// A request with this key is already waiting. Nothing changed.
    AlreadyWaiting,
    /// There is no destination with this name.
    UnknownDestination,
    /// The destination's queue in this partition is full ([`Limits::waiting`]). Nothing changed.
    Full,
}

/// The final result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion<'a, T> {
    /// It had its effect.
    Applied(&'a T),
    /// The destination refused it permanently.
    Rejected {
        /// The destination's message.
        detail: &'a str,
    },
    /// The stage withdrew it ([`LastLook::Withdraw`]), or it waited too long ([`LastLook::Wait`]). If [`Finished::attempts`] is not 0, an earlier attempt may have had its
    /// effect.
    Withdrawn {
        /// Why.
        detail: &'a str,
    },
    /// Too many attempts, or too long since the first one.
    GaveUp {
        /// The time from the first attempt until now.
        after: Duration,
        /// The result of the last attempt.
        detail: &'a str,
    },
}

/// A finished request, for the stage to write its result.
pub struct Finished<'a, R: Request> {
    /// The partition that held the request, and the headers of its cause.
    pub cause: Cause,
    /// The destination's name.
    pub destination: &'a str,
    /// The idempotency key.
    pub key: &'a str,
    /// The task.
    pub request: &'a R,
    /// Event time of the cause.
    pub at: Utc,
    /// The number of attempts, including the last one.
    pub attempts: u32,
    /// The final result.
    pub conclusion: Conclusion<'a, R::Reply>,
}

impl<R: Request> Finished<'_, R> {
    /// The event time of something that happens at `now`: the cause's event time plus the time since the edge accepted
    /// the cause. In live operation this is about `now`. In a replay it stays in the time of the stream.
    pub fn event_time(&self, now: Utc) -> Utc {
        let accepted = self.cause.headers.text(crate::header::ACCEPTED_AT);
        match accepted.and_then(|millis| millis.parse().ok()) {
            Some(accepted) => {
                let since = now.millis_since(Utc::from_millis(accepted)).max(0);
                self.at.plus_millis(since)
            }
            None => now,
        }
    }
}

/// Maximum number of characters of an [`excerpt`], without the ellipsis.
const WORDS: usize = 300;

/// The beginning of a server's message, for logs and answers: one line without control characters, at most 300 characters and
/// an ellipsis.
pub fn excerpt(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut kept: String = line.chars().filter(|c| !c.is_control()).take(WORDS + 1).collect();
    if kept.chars().count() > WORDS {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// The wait in an HTTP `Retry-After` header at the time `now`: seconds or an HTTP date (RFC 9110, section 10.2.3). A date
/// in the past means no wait. `None` if the value has neither form.
pub fn retry_after(value: &str, now: Utc) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let until = until.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    Some(until.saturating_sub(now))
}
