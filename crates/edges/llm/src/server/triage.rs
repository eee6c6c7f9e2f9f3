//! The meaning of a status other than 200.

use std::time::Duration;

use limbic_stream::outbox::excerpt;
use serde::Deserialize;

use crate::provider::{Failure, FailureKind};

/// An answer with a status other than 200.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorAnswer<'a> {
    pub(crate) status: u16,
    /// The wait that its headers ask for.
    pub(crate) wait: Option<Duration>,
    pub(crate) body: &'a str,
}

impl ErrorAnswer<'_> {
    /// The body as `T`, or its default if it has another form.
    pub(crate) fn body<T: for<'de> Deserialize<'de> + Default>(&self) -> T {
        serde_json::from_str(self.body).unwrap_or_default()
    }

    /// The failure that the status means for most providers, with the server's message, or the start of the body if `message`
    /// is empty.
    pub(crate) fn usual(&self, message: &str) -> Failure {
        let kind = match self.status {
            402 => FailureKind::Exhausted,
            429 => FailureKind::Throttled(self.wait),
            503 | 529 if self.wait.is_some() => FailureKind::Throttled(self.wait),
            408 | 409 | 425 | 500..=599 => FailureKind::Unknown,
            // A server that points elsewhere has another address.
            300..=399 | 401 | 403 | 404 => FailureKind::Blocked,
            _ => FailureKind::Rejected,
        };
        self.means(kind, message)
    }

    /// A failure of this kind.
    pub(crate) fn means(&self, kind: FailureKind, message: &str) -> Failure {
        let words = if message.is_empty() {
            excerpt(self.body)
        } else {
            excerpt(message)
        };
        Failure::new(kind, format!("{}: {words}", self.status))
    }
}
