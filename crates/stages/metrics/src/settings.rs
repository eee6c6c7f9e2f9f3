//! The settings of the metrics stage.

use std::collections::BTreeSet;

use limbic_domain::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shortest time for which points can be kept. It is far above the usual lateness of records.
const SHORTEST: HumanDuration = HumanDuration::from_hours(1);

/// The length of windows, and how late records may arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Lengths of the windows: at least one, each a whole number of seconds from 1s to 365d. Default 10s and 1min.
    pub windows: Vec<HumanDuration>,
    /// The maximum time by which a record may be older than an earlier record of its partition and still be on time.
    /// Default 5s.
    pub disorder: HumanDuration,
    /// How long after that a window of readings can still be corrected. Default 10min.
    pub lateness: HumanDuration,
    /// The same for moments, decisions, outcomes and holds. They are rare, and those of one partition come from audiences that are
    /// read at different speeds: while a stage catches up with hours of posts, they are hours apart. Default 1d.
    pub lateness_of_effects: HumanDuration,
    /// Maximum number of distinct subjects, audiences or campaigns in one window of a tenant and partition, 1 to 1,000.
    /// The rest are counted together under `other`.
    pub most_groups: usize,
    /// How long the embedded series keep points, by measurement. InfluxDB deletes points itself, after the retention of its
    /// bucket. A point is deleted when it is older than this both by the newest point of its measurement and tenant, and by
    /// the node's clock.
    pub keep: KeepPoints,
}

/// How long the embedded series keep points, by measurement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepPoints {
    /// Emotions by subject. At least 1h; `0s` = no limit (default).
    pub emotion: HumanDuration,
    /// Emotions of all readings. At least 1h; `0s` = no limit (default).
    pub emotion_all: HumanDuration,
    /// Moments. At least 1h; `0s` = no limit (default).
    pub moments: HumanDuration,
    /// Decisions. At least 1h; `0s` = no limit (default).
    pub decisions: HumanDuration,
    /// Outcomes. At least 1h; `0s` = no limit (default).
    pub outcomes: HumanDuration,
    /// Holds of subjects. At least 1h; `0s` = no limit (default).
    pub holds: HumanDuration,
}

impl KeepPoints {
    /// The times that have a limit, with their measurements.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, HumanDuration)> {
        let all = [
            ("emotion", self.emotion),
            ("emotion_all", self.emotion_all),
            ("moments", self.moments),
            ("decisions", self.decisions),
            ("outcomes", self.outcomes),
            ("holds", self.holds),
        ];
        all.into_iter().filter(|(_, keep)| !keep.is_zero())
    }

    /// Whether points of any measurement are deleted.
    pub fn is_limited(&self) -> bool {
        self.limits().next().is_some()
    }

    /// What the settings do, in a sentence for people.
    pub fn explain(&self) -> String {
        if !self.is_limited() {
            return "the series keep every point: to delete old ones, set for instance metrics.keep.emotion = \"400d\"".into();
        }
        let parts: Vec<String> = self
            .limits()
            .map(|(measurement, keep)| format!("{measurement} {keep}"))
            .collect();
        format!(
            "the series keep {}, and other measurements without limit. A point is deleted when it is older both by the newest \
             point of its measurement and tenant, and by the node's clock. An old point that comes later is not stored",
            parts.join(", ")
        )
    }
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            windows: vec![HumanDuration::from_secs(10), HumanDuration::from_mins(1)],
            disorder: HumanDuration::from_secs(5),
            lateness: HumanDuration::from_mins(10),
            lateness_of_effects: HumanDuration::from_days(1),
            most_groups: 200,
            keep: KeepPoints::default(),
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
        // A point has the time of its window's start.
        let longest = self.windows.iter().copied().max().unwrap_or_default();
        let least = SHORTEST.max(longest);
        let too_short = self.keep.limits().find(|(_, keep)| *keep < least);
        if let Some((measurement, keep)) = too_short {
            return Err(InvalidMetricsSetting::Keep {
                measurement,
                keep,
                least,
            });
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
    /// Points of a measurement would be kept for less than an hour, or for less than the longest window.
    #[error(
        "metrics.keep.{measurement} = {keep}: must be at least {least} (1h, or the longest of metrics.windows), or 0s for no limit"
    )]
    Keep {
        /// The measurement.
        measurement: &'static str,
        /// The time.
        keep: HumanDuration,
        /// The shortest valid time.
        least: HumanDuration,
    },
}

/// The tag of a window of `seconds`.
pub(crate) fn window_tag(seconds: u32) -> String {
    format!("{seconds}s")
}
