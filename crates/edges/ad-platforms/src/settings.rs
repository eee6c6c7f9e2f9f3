//! The settings of all platforms: one entry a platform, by the name that campaigns use.

use std::collections::BTreeMap;

use limbic_deliver::AdPlatform;
use limbic_domain::Slug;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::{FileError, FilePlatform, FileSettings, InvalidSecret, WebhookPlatform, WebhookSettings};

/// One platform: `kind = "webhook"` or `kind = "file"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        value: u64,
        /// The smallest value allowed.
        least: u64,
        /// The largest value allowed.
        most: u64,
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
        let fields = [
            ("timeout_ms", webhook.timeout_ms, 120_000),
            ("concurrency", webhook.concurrency as u64, 256),
        ];
        for (field, value, most) in fields {
            if !(1..=most).contains(&value) {
                return Err(SettingsError::Range {
                    platform: platform.clone(),
                    field,
                    value,
                    least: 1,
                    most,
                });
            }
        }
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
