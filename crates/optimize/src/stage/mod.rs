//! The optimize stage: cleared creatives and outcomes in, decisions out.
//!
//! Both inputs are keyed `tenant/campaign`, so a campaign's posterior lives beside its records, in the state of one
//! partition. That state is (all keys begin with the kind):
//!
//! | key | value |
//! |---|---|
//! | `policy/TENANT/CAMPAIGN` | the policy's version and snapshot |
//! | `open/TENANT/DECISION` | a [`Pending`] decision: what it chose, and its [`Account`] |
//! | `reached/TENANT/CAMPAIGN/PERSON` | when that person was reached, for the frequency caps |
//! | `budget/TENANT/CAMPAIGN` | the campaign's [`Pacer`](crate::brakes::pacing::Pacer) |
//! | `due/MILLIS/KEY` | when that `open/…` or `reached/…` entry next wants attention (empty value) |
//! | `clock` | the latest time of an outcome |
//! | `count` | how many decisions are open |
//!
//! A policy whose settings changed begins anew: a snapshot is believed only with the version that wrote it.

mod accounts;
mod brakes;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use limbic_domain::{
    Candidate, Choice, Creative, CreativeSet, Decision, Direction, Envelope, Outcome, PolicyVersion,
    Probability, Suppression, TenantId, Utc, topics,
};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};
use serde::{Deserialize, Serialize};

use self::brakes::Reach;
use self::state::{counter, damaged, decode, encode, open_key, set_counter};
use crate::brakes::frequency::FrequencyCap;
use crate::brakes::holdout::HoldoutConfig;
use crate::brakes::pacing::PacingConfig;
use crate::decide::{Answer, DecisionDraft, DecisionEngine, EngineConfig, Offer};
use crate::outcomes::{Account, OutcomeError, RewardConfig};
use crate::policy::{PolicyError, within};
use crate::{Arm, Features};

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
    /// Milliseconds that outcomes may be out of order before one's silence is believed.
    pub disorder_ms: i64,
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
            disorder_ms: 60_000,
            most_open: 1_000_000,
        }
    }
}

/// A decision whose outcomes may still come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    campaign: String,
    arm: Arm,
    context: Features,
    propensity: u64,
    account: Account,
    /// The `due/…` entry that points here.
    due: Utc,
}

/// See the module's page.
#[derive(Debug)]
pub struct OptimizeStage {
    settings: OptimizeSettings,
    default: DecisionEngine,
    engines: BTreeMap<String, DecisionEngine>,
}

/// A policy at work during one call, and whether it learnt.
struct AtWork {
    key: String,
    engine: DecisionEngine,
    learnt: bool,
}

#[derive(Serialize, Deserialize)]
struct SavedPolicy {
    version: PolicyVersion,
    snapshot: Box<serde_json::value::RawValue>,
}

/// The policies one call has touched, by partition, tenant and campaign; written back at its end.
#[derive(Default)]
struct Desk(BTreeMap<(u32, String), AtWork>);

impl OptimizeStage {
    /// Refuses settings outside their ranges.
    pub fn new(settings: OptimizeSettings) -> Result<Self, PolicyError> {
        settings.rewards.check()?;
        within(
            "holdout.share",
            settings.holdout.share,
            0.0..=1.0,
            "must be in [0, 1]",
        )?;
        for budget in settings.budgets.values() {
            budget.check()?;
        }
        let engines = settings
            .campaigns
            .iter()
            .map(|(name, config)| Ok((name.clone(), DecisionEngine::new(config.clone())?)))
            .collect::<Result<_, PolicyError>>()?;
        Ok(Self {
            default: DecisionEngine::new(settings.engine.clone())?,
            engines,
            settings,
        })
    }

    /// What the runtime must know.
    pub fn spec(&self) -> StageSpec {
        let time = EventTime::Records {
            disorder: Duration::from_millis(self.settings.disorder_ms.max(0).cast_unsigned()),
        };
        StageSpec::new("optimize")
            .reads(topics::CREATIVES, time)
            .reads(topics::OUTCOMES, time)
            .writes(topics::DECISIONS, Forward::Aligned)
            .stateful()
    }

