//! The settings of the gateway: the section `[llm]`.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{ByteSize, HumanDuration, Slug, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::TenantLimits;
use super::price::{Price, StatedPrice};

/// The settings of the gateway to models that write texts, paint pictures or make clips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySettings {
    /// The models that callers can name, and which providers answer for them. A caller can also name `PROVIDER/MODEL`. The providers of a
    /// chain all write texts, all paint pictures, or all make clips.
    pub routes: Vec<Route>,
    /// The limits of every tenant that has none of its own.
    pub limits: TenantLimits,
    /// The limits of single tenants.
    pub tenants: BTreeMap<TenantId, TenantLimits>,
    /// Prices that come before the shipped table.
    pub prices: Vec<StatedPrice>,
    /// The price of a model that has no other one. Without it (default), a request to such a model is refused.
    pub default_price: Option<Price>,
    /// The cache of replies.
    pub cache: CacheSettings,
    /// When a provider is not asked for a while.
    pub breaker: BreakerSettings,
    /// Maximum duration of a request for a text with all its attempts, and of the start of a clip. Default 25s. Must be below
    /// `api.timeout` if there are `llm_providers`.
    pub deadline: HumanDuration,
    /// Maximum duration of a request for a picture with all its attempts. Default 3min.
    pub picture_deadline: HumanDuration,
    /// Maximum duration of a clip, from the start of its job. A job that takes longer is not asked again, and its highest cost counts.
    /// Default 15min.
    pub video_deadline: HumanDuration,
    /// Maximum number of attempts of a request, at all providers together. At least 1; default 6.
    pub attempts: u32,
    /// If an attempt has given no text for this long, it has failed, and the next provider is asked. A server that does not stream sends
    /// all its text at the end, and a model that thinks sends none meanwhile. `0s` = no limit. Default 10s.
    pub first_text_within: HumanDuration,
    /// If a provider has sent no text for this long, the next one is asked as well, and the first text counts. Both are paid. `0s`
    /// (default) = never.
    pub hedge_after: HumanDuration,
    /// How long the result of a request with an idempotency key is kept. Within it the same key gives the same result, and is not
    /// paid again. At least 1min; default 2d.
    pub keep_results: HumanDuration,
    /// How long the file of a picture or a clip that a model made is kept after its last use. At least `keep_results`; default 90d.
    pub keep_pictures: HumanDuration,
}

/// A model that callers can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name that callers use. A `*` at the end stands for any rest; the longest name that matches counts.
    pub model: String,
    /// The providers that are asked, in this order, until one answers.
    pub chain: Vec<Target>,
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider: the NAME of `[llm_providers.NAME]`, `[picture_providers.NAME]` or `[video_providers.NAME]`.
    pub provider: Slug,
    /// The model, in the provider's form.
    pub model: String,
}

/// The cache of replies. It is in memory, and each node has its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// Maximum bytes of all replies. `0B` = no cache. Default 64MiB.
    pub size: ByteSize,
    /// How long a reply is used as it is. Default 1h.
    pub fresh: HumanDuration,
    /// How long after that it is still used, while a new one is asked for. Default 23h.
    pub stale: HumanDuration,
}

/// When a provider is not asked for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// Failures in a row after which a provider is not asked. At least 1; default 5.
    pub failures: u32,
    /// For how long. Then one request tests it. Default 15s.
    pub pause: HumanDuration,
    /// For how long after an answer that its key, account or model is wrong, or that its balance or quota is used up (402). Default
    /// 5min.
    pub blocked_pause: HumanDuration,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            limits: TenantLimits::default(),
            tenants: BTreeMap::new(),
            prices: Vec::new(),
            default_price: None,
            cache: CacheSettings::default(),
            breaker: BreakerSettings::default(),
            deadline: HumanDuration::from_secs(25),
            attempts: 6,
            first_text_within: HumanDuration::from_secs(10),
            hedge_after: HumanDuration::ZERO,
            keep_results: HumanDuration::from_days(2),
            keep_pictures: HumanDuration::from_days(90),
            picture_deadline: HumanDuration::from_mins(3),
            video_deadline: HumanDuration::from_mins(15),
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            size: ByteSize::from_mebibytes(64),
            fresh: HumanDuration::from_hours(1),
            stale: HumanDuration::from_hours(23),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: HumanDuration::from_secs(15),
            blocked_pause: HumanDuration::from_mins(5),
        }
    }
}

