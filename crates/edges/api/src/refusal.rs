//! Why the node refuses requests that may be right.

use axum::response::Response;
use prometheus::IntCounterVec;

/// Why the node refuses a request: a limit, a store that does not answer, or a caller that it does not accept. The answer carries it,
/// so that every refusal is counted in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 413: the body has too many bytes.
    BodySize,
    /// 413: the body has too many items.
    Items,
    /// 408: no byte of the body came for `api.stall_timeout`.
    Stalled,
    /// 429: the tenant has used up its quota.
    Quota,
    /// 429: too many reads of the tenant wait for their turn.
    Reads,
    /// 503: the memory for request bodies is taken, or the tenant's share of it.
    Bodies,
    /// 503: the memory for answers that clients have not read is taken, or the tenant's share of it.
    Answers,
    /// 503: too many requests are being written, in all or by the tenant.
    Writers,
    /// 503: the request took longer than `api.timeout`.
    Slow,
    /// 503: the log does not answer.
    Log,
    /// 503: the view or the store of time series does not answer.
    Database,
    /// 401: the request has no key that is known.
    Key,
    /// 421: the request is for another host.
    Host,
    /// 403: a web page of another site sent the request.
    Origin,
}

impl Refusal {
    pub(crate) const ALL: [Self; 14] = [
        Self::BodySize,
        Self::Items,
        Self::Stalled,
        Self::Quota,
        Self::Reads,
        Self::Bodies,
        Self::Answers,
        Self::Writers,
        Self::Slow,
        Self::Log,
        Self::Database,
        Self::Key,
        Self::Host,
        Self::Origin,
    ];

    /// Its name as the label of a metric.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BodySize => "body_size",
            Self::Items => "items",
            Self::Stalled => "stalled",
            Self::Quota => "quota",
            Self::Reads => "reads",
            Self::Bodies => "bodies",
            Self::Answers => "answers",
            Self::Writers => "writers",
            Self::Slow => "slow",
            Self::Log => "log",
            Self::Database => "database",
            Self::Key => "key",
            Self::Host => "host",
            Self::Origin => "origin",
        }
    }

    /// Counts the response if it is a refusal.
    pub(crate) fn count(response: &Response, refused: &IntCounterVec) {
        if let Some(refusal) = response.extensions().get::<Self>() {
            refused.with_label_values(&[refusal.as_str()]).inc();
        }
    }
}
