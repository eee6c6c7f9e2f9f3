//! The settings of the metrics stage.

use std::collections::BTreeSet;

use limbic_domain::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The length of windows, and how late records may arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Lengths of the windows: at least one, each a whole number of seconds from 1s to 365d. Default 10s and 1min.
    pub windows: Vec<HumanDuration>,
    /// The maximum time by which a record may be older than an earlier record of its partition and still be on time.
    /// Default 5s.
    pub disorder: HumanDuration,
    /// How long after that a window can still be corrected. Default 10min.
    pub lateness: HumanDuration,
    /// Maximum number of distinct subjects, audiences or campaigns in one window of a tenant and partition, 1 to 1,000.
    /// The rest are counted together under `other`.
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
    /// Returns an error if a length or a number is not valid.
    pub fn check(&self) -> Result<(), InvalidMetricsSetting> {
        if self.windows.is_empty() || self.window_seconds().is_none() {
            return Err(InvalidMetricsSetting::Windows);
        }
        if !(1..=1_000).contains(&self.most_groups) {
            return Err(InvalidMetricsSetting::MostGroups(self.most_groups));
        }
        Ok(())
    }

    /// The lengths of the windows in seconds, sorted and without duplicates. `None` if one is not a whole number of
    /// seconds from 1 second to 365 days.
    pub(crate) fn window_seconds(&self) -> Option<BTreeSet<u32>> {
        let seconds = |window: &HumanDuration| {
            let is_whole = window.get().subsec_nanos() == 0;
            let seconds = u32::try_from(window.as_secs()).ok()?;
            (is_whole && (1..=365 * 86_400).contains(&seconds)).then_some(seconds)
        };
        self.windows.iter().map(seconds).collect()
    }
}

/// A setting of the metrics stage that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetricsSetting {
    /// No window, or a window whose length is not a whole number of seconds from 1 second to 365 days.
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
