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
//! | `budget/TENANT/CAMPAIGN` | the campaign's [`Pacer`] |
//! | `due/MILLIS/KEY` | when that `open/…` or `reached/…` entry next wants attention (empty value) |
//! | `clock` | the latest time of an outcome |
//! | `count` | how many decisions are open |
//!
//! A policy whose settings changed begins anew: a snapshot is believed only with the version that wrote it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use limbic_domain::{
    Candidate, Choice, Creative, CreativeSet, Decision, Direction, Envelope, Micros, Outcome, OutcomeKind,
    PolicyVersion, Probability, Pseudonym, Removal, Suppression, TenantId, Utc, topics,
};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};
use serde::{Deserialize, Serialize};

use crate::brakes::frequency::{Contacts, FrequencyCap};
use crate::brakes::holdout::HoldoutConfig;
use crate::brakes::pacing::{Held, Pacer, PacingConfig};
use crate::decide::{Answer, DecisionDraft, DecisionEngine, EngineConfig, Offer, Rule};
use crate::outcomes::{Account, OutcomeError, RewardConfig, Teaching};
use crate::policy::{Lesson, PolicyError, within};
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

/// Who may be reached, everything that was taken out, and, if nobody is left, why.
struct Reach {
    people: Vec<Pseudonym>,
    removals: Vec<Removal>,
    nobody: Option<Rule>,
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

