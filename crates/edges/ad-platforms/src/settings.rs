//! The settings of all platforms: one entry a platform, by the name that campaigns use.

use std::collections::BTreeMap;

use limbic_deliver::AdPlatform;
use limbic_domain::{HumanDuration, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::{FileError, FilePlatform, FileSettings, InvalidSecret, WebhookPlatform, WebhookSettings};

/// One platform: `kind = "webhook"` or `kind = "file"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlatformSettings {
    /// Posts each delivery to a URL.
    Webhook(WebhookSettings),
    /// Appends each delivery to a file.
    File(FileSettings),
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A number out of its range.
    #[error("ad_platforms.{platform}.{field} = {value}: choose {least} to {most}")]
    Range {
        /// The platform's name.
        platform: Slug,
        /// The setting.
        field: &'static str,
        /// The value given.
        value: String,
        /// The smallest value allowed.
        least: &'static str,
        /// The largest value allowed.
        most: &'static str,
    },
    /// A webhook's URL cannot be used.
    #[error("ad_platforms.{platform}.url: {problem}")]
    Url {
        /// The platform's name.
        platform: Slug,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// A webhook's secret is not a signing secret.
    #[error("ad_platforms.{platform}.secret: {source}")]
    Secret {
        /// The platform's name.
        platform: Slug,
        /// The form that is expected.
        source: InvalidSecret,
    },
    /// A header that HTTP does not allow, or that the webhook sets itself.
    #[error("ad_platforms.{platform}.headers.{header}: this header cannot be set")]
    Header {
        /// The platform's name.
        platform: Slug,
        /// The header's name.
        header: String,
    },
    /// The HTTP client cannot be built.
    #[error("ad_platforms.{platform}: no HTTP client: {source}")]
    Client {
        /// The platform's name.
        platform: Slug,
        /// The client's own error.
        source: reqwest::Error,
    },
    /// The platform's file cannot be used.
    #[error("ad_platforms.{platform}: {source}")]
    File {
        /// The platform's name.
        platform: Slug,
        /// The file's error.
        source: FileError,
    },
}

/// Checks the numbers of all platforms. Opening them ([`open_all`]) checks URLs, secrets, headers and files.
pub fn check(platforms: &BTreeMap<Slug, PlatformSettings>) -> Result<(), SettingsError> {
    for (platform, settings) in platforms {
        let PlatformSettings::Webhook(webhook) = settings else {
            continue;
        };
        check_webhook(webhook).map_err(|(field, value, least, most)| SettingsError::Range {
            platform: platform.clone(),
            field,
            value,
            least,
            most,
        })?;
    }
    Ok(())
}

/// A setting out of its range: its name, its value, the smallest and the largest value allowed.
type OutOfRange = (&'static str, String, &'static str, &'static str);

/// Checks the numbers of one webhook.
pub(crate) fn check_webhook(webhook: &WebhookSettings) -> Result<(), OutOfRange> {
    let timeout = webhook.timeout;
    if !(HumanDuration::from_millis(1)..=HumanDuration::from_mins(2)).contains(&timeout) {
        return Err(("timeout", timeout.to_string(), "1ms", "2min"));
    }
    if !(1..=256).contains(&webhook.concurrency) {
        return Err(("concurrency", webhook.concurrency.to_string(), "1", "256"));
    }
    if let Some(rate) = webhook.per_second
        && !(0.001..=100_000.0).contains(&rate)
    {
        return Err(("per_second", rate.to_string(), "0.001", "100000"));
    }
    if !(1..=10_000).contains(&webhook.burst) {
        return Err(("burst", webhook.burst.to_string(), "1", "10000"));
    }
    Ok(())
}

/// Opens every platform of the settings. HTTP requests run on `handle`, whose runtime must outlive the platforms.
pub fn open_all(
    platforms: &BTreeMap<Slug, PlatformSettings>,
    handle: &Handle,
) -> Result<BTreeMap<Slug, Box<dyn AdPlatform>>, SettingsError> {
    check(platforms)?;
    let opened = platforms.iter().map(|(name, settings)| {
        let platform: Box<dyn AdPlatform> = match settings {
            PlatformSettings::Webhook(webhook) => {
                Box::new(WebhookPlatform::new(name, webhook, handle.clone())?)
            }
            PlatformSettings::File(file) => {
                let opened = FilePlatform::open(&file.path).map_err(|source| SettingsError::File {
                    platform: name.clone(),
                    source,
                })?;
                Box::new(opened)
            }
        };
        Ok((name.clone(), platform))
    });
    opened.collect()
}
