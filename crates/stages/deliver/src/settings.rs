//! The settings of the deliver stage.

use limbic_domain::HumanDuration;
use limbic_stream::outbox::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PlatformLimits;

/// The settings of the deliver stage: `[deliver]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address at which ad platforms fetch pictures: that of `/v1/pictures` of a node's API, or of a server in front of it, for
    /// instance `https://ads.example.com/v1/pictures`. Default: none; then a delivery names the picture's file without an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures_url: Option<String>,
    /// How long the file of a picture is kept after the last delivery that names it. 1d to 400d; default 30d.
    pub keep_pictures: HumanDuration,
    /// Interval at which due deliveries are sent. 1ms to 1min; default 100ms.
    pub tick: HumanDuration,
    /// How long a tick waits for answers before it commits those that arrived. A platform that hangs delays the others by
    /// this time. 0s to 1min; default 100ms.
    pub answer_wait: HumanDuration,
    /// How long a new delivery waits before it is sent, so that a hold on its subject that is on its way stops it. 0s to 1min;
    /// default 2s.
    pub second_look: HumanDuration,
    /// How far reading may be behind: if a post was accepted more than this before the newest one of its partition and is not read yet,
    /// new ads wait, because what the unread posts say may stop them. 1s to 1h; default 10s.
    pub max_unread: HumanDuration,
    /// How long an ad waits for unread posts. Then it is withdrawn. 0s to 1d; default 10min.
    pub unread_wait: HumanDuration,
    /// How long after its delivery an ad counts as running: if its subject is put on hold by then, the platform is told to pause it.
    /// 1min to 30d; default 1d.
    pub runs_for: HumanDuration,
    /// Maximum number of deliveries to one platform that start in one tick, which is also about the maximum in one
    /// transaction. 1 to 10,000; default 256.
    pub batch: usize,
    /// Maximum number of waiting deliveries to one platform in one partition. Further decisions become dead letters. 1 to
    /// 1,000,000,000; default 1,000,000.
    pub max_waiting: u64,
    /// Maximum number of attempts. After them, a delivery is refused as `gave_up`. 1 to 1,000; default 12.
    pub attempts: u32,
    /// Maximum time from the first attempt. After it, a delivery is refused as `gave_up`. The time includes the waits
    /// that a platform asks for. 1s to 30d; default 1d.
    pub give_up_after: HumanDuration,
    /// The first back-off. It doubles with each failed attempt. 1ms to 1h; default 1s.
    pub backoff: HumanDuration,
    /// The maximum back-off: at least `backoff`, at most 1d; default 5min.
    pub max_backoff: HumanDuration,
    /// The minimum wait after a platform asks for time. Shorter waits are extended to it. 0s to 1s; default 100ms.
    pub min_retry_after: HumanDuration,
    /// The maximum wait after a platform asks for time. Longer waits are reduced to it. 1s to 1d; default 1h.
    pub max_retry_after: HumanDuration,
    /// The number of consecutive failures that open a platform's circuit breaker. 1 to 1,000; default 5.
    pub circuit_failures: u32,
    /// How long an open circuit breaker blocks deliveries. Then one delivery tests the platform. 1ms to 1h; default 15s.
    pub circuit_rest: HumanDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tick: HumanDuration::from_millis(100),
            answer_wait: HumanDuration::from_millis(100),
            second_look: HumanDuration::from_secs(2),
            max_unread: HumanDuration::from_secs(10),
            unread_wait: HumanDuration::from_mins(10),
            runs_for: HumanDuration::from_days(1),
            batch: 256,
            max_waiting: 1_000_000,
            attempts: 12,
            give_up_after: HumanDuration::from_days(1),
            backoff: HumanDuration::from_secs(1),
            max_backoff: HumanDuration::from_mins(5),
            min_retry_after: HumanDuration::from_millis(100),
            max_retry_after: HumanDuration::from_hours(1),
            pictures_url: None,
            keep_pictures: HumanDuration::from_days(30),
            circuit_failures: 5,
            circuit_rest: HumanDuration::from_secs(15),
        }
    }
}

