//! The Prometheus metrics of campaigns: counters, where the series have windows of event time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use limbic_domain::TenantId;
use prometheus::{CounterVec, IntCounterVec, Opts, Registry};

use crate::measured::Measured;
use crate::sums::MILLION;

/// Most campaigns with labels of their own. Further ones share the label [`OTHER`].
const MOST_CAMPAIGNS: usize = 300;
/// Most rules with labels of their own.
const MOST_RULES: usize = 60;
const OTHER: &str = "other";
/// The field of a suppression by a rule starts with this.
const BY_RULE: &str = "suppressed.";
/// What is counted of decisions and outcomes: the field of the series, and the value of the label `event`.
const EVENTS: [(&str, &str); 11] = [
    ("chosen", "chosen"),
    ("suppressed", "withheld"),
    ("held_out", "held_out"),
    ("delivered", "delivered"),
    ("refused", "refused"),
    ("withdrawn", "withdrawn"),
    ("paused", "paused"),
    ("impressions", "impression"),
    ("clicks", "click"),
    ("conversions", "conversion"),
    ("dismissals", "dismissal"),
];

/// What happened to the ads of each campaign, as far as the metrics stages of this process have seen it. Cheap to clone.
///
/// A batch that is repeated after a failure counts again. A counter never goes down, so what a correction takes back stays counted.
/// The time series are exact.
#[derive(Debug, Clone)]
pub(crate) struct CampaignMeters {
    events: IntCounterVec,
    withheld: IntCounterVec,
    value: CounterVec,
    price: CounterVec,
    /// The campaigns and the rules that have labels.
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    campaigns: BTreeSet<(TenantId, String)>,
    rules: BTreeSet<String>,
}

impl CampaignMeters {
    /// Metrics outside any registry, for tests and tools.
    pub(crate) fn unregistered() -> Self {
        let whole = |name: &str, help: &str, last: &str| {
            IntCounterVec::new(Opts::new(name, help), &["tenant", "campaign", last])
                .expect("names and labels of the metrics are valid")
        };
        let sum = |name: &str, help: &str| {
            CounterVec::new(Opts::new(name, help), &["tenant", "campaign"])
                .expect("names and labels of the metrics are valid")
        };
        Self {
            events: whole(
                "limbic_campaign_events_total",
                "What happened to a campaign's ads: chosen, withheld, held_out, delivered, refused, withdrawn, paused, impression, click, conversion, dismissal.",
                "event",
            ),
            withheld: whole(
                "limbic_campaign_withheld_total",
                "Decisions without an ad, by the rule that withheld it.",
                "rule",
            ),
            value: sum(
                "limbic_campaign_value_total",
                "Value of the conversions, in the campaign's currency.",
            ),
            price: sum(
                "limbic_campaign_price_total",
                "Prices of the ads that were chosen, in the campaign's currency: the most that they can cost.",
            ),
            known: Arc::default(),
        }
    }

    pub(crate) fn register_in(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.events.clone()))?;
        registry.register(Box::new(self.withheld.clone()))?;
        registry.register(Box::new(self.value.clone()))?;
        registry.register(Box::new(self.price.clone()))
    }

    /// Counts what a decision or an outcome adds. Other measurements count for nothing.
    pub(crate) fn count(&self, measured: &Measured) {
        if !["decisions", "outcomes"].contains(&measured.measurement) {
            return;
        }
        let Some(campaign) = measured.entry.groups.first() else {
            return;
        };
        let tenant = measured.tenant.as_str();
        let campaign = self.label_of(&measured.tenant, campaign.as_str());
        for (field, millionths) in measured.entry.fields.iter() {
            // A correction takes back what a counter cannot.
            if *millionths <= 0 {
                continue;
            }
            let (field, amount) = (field.as_str(), *millionths as f64 / MILLION);
            if let Some(rule) = field.strip_prefix(BY_RULE) {
                let rule = self.rule_of(rule);
                self.withheld
                    .with_label_values(&[tenant, &campaign, &rule])
                    .inc_by(amount as u64);
            } else if let Some((_, event)) = EVENTS.iter().find(|(known, _)| *known == field) {
                self.events
                    .with_label_values(&[tenant, &campaign, event])
                    .inc_by(amount as u64);
            } else if field == "value" {
                self.value.with_label_values(&[tenant, &campaign]).inc_by(amount);
            } else if field == "price" {
                self.price.with_label_values(&[tenant, &campaign]).inc_by(amount);
            }
        }
    }

    fn label_of(&self, tenant: &TenantId, campaign: &str) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), campaign.to_owned());
        let is_known = known.campaigns.contains(&key)
            || (known.campaigns.len() < MOST_CAMPAIGNS && known.campaigns.insert(key));
        if is_known { campaign } else { OTHER }.to_owned()
    }

    fn rule_of(&self, rule: &str) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.rules.contains(rule)
            || (known.rules.len() < MOST_RULES && known.rules.insert(rule.to_owned()));
        if is_known { rule } else { OTHER }.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::Utc;

    use super::*;
    use crate::names::name;
    use crate::sums::{Entry, Fields};

    fn measured(measurement: &'static str, campaign: &str, fields: &[(&str, f64)]) -> Measured {
        Measured {
            measurement,
            tenant: TenantId::default(),
            at: Utc::from_millis(0),
            entry: Entry {
                groups: vec![name(campaign)],
                fields: Fields::new(fields.iter().map(|(field, value)| (name(field), *value))),
                most: 9,
            },
        }
    }

    fn events(meters: &CampaignMeters, campaign: &str, event: &str) -> u64 {
        meters
            .events
            .with_label_values(&["default", campaign, event])
            .get()
    }

    #[test]
    fn decisions_and_outcomes_count_by_campaign_and_rule() {
        let meters = CampaignMeters::unregistered();
        meters.count(&measured(
            "decisions",
            "a",
            &[("count", 1.0), ("chosen", 1.0), ("price", 0.25)],
        ));
        let withheld = [("count", 1.0), ("suppressed", 1.0), ("suppressed.consent", 1.0)];
        meters.count(&measured("decisions", "a", &withheld));
        meters.count(&measured("outcomes", "a", &[("clicks", 7.0), ("value", 2.5)]));
        meters.count(&measured("outcomes", "a", &[("clicks", -7.0), ("value", -2.5)]));
        meters.count(&measured("emotion", "a", &[("chosen", 1.0)]));
        assert_eq!(
            ["chosen", "withheld", "click"].map(|event| events(&meters, "a", event)),
            [1, 1, 7]
        );
        let of = |all: &CounterVec| all.with_label_values(&["default", "a"]).get().to_bits();
        assert_eq!(
            (of(&meters.value), of(&meters.price)),
            (2.5_f64.to_bits(), 0.25_f64.to_bits())
        );
        let rule = meters.withheld.with_label_values(&["default", "a", "consent"]);
        assert_eq!(rule.get(), 1);
    }

    #[test]
    fn the_number_of_labels_is_bounded() {
        let meters = CampaignMeters::unregistered();
        for number in 0..MOST_CAMPAIGNS + 5 {
            let rule = format!("suppressed.rule{number}");
            meters.count(&measured(
                "decisions",
                &format!("c{number}"),
                &[("chosen", 1.0), (&rule, 1.0)],
            ));
        }
        assert_eq!(events(&meters, OTHER, "chosen"), 5);
        assert_eq!(events(&meters, "c0", "chosen"), 1);
        let known = meters.known.lock().unwrap();
        assert_eq!(
            (known.campaigns.len(), known.rules.len()),
            (MOST_CAMPAIGNS, MOST_RULES)
        );
    }
}
