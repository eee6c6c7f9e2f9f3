//! The Prometheus metrics of the stage.

use limbic_bandit::outcomes::Acceptance;
use limbic_domain::TenantId;
use prometheus::{IntCounterVec, Opts, Registry};

/// Metrics of the optimize stage. A batch that is processed again counts again. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OptimizeMeters {
    outcomes: IntCounterVec,
    unseen: IntCounterVec,
}

impl OptimizeMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
                .expect("names and labels of the metrics are valid")
        };
        Self {
            outcomes: counter(
                "limbic_optimize_outcomes_total",
                "Outcomes of open decisions: counted, restated, duplicate, superseded by a later statement, or too late to correct.",
                &["result"],
            ),
            unseen: counter(
                "limbic_optimize_clicks_without_impressions_total",
                "Decisions with clicks and without impressions. Nothing is learned from them.",
                &["tenant", "campaign"],
            ),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.outcomes.clone()))?;
        registry.register(Box::new(meters.unseen.clone()))?;
        Ok(meters)
    }

    pub(crate) fn outcome(&self, acceptance: Acceptance) {
        let result = match acceptance {
            Acceptance::Counted => "counted",
            Acceptance::Restated => "restated",
            Acceptance::Duplicate => "duplicate",
            Acceptance::Superseded => "superseded",
            Acceptance::TooLate => "too_late",
        };
        self.outcomes.with_label_values(&[result]).inc();
    }

    pub(crate) fn unseen(&self, tenant: &TenantId, campaign: &str) {
        self.unseen.with_label_values(&[tenant.as_str(), campaign]).inc();
    }
}
