//! What the gateway says about itself.

use limbic_domain::TenantId;
use serde::Serialize;

use super::cache::{Counts, Fill};
use super::connection::{Attempts, ProviderState};
use super::price::Price;
use super::{Gateway, Spending, TenantLimits};

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderReport {
    /// The name of its entry in the settings.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its state.
    #[serde(flatten)]
    pub state: ProviderState,
    /// What the attempts of all tenants did. `None` = the viewer may not see it.
    #[serde(flatten)]
    pub attempts: Option<Attempts>,
    /// The models that routes name.
    pub models: Vec<ModelReport>,
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReport {
    /// The model, in the provider's form.
    pub model: String,
    /// The routes that name it.
    pub routes: Vec<String>,
    /// Its price in millionths of the currency unit per million tokens. `None` = unknown: requests are refused.
    pub price: Option<Price>,
}

/// The cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// `ok`, or `off` if `llm.cache.size` is 0.
    pub status: &'static str,
    /// How full it is.
    #[serde(flatten)]
    pub fill: Fill,
    /// The most bytes.
    pub size: u64,
    /// What it has done since the start.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Gateway {
    /// The providers, by name.
    pub fn providers(&self) -> Vec<ProviderReport> {
        let now = self.0.clock.elapsed();
        let report = |(name, connection): (&limbic_domain::Slug, &super::Connection)| {
            let mut models: Vec<ModelReport> = Vec::new();
            for route in &self.0.settings.routes {
                for target in route.chain.iter().filter(|target| target.provider == *name) {
                    match models.iter_mut().find(|model| model.model == target.model) {
                        Some(model) => model.routes.push(route.model.clone()),
                        None => models.push(ModelReport {
                            model: target.model.clone(),
                            routes: vec![route.model.clone()],
                            price: self.0.price(name, &target.model),
                        }),
                    }
                }
            }
            let (state, attempts) = connection.report(now);
            ProviderReport {
                name: name.to_string(),
                kind: connection.upstream.kind.clone(),
                state,
                attempts: Some(attempts),
                models,
            }
        };
        self.0.connections.iter().map(report).collect()
    }

    /// The currency of all costs.
    pub fn currency(&self) -> &str {
        &self.0.shipped.currency
    }

    /// The date of the shipped prices.
    pub fn price_date(&self) -> &str {
        &self.0.shipped.date
    }

    /// What a tenant has spent today (UTC), and its limits.
    pub fn spending(&self, tenant: &TenantId) -> (Spending, TenantLimits) {
        let now = self.0.clock.moment();
        self.0.with_account(tenant, |account| {
            (account.spending(now), account.limits().clone())
        })
    }

    /// The cached replies of a tenant.
    pub fn cached(&self, tenant: &TenantId) -> Fill {
        self.0.cache.lock().fill_of(tenant)
    }

    /// Deletes the cached replies of a tenant, and returns what they were.
    pub fn clear_cache(&self, tenant: &TenantId) -> Fill {
        self.0.cache.lock().clear(tenant)
    }

    /// The whole cache.
    pub fn cache(&self) -> CacheReport {
        let cache = self.0.cache.lock();
        let size = cache.settings().size.get();
        CacheReport {
            status: if size == 0 { "off" } else { "ok" },
            fill: cache.fill(),
            size,
            counts: cache.counts(),
        }
    }
}
