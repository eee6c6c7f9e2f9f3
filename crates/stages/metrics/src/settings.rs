//! What can be set.

use std::collections::BTreeSet;

use limbic_domain::HumanDuration;
use serde::{Deserialize, Serialize};

/// How windows are cut and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Lengths of the windows: at least one, each a whole number of seconds from 1s to 365d. Default 10s and 1min.
    pub windows: Vec<HumanDuration>,
    /// How much later than its successors a record may come and still be on time. Default 5s.
    pub disorder: HumanDuration,
    /// How long after that a window is still corrected. Default 10min.
    pub lateness: HumanDuration,
    /// Most distinct subjects, audiences or campaigns in one window of a tenant and partition, at most 1,000; the rest are
    /// counted together under `other`.
    pub most_groups: usize,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            windows: vec![HumanDuration::from_secs(10), HumanDuration::from_mins(1)],
            disorder: HumanDuration::from_secs(5),
            lateness: HumanDuration::from_mins(10),
            most_groups: 200,
        }
    }
}

impl MetricsSettings {
    /// The lengths of the windows in seconds, ascending, each once; `None` if one is not a whole number of seconds from
    /// 1 second to 365 days.
    pub(crate) fn window_seconds(&self) -> Option<BTreeSet<u32>> {
        let seconds = |window: &HumanDuration| {
            let is_whole = window.get().subsec_nanos() == 0;
            let seconds = u32::try_from(window.as_secs()).ok()?;
            (is_whole && (1..=365 * 86_400).contains(&seconds)).then_some(seconds)
        };
        self.windows.iter().map(seconds).collect()
    }
}

/// The tag of a window of `seconds`.
pub(crate) fn window_tag(seconds: u32) -> String {
    format!("{seconds}s")
}
