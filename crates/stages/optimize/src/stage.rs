//! The optimize stage: reads cleared creatives and outcomes, writes decisions.
//!
//! Both inputs have the key `tenant/campaign`, so the posterior of a campaign is in the same partition as its
//! records. The state of a partition:
//!
//! | key | value |
//! |---|---|
//! | `policy/TENANT/CAMPAIGN` | version and snapshot of the policy; a large snapshot in chunks `…/0`, `…/1`, of which only changed ones are written |
//! | `challenger/TENANT/CAMPAIGN` | the same for a challenger |
//! | `champion_challenger/TENANT/CAMPAIGN` | the [`ChampionChallengerState`](limbic_bandit::guardrails::champion_challenger::ChampionChallengerState) of the two |
//! | `open/TENANT/DECISION` | an open decision: its choice and its [`Attribution`](limbic_bandit::outcomes::Attribution) |
//! | `reached/TENANT/CAMPAIGN/PERSON` | when that person was reached, for the frequency caps |
//! | `contacted/TENANT/DECISION` | the people of that decision, until the ad platform has answered; only with frequency caps |
//! | `budget/TENANT/CAMPAIGN` | the campaign's [`Pacer`](limbic_bandit::guardrails::pacing::Pacer) |
//! | `lift/TENANT/CAMPAIGN` | the [`LiftEstimate`](limbic_bandit::guardrails::lift::LiftEstimate) measured by the hold-out |
//! | `lift_person/TENANT/CAMPAIGN/PERSON` | a person in that comparison; at most `holdout.most_people`, counted in `lift_people/…` |
//! | `person_due_of/TENANT`, a zero byte, 8 bytes of time, `KEY` | when the measured time of that person is over |
//! | `due_of/TENANT`, a zero byte, 8 bytes of time, `KEY` | a [timer](limbic_stream::Timers): when that `open/…` or `reached/…` entry is next due, or the posterior of `publish/TENANT/CAMPAIGN` is published |
//! | `unseen/TENANT/CAMPAIGN` | how many decisions had clicks and no impression |
//! | `results/TENANT/CAMPAIGN` | what came of each creative, for people; `results_changed/TENANT/CAMPAIGN` until it is published |
//! | `clock/TENANT` | the latest event time of an outcome |
//! | `count/TENANT` | the number of open decisions |
//!
//! Programs that had one event time for all tenants kept `timer/…`, `person_timer/…`, `clock` and `count` for all of them.
//!
//! A snapshot is restored only by the policy version and settings that wrote it. After a change of a policy's settings,
//! the policy starts without feedback. After any change of a champion/challenger test, a new test with a new id starts.

use std::collections::BTreeMap;

use limbic_domain::{HumanDuration, TenantId, Utc, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Stage, StageError, StageSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meters::OptimizeMeters;
use crate::policies::{PolicyCache, PolicyTemplate};
use crate::{held_out, results, state};
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::guardrails::champion_challenger::Limits;
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::guardrails::pacing::PacingConfig;
use limbic_bandit::policy::PolicyError;
use limbic_bandit::rewards::RewardConfig;

/// How often the results of campaigns that have changed are published.
const PUBLISH: std::time::Duration = std::time::Duration::from_secs(2);

/// Settings of the optimize stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizeSettings {
    /// The decision engine of campaigns without an entry in `campaigns`.
    pub engine: EngineConfig,
    /// Decision engines by campaign name, or by `TENANT/CAMPAIGN` for the campaign of one tenant alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub campaigns: BTreeMap<String, EngineConfig>,
    /// How often one campaign may reach one person. Empty: no limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<FrequencyCap>,
    /// How often one campaign may reach one person who is in a negative feeling: whose posts have a mean valence below 0. Holds beside
    /// `caps`. One of these caps must be at least as strict as the default, one contact in a day. Without `caps`, only contacts
    /// with people in a negative feeling are counted.
    pub negative_feeling_caps: Vec<FrequencyCap>,
    /// Budgets by campaign name, or by `TENANT/CAMPAIGN` for the campaign of one tenant alone. Each tenant's campaign has a budget of
    /// its own. A campaign without an entry is not paced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: BTreeMap<String, PacingConfig>,
    /// The people whom no ad reaches, for comparison.
    pub holdout: HoldoutConfig,
    /// The reward of each kind of outcome.
    pub rewards: RewardConfig,
    /// Time by which outcomes may be out of order. A click window ends this much later. Default 1min.
    pub disorder: HumanDuration,
    /// Maximum number of open decisions of a tenant per partition. If it is reached, its decision that is due first is removed.
    pub most_open: u64,
}

