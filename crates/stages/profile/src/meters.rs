//! The Prometheus metrics of the stages.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use limbic_domain::{Slug, TenantId};
use prometheus::{IntCounterVec, Opts, Registry};

use crate::waiting::WaitingFeeling;

/// Most sources with labels of their own. Further ones share the label [`OTHER`].
const MOST_SOURCES: usize = 500;
const OTHER: &str = "other";

/// Metrics of the stage `moments`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MomentMeters {
    late: IntCounterVec,
    /// The sources that have labels.
    known: Arc<Mutex<BTreeSet<(TenantId, Slug)>>>,
}

impl MomentMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let late = Opts::new(
            "limbic_posts_late_total",
            "Posts that came behind the event time of their tenant, by social network, once for each of their subjects.",
        );
        Self {
            late: IntCounterVec::new(late, &["tenant", "network"])
                .expect("names and labels of the metrics are valid"),
            known: Arc::default(),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.late.clone()))?;
        Ok(meters)
    }

    /// A feeling came late. Of those of a post about a subject, one is of the segment of all people.
    pub(crate) fn late(&self, feeling: &WaitingFeeling) {
        if feeling.protects || feeling.audience.segment() != crate::moments::EVERYONE {
            return;
        }
        let source = (feeling.tenant.clone(), feeling.post.network.clone());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let has_label =
            known.contains(&source) || (known.len() < MOST_SOURCES && known.insert(source.clone()));
        let network = if has_label { source.1.as_str() } else { OTHER };
        self.late.with_label_values(&[source.0.as_str(), network]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::tests::feeling;

    #[test]
    fn a_late_post_counts_for_its_source_and_once_for_its_subject() {
        let meters = MomentMeters::unregistered();
        let late = feeling(1, 1_000, 0.0);
        meters.late(&late);
        let mut elsewhere = late.clone();
        elsewhere.protects = true;
        meters.late(&elsewhere);
        let mut of_segment = late.clone();
        of_segment.audience = "fans:football".parse().unwrap();
        meters.late(&of_segment);
        assert_eq!(meters.late.with_label_values(&["default", "bluesky"]).get(), 1);
        for number in 0..MOST_SOURCES + 5 {
            let mut other = late.clone();
            other.post.network = Slug::new(&format!("n{number}")).unwrap();
            meters.late(&other);
        }
        assert_eq!(meters.late.with_label_values(&["default", OTHER]).get(), 6);
    }
}
