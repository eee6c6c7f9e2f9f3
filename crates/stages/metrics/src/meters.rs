//! The Prometheus metrics of the series' retention.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// What the metrics stages of this process delete. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SeriesMeters {
    pub(crate) deleted: IntCounterVec,
    pub(crate) not_stored: IntCounterVec,
    pub(crate) freed: IntCounter,
}

impl SeriesMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let of_measurement = |name: &str, help: &str| {
            IntCounterVec::new(Opts::new(name, help), &["measurement"])
                .expect("name and label of the metric are valid")
        };
        Self {
            deleted: of_measurement(
                "limbic_series_deleted_total",
                "Points that this process deleted from the embedded series because of their age.",
            ),
            not_stored: of_measurement(
                "limbic_series_not_stored_total",
                "Points that this process did not store, because points of their time are deleted already.",
            ),
            freed: IntCounter::new(
                "limbic_series_freed_bytes_total",
                "Bytes of the series' SQLite file that this process gave back to the disk.",
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