impl Default for OptimizeSettings {
    fn default() -> Self {
        Self {
            engine: EngineConfig::default(),
            campaigns: BTreeMap::new(),
            caps: Vec::new(),
            negative_feeling_caps: vec![MOST_IN_NEGATIVE_FEELING],
            budgets: BTreeMap::new(),
            holdout: HoldoutConfig::default(),
            rewards: RewardConfig::default(),
            disorder: HumanDuration::from_mins(1),
            most_open: 1_000_000,
        }
    }
}

/// The most lenient cap for people in a negative feeling.
const MOST_IN_NEGATIVE_FEELING: FrequencyCap = FrequencyCap {
    times: 1,
    window: HumanDuration::from_days(1),
};

impl OptimizeSettings {
    /// Whether a cap for people in a negative feeling is strict enough.
    fn check_negative_feeling(&self) -> Result<(), PolicyError> {
        let limit = MOST_IN_NEGATIVE_FEELING;
        let is_strict = |cap: &FrequencyCap| cap.times <= limit.times && cap.window >= limit.window;
        if self.negative_feeling_caps.iter().any(is_strict) {
            return Ok(());
        }
        Err(PolicyError::NegativeFeelingCaps)
    }
}

/// The setting of a tenant's campaign.
pub(crate) fn of_campaign<'a, T>(
    settings: &'a BTreeMap<String, T>,
    tenant: &TenantId,
    campaign: &str,
) -> Option<&'a T> {
    // Names of campaigns contain no slash.
    let of_tenant = || settings.get(&format!("{tenant}/{campaign}"));
    let has_tenants = settings.keys().any(|name| name.contains('/'));
    has_tenants
        .then(of_tenant)
        .flatten()
        .or_else(|| settings.get(campaign))
}

/// Decides on cleared sets of creatives and learns from outcomes.
#[derive(Debug)]
pub struct OptimizeStage {
    pub(crate) settings: OptimizeSettings,
    pub(crate) default: PolicyTemplate,
    pub(crate) campaigns: BTreeMap<String, PolicyTemplate>,
    pub(crate) meters: OptimizeMeters,
}

impl OptimizeStage {
    /// Builds the stage. Returns an error for the first setting that is outside its range.
    pub fn new(settings: OptimizeSettings) -> Result<Self, PolicyError> {
        settings.rewards.check()?;
        settings.holdout.check()?;
        settings.check_negative_feeling()?;
        for budget in settings.budgets.values() {
            budget.check()?;
        }
        let reward = settings.rewards.most;
        let model = |config: &EngineConfig| {
            let limits = Limits {
                reward,
                weight: config.maximum_weight,
            };
            PolicyTemplate::new(config, limits)
        };
        let campaigns = settings.campaigns.iter();
        Ok(Self {
            default: model(&settings.engine)?,
            campaigns: campaigns
                .map(|(name, config)| Ok((name.clone(), model(config)?)))
                .collect::<Result<_, PolicyError>>()?,
            settings,
            meters: OptimizeMeters::unregistered(),
        })
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: OptimizeMeters) -> Self {
        self.meters = meters;
        self
    }

    /// The topics and the kind of the stage, for the runtime.
    pub fn spec(&self) -> StageSpec {
        let time = EventTime::Records {
            disorder: self.settings.disorder.get(),
        };
        StageSpec::new("optimize")
            .reads(topics::CREATIVES, time)
            .reads(topics::OUTCOMES, time)
            .writes(topics::DECISIONS, Forward::Aligned)
            .writes(topics::POSTERIORS, Forward::Nothing)
            .writes(topics::STATUS, Forward::Nothing)
            .ticks(PUBLISH)
            .stateful()
    }
}

impl Stage for OptimizeStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut cache = PolicyCache::default();
        for record in &batch.records {
            match &*record.topic {
                topics::CREATIVES => self.decide(&mut cache, record, out)?,
                topics::OUTCOMES => self.attribute(&mut cache, record, out)?,
                _ => out.dead(
                    record,
                    "unexpected_topic",
                    "the optimize stage does not read this topic",
                ),
            }
        }
        cache.write_back(out)
    }

    fn watermark(
        &mut self,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let mut cache = PolicyCache::default();
        self.process_due(&mut cache, (partition, tenant), watermark, out)?;
        cache.write_back(out)
    }

    fn tick(&mut self, partitions: &[u32], _: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for partition in partitions {
            results::publish(out, *partition)?;
        }
        Ok(())
    }

    fn divide_time(&mut self, partition: u32, out: &mut Outputs<'_>) -> Result<Vec<TenantId>, StageError> {
        let mut tenants = held_out::divide_time(partition, out)?;
        tenants.extend(state::divide_time(partition, out)?.into_keys());
        Ok(tenants.into_iter().collect())
    }
}
