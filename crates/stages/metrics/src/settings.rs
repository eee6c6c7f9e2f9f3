//! What can be set.

use serde::{Deserialize, Serialize};

/// How windows are cut and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Lengths of the windows, in seconds.
    pub windows_seconds: Vec<u32>,
    /// How much later than its successors a record may come and still be on time, in seconds.
    pub disorder_seconds: u32,
    /// How long after that a window is still corrected, in seconds.
    pub lateness_seconds: u32,
    /// Most distinct subjects, audiences or campaigns in one window of a tenant and partition, at most 1,000; the rest are
    /// counted together under `other`.
    pub most_groups: usize,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            windows_seconds: vec![10, 60],
            disorder_seconds: 5,
            lateness_seconds: 600,
            most_groups: 200,
        }
    }
}

/// The tag of a window of `seconds`.
pub(crate) fn window_tag(seconds: u32) -> String {
    format!("{seconds}s")
}
