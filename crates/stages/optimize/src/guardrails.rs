//! The guardrails of a decision: which people it may reach, and whether its price can be reserved.

use limbic_domain::{CreativeSet, Envelope, Micros, Outcome, OutcomeKind, Pseudonym, Removal, TenantId};
use limbic_stream::{Outputs, StageError};

use crate::OptimizeStage;
use crate::open_decision::OpenDecision;
use crate::stage::of_campaign;
use crate::state::{DUE, contacted_key, contacts_of, decode, encode, reached_key};
use limbic_bandit::decide::ExclusionRule;
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::pacing::{Pacer, PacingConfig, PacingRefusal};

/// The people whom a decision may reach, those who were removed, and, if no person is left, the rule.
pub(crate) struct ReachablePeople {
    pub(crate) people: Vec<Pseudonym>,
    pub(crate) held_out: Vec<Pseudonym>,
    pub(crate) removals: Vec<Removal>,
    pub(crate) suppressed_by: Option<ExclusionRule>,
}

impl OptimizeStage {
    /// Removes the people who are held out, and those who have reached a frequency cap.
    pub(crate) fn reachable(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        out: &Outputs<'_>,
    ) -> Result<ReachablePeople, StageError> {
        let (mut people, mut held_out) = (Vec::new(), Vec::new());
        let mut removals = set.data.removals.clone();
        let mut suppressed_by = ExclusionRule::NobodyLeft;
        for person in &set.data.people {
            // People who are held out pass the same caps, so that both groups have their contacts at the same times.
            let rule = if let Some(cap) = self.reached_cap(partition, set, person, out)? {
                cap
            } else if self.settings.holdout.contains(&set.tenant, person) {
                ExclusionRule::HoldOut
            } else {
                people.push(person.clone());
                continue;
            };
            suppressed_by = rule;
            let removed = format!("person/{person}");
            Removal::note(&mut removals, rule.name(), rule.reason(), removed);
            if rule == ExclusionRule::HoldOut {
                held_out.push(person.clone());
            }
        }
        if !held_out.is_empty() {
            suppressed_by = ExclusionRule::HoldOut;
        }
        Ok(ReachablePeople {
            suppressed_by: people.is_empty().then_some(suppressed_by),
            people,
            held_out,
            removals,
        })
    }

    /// The cap that a person has reached.
    fn reached_cap(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        person: &Pseudonym,
        out: &Outputs<'_>,
    ) -> Result<Option<ExclusionRule>, StageError> {
        let is_in_negative_feeling = set.data.in_negative_feeling.contains(person);
        if self.settings.caps.is_empty() && !is_in_negative_feeling {
            return Ok(None);
        }
        let key = reached_key(&set.tenant, set.data.campaign.as_str(), person);
        let contacts = contacts_of(partition, &key, out)?;
        if !contacts.allows(set.at, &self.settings.caps) {
            return Ok(Some(ExclusionRule::FrequencyCap));
        }
        let is_capped =
            is_in_negative_feeling && !contacts.allows(set.at, &self.settings.negative_feeling_caps);
        Ok(is_capped.then_some(ExclusionRule::NegativeFeelingCap))
    }

    /// The caps of both kinds: as long as one of them counts a contact, it is kept.
    pub(crate) fn every_cap(&self) -> Vec<FrequencyCap> {
        [&self.settings.caps[..], &self.settings.negative_feeling_caps].concat()
    }

    /// Records the contacts of the decision `id`: those of the people it may reach, and the ghost contacts of those who are held
    /// out. Without caps for everybody, only people in a negative feeling have contacts.
    pub(crate) fn record_contacts(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        (id, mut people): (&str, Vec<&Pseudonym>),
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        if self.settings.caps.is_empty() {
            people.retain(|person| set.data.in_negative_feeling.contains(person));
        }
        if people.is_empty() {
            return Ok(());
        }
        let caps = &self.every_cap();
        out.put(partition, contacted_key(&set.tenant, id), encode(&people));
        for person in people {
            let key = reached_key(&set.tenant, set.data.campaign.as_str(), person);
            let mut contacts = contacts_of(partition, &key, out)?;
            contacts.record(set.at, caps);
            if let Some(expired) = contacts.expires(caps) {
                DUE.of(&set.tenant)
                    .set(out, partition, expired, key.as_bytes(), &());
            }
            out.put(partition, key, encode(&contacts));
        }
        Ok(())
    }

    /// Whether the price of a decision could be reserved now.
    pub(crate) fn can_reserve(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        id: &str,
        price: Micros,
        out: &mut Outputs<'_>,
    ) -> Result<bool, StageError> {
        let mut is_possible = true;
        let campaign = set.data.campaign.as_str();
        self.with_pacer(partition, &set.tenant, campaign, out, |pacer, config| {
            is_possible = pacer.clone().reserve(config, id, price, set.at).is_ok();
        })?;
        Ok(is_possible)
    }

    /// Reserves the price of a decision if the campaign's spending is paced. The inner error is the rule that
    /// suppresses it.
    pub(crate) fn reserve(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        id: &str,
        price: Micros,
        out: &mut Outputs<'_>,
    ) -> Result<Result<Option<Micros>, ExclusionRule>, StageError> {
        let campaign = set.data.campaign.as_str();
        let mut reserved = Ok(None);
        self.with_pacer(partition, &set.tenant, campaign, out, |pacer, config| {
            reserved = pacer.reserve(config, id, price, set.at).map(Some);
        })?;
        Ok(reserved.map_err(|held| match held {
            PacingRefusal::Exhausted => ExclusionRule::BudgetExhausted,
            PacingRefusal::Paced => ExclusionRule::BudgetPaced,
        }))
    }

    /// Lets `act` change the campaign's pacer. Without a budget, `act` is not called.
    pub(crate) fn with_pacer(
        &self,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        out: &mut Outputs<'_>,
        act: impl FnOnce(&mut Pacer, &PacingConfig),
    ) -> Result<(), StageError> {
        let Some(config) = of_campaign(&self.settings.budgets, tenant, campaign) else {
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

    /// Settles or releases the reservation, depending on the ad platform's answer.
    pub(crate) fn settle_reservation(
        &self,
        partition: u32,
        outcome: &Envelope<Outcome>,
        open: &mut OpenDecision,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(reserved) = open.reserved.take() else {
            return Ok(());
        };
        self.with_pacer(partition, &outcome.tenant, &open.campaign, out, |pacer, _| {
            if matches!(outcome.data.kind, OutcomeKind::Refused | OutcomeKind::Withdrawn) {
                pacer.release(reserved);
            } else {
                pacer.settle(reserved, None);
            }
        })
    }
}

/// Gives the contacts of a decision back if its ad never ran, depending on the ad platform's answer.
pub(crate) fn settle_contacts(
    partition: u32,
    outcome: &Envelope<Outcome>,
    open: &OpenDecision,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    let key = contacted_key(&outcome.tenant, &outcome.data.decision);
    let Some(saved) = out.get(partition, key.as_bytes())? else {
        return Ok(());
    };
    out.remove(partition, key);
    if !matches!(outcome.data.kind, OutcomeKind::Refused | OutcomeKind::Withdrawn) {
        return Ok(());
    }
    let people: Vec<Pseudonym> = decode(&saved)?;
    for person in people {
        let key = reached_key(&outcome.tenant, &open.campaign, &person);
        if out.get(partition, key.as_bytes())?.is_some() {
            let mut contacts = contacts_of(partition, &key, out)?;
            contacts.retract(open.attribution.decided());
            out.put(partition, key, encode(&contacts));
        }
    }
    Ok(())
}
