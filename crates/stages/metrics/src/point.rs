//! Points, and where they are kept.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use limbic_domain::{TenantId, Utc};

/// Numbers of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Whose.
    pub tenant: TenantId,
    /// Of what.
    pub measurement: String,
    /// What identifies it, with measurement and time.
    pub tags: BTreeMap<String, String>,
    /// Sums and counts by name, in the order of the names.
    pub fields: Vec<(Arc<str>, f64)>,
    /// The window's start.
    pub at: Utc,
}

/// Why series cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The store did not do its part; it may later, or when a person has set it right.
    #[error("{0}")]
    Unavailable(String),
    /// The question cannot be answered; the message says how to ask.
    #[error("{0}")]
    BadQuery(String),
}

/// What became of points.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Batches of points that the store refused for what they are, with its words. Trying again cannot help.
    pub refused: Vec<String>,
}

/// What is asked of a store: sums of fields per step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose.
    pub tenant: TenantId,
    /// Of what.
    pub measurement: String,
    /// Tags that points must have.
    pub tags: BTreeMap<String, String>,
    /// Which fields.
    pub fields: Vec<String>,
    /// The first time, a multiple of `step`.
    pub from: Utc,
    /// The first time no longer asked for.
    pub to: Utc,
    /// Milliseconds, more than zero.
    pub step: i64,
}

/// Sums by start of step and field. Steps without points are absent.
pub type Answer = BTreeMap<i64, BTreeMap<String, f64>>;

/// A call under way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, SeriesError>> + Send + 'a>>;

/// Where points are kept. Writing a point again overwrites it.
pub trait SeriesStore: Send + Sync {
    /// Writes points.
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written>;

    /// Adds fields up.
    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer>;
}
