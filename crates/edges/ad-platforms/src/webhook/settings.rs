//! The settings of a webhook.

use std::collections::BTreeMap;

use limbic_deliver::Addressing;
use limbic_domain::{ConnectionUrl, HumanDuration, Secret};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidSecret, SigningKey};

/// Headers that the webhook itself sets.
const OWN_HEADERS: [&str; 7] = [
    "content-type",
    "content-length",
    "host",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// `kind = "webhook"`: posts each delivery to a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// The URL for deliveries. Only its scheme and host are printed, because a path can be a key. Without a scheme, `https` is
    /// used, and `http` for `localhost` and `127.0.0.1`.
    pub url: ConnectionUrl,
    /// The signing secret, `whsec_…`. Without it, requests are not signed. Never printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Additional headers, for instance `authorization`. Their values are never printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// What a delivery names: `people` = the tenant's pseudonyms (default), for a platform that knows them; `context` = the subject, the
    /// feeling and the time, and no people.
    #[serde(default)]
    pub send: Addressing,
    /// What the answer 409 Conflict means: `retry` = a call with the same key is still running, ask again (default); `delivered`
    /// = the platform has the delivery already.
    #[serde(default)]
    pub conflict: Conflict,
    /// Maximum time to wait for an answer. 1ms to 2min; default 10s.
    #[serde(default = "WebhookSettings::default_timeout")]
    pub timeout: HumanDuration,
    /// Maximum number of concurrent requests. 1 to 256; default 16.
    #[serde(default = "WebhookSettings::default_concurrency")]
    pub concurrency: usize,
    /// Maximum average number of requests per second. 0.001 to 100,000; no limit if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// Maximum number of requests at once after a pause, if `per_second` is set. 1 to 10,000; default 1.
    #[serde(default = "WebhookSettings::default_burst")]
    pub burst: u32,
}

/// The meaning of the answer 409 Conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// A call with the same key is still running.
    #[default]
    Retry,
    /// The platform has the delivery already.
    Delivered,
}

impl Default for WebhookSettings {
    /// Has no URL; it must be set.
    fn default() -> Self {
        Self::to("")
    }
}

impl WebhookSettings {
    /// A webhook with the default settings.
    pub fn to(url: impl Into<ConnectionUrl>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            headers: BTreeMap::new(),
            send: Addressing::default(),
            conflict: Conflict::default(),
            timeout: Self::default_timeout(),
            concurrency: Self::default_concurrency(),
            per_second: None,
            burst: Self::default_burst(),
        }
    }

    /// Returns an error if a setting is not valid. Sends nothing.
    pub fn check(&self) -> Result<(), InvalidWebhook> {
        let timeouts = HumanDuration::from_millis(1)..=HumanDuration::from_mins(2);
        if !timeouts.contains(&self.timeout) {
            return Err(out_of_range("timeout", self.timeout, "1ms", "2min"));
        }
        if !(1..=256).contains(&self.concurrency) {
            return Err(out_of_range("concurrency", self.concurrency, "1", "256"));
        }
        if let Some(rate) = self.per_second
            && !(0.001..=100_000.0).contains(&rate)
        {
            return Err(out_of_range("per_second", rate, "0.001", "100000"));
        }
        if !(1..=10_000).contains(&self.burst) {
            return Err(out_of_range("burst", self.burst, "1", "10000"));
        }
        self.address()?;
        self.key()?;
        self.header_map()?;
        Ok(())
    }

    /// The URL for deliveries.
    pub(super) fn address(&self) -> Result<Url, InvalidWebhook> {
        let wrong = |problem: String| Err(InvalidWebhook::Url(problem));
        if self.url.reveal().is_empty() {
            return wrong("is empty: give the URL that deliveries are posted to".to_owned());
        }
        let url = self.url.clone().or_scheme(usual_scheme(self.url.reveal()));
        let url = match Url::parse(url.reveal()) {
            Ok(url) => url,
            Err(error) => return wrong(format!("not a URL ({error}): write https://HOST/PATH")),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return wrong(format!(
                "`{}` is not a scheme to post to: use https",
                url.scheme()
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "contains a password: write it as a header, whose value is never printed".to_owned(),
            );
        }
        Ok(url)
    }

    /// The key that signs requests, if there is one.
    pub(super) fn key(&self) -> Result<Option<SigningKey>, InvalidWebhook> {
        let key = self.secret.as_ref().map(SigningKey::new).transpose();
        key.map_err(InvalidWebhook::Secret)
    }

    /// The additional headers.
    pub(super) fn header_map(&self) -> Result<HeaderMap, InvalidWebhook> {
        let mut headers = HeaderMap::new();
        for (header, value) in &self.headers {
            let wrong = || InvalidWebhook::Header(header.clone());
            let known = HeaderName::from_bytes(header.as_bytes()).map_err(|_| wrong())?;
            if OWN_HEADERS.contains(&known.as_str()) {
                return Err(wrong());
            }
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(known, value);
        }
        Ok(headers)
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

/// The scheme of an address without one.
fn usual_scheme(address: &str) -> &'static str {
    let host = address.split(['/', ':']).next().unwrap_or_default();
    if matches!(host, "localhost" | "127.0.0.1") {
        "http"
    } else {
        "https"
    }
}

/// Settings that are not valid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWebhook {
    /// A number is out of its range.
    #[error("{field} = {value}: choose {least} to {most}")]
    Range {
        /// The setting.
        field: &'static str,
        /// The value given.
        value: String,
        /// The smallest value allowed.
        least: &'static str,
        /// The largest value allowed.
        most: &'static str,
    },
    /// The URL is not valid. The message says what to write instead.
    #[error("url: {0}")]
    Url(String),
    /// The secret is not a signing secret.
    #[error("secret: {0}")]
    Secret(InvalidSecret),
    /// HTTP does not allow this header, or the webhook sets it itself.
    #[error("headers.{0}: this header cannot be set: remove it, or correct its name and value")]
    Header(String),
    /// The HTTP client cannot be built.
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
}

#[expect(clippy::needless_pass_by_value, reason = "they are numbers and durations")]
fn out_of_range(
    field: &'static str,
    value: impl ToString,
    least: &'static str,
    most: &'static str,
) -> InvalidWebhook {
    InvalidWebhook::Range {
        field,
        value: value.to_string(),
        least,
        most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_understood_and_a_path_is_not_shown() {
        for (written, whole) in [
            ("localhost:9000/ads", "http://localhost:9000/ads"),
            ("127.0.0.1/ads", "http://127.0.0.1/ads"),
            ("ads.example/hook", "https://ads.example/hook"),
            ("http://ads.example/hook", "http://ads.example/hook"),
        ] {
            let settings = WebhookSettings::to(written);
            assert_eq!(settings.address().unwrap().as_str(), whole);
        }
        let shown = format!("{:?}", WebhookSettings::to("https://ads.example/hooks/hunter2"));
        assert!(
            shown.contains("ads.example") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
