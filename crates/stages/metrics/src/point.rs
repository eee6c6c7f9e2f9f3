//! Points of time series, and the trait of their stores.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use limbic_domain::{TenantId, Utc};

/// The sums of one window and group.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The tenant.
    pub tenant: TenantId,
    /// The measurement, for instance `emotion`.
    pub measurement: String,
    /// The tags. With tenant, measurement and time they identify the point.
    pub tags: BTreeMap<String, String>,
    /// Sums and counts by name, in the order of the names.
    pub fields: Vec<(Arc<str>, f64)>,
    /// The window's start.
    pub at: Utc,
}

/// Why series cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The store failed. It may succeed later, or after a correction of its settings.
    #[error("{0}")]
    Unavailable(String),
    /// The query is not valid. The message says how to write it.
    #[error("{0}")]
    BadQuery(String),
}

/// The result of writing points.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The store's messages about batches of points that it refused permanently. A retry cannot help.
    pub refused: Vec<String>,
}

/// A query: sums of fields for each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The tenant whose series are read.
    pub tenant: TenantId,
    /// The measurement, for instance `emotion`.
    pub measurement: String,
    /// Tags that points must have.
    pub tags: BTreeMap<String, String>,
    /// The names of the fields to add up.
    pub fields: Vec<String>,
    /// The first time, a multiple of `step`.
    pub from: Utc,
    /// The end, excluded.
    pub to: Utc,
    /// Milliseconds, greater than zero.
    pub step: i64,
}

/// Sums by the start of the step and by field. Steps without points are absent.
pub type Answer = BTreeMap<i64, BTreeMap<String, f64>>;

/// A running call.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, SeriesError>> + Send + 'a>>;

/// Stores points. Writing a point again replaces it.
pub trait SeriesStore: Send + Sync {
    /// Writes points.
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written>;

    /// Adds up fields.
    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer>;

    /// Closes what is open. Nothing is written afterwards.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
