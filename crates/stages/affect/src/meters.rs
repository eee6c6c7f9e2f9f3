//! The Prometheus metrics of the stage.

use std::time::Duration;

use limbic_affect::CacheCounts;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of the affect stage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AffectMeters {
    seconds: Histogram,
    texts: IntCounter,
    looked_up: IntCounterVec,
    cached: IntGauge,
}

impl AffectMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        const VALID: &str = "names and labels of the metrics are valid";
        let buckets = vec![
            0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let seconds = HistogramOpts::new(
            "limbic_affect_seconds",
            "How long the model or the lexica took for the posts of a batch, in seconds.",
        );
        Self {
            seconds: Histogram::with_opts(seconds.buckets(buckets)).expect(VALID),
            texts: IntCounter::new("limbic_affect_texts_total", "Posts that were read.").expect(VALID),
            looked_up: IntCounterVec::new(
                Opts::new(
                    "limbic_affect_cache_total",
                    "Look-ups of texts in the cache of readings: hit, miss.",
                ),
                &["result"],
            )
            .expect(VALID),
            cached: IntGauge::new("limbic_affect_cache_texts", "Texts in the cache of readings.")
                .expect(VALID),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.seconds.clone()))?;
        registry.register(Box::new(meters.texts.clone()))?;
        registry.register(Box::new(meters.looked_up.clone()))?;
        registry.register(Box::new(meters.cached.clone()))?;
        Ok(meters)
    }

    /// A batch was read. `cache` are the counts of the engine since it was opened, before and after.
    pub(crate) fn read(&self, texts: usize, took: Duration, before: CacheCounts, after: CacheCounts) {
        self.texts.inc_by(texts as u64);
        self.seconds.observe(took.as_secs_f64());
        for (result, count) in [
            ("hit", after.hits.saturating_sub(before.hits)),
            ("miss", after.misses.saturating_sub(before.misses)),
        ] {
            if count > 0 {
                self.looked_up.with_label_values(&[result]).inc_by(count);
            }
        }
        self.cached.set(i64::try_from(after.texts).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cache_found_since_the_batch_before_is_added() {
        let meters = AffectMeters::unregistered();
        let counts = |hits, misses, texts| CacheCounts { hits, misses, texts };
        meters.read(10, Duration::from_millis(30), counts(0, 0, 0), counts(2, 8, 8));
        meters.read(10, Duration::from_millis(30), counts(2, 8, 8), counts(11, 9, 9));
        let of = |result| meters.looked_up.with_label_values(&[result]).get();
        assert_eq!((of("hit"), of("miss"), meters.cached.get()), (11, 9, 9));
        assert_eq!((meters.texts.get(), meters.seconds.get_sample_count()), (20, 2));
    }
}
