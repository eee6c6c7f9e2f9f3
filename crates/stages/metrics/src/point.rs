//! Points of time series, and the trait of their stores.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use limbic_domain::{HumanDuration, TenantId, Utc};

use crate::names::Name;
use crate::settings::KeepPoints;

/// A series of points. With the time it identifies a point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Series {
    /// The tenant.
    pub tenant: TenantId,
    /// The measurement, for instance `emotion`.
    pub measurement: String,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// The sums of one window and group.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The series that it belongs to.
    pub series: Arc<Series>,
    /// Sums and counts by name, in the order of the names.
    pub fields: Vec<(Name, f64)>,
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
    /// Points that were not stored, because points of their time are deleted already; by measurement.
    pub not_stored: BTreeMap<String, u64>,
}

/// Points of a tenant and a measurement that are older than the settings keep them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Older {
    /// The tenant.
    pub tenant: TenantId,
    /// The measurement.
    pub measurement: String,
    /// Points from before this time are to be deleted.
    pub kept_from: Utc,
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

    /// What is older than `keep`, both by the newest points and by the clock `now`. A store that deletes points itself, like
    /// InfluxDB, finds nothing.
    fn older<'a>(&'a self, keep: &'a KeepPoints, now: Utc) -> Pending<'a, Vec<Older>> {
        let _ = (keep, now);
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Deletes up to `most` of these points. From then on, no such point is stored. Returns how many it deleted.
    fn delete<'a>(&'a self, older: &'a Older, most: u32) -> Pending<'a, u64> {
        let _ = (older, most);
        Box::pin(async { Ok(0) })
    }

    /// Prepares the store for [`Self::delete`]. It may take long, and is called before the stage runs.
    fn prepare_retention(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Gives a bounded part of the unused space back to the disk. Returns the bytes.
    fn give_back(&self) -> Pending<'_, u64> {
        Box::pin(async { Ok(0) })
    }

    /// After which time the store itself deletes points, whatever the settings say. `None` = it does not, or does not say.
    fn own_retention(&self) -> Pending<'_, Option<HumanDuration>> {
        Box::pin(async { Ok(None) })
    }

    /// The server and its version, for instance `InfluxDB v2.7.12`. `None` = it is not a server, or does not say.
    fn server(&self) -> Pending<'_, Option<String>> {
        Box::pin(async { Ok(None) })
    }

    /// The time before which points of a measurement are deleted. `None` = none are.
    fn deleted_before<'a>(&'a self, tenant: &'a TenantId, measurement: &'a str) -> Pending<'a, Option<Utc>> {
        let _ = (tenant, measurement);
        Box::pin(async { Ok(None) })
    }

    /// Closes what is open. Nothing is written afterwards.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
