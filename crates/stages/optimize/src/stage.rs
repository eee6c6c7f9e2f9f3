//! The optimize stage: cleared creatives and outcomes in, decisions out.
//!
//! Both inputs are keyed `tenant/campaign`, so a campaign's posterior lives beside its records, in the state of one
//! partition. That state is (all keys begin with the kind):
//!
//! | key | value |
//! |---|---|
//! | `policy/TENANT/CAMPAIGN` | the policy's version and snapshot; a large one in pieces `…/0`, `…/1`, of which only those are written that changed |
//! | `challenger/TENANT/CAMPAIGN` | the same of a challenger |
//! | `champion_challenger/TENANT/CAMPAIGN` | the [`ChampionChallengerState`](limbic_bandit::guardrails::champion_challenger::ChampionChallengerState) of the two |
//! | `open/TENANT/DECISION` | an open decision: what it chose, and its [`Account`](limbic_bandit::outcomes::Account) |
//! | `reached/TENANT/CAMPAIGN/PERSON` | when that person was reached, for the frequency caps |
//! | `budget/TENANT/CAMPAIGN` | the campaign's [`Pacer`](limbic_bandit::guardrails::pacing::Pacer) |
//! | `added/TENANT/CAMPAIGN` | what ads add, by the hold-out: [`Added`](limbic_bandit::guardrails::hold_out::Added) |
//! | `due/MILLIS/KEY` | when that `open/…` or `reached/…` entry next wants attention (empty value) |
//! | `clock` | the latest time of an outcome |
//! | `count` | how many decisions are open |
//!
//! A policy whose settings changed begins anew: a snapshot is believed only with the version that wrote it. So does a
//! contest of which anything changed.

use std::collections::BTreeMap;

use limbic_domain::{HumanDuration, Utc, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Stage, StageError, StageSpec};
use serde::{Deserialize, Serialize};

use crate::policies::{Model, PolicyCache};
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::guardrails::champion_challenger::Limits;
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::guardrails::pacing::PacingConfig;
use limbic_bandit::outcomes::RewardConfig;
use limbic_bandit::policy::PolicyError;

/// Settings of the optimize stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizeSettings {
    /// How to choose, unless a campaign says otherwise.
    pub engine: EngineConfig,
    /// Campaigns (by name) that choose in their own way.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub campaigns: BTreeMap<String, EngineConfig>,
    /// How often one campaign may reach one person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<FrequencyCap>,
    /// Campaigns (by name) whose spending is paced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: BTreeMap<String, PacingConfig>,
    /// People whom no decision ever reaches.
    pub holdout: HoldoutConfig,
    /// What outcomes are worth.
    pub rewards: RewardConfig,
    /// How much later than its successors an outcome may come before its absence counts. Default 1min.
    pub disorder: HumanDuration,
    /// Most open decisions per partition; above it, those that would expire first are closed.
    pub most_open: u64,
}

impl Default for OptimizeSettings {
    fn default() -> Self {
        Self {
            engine: EngineConfig::default(),
            campaigns: BTreeMap::new(),
            caps: Vec::new(),
            budgets: BTreeMap::new(),
            holdout: HoldoutConfig::default(),
            rewards: RewardConfig::default(),
            disorder: HumanDuration::from_mins(1),
            most_open: 1_000_000,
        }
    }
}

/// See the module's page.
#[derive(Debug)]
pub struct OptimizeStage {
    pub(crate) settings: OptimizeSettings,
    pub(crate) default: Model,
    pub(crate) campaigns: BTreeMap<String, Model>,
}

impl OptimizeStage {
    /// Refuses settings outside their ranges.
    pub fn new(settings: OptimizeSettings) -> Result<Self, PolicyError> {
        settings.rewards.check()?;
        settings.holdout.check()?;
        for budget in settings.budgets.values() {
            budget.check()?;
        }
        let reward = settings.rewards.most;
        let model = |config: &EngineConfig| {
            let limits = Limits {
                reward,
                weight: config.maximum_weight,
            };
            Model::new(config, limits)
        };
        let campaigns = settings.campaigns.iter();
        Ok(Self {
            default: model(&settings.engine)?,
            campaigns: campaigns
                .map(|(name, config)| Ok((name.clone(), model(config)?)))
                .collect::<Result<_, PolicyError>>()?,
            settings,
        })
    }

    /// What the runtime must know.
    pub fn spec(&self) -> StageSpec {
        let time = EventTime::Records {
            disorder: self.settings.disorder.get(),
        };
        StageSpec::new("optimize")
            .reads(topics::CREATIVES, time)
            .reads(topics::OUTCOMES, time)
            .writes(topics::DECISIONS, Forward::Aligned)
            .stateful()
    }
}

impl Stage for OptimizeStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut cache = PolicyCache::default();
        for record in &batch.records {
            match &*record.topic {
                topics::CREATIVES => self.decide(&mut cache, record, out)?,
                topics::OUTCOMES => self.enter(&mut cache, record, out)?,
                _ => out.dead(
                    record,
                    "unexpected_topic",
                    "the optimize stage does not read this topic",
                ),
            }
        }
        cache.write_back(out)
    }

    fn watermark(&mut self, partition: u32, watermark: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut cache = PolicyCache::default();
        self.attend(&mut cache, partition, watermark, out)?;
        cache.write_back(out)
    }
}