    fn open(
        &self,
        partition: u32,
        tenant: &TenantId,
        id: &str,
        pending: &Pending,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let mut count = counter(partition, b"count", out)?;
        while count >= self.settings.most_open.max(1).cast_signed() {
            // Dues of people, if any come first, are only in the way: look a little further.
            let dues = out.scan(partition, b"due/", b"due/", 1024)?;
            let mut decisions = dues.iter().filter_map(|(due, _)| {
                let (_, target) = split_due(due)?;
                target.starts_with("open/").then_some((due.clone(), target))
            });
            let Some((due, target)) = decisions.next() else {
                break;
            };
            tracing::warn!(
                target,
                "too many open decisions: closing the one that is due first"
            );
            self.close(partition, &target, out)?;
            out.remove(partition, due);
            count -= 1;
        }
        set_counter(partition, b"count", count + 1, out);
        let open = open_key(tenant, id);
        out.put(partition, due_key(pending.due, &open), Bytes::new());
        out.put(partition, open, encode(pending));
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

    /// Writes a pending decision back, due when it next wants attention.
    fn keep(&self, partition: u32, tenant: &TenantId, id: &str, mut pending: Pending, out: &mut Outputs<'_>) {
        let rewards = &self.settings.rewards;
        let due = pending
            .account
            .closes(rewards)
            .unwrap_or_else(|| pending.account.expires(rewards));
        let open = open_key(tenant, id);
        out.remove(partition, due_key(pending.due, &open));
        out.put(partition, due_key(due, &open), Bytes::new());
        pending.due = due;
        out.put(partition, open, encode(&pending));
    }

    /// Does what is due before `now`: believes the silence of accounts whose window has passed, closes those that have
    /// expired, forgets contacts that no cap looks back to.
    fn attend(
        &self,
        desk: &mut Desk,
        partition: u32,
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        loop {
            let Some((due, _)) = out.scan(partition, b"due/", b"due/", 1)?.pop() else {
                return Ok(());
            };
            let Some((at, target)) = split_due(&due) else {
                return Err(StageError::internal(
                    "state",
                    "a `due` entry of the state is damaged",
                ));
            };
            if at >= now {
                return Ok(());
            }
            out.remove(partition, due);
            if target.starts_with("reached/") {
                self.forget(partition, &target, now, out)?;
            } else {
                self.attend_account(desk, partition, &target, out)?;
            }
        }
    }

    fn attend_account(
        &self,
        desk: &mut Desk,
        partition: u32,
        target: &str,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(saved) = out.get(partition, target.as_bytes())? else {
            return Ok(());
        };
        let mut pending: Pending = decode(&saved)?;
        if pending.account.closes(&self.settings.rewards).is_some() {
            let (tenant, id) = split_open(target)?;
            let teaching = pending.account.close(&self.settings.rewards);
            self.teach(desk, partition, &tenant, &pending, teaching, out)?;
            self.keep(partition, &tenant, id, pending, out);
            return Ok(());
        }
        self.close(partition, target, out)?;
        let count = counter(partition, b"count", out)?;
        set_counter(partition, b"count", count - 1, out);
        Ok(())
    }

    /// Closes an account: nothing more will be learnt from it, and money still reserved for it is free again.
    fn close(&self, partition: u32, target: &str, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if let Some(saved) = out.get(partition, target.as_bytes())? {
            let pending: Pending = decode(&saved)?;
            let (tenant, id) = split_open(target)?;
            self.with_pacer(partition, &tenant, &pending.campaign, out, |pacer, _| {
                pacer.release(id);
            })?;
        }
        out.remove(partition, target.to_owned());
        Ok(())
    }

    fn forget(
        &self,
        partition: u32,
        target: &str,
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(saved) = out.get(partition, target.as_bytes())? else {
            return Ok(());
        };
        let contacts: Contacts = decode(&saved)?;
        // A later contact has a `due` entry of its own.
        if contacts
            .expire(&self.settings.caps)
            .is_none_or(|expired| expired < now)
        {
            out.remove(partition, target.to_owned());
        }
        Ok(())
    }

    /// Takes out who is held out, and whom the caps protect.
    fn reachable(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        out: &Outputs<'_>,
    ) -> Result<Reach, StageError> {
        let (mut people, mut removals) = (Vec::new(), set.data.removals.clone());
        let mut nobody = Rule::NobodyLeft;
        for person in set.data.pseudonyms() {
            let rule = if self.settings.holdout.holds(&set.tenant, &person) {
                Rule::HoldOut
            } else if self.capped(partition, set, &person, out)? {
                Rule::FrequencyCap
            } else {
                people.push(person);
                continue;
            };
            nobody = rule;
            removals.push(Removal {
                rule: rule.name().to_owned(),
                removed: format!("person/{person}"),
                reason: rule.reason().to_owned(),
            });
        }
        Ok(Reach {
            nobody: people.is_empty().then_some(nobody),
            people,
            removals,
        })
    }

    fn capped(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        person: &Pseudonym,
        out: &Outputs<'_>,
    ) -> Result<bool, StageError> {
        if self.settings.caps.is_empty() {
            return Ok(false);
        }
        let contacts = contacts_of(partition, &reached_key(set, person), out)?;
        Ok(!contacts.allow(set.at, &self.settings.caps))
    }

    fn note_contacts(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        people: &[Pseudonym],
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let caps = &self.settings.caps;
        if caps.is_empty() {
            return Ok(());
        }
        for person in people {
            let key = reached_key(set, person);
            let mut contacts = contacts_of(partition, &key, out)?;
            contacts.note(set.at, caps);
            if let Some(expired) = contacts.expire(caps) {
                out.put(partition, due_key(expired, &key), Bytes::new());
            }
            out.put(partition, key, encode(&contacts));
        }
        Ok(())
    }

    /// Reserves what the decision may cost; answers the rule that forbids it, if one does.
    fn reserve(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        id: &str,
        price: Micros,
        out: &mut Outputs<'_>,
    ) -> Result<Option<Rule>, StageError> {
        let campaign = set.data.campaign.as_str();
        let mut held = None;
        self.with_pacer(partition, &set.tenant, campaign, out, |pacer, config| {
            held = pacer.reserve(config, id, price, set.at).err();
        })?;
        Ok(held.map(|held| match held {
            Held::Exhausted => Rule::BudgetExhausted,
            Held::Paced => Rule::BudgetPaced,
        }))
    }

    /// Lets `act` change the campaign's pacer, if its spending is paced at all.
    fn with_pacer(
        &self,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        out: &mut Outputs<'_>,
        act: impl FnOnce(&mut Pacer, &PacingConfig),
    ) -> Result<(), StageError> {
        let Some(config) = self.settings.budgets.get(campaign) else {
            return Ok(());
        };
        let key = format!("budget/{tenant}/{campaign}");
        let saved = out.get(partition, key.as_bytes())?;
        let before: Pacer = saved.map_or_else(|| Ok(Pacer::default()), |saved| decode(&saved))?;
        let mut pacer = before.clone();
        act(&mut pacer, config);
        if pacer != before {
            out.put(partition, key, encode(&pacer));
        }
        Ok(())
    }

    /// What a platform's answer means for the money reserved.
    fn account_for(
        &self,
        partition: u32,
        outcome: &Envelope<Outcome>,
        campaign: &str,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let id = &outcome.data.decision;
        self.with_pacer(partition, &outcome.tenant, campaign, out, |pacer, _| {
            if outcome.data.kind == OutcomeKind::Refused {
                pacer.release(id);
            } else {
                pacer.settle(id, None);
            }
        })
    }

    fn teach(
        &self,
        desk: &mut Desk,
        partition: u32,
        tenant: &TenantId,
        pending: &Pending,
        teaching: Teaching,
        out: &Outputs<'_>,
    ) -> Result<(), StageError> {
        let (reward, corrects) = match teaching {
            Teaching::Nothing => return Ok(()),
            Teaching::Reward(reward) => (reward, None),
            Teaching::Correction { before, now } => (now, Some(before)),
        };
        let at_work = self.engine(desk, partition, tenant, &pending.campaign, out)?;
        let lesson = Lesson {
            context: &pending.context,
            arm: &pending.arm,
            reward,
            corrects,
            propensity: f64::from_bits(pending.propensity),
        };
        at_work.engine.learn(&lesson).map_err(|error| {
            StageError::poison(
                "reward",
                format!("{error}: `rewards` and the campaign's policy do not fit"),
            )
        })?;
        at_work.learnt = true;
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

fn open_key(tenant: &TenantId, id: &str) -> String {
    format!("open/{tenant}/{id}")
}

/// The tenant and the decision's id of an `open/…` key.
fn split_open(key: &str) -> Result<(TenantId, &str), StageError> {
    let parts = key.strip_prefix("open/").and_then(|rest| rest.split_once('/'));
    let (tenant, id) =
        parts.ok_or_else(|| StageError::internal("state", "an `open` key of the state is damaged"))?;
    Ok((TenantId::new(tenant).map_err(|error| damaged(&error))?, id))
}

fn reached_key(set: &Envelope<CreativeSet>, person: &Pseudonym) -> String {
    format!("reached/{}/{}/{person}", set.tenant, set.data.campaign)
}

fn contacts_of(partition: u32, key: &str, out: &Outputs<'_>) -> Result<Contacts, StageError> {
    let saved = out.get(partition, key.as_bytes())?;
    saved.map_or_else(|| Ok(Contacts::default()), |saved| decode(&saved))
}

/// Sorts by time: the sign bit is flipped so that times before 1970 come first.
fn due_key(due: Utc, target: &str) -> String {
    let sortable = due.as_millis().cast_unsigned() ^ (1 << 63);
    format!("due/{sortable:016x}/{target}")
}

/// The time and the target of a `due/…` key.
fn split_due(key: &[u8]) -> Option<(Utc, String)> {
    let text = std::str::from_utf8(key).ok()?.strip_prefix("due/")?;
    let (time, target) = text.split_once('/')?;
    let millis = (u64::from_str_radix(time, 16).ok()? ^ (1 << 63)).cast_signed();
    Some((Utc::from_millis(millis), target.to_owned()))
}

fn counter(partition: u32, key: &[u8], out: &Outputs<'_>) -> Result<i64, StageError> {
    let saved = out.get(partition, key)?;
    let bytes = saved.and_then(|bytes| <[u8; 8]>::try_from(&*bytes).ok());
    Ok(bytes.map_or(0, i64::from_be_bytes))
}

fn set_counter(partition: u32, key: &'static [u8], value: i64, out: &mut Outputs<'_>) {
    out.put(partition, key, Bytes::copy_from_slice(&value.to_be_bytes()));
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("state has string keys and finite numbers")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StageError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(&error))
}

fn damaged(error: &dyn std::fmt::Display) -> StageError {
    StageError::internal("state", format!("the stage's state cannot be read: {error}"))
}
