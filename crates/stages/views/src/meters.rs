//! The Prometheus metrics of the view's retention.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// What the views stages of this process delete. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ViewMeters {
    pub(crate) deleted: IntCounterVec,
    pub(crate) not_stored: IntCounterVec,
    pub(crate) freed: IntCounter,
}

impl ViewMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let of_kind = |name: &str, help: &str| {
            IntCounterVec::new(Opts::new(name, help), &["kind"])
                .expect("name and label of the metric are valid")
        };
        Self {
            deleted: of_kind(
                "limbic_view_deleted_total",
                "Events that this process deleted from the view because of their age.",
            ),
            not_stored: of_kind(
                "limbic_view_not_stored_total",
                "Events that this process did not store in the view, because events of their time are deleted already.",
            ),
            freed: IntCounter::new(
                "limbic_view_freed_bytes_total",
                "Bytes of the view's SQLite file that this process gave back to the disk.",
            )
            .expect("the name of the metric is valid"),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.deleted.clone()))?;
        registry.register(Box::new(meters.not_stored.clone()))?;
        registry.register(Box::new(meters.freed.clone()))?;
        Ok(meters)
    }
}
