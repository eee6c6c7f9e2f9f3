//! What may be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of the deliver stage: `[deliver]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often to look for what is due, in milliseconds. Default: 100.
    pub tick_ms: u64,
    /// Most deliveries to one platform in one tick, and so in one transaction. Default: 256.
    pub batch: usize,
    /// Most attempts before a delivery is refused as `gave_up`. Default: 12.
    pub attempts: u32,
    /// Most seconds from the first attempt until a delivery is refused as `gave_up`, waiting as a platform asks included.
    /// Default: 86,400, a day.
    pub give_up_after_s: u64,
    /// The first back-off, in milliseconds; it doubles with each failed attempt. Default: 1,000.
    pub backoff_ms: u64,
    /// The longest back-off, in milliseconds. Default: 300,000.
    pub backoff_most_ms: u64,
    /// The longest that a platform's `Retry-After` is heeded, in seconds. Default: 3,600.
    pub retry_after_most_s: u64,
    /// Failures in a row after which a platform rests. Default: 5.
    pub circuit_failures: u32,
    /// How long it rests before one delivery probes it, in milliseconds. Default: 15,000.
    pub circuit_rest_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tick_ms: 100,
            batch: 256,
            attempts: 12,
            give_up_after_s: 86_400,
            backoff_ms: 1_000,
            backoff_most_ms: 300_000,
            retry_after_most_s: 3_600,
            circuit_failures: 5,
            circuit_rest_ms: 15_000,
        }
    }
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A number out of its range.
    #[error("{name} = {value}: must be {least} to {most}")]
    Range {
        /// The setting.
        name: String,
        /// What was given.
        value: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
}

impl Settings {
    /// Whether the numbers make sense.
    pub fn check(&self) -> Result<(), SettingsError> {
        let numbers = [
            ("tick_ms", self.tick_ms, 1, 60_000),
            ("batch", self.batch as u64, 1, 10_000),
            ("attempts", u64::from(self.attempts), 1, 1_000),
            ("give_up_after_s", self.give_up_after_s, 1, 30 * 86_400),
            ("backoff_ms", self.backoff_ms, 1, 3_600_000),
            (
                "backoff_most_ms",
                self.backoff_most_ms,
                self.backoff_ms,
                24 * 3_600_000,
            ),
            ("retry_after_most_s", self.retry_after_most_s, 1, 86_400),
            ("circuit_failures", u64::from(self.circuit_failures), 1, 1_000),
            ("circuit_rest_ms", self.circuit_rest_ms, 1, 3_600_000),
        ];
        for (name, value, least, most) in numbers {
            in_range(&format!("deliver.{name}"), value, least, most)?;
        }
        Ok(())
    }

    pub(crate) const fn give_up_after(&self) -> Duration {
        Duration::from_secs(self.give_up_after_s)
    }

    pub(crate) const fn retry_after_most(&self) -> Duration {
        Duration::from_secs(self.retry_after_most_s)
    }
}

fn in_range(name: &str, value: u64, least: u64, most: u64) -> Result<(), SettingsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::Range {
        name: name.to_owned(),
        value,
        least,
        most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_by_name_and_value() {
        let none = Settings {
            attempts: 0,
            ..Settings::default()
        };
        let error = none.check().unwrap_err().to_string();
        assert!(error.contains("deliver.attempts = 0"), "{error}");
        let shrinking = Settings {
            backoff_ms: 10,
            backoff_most_ms: 5,
            ..Settings::default()
        };
        let error = shrinking.check().unwrap_err().to_string();
        assert!(error.contains("deliver.backoff_most_ms = 5"), "{error}");
        assert!(Settings::default().check().is_ok());
    }
}