    fn engine<'d>(
        &self,
        desk: &'d mut Desk,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        out: &Outputs<'_>,
    ) -> Result<&'d mut AtWork, StageError> {
        let key = format!("policy/{tenant}/{campaign}");
        let place = (partition, key.clone());
        if !desk.0.contains_key(&place) {
            let mut engine = self.engines.get(campaign).unwrap_or(&self.default).clone();
            if let Some(saved) = out.get(partition, key.as_bytes())? {
                let saved: SavedPolicy = decode(&saved)?;
                if saved.version == *engine.version() {
                    let snapshot = saved.snapshot.get().as_bytes();
                    engine.restore(snapshot).map_err(|error| damaged(&error))?;
                }
            }
            let at_work = AtWork {
                key,
                engine,
                learnt: false,
            };
            desk.0.insert(place.clone(), at_work);
        }
        Ok(desk.0.get_mut(&place).expect("it was just put there"))
    }

    fn decide(&self, desk: &mut Desk, record: &Record, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let set = match Envelope::<CreativeSet>::decode(&record.value) {
            Ok(set) => set,
            Err(error) => {
                out.dead(record, "malformed", error);
                return Ok(());
            }
        };
        if set.data.cleared_by.is_none() {
            out.dead(
                record,
                "not_cleared",
                "no policy gate has cleared these creatives",
            );
            return Ok(());
        }
        let id = Decision::id_of(&set.data.campaign, &set.data.moment);
        let open = open_key(&set.tenant, &id);
        if out.get(record.partition, open.as_bytes())?.is_some() {
            return Ok(());
        }
        let (context, described) = context_of(&set.data, set.at);
        let Reach {
            people,
            removals,
            nobody,
        } = self.reachable(record.partition, &set, out)?;
        let at_work = self.engine(
            desk,
            record.partition,
            &set.tenant,
            set.data.campaign.as_str(),
            out,
        )?;
        let offers = offers_of(&set.data);
        let mut answer = match nobody {
            Some(rule) => Answer::NoAd(rule),
            None => at_work.engine.decide(&id, set.at, &context, &offers),
        };
        let mut decision = Decision {
            moment: set.data.moment.clone(),
            campaign: set.data.campaign.clone(),
            audience: set.data.audience.clone(),
            people,
            policy: Some(at_work.engine.version().clone()),
            candidates: Vec::new(),
            choice: None,
            suppression: None,
            removals,
            seed: at_work.engine.seed_of(&id),
            context: described,
        };
        if let Answer::Chosen(draft) = &answer {
            let price = offers[draft.eligible[draft.choice]].price;
            if let Some(rule) = self.reserve(record.partition, &set, &id, price, out)? {
                answer = Answer::NoAd(rule);
            }
        }
        match answer {
            Answer::NoAd(rule) => {
                decision.suppression = Some(Suppression {
                    rule: rule.name().to_owned(),
                    reason: rule.reason().to_owned(),
                });
            }
            Answer::Chosen(draft) => {
                let position = draft.eligible[draft.choice];
                decision.candidates = candidates_of(&set.data.creatives, &draft);
                decision.choice = Some(Choice {
                    creative: set.data.creatives[position].clone(),
                    propensity: probability(draft.propensity),
                    position: draft.choice,
                    price: offers[position].price,
                });
                let account = Account::open(set.at);
                let pending = Pending {
                    campaign: set.data.campaign.as_str().to_owned(),
                    arm: offers[position].arm.clone(),
                    context,
                    propensity: draft.propensity.to_bits(),
                    due: account.expires(&self.settings.rewards),
                    account,
                };
                self.open(record.partition, &set.tenant, &id, &pending, out)?;
                self.note_contacts(record.partition, &set, &decision.people, out)?;
            }
        }
        let key = format!("{}/{}", set.tenant, decision.campaign);
        let envelope = Envelope::new(set.tenant, id, set.at, decision);
        out.emit(&record.cause(), topics::DECISIONS, &key, &envelope);
        Ok(())
    }

    fn enter(&self, desk: &mut Desk, record: &Record, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let outcome = match Envelope::<Outcome>::decode(&record.value) {
            Ok(outcome) => outcome,
            Err(error) => {
                out.dead(record, "malformed", error);
                return Ok(());
            }
        };
        let clock = counter(record.partition, b"clock", out)?;
        if outcome.at.as_millis() > clock {
            set_counter(record.partition, b"clock", outcome.at.as_millis(), out);
            let believed = outcome.at.plus_millis(-self.settings.disorder_ms);
            self.attend(desk, record.partition, believed, out)?;
        }
        let open = open_key(&outcome.tenant, &outcome.data.decision);
        let Some(saved) = out.get(record.partition, open.as_bytes())? else {
            let unknown = OutcomeError::UnknownDecision(outcome.data.decision);
            out.dead(record, unknown.reason(), unknown);
            return Ok(());
        };
        let mut pending: Pending = decode(&saved)?;
        let before = pending.clone();
        match pending
            .account
            .accept(&outcome.data, outcome.at, &self.settings.rewards)
        {
            Ok((_, teaching)) => {
                self.account_for(record.partition, &outcome, &pending.campaign, out)?;
                self.teach(desk, record.partition, &outcome.tenant, &pending, teaching, out)?;
            }
            Err(error) => {
                out.dead(record, error.reason(), error);
                return Ok(());
            }
        }
        if pending != before {
            self.keep(
                record.partition,
                &outcome.tenant,
                &outcome.data.decision,
                pending,
                out,
            );
        }
        Ok(())
    }
}

