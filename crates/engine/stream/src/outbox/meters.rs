//! The Prometheus metrics of destinations.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// Metrics of every outbox in the process, labelled by outbox and destination. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OutboxMeters {
    pub(super) waiting: IntGaugeVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) breaker: IntGaugeVec,
    pub(super) answers: IntCounterVec,
}

impl OutboxMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let gauge = |name: &str, help: &str| {
            IntGaugeVec::new(Opts::new(name, help), &["outbox", "destination"])
                .expect("names and labels of the metrics are valid")
        };
        let answers = Opts::new(
            "limbic_outbox_answers_total",
            "Answers of destinations: applied (or what the request calls it, for instance paused), retried, rejected, gave_up, withdrawn.",
        );
        Self {
            waiting: gauge(
                "limbic_outbox_waiting",
                "Requests in the partitions of this process that are not finished.",
            ),
            in_flight: gauge(
                "limbic_outbox_in_flight",
                "Calls that a thread of this process works on.",
            ),
            breaker: gauge(
                "limbic_outbox_breaker",
                "The destination's circuit breaker: 0 closed, 1 half open, 2 open or paused.",
            ),
            answers: IntCounterVec::new(answers, &["outbox", "destination", "answer"])
                .expect("names and labels of the metrics are valid"),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.waiting.clone()))?;
        registry.register(Box::new(meters.in_flight.clone()))?;
        registry.register(Box::new(meters.breaker.clone()))?;
        registry.register(Box::new(meters.answers.clone()))?;
        Ok(meters)
    }
}
