//! Metrics of the connections and limits of the API.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::refusal::Refusal;

/// Metrics of the connections and limits of the API.
#[derive(Debug, Clone)]
pub struct ApiMeters {
    pub(crate) connections: IntGauge,
    pub(crate) refused: IntCounterVec,
    pub(crate) requests_refused: IntCounterVec,
    pub(crate) closed: IntCounterVec,
    pub(crate) body_bytes: IntGauge,
    pub(crate) answer_bytes: IntGauge,
}

impl ApiMeters {
    /// Creates the metrics in `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self {
            connections: IntGauge::new("limbic_api_connections", "Open connections of the API")?,
            refused: IntCounterVec::new(
                Opts::new(
                    "limbic_api_connections_refused_total",
                    "Connections that had no place: of their address, in all, or no file descriptor",
                ),
                &["reason"],
            )?,
            requests_refused: IntCounterVec::new(
                Opts::new(
                    "limbic_api_requests_refused_total",
                    "Requests that were refused because of a limit, a store that does not answer, or an unknown key",
                ),
                &["reason"],
            )?,
            closed: IntCounterVec::new(
                Opts::new(
                    "limbic_api_connections_closed_total",
                    "Connections that the node closed: silent, unread answer, or evicted for another one",
                ),
                &["reason"],
            )?,
            body_bytes: IntGauge::new("limbic_api_body_bytes", "Bytes of request bodies in memory")?,
            answer_bytes: IntGauge::new(
                "limbic_api_answer_bytes",
                "Bytes of answers that clients have not taken",
            )?,
        };
        // Every reason is there from the start, so that the first refusal is an increase.
        for refusal in Refusal::ALL {
            let _ = meters.requests_refused.with_label_values(&[refusal.as_str()]);
        }
        for reason in ["of_address", "in_all", "descriptors"] {
            let _ = meters.refused.with_label_values(&[reason]);
        }
        for reason in ["silent", "unread", "evicted"] {
            let _ = meters.closed.with_label_values(&[reason]);
        }
        registry.register(Box::new(meters.connections.clone()))?;
        registry.register(Box::new(meters.refused.clone()))?;
        registry.register(Box::new(meters.requests_refused.clone()))?;
        registry.register(Box::new(meters.closed.clone()))?;
        registry.register(Box::new(meters.body_bytes.clone()))?;
        registry.register(Box::new(meters.answer_bytes.clone()))?;
        Ok(meters)
    }
}
