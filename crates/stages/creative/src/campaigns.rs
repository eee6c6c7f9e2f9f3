//! The campaigns of all tenants.

use std::collections::BTreeMap;

use limbic_domain::{AudienceId, Campaign, Direction, Envelope, TenantId, Utc, event_id};
use limbic_stream::Reference;
use serde::{Deserialize, Serialize};

/// The campaigns of every tenant, from the settings or from the topic `campaigns`.
///
/// In TOML: `[[campaigns.TENANT]]`, one table for each campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Campaigns(BTreeMap<TenantId, Vec<Campaign>>);

impl Campaigns {
    /// No campaigns.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a campaign.
    #[must_use]
    pub fn with(mut self, tenant: TenantId, campaign: Campaign) -> Self {
        self.0.entry(tenant).or_default().push(campaign);
        self
    }

    /// The campaigns in a table of the topic `campaigns`. A value that this program cannot read is skipped with a
    /// warning.
    pub(crate) fn read(table: Reference<'_>) -> Self {
        table.scan::<Campaign>("").fold(Self::new(), |all, (key, decoded)| match decoded {
            Ok(envelope) => all.with(envelope.tenant, envelope.data),
            Err(error) => {
                let key = String::from_utf8_lossy(key);
                tracing::warn!(%key, %error, "a campaign cannot be read and is left out: publish it again, or upgrade this program");
                all
            }
        })
    }

    /// The campaigns as records of the topic `campaigns`, published at `at`, each with its key `tenant/campaign`. A
    /// record's id is a function of the tenant and all fields of the campaign, so an unchanged campaign has the same id.
    pub fn records(&self, at: Utc) -> impl Iterator<Item = (String, Envelope<Campaign>)> {
        self.0.iter().flat_map(move |(tenant, campaigns)| {
            campaigns.iter().map(move |campaign| {
                let fields =
                    serde_json::to_string(campaign).expect("a campaign has string keys and finite numbers");
                let id = event_id("campaign", &[tenant.as_str(), &fields]);
                let envelope = Envelope::new(tenant.clone(), id, at, campaign.clone());
                (format!("{tenant}/{}", campaign.id), envelope)
            })
        })
    }

    /// Every tenant with its campaigns.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantId, &[Campaign])> {
        self.0
            .iter()
            .map(|(tenant, campaigns)| (tenant, campaigns.as_slice()))
    }

    /// The campaigns of `tenant`, in the order given.
    pub fn of(&self, tenant: &TenantId) -> &[Campaign] {
        self.0.get(tenant).map_or(&[], Vec::as_slice)
    }

    /// The campaigns of `tenant` that want a moment of this audience in this direction.
    pub fn wanting<'a>(
        &'a self,
        tenant: &TenantId,
        audience: &'a AudienceId,
        direction: Direction,
    ) -> impl Iterator<Item = &'a Campaign> {
        self.of(tenant).iter().filter(move |campaign| {
            let wants_direction = campaign.direction.is_none_or(|wanted| wanted == direction);
            let subject = audience.subject();
            let wants_topic = campaign.subjects.is_empty()
                || campaign.subjects.iter().any(|wanted| wanted.as_str() == subject);
            wants_direction && wants_topic
        })
    }
}

impl FromIterator<(TenantId, Vec<Campaign>)> for Campaigns {
    fn from_iter<I: IntoIterator<Item = (TenantId, Vec<Campaign>)>>(campaigns: I) -> Self {
        Self(campaigns.into_iter().collect())
    }
}
