//! What can be set.

use std::collections::BTreeSet;

use limbic_domain::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How windows are cut and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Refuses lengths and numbers that cannot work.
    pub fn check(&self) -> Result<(), InvalidMetricsSetting> {
        if self.windows.is_empty() || self.window_seconds().is_none() {
            return Err(InvalidMetricsSetting::Windows);
        }
        if !(1..=1_000).contains(&self.most_groups) {
            return Err(InvalidMetricsSetting::MostGroups(self.most_groups));
        }
        Ok(())
    }

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

/// A setting of the metrics stage that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetricsSetting {
    /// No window, or one of another length than a whole number of seconds from 1 second to 365 days.
    #[error(
        "metrics.windows: give at least one length; each must be a whole number of seconds from 1s to 365d"
    )]
    Windows,
    /// A number of groups outside 1 to 1,000.
    #[error("metrics.most_groups = {0}: must be 1 to 1,000")]
    MostGroups(usize),
}

/// The tag of a window of `seconds`.
pub(crate) fn window_tag(seconds: u32) -> String {
    format!("{seconds}s")
}