/// A setting of the gateway that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("llm.{setting}: {problem}")]
pub struct InvalidSetting {
    /// The setting.
    pub setting: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl GatewaySettings {
    /// Returns an error if a setting is not valid. `providers` are the names of the providers.
    pub fn check<'a>(&self, providers: impl IntoIterator<Item = &'a Slug>) -> Result<(), InvalidSetting> {
        let invalid = |setting: String, problem: String| Err(InvalidSetting { setting, problem });
        let providers: BTreeSet<&Slug> = providers.into_iter().collect();
        let known = || {
            let names: Vec<&str> = providers.iter().map(|name| name.as_str()).collect();
            match names.as_slice() {
                [] => {
                    "there are no providers: add [llm_providers.NAME], [picture_providers.NAME] or [video_providers.NAME]".to_owned()
                }
                names => format!("the providers are: {}", names.join(", ")),
            }
        };
        let mut models = BTreeSet::new();
        for (place, route) in self.routes.iter().enumerate() {
            let setting = format!("routes[{place}]");
            if route.model.is_empty() || route.model.contains('/') {
                let problem = format!(
                    "`{}` is not a name: write some letters, without a slash",
                    route.model
                );
                return invalid(format!("{setting}.model"), problem);
            }
            if !models.insert(&route.model) {
                let problem = format!("there is another route `{}`: give each name once", route.model);
                return invalid(format!("{setting}.model"), problem);
            }
            if route.chain.is_empty() {
                let problem = "it is empty: name at least one provider and its model".to_owned();
                return invalid(format!("{setting}.chain"), problem);
            }
            for (step, target) in route.chain.iter().enumerate() {
                if !providers.contains(&target.provider) {
                    let problem = format!("there is no provider `{}`: {}", target.provider, known());
                    return invalid(format!("{setting}.chain[{step}].provider"), problem);
                }
                if route.chain[..step].contains(target) {
                    let problem = "it is in this chain already: name each model once".to_owned();
                    return invalid(format!("{setting}.chain[{step}]"), problem);
                }
            }
        }
        for (place, row) in self.prices.iter().enumerate() {
            if !providers.contains(&row.provider) {
                let problem = format!("there is no provider `{}`: {}", row.provider, known());
                return invalid(format!("prices[{place}].provider"), problem);
            }
        }
        let least = [
            (self.attempts == 0, "attempts", "1"),
            (self.breaker.failures == 0, "breaker.failures", "1"),
            (self.breaker.pause.is_zero(), "breaker.pause", "1ms"),
            (
                self.breaker.blocked_pause.is_zero(),
                "breaker.blocked_pause",
                "1ms",
            ),
            (self.deadline.is_zero(), "deadline", "1ms"),
            (self.picture_deadline.is_zero(), "picture_deadline", "1ms"),
            (self.video_deadline.is_zero(), "video_deadline", "1ms"),
            (
                self.keep_pictures < self.keep_results,
                "keep_pictures",
                "llm.keep_results",
            ),
            (
                self.keep_results < HumanDuration::from_mins(1),
                "keep_results",
                "1min",
            ),
        ];
        match least.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, setting, least)) => invalid(setting.to_owned(), format!("must be at least {least}")),
            None => Ok(()),
        }
    }

    /// The limits of a tenant.
    pub fn limits_of(&self, tenant: &TenantId) -> &TenantLimits {
        self.tenants.get(tenant).unwrap_or(&self.limits)
    }
}
