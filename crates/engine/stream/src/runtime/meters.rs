//! The Prometheus metrics of the stages.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// Edges of the time histograms in seconds. They are fine around the target for a decision (a quarter of a second), and
/// include the targets for a reading (half a minute) and an ad (five minutes), so that the share within each target is
/// exact.
const SECONDS: [f64; 19] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0,
];

/// The metrics of every stage in the process, labelled by stage.
#[derive(Debug, Clone)]
pub struct StageMeters {
    pub(super) records_in: IntCounterVec,
    pub(super) records_out: IntCounterVec,
    pub(super) dead: IntCounterVec,
    pub(super) skipped: IntCounterVec,
    pub(super) aborts: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) batch_records: HistogramVec,
    pub(super) batch_seconds: HistogramVec,
    pub(super) end_to_end_seconds: HistogramVec,
    pub(super) lag: IntGaugeVec,
    pub(super) watermark: IntGaugeVec,
    reference_lag: IntGaugeVec,
    reference_keys: IntGaugeVec,
}

impl StageMeters {
    /// Registers the metrics. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let meter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(meter.clone()))?;
            Ok(meter)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let meter = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(meter.clone()))?;
            Ok(meter)
        };
        let histogram = |name: &str, help: &str, buckets| -> Result<HistogramVec, prometheus::Error> {
            let meter = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &["stage"])?;
            registry.register(Box::new(meter.clone()))?;
            Ok(meter)
        };
        Ok(Self {
            records_in: counter(
                "limbic_records_in_total",
                "Records consumed.",
                &["stage", "topic"],
            )?,
            records_out: counter(
                "limbic_records_out_total",
                "Records written.",
                &["stage", "topic"],
            )?,
            dead: counter(
                "limbic_dead_letters_total",
                "Records sent to dead-letter topics.",
                &["stage", "reason"],
            )?,
            skipped: counter(
                "limbic_records_skipped_total",
                "Records that were deleted before the stage read them.",
                &["stage", "topic"],
            )?,
            aborts: counter("limbic_aborts_total", "Aborted transactions.", &["stage"])?,
            retries: counter(
                "limbic_retries_total",
                "Batches retried after a failure.",
                &["stage", "reason"],
            )?,
            batch_records: histogram(
                "limbic_batch_records",
                "Records in a batch.",
                exponential_buckets(1.0, 2.0, 14)?,
            )?,
            batch_seconds: histogram(
                "limbic_batch_seconds",
                "From the poll of a batch to its commit, in seconds.",
                SECONDS.to_vec(),
            )?,
            end_to_end_seconds: histogram(
                "limbic_end_to_end_seconds",
                "From the edge's acceptance of a post to the commit of this stage's output for it, in seconds.",
                SECONDS.to_vec(),
            )?,
            lag: gauge(
                "limbic_lag_records",
                "Records that are not consumed yet.",
                &["stage", "topic", "partition"],
            )?,
            watermark: gauge(
                "limbic_watermark_milliseconds",
                "Event time of the stage, in milliseconds since the epoch: the least one of the tenants that are not idle.",
                &["stage", "partition"],
            )?,
            reference_lag: gauge(
                "limbic_reference_lag_records",
                "Records of a reference topic that the stage's table does not hold yet.",
                &["stage", "topic"],
            )?,
            reference_keys: gauge(
                "limbic_reference_keys",
                "Keys in the stage's table of a reference topic.",
                &["stage", "topic"],
            )?,
        })
    }

    pub(crate) fn show_reference_lag(&self, stage: &str, topic: &str, lag: u64) {
        self.reference_lag
            .with_label_values(&[stage, topic])
            .set(i64::try_from(lag).unwrap_or(i64::MAX));
    }

    pub(super) fn show_reference_keys(&self, stage: &str, topic: &str, keys: usize) {
        self.reference_keys
            .with_label_values(&[stage, topic])
            .set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}
