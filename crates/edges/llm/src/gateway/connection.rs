//! A provider as the gateway sees it: its breaker, and what it did.

use std::time::Duration;

use limbic_stream::outbox::{Breaker, Permit};
use parking_lot::Mutex;
use serde::Serialize;

use super::settings::BreakerSettings;
use super::work::Maker;
use crate::provider::{Failure, FailureKind};

/// The longest wait that a provider can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A provider, with what its prices depend on.
#[derive(Clone)]
pub struct Upstream {
    /// The provider.
    pub maker: Maker,
    /// Its kind, for instance `openai`.
    pub kind: String,
    /// The host of its URL, for instance `api.openai.com`. Empty if it has none.
    pub host: String,
}

pub(super) struct Connection {
    pub(super) upstream: Upstream,
    blocked_pause: Duration,
    state: Mutex<State>,
}

struct State {
    breaker: Breaker,
    in_flight: u64,
    answered: u64,
    failed: u64,
    problem: Option<String>,
}

/// The state of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderState {
    /// `open` = it is asked; `testing` = one request tests whether it works again; `paused` = it is not asked.
    pub state: &'static str,
    /// Seconds until it is asked again, if it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_seconds: Option<u64>,
}

/// What the attempts of all tenants at a provider did. Only operators may see it: a problem can quote a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// Attempts that run.
    pub in_flight: u64,
    /// Attempts that gave a text, since the start.
    pub answered: u64,
    /// Attempts that gave none.
    pub failed: u64,
    /// The problem of the last attempt, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl State {
    fn is_open(&self, now: Duration) -> bool {
        match self.breaker.permit(now) {
            Permit::Any => true,
            Permit::Probe => self.in_flight == 0,
            Permit::Nothing => false,
        }
    }
}

impl Connection {
    pub(super) fn new(upstream: Upstream, settings: &BreakerSettings) -> Self {
        let breaker = Breaker::new(settings.failures, settings.pause.get());
        Self {
            upstream,
            blocked_pause: settings.blocked_pause.get(),
            state: Mutex::new(State {
                breaker,
                in_flight: 0,
                answered: 0,
                failed: 0,
                problem: None,
            }),
        }
    }

    /// Whether an attempt may begin.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        self.state.lock().is_open(now)
    }

    /// Begins an attempt, if one may begin. After a pause only one attempt at a time tests the provider.
    pub(super) fn try_begin(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        let is_open = state.is_open(now);
        if is_open {
            state.in_flight += 1;
        }
        is_open
    }

    /// When it may be asked again, if it is paused.
    pub(super) fn opens_in(&self, now: Duration) -> Option<Duration> {
        let opens = self.state.lock().breaker.opens_at();
        (opens > now).then(|| opens.saturating_sub(now))
    }

    /// An attempt that has begun was not sent, or was ended before its result.
    pub(super) fn ends(&self) {
        self.state.lock().in_flight -= 1;
    }

    pub(super) fn succeeds(&self) {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        state.answered += 1;
        state.problem = None;
        state.breaker.answered();
    }

    /// Notes a failure. Returns when the provider asked for another attempt.
    pub(super) fn fails(&self, name: &str, failure: &Failure, now: Duration) -> Option<Duration> {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        state.failed += 1;
        state.problem = Some(failure.detail.clone());
        match failure.kind {
            FailureKind::Throttled(Some(wait)) => {
                let wait = wait.min(LONGEST_WAIT);
                state.breaker.paused(now, wait);
                return Some(now.saturating_add(wait));
            }
            FailureKind::Exhausted | FailureKind::Blocked => {
                if state.breaker.blocked_for(now, self.blocked_pause) {
                    tracing::error!(
                        provider = name, problem = failure.detail, pause = ?self.blocked_pause,
                        "a provider of models refuses every request: check its balance, key, model and address"
                    );
                }
            }
            // It works. A refusal is about the request.
            FailureKind::Refused | FailureKind::Rejected => state.breaker.answered(),
            FailureKind::Throttled(None) | FailureKind::Unknown => {
                if state.breaker.failed(now) {
                    tracing::warn!(
                        provider = name,
                        problem = failure.detail,
                        "a provider of models keeps failing: it is not asked for a while"
                    );
                }
            }
        }
        None
    }

    pub(super) fn report(&self, now: Duration) -> (ProviderState, Attempts) {
        let state = self.state.lock();
        let opens = state.breaker.opens_at();
        let provider = ProviderState {
            state: match state.breaker.permit(now) {
                Permit::Any => "open",
                Permit::Probe => "testing",
                Permit::Nothing => "paused",
            },
            paused_seconds: (opens > now).then(|| opens.saturating_sub(now).as_secs_f64().ceil() as u64),
        };
        let attempts = Attempts {
            in_flight: state.in_flight,
            answered: state.answered,
            failed: state.failed,
            problem: state.problem.clone(),
        };
        (provider, attempts)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Attempt, OnText, Pending, Provider};

    struct Silent;

    impl Provider for Silent {
        fn generate<'a>(&'a self, _: Attempt<'a>, _: &'a mut OnText<'_>) -> Pending<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn one_attempt_at_a_time_tests_a_provider_after_a_pause() {
        let upstream = Upstream {
            maker: Maker::Texts(Arc::new(Silent)),
            kind: "silent".to_owned(),
            host: String::new(),
        };
        let settings = BreakerSettings {
            failures: 1,
            ..BreakerSettings::default()
        };
        let connection = Connection::new(upstream, &settings);
        let seconds = Duration::from_secs;
        assert!(connection.try_begin(seconds(0)) && connection.try_begin(seconds(0)));
        let failure = Failure::new(FailureKind::Unknown, "broken");
        connection.fails("p", &failure, seconds(0));
        connection.fails("p", &failure, seconds(0));
        assert!(!connection.try_begin(seconds(14)), "it is paused");
        assert!(connection.try_begin(seconds(15)));
        assert!(!connection.try_begin(seconds(15)), "one tests it");
        connection.ends();
        assert!(connection.try_begin(seconds(15)), "the test was not sent");
        connection.succeeds();
        assert!(connection.try_begin(seconds(15)) && connection.try_begin(seconds(15)));
    }
}
