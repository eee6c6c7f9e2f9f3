//! The brakes in the stage: whom a decision may reach, and whether its price may be reserved.

use bytes::Bytes;
use limbic_domain::{CreativeSet, Envelope, Micros, Outcome, OutcomeKind, Pseudonym, Removal, TenantId};
use limbic_stream::{Outputs, StageError};

use crate::OptimizeStage;
use crate::pending::Pending;
use crate::state::{contacts_of, decode, due_key, encode, reached_key};
use limbic_bandit::decide::Rule;
use limbic_bandit::guardrails::pacing::{Held, Pacer, PacingConfig};

/// Who may be reached, everything that was taken out, and, if nobody is left, why.
pub(crate) struct Reach {
    pub(crate) people: Vec<Pseudonym>,
    pub(crate) held_out: Vec<Pseudonym>,
    pub(crate) removals: Vec<Removal>,
    pub(crate) nobody: Option<Rule>,
}

impl OptimizeStage {
    /// Takes out who is held out, and whom the caps protect.
    pub(crate) fn reachable(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        out: &Outputs<'_>,
    ) -> Result<Reach, StageError> {
        let (mut people, mut held_out) = (Vec::new(), Vec::new());
        let mut removals = set.data.removals.clone();
        let mut nobody = Rule::NobodyLeft;
        for person in &set.data.people {
            let rule = if self.settings.holdout.holds(&set.tenant, person) {
                Rule::HoldOut
            } else if self.capped(partition, set, person, out)? {
                Rule::FrequencyCap
            } else {
                people.push(person.clone());
                continue;
            };
            nobody = rule;
            let removed = format!("person/{person}");
            Removal::note(&mut removals, rule.name(), rule.reason(), removed);
            if rule == Rule::HoldOut {
                held_out.push(person.clone());
            }
        }
        Ok(Reach {
            nobody: people.is_empty().then_some(nobody),
            people,
            held_out,
            removals,
        })
    }

    pub(crate) fn capped(
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

    pub(crate) fn note_contacts(
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

    /// Reserves what the decision may cost, if the campaign's spending is paced; an error is the rule that forbids it.
    pub(crate) fn reserve(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        id: &str,
        price: Micros,
        out: &mut Outputs<'_>,
    ) -> Result<Result<Option<Micros>, Rule>, StageError> {
        let campaign = set.data.campaign.as_str();
        let mut reserved = Ok(None);
        self.with_pacer(partition, &set.tenant, campaign, out, |pacer, config| {
            reserved = pacer.reserve(config, id, price, set.at).map(Some);
        })?;
        Ok(reserved.map_err(|held| match held {
            Held::Exhausted => Rule::BudgetExhausted,
            Held::Paced => Rule::BudgetPaced,
        }))
    }

    /// Lets `act` change the campaign's pacer, if its spending is paced at all.
    pub(crate) fn with_pacer(
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

    /// What a platform's answer means for the money that is reserved.
    pub(crate) fn account_for(
        &self,
        partition: u32,
        outcome: &Envelope<Outcome>,
        pending: &mut Pending,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(reserved) = pending.reserved.take() else {
            return Ok(());
        };
        self.with_pacer(partition, &outcome.tenant, &pending.campaign, out, |pacer, _| {
            if outcome.data.kind == OutcomeKind::Refused {
                pacer.release(reserved);
            } else {
                pacer.settle(reserved, None);
            }
        })
    }
}
