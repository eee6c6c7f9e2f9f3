//! The settings of a webhook.

use std::collections::BTreeMap;

use limbic_domain::{HumanDuration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `kind = "webhook"`: posts each delivery to a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Longest time to wait for an answer. 1ms to 2min; default 10s.
    #[serde(default = "WebhookSettings::default_timeout")]
    pub timeout: HumanDuration,
    /// Most requests at the same time. 1 to 256; default 16.
    #[serde(default = "WebhookSettings::default_concurrency")]
    pub concurrency: usize,
    /// Most requests per second on average. 0.001 to 100,000; without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// Most requests at once after a pause, where `per_second` is set. 1 to 10,000; default 1.
    #[serde(default = "WebhookSettings::default_burst")]
    pub burst: u32,
}

impl Default for WebhookSettings {
    /// Without a URL, which must be given.
    fn default() -> Self {
        Self::to("")
    }
}

impl WebhookSettings {
    /// A webhook with the default settings.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            headers: BTreeMap::new(),
            timeout: Self::default_timeout(),
            concurrency: Self::default_concurrency(),
            per_second: None,
            burst: Self::default_burst(),
        }
    }

    const fn default_timeout() -> HumanDuration {
        HumanDuration::from_secs(10)
    }

    const fn default_burst() -> u32 {
        1
    }

    const fn default_concurrency() -> usize {
        16
    }
}
