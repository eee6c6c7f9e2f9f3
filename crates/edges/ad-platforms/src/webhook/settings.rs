//! The settings of a webhook.

use std::collections::BTreeMap;

use limbic_domain::Secret;
use serde::{Deserialize, Serialize};

/// `kind = "webhook"`: posts each delivery to a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to post.
    pub url: String,
    /// The signing secret, `whsec_…`. Without it, requests are not signed. Never printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Further headers, for instance `authorization`. Their values are never printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How long to wait for an answer, in milliseconds. Default: 10,000.
    #[serde(default = "WebhookSettings::default_timeout")]
    pub timeout_ms: u64,
    /// Most requests at the same time. Default: 16.
    #[serde(default = "WebhookSettings::default_concurrency")]
    pub concurrency: usize,
}

impl WebhookSettings {
    /// A webhook with the default settings.
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
