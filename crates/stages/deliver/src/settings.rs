//! What may be set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use limbic_domain::{Secret, Slug};
use serde::{Deserialize, Serialize};

use crate::InvalidSecret;
use crate::file::FileError;

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
    /// The platforms, by the name that campaigns use: `[deliver.platforms.NAME]`.
    pub platforms: BTreeMap<Slug, PlatformSettings>,
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
            platforms: BTreeMap::new(),
        }
    }
}

/// One platform: `kind = "webhook"` or `kind = "file"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlatformSettings {
    /// Posts each delivery to a URL.
    Webhook(WebhookSettings),
    /// Appends each delivery to a file.
    File(FileSettings),
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to post.
    pub url: String,
    /// The signing secret, `whsec_…`; without one nothing is signed. Never printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Further headers, for instance `authorization`. Their values are never printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How long to wait for an answer, in milliseconds. Default: 10,000.
    #[serde(default = "WebhookSettings::default_timeout")]
    pub timeout_ms: u64,
    /// Most requests at once. Default: 16.
    #[serde(default = "WebhookSettings::default_concurrency")]
    pub concurrency: usize,
}

impl WebhookSettings {
    /// A webhook with everything else as it is by default.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            headers: BTreeMap::new(),
            timeout_ms: Self::default_timeout(),
            concurrency: Self::default_concurrency(),
        }
    }

    const fn default_timeout() -> u64 {
        10_000
    }

    const fn default_concurrency() -> usize {
        16
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Where; its folder is made if it is missing.
    pub path: PathBuf,
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
    /// A webhook's URL.
    #[error("deliver.platforms.{platform}.url: {problem}")]
    Url {
        /// Which platform.
        platform: Slug,
        /// What is wrong.
        problem: String,
    },
    /// A webhook's secret.
    #[error("deliver.platforms.{platform}.secret: {source}")]
    Secret {
        /// Which platform.
        platform: Slug,
        /// What is wrong.
        source: InvalidSecret,
    },
    /// A webhook's header.
    #[error("deliver.platforms.{platform}.headers.{header}: not a header that may be set")]
    Header {
        /// Which platform.
        platform: Slug,
        /// Which header.
        header: String,
    },
    /// The HTTP client.
    #[error("deliver.platforms.{platform}: no HTTP client: {source}")]
    Client {
        /// Which platform.
        platform: Slug,
        /// Why.
        source: reqwest::Error,
    },
    /// A platform's file.
    #[error("deliver.platforms.{platform}: {source}")]
    File {
        /// Which platform.
        platform: Slug,
        /// Why.
        source: FileError,
    },
}

impl Settings {
    /// Whether the numbers make sense. (Opening the platforms checks the rest.)
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
        for (platform, settings) in &self.platforms {
            if let PlatformSettings::Webhook(webhook) = settings {
                let name = |field: &str| format!("deliver.platforms.{platform}.{field}");
                in_range(&name("timeout_ms"), webhook.timeout_ms, 1, 120_000)?;
                in_range(&name("concurrency"), webhook.concurrency as u64, 1, 256)?;
            }
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
