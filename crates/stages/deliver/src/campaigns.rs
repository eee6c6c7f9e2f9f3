//! How many deliveries of each campaign wait, counted in the state and shown as a metric.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{Slug, TenantId};
use limbic_stream::{KeyFor, Outputs, StageError, StateKey, Table};
use prometheus::{IntGaugeVec, Opts, Registry};

/// Deliveries that wait, of campaigns that have any.
const WAITING: Table<CampaignKey, u64> = Table::new("waiting deliveries of campaigns", b"campaigns/");
/// Most campaigns of a partition that are shown.
const MOST: usize = 10_000;
/// Most campaigns with labels of their own. Further ones share the label [`OTHER`].
const MOST_LABELS: usize = 300;
const OTHER: &str = "other";

/// Whose deliveries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CampaignKey {
    tenant: TenantId,
    campaign: Slug,
}

impl StateKey for CampaignKey {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (tenant, campaign) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some(Self {
            tenant: tenant.parse().ok()?,
            campaign: campaign.parse().ok()?,
        })
    }
}

impl KeyFor<CampaignKey> for (&TenantId, &Slug) {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_str().as_bytes());
        to.push(b'/');
        to.extend_from_slice(self.1.as_str().as_bytes());
    }
}

/// A delivery of the campaign waits (`change` = 1), or has ended (-1).
pub(crate) fn count(
    out: &mut Outputs<'_>,
    partition: u32,
    campaign: (&TenantId, &Slug),
    change: i64,
) -> Result<(), StageError> {
    let waiting = WAITING.get(out, partition, &campaign)?.unwrap_or(0);
    // Deliveries that waited before there were counts are not counted.
    match waiting.saturating_add_signed(change) {
        0 => WAITING.remove(out, partition, &campaign),
        waiting => WAITING.put(out, partition, &campaign, &waiting),
    }
    Ok(())
}

/// Metrics of the deliver stage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DeliverMeters {
    waiting: IntGaugeVec,
}

impl DeliverMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let waiting = Opts::new(
            "limbic_campaign_deliveries_waiting",
            "Deliveries of a campaign in the partitions of this process that wait for an ad platform.",
        );
        Self {
            waiting: IntGaugeVec::new(waiting, &["tenant", "campaign"])
                .expect("names and labels of the metrics are valid"),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.waiting.clone()))?;
        Ok(meters)
    }
}

/// Shows the counts of the partitions that this process holds.
#[derive(Debug)]
pub(crate) struct Shown {
    meters: DeliverMeters,
    /// The labels that have a value.
    labels: BTreeSet<(String, String)>,
}

impl Shown {
    pub(crate) const fn new(meters: DeliverMeters) -> Self {
        Self {
            meters,
            labels: BTreeSet::new(),
        }
    }

    pub(crate) fn show(&mut self, out: &Outputs<'_>, partitions: &[u32]) -> Result<(), StageError> {
        let mut waiting: BTreeMap<CampaignKey, u64> = BTreeMap::new();
        for partition in partitions {
            for (key, count) in WAITING.scan(out, *partition, b"", MOST)? {
                *waiting.entry(key).or_default() += count;
            }
        }
        let mut by_label: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (CampaignKey { tenant, campaign }, count) in waiting {
            let own = (tenant.to_string(), campaign.to_string());
            let has_label = self.labels.contains(&own) || self.labels.len() < MOST_LABELS;
            let label = if has_label { own } else { (own.0, OTHER.to_owned()) };
            self.labels.insert(label.clone());
            *by_label.entry(label).or_default() += count;
        }
        for label in &self.labels {
            let count = by_label.get(label).copied().unwrap_or(0);
            let gauge = self.meters.waiting.with_label_values(&[&label.0, &label.1]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
