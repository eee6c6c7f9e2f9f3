//! The Prometheus metrics of the gateway.

use std::time::Duration;

use limbic_domain::Slug;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::ledger::Used;
use super::{GatewayError, Made, Outcome, Source};
use crate::Usage;
use crate::provider::FailureKind;

/// The bounds of the duration of attempts, in seconds.
const SECONDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0];

/// Metrics of a gateway, over all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GatewayMeters {
    requests: IntCounterVec,
    attempts: IntCounterVec,
    tokens: IntCounterVec,
    pictures: IntCounterVec,
    video: IntCounterVec,
    jobs: IntCounterVec,
    cost: IntCounterVec,
    seconds: HistogramVec,
}

impl GatewayMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
                .expect("names and labels of the metrics are valid")
        };
        let seconds = HistogramOpts::new(
            "limbic_llm_attempt_seconds",
            "Duration of attempts that gave a text, from the request to the end of the text.",
        );
        Self {
            requests: counter(
                "limbic_llm_requests_total",
                "Requests to models. With a reply, by its origin: provider, cache, stale, shared, repeated. Without one, by the \
                 error: unknown_model, invalid, no_price, over_limit, refused, rejected, failed, ended, ledger, stopped.",
                &["result"],
            ),
            attempts: counter(
                "limbic_llm_attempts_total",
                "Attempts at a provider: answered, throttled, exhausted, blocked, refused, rejected, unknown, or ended (another one was \
                 faster).",
                &["provider", "result"],
            ),
            tokens: counter(
                "limbic_llm_tokens_total",
                "Tokens that providers reported: prompt or completion.",
                &["provider", "kind"],
            ),
            pictures: counter(
                "limbic_llm_pictures_total",
                "Pictures of providers that bill pictures instead of tokens.",
                &["provider"],
            ),
            video: counter(
                "limbic_llm_video_seconds_total",
                "Seconds of video that providers made.",
                &["provider"],
            ),
            jobs: counter(
                "limbic_llm_jobs_total",
                "Jobs for clips that have ended: finished, refused or failed.",
                &["provider", "result"],
            ),
            cost: counter(
                "limbic_llm_cost_micros_total",
                "What attempts have cost, in millionths of the currency unit: settled, or the highest cost of attempts of which it is \
                 unknown.",
                &["provider", "kind"],
            ),
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["provider"])
                .expect("names, labels and bounds of the metrics are valid"),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        for counters in [
            &meters.requests,
            &meters.attempts,
            &meters.tokens,
            &meters.pictures,
            &meters.video,
            &meters.jobs,
            &meters.cost,
        ] {
            registry.register(Box::new(counters.clone()))?;
        }
        registry.register(Box::new(meters.seconds.clone()))?;
        Ok(meters)
    }

    pub(super) fn request(&self, result: &Result<Outcome<Made>, GatewayError>) {
        let name = match result {
            Ok(outcome) => match outcome.source {
                Source::Provider => "provider",
                Source::Cache => "cache",
                Source::Stale => "stale",
                Source::Shared => "shared",
                Source::Repeated => "repeated",
            },
            Err(error) => match error {
                GatewayError::UnknownModel { .. } => "unknown_model",
                GatewayError::Invalid { .. } => "invalid",
                GatewayError::NoPrice { .. } => "no_price",
                GatewayError::OverLimit(_) => "over_limit",
                GatewayError::Refused { .. } => "refused",
                GatewayError::Rejected { .. } => "rejected",
                GatewayError::Failed { .. } => "failed",
                GatewayError::Ended { .. } => "ended",
                GatewayError::Ledger(_) => "ledger",
                GatewayError::Stopped => "stopped",
            },
        };
        self.requests.with_label_values(&[name]).inc();
    }

    pub(super) fn answered(&self, provider: &Slug, usage: Option<Usage>, took: Duration) {
        self.attempt(provider, "answered");
        if let Some(usage) = usage {
            self.used(provider, usage);
        }
        self.seconds
            .with_label_values(&[provider.as_str()])
            .observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self, provider: &Slug, kind: FailureKind) {
        let name = match kind {
            FailureKind::Throttled(_) => "throttled",
            FailureKind::Exhausted => "exhausted",
            FailureKind::Blocked => "blocked",
            FailureKind::Refused => "refused",
            FailureKind::Rejected => "rejected",
            FailureKind::Unknown => "unknown",
        };
        self.attempt(provider, name);
    }

    pub(super) fn ended(&self, provider: &Slug) {
        self.attempt(provider, "ended");
    }

    pub(super) fn used(&self, provider: &Slug, usage: Usage) {
        self.pictures
            .with_label_values(&[provider.as_str()])
            .inc_by(usage.pictures);
        self.video
            .with_label_values(&[provider.as_str()])
            .inc_by(usage.video_seconds);
        for (kind, tokens) in [
            ("prompt", usage.prompt_tokens),
            ("completion", usage.completion_tokens),
        ] {
            self.tokens
                .with_label_values(&[provider.as_str(), kind])
                .inc_by(tokens);
        }
    }

    pub(super) fn cost(&self, provider: &Slug, used: Used) {
        for (kind, micros) in [("settled", used.settled), ("unknown", used.unknown)] {
            self.cost
                .with_label_values(&[provider.as_str(), kind])
                .inc_by(micros);
        }
    }

    /// A job has ended.
    pub(super) fn job(&self, provider: &Slug, result: &str) {
        self.jobs.with_label_values(&[provider.as_str(), result]).inc();
    }

    fn attempt(&self, provider: &Slug, result: &str) {
        self.attempts
            .with_label_values(&[provider.as_str(), result])
            .inc();
    }
}
