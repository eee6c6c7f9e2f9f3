//! The Prometheus metrics of connectors.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use crate::Status;

/// Metrics of connectors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConnectorMeters {
    items: IntCounterVec,
    dropped: IntCounterVec,
    failures: IntCounterVec,
    lag: GaugeVec,
    quota: GaugeVec,
}

impl ConnectorMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
                .expect("names and labels of the metrics are valid")
        };
        let gauge = |name: &str, help: &str| {
            GaugeVec::new(Opts::new(name, help), &["connector"])
                .expect("names and labels of the metrics are valid")
        };
        Self {
            items: counter(
                "limbic_connector_items_total",
                "Posts, edits and deletions of a connector: accepted, duplicate, or rejected.",
                &["connector", "result"],
            ),
            dropped: counter(
                "limbic_connector_dropped_total",
                "Events of the source that were left out.",
                &["connector", "reason"],
            ),
            failures: counter(
                "limbic_connector_failures_total",
                "Failures of the source or the edge, and connections that brought nothing for too long (stall).",
                &["connector", "kind"],
            ),
            lag: gauge(
                "limbic_connector_lag_seconds",
                "How far the source's clock at the last accepted item is behind that of this machine.",
            ),
            quota: gauge(
                "limbic_connector_quota_left",
                "How much of the source's quota is left, in the source's unit.",
            ),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        for counters in [&meters.items, &meters.dropped, &meters.failures] {
            registry.register(Box::new(counters.clone()))?;
        }
        for gauges in [&meters.lag, &meters.quota] {
            registry.register(Box::new(gauges.clone()))?;
        }
        Ok(meters)
    }

    /// Brings the metrics of `connector` from `before` to `now`.
    pub fn update(&self, connector: &str, before: &Status, now: &Status) {
        let add = |counters: &IntCounterVec, label: &str, before: u64, now: u64| {
            if now > before {
                counters
                    .with_label_values(&[connector, label])
                    .inc_by(now - before);
            }
        };
        add(&self.items, "accepted", before.accepted, now.accepted);
        add(&self.items, "duplicate", before.duplicates, now.duplicates);
        add(&self.items, "rejected", before.rejected, now.rejected);
        add(&self.failures, "failure", before.failures, now.failures);
        add(&self.failures, "stall", before.stalls, now.stalls);
        for (reason, events) in &now.dropped {
            let known = before.dropped.get(reason).copied().unwrap_or(0);
            add(&self.dropped, reason, known, *events);
        }
        if let Some(lag) = now.lag_seconds {
            self.lag.with_label_values(&[connector]).set(lag);
        }
        if let Some(quota) = now.quota_left {
            self.quota.with_label_values(&[connector]).set(quota as f64);
        }
    }
}