impl Desk {
    fn put_away(self, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for ((partition, _), at_work) in self.0 {
            if !at_work.learnt {
                continue;
            }
            let snapshot = String::from_utf8(at_work.engine.snapshot()).map_err(|error| damaged(&error))?;
            let saved = SavedPolicy {
                version: at_work.engine.version().clone(),
                snapshot: serde_json::value::RawValue::from_string(snapshot)
                    .map_err(|error| damaged(&error))?,
            };
            out.put(partition, at_work.key, encode(&saved));
        }
        Ok(())
    }
}

impl Stage for OptimizeStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut desk = Desk::default();
        for record in &batch.records {
            match &*record.topic {
                topics::CREATIVES => self.decide(&mut desk, record, out)?,
                topics::OUTCOMES => self.enter(&mut desk, record, out)?,
                _ => out.dead(
                    record,
                    "unexpected_topic",
                    "the optimize stage does not read this topic",
                ),
            }
        }
        desk.put_away(out)
    }

    fn watermark(&mut self, partition: u32, watermark: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut desk = Desk::default();
        self.attend(&mut desk, partition, watermark, out)?;
        desk.put_away(out)
    }
}

/// The features of a moment, hashed for the policy and named for whoever asks.
fn context_of(set: &CreativeSet, at: Utc) -> (Features, BTreeMap<String, f64>) {
    let direction = match set.direction {
        Direction::Up => "up",
        Direction::Down => "down",
    };
    let hour = at.as_millis().div_euclid(3_600_000).rem_euclid(24);
    let names = [
        ("direction", direction.to_owned()),
        ("audience", set.audience.as_str().to_owned()),
        ("topic", set.audience.topic().to_owned()),
        ("hour", hour.to_string()),
    ];
    let numbers = [
        ("valence", set.mood.valence),
        ("arousal", set.mood.arousal),
        ("distress", set.mood.distress),
    ];
    let mut features = Features::new();
    let mut described = BTreeMap::new();
    for (space, value) in &names {
        features = features.with(space, value);
        described.insert(format!("{space}={value}"), 1.0);
    }
    for (name, value) in numbers {
        features = features.with_number("mood", name, value);
        described.insert(format!("mood.{name}"), value);
    }
    (features, described)
}

fn offers_of(set: &CreativeSet) -> Vec<Offer> {
    set.creatives
        .iter()
        .map(|creative| {
            let features = Features::new()
                .with("tone", creative.tone.as_str())
                .with("platform", creative.rendering.platform.as_str())
                .with("generator", &creative.generator);
            Offer {
                arm: Arm::new(creative.id.clone(), creative.tone.as_str(), features),
                price: set.bid,
            }
        })
        .collect()
}

fn candidates_of(creatives: &[Creative], draft: &DecisionDraft) -> Vec<Candidate> {
    let pairs = draft.eligible.iter().zip(&draft.probabilities);
    pairs
        .map(|(&position, &propensity)| Candidate {
            creative: creatives[position].id.clone(),
            propensity: probability(propensity),
        })
        .collect()
}

fn probability(value: f64) -> Probability {
    Probability::new(value.clamp(0.0, 1.0)).expect("it was clamped")
}