/// Settings that are not valid.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value is out of its range.
    #[error("deliver.{name} = {value}: must be {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// The smallest value allowed.
        least: String,
        /// The largest value allowed.
        most: String,
    },
    /// The address of pictures is not a web address.
    #[error(
        "deliver.pictures_url = \"{0}\": write an address that ad platforms can reach, as in https://HOST/v1/pictures"
    )]
    PicturesUrl(String),
}

impl Settings {
    /// Returns an error if a value is out of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let (millisecond, second) = (HumanDuration::from_millis(1), HumanDuration::from_secs(1));
        if let Some(url) = &self.pictures_url
            && !url.starts_with("https://")
            && !url.starts_with("http://")
        {
            return Err(SettingsError::PicturesUrl(url.clone()));
        }
        let (hour, day) = (HumanDuration::from_hours(1), HumanDuration::from_days(1));
        in_range(
            "keep_pictures",
            self.keep_pictures,
            day,
            HumanDuration::from_days(400),
        )?;
        in_range("tick", self.tick, millisecond, HumanDuration::from_mins(1))?;
        let minute = HumanDuration::from_mins(1);
        in_range("answer_wait", self.answer_wait, HumanDuration::ZERO, minute)?;
        in_range("second_look", self.second_look, HumanDuration::ZERO, minute)?;
        in_range("max_unread", self.max_unread, second, hour)?;
        in_range("unread_wait", self.unread_wait, HumanDuration::ZERO, day)?;
        in_range("runs_for", self.runs_for, minute, HumanDuration::from_days(30))?;
        in_range("batch", self.batch, 1, 10_000)?;
        in_range("max_waiting", self.max_waiting, 1, 1_000_000_000)?;
        in_range("attempts", self.attempts, 1, 1_000)?;
        in_range(
            "give_up_after",
            self.give_up_after,
            second,
            HumanDuration::from_days(30),
        )?;
        in_range("backoff", self.backoff, millisecond, hour)?;
        in_range("max_backoff", self.max_backoff, self.backoff, day)?;
        in_range(
            "min_retry_after",
            self.min_retry_after,
            HumanDuration::ZERO,
            second,
        )?;
        in_range("max_retry_after", self.max_retry_after, second, day)?;
        in_range("circuit_failures", self.circuit_failures, 1, 1_000)?;
        in_range("circuit_rest", self.circuit_rest, millisecond, hour)
    }

    /// The limits of the platform's destination in the outbox.
    pub(crate) fn limits(&self, platform: &PlatformLimits) -> Limits {
        Limits {
            concurrency: platform.concurrency.max(1),
            batch: platform.batch.max(1),
            rate: platform.rate,
            deadline: platform.deadline,
            per_tick: self.batch,
            waiting: self.max_waiting,
            attempts: self.attempts,
            give_up_after: self.give_up_after.get(),
            backoff_first: self.backoff.get(),
            backoff_longest: self.max_backoff.get(),
            retry_after: (self.min_retry_after.get(), self.max_retry_after.get()),
            breaker_failures: self.circuit_failures,
            breaker_pause: self.circuit_rest.get(),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "they are numbers and durations")]
fn in_range<T: PartialOrd + ToString>(
    name: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), SettingsError> {
    if (&least..=&most).contains(&&value) {
        return Ok(());
    }
    Err(SettingsError::Range {
        name,
        value: value.to_string(),
        least: least.to_string(),
        most: most.to_string(),
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
            backoff: HumanDuration::from_millis(10),
            max_backoff: HumanDuration::from_millis(5),
            ..Settings::default()
        };
        let error = shrinking.check().unwrap_err().to_string();
        assert!(error.contains("deliver.max_backoff = 5ms"), "{error}");
        assert!(Settings::default().check().is_ok());
    }
}
