//! The Prometheus metrics of the metrics stage.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::campaigns::CampaignMeters;

/// What the metrics stages of this process delete, and what they see of campaigns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SeriesMeters {
    pub(crate) deleted: IntCounterVec,
    pub(crate) not_stored: IntCounterVec,
    pub(crate) freed: IntCounter,
    pub(crate) campaigns: CampaignMeters,
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
            campaigns: CampaignMeters::unregistered(),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.deleted.clone()))?;
        registry.register(Box::new(meters.not_stored.clone()))?;
        registry.register(Box::new(meters.freed.clone()))?;
        meters.campaigns.register_in(registry)?;
        Ok(meters)
    }
}
