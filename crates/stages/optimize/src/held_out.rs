//! The decision about the people who are held out, and the comparison of people.
//!
//! Two decisions have the same moment and the same ad: one about the people whom it may reach, and one about those who are held
//! out. A hash assigns each person to one of them, for good. Conversions are reported under either id, with the person.
//! Outcomes that need an ad (an impression, a click) are rejected under the id of the hold-out decision.
//!
//! A person enters the comparison at the first contact, a real one or the ghost of one: held-out people pass the same frequency
//! caps. See [`limbic_bandit::guardrails::lift`].

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{
    CreativeSet, Decision, DecisionResult, Envelope, HeldOut, Lift, Pseudonym, TenantId, Utc, topics,
};
use limbic_stream::{Outputs, Record, StageError, StateSchema, Timers};
use serde::{Deserialize, Serialize};

use crate::OptimizeStage;
use crate::open_decision::OpenDecision;
use crate::state::{AT_ONCE, counter, damaged, decode, encode, json, set_counter, target_of, tenant_of};
use limbic_bandit::guardrails::lift::{Group, LiftEstimate, PersonValue};
use limbic_bandit::outcomes::{Attribution, ConversionChange};

fn lift_key(tenant: &TenantId, campaign: &str) -> String {
    format!("lift/{tenant}/{campaign}")
}

impl OptimizeStage {
    /// Emits the decision about those who are held out of the decision `id`, and opens its attribution.
    pub(crate) fn decide_for_held_out(
        &self,
        record: &Record,
        set: &Envelope<CreativeSet>,
        id: &str,
        held_out: Vec<Pseudonym>,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let campaign = set.data.campaign.as_str();
        let estimate = lift_estimate(record.partition, &set.tenant, campaign, out)?;
        let lift = self.lift(&estimate);
        let attribution = Attribution::open(set.at, held_out.len() as u64);
        let decision = Decision {
            moment: set.data.moment.clone(),
            campaign: set.data.campaign.clone(),
            audience: set.data.audience.clone(),
            context: BTreeMap::new(),
            removals: Vec::new(),
            result: DecisionResult::HeldOut(HeldOut {
                beside: id.to_owned(),
                people: held_out,
                lift,
            }),
        };
        let own = Decision::hold_out_id_of(&set.data.campaign, &set.data.moment);
        let open = OpenDecision::of(campaign, attribution);
        self.open(record.partition, &set.tenant, &own, open, out)?;
        let key = format!("{}/{campaign}", set.tenant);
        let envelope = Envelope::new(set.tenant.clone(), own, set.at, decision);
        out.emit(&record.cause(), topics::DECISIONS, &key, &envelope);
        Ok(())
    }

    fn lift(&self, estimate: &LiftEstimate) -> Lift {
        let most = self.settings.holdout.largest_value;
        let found = estimate.difference(most, self.settings.holdout.alpha);
        let (reachable, held_out) = estimate.people();
        let (reached, mean_held_out) = estimate.means(most);
        Lift {
            compared: reachable + held_out,
            reached,
            held_out: mean_held_out,
            adds_at_least: found.at_least,
            adds_at_most: found.at_most,
            adds: found.adds,
            compared_held_out: held_out,
            largest_value: most,
            cut: estimate.cut(),
            explained: estimate.explained(),
        }
    }

    /// Lets people enter the comparison at their first contact.
    pub(crate) fn measure_people(
        &self,
        partition: u32,
        set: &Envelope<CreativeSet>,
        (group, people): (Group, &[Pseudonym]),
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let holdout = &self.settings.holdout;
        if holdout.share <= 0.0 {
            return Ok(());
        }
        let campaign = set.data.campaign.as_str();
        let number = format!("lift_people/{}/{campaign}", set.tenant);
        let before = counter(partition, number.as_bytes(), out)?;
        let mut entered = before;
        for person in people {
            let key = person_key(&set.tenant, campaign, person);
            let is_full = entered.cast_unsigned() >= holdout.most_people;
            if is_full || out.get(partition, key.as_bytes())?.is_some() {
                continue;
            }
            entered += 1;
            let over = set.at.plus_millis(holdout.measured_for.as_millis());
            PEOPLE
                .of(&set.tenant)
                .set(out, partition, over, key.as_bytes(), &());
            let measured = MeasuredPerson {
                group,
                entered: set.at,
                value: PersonValue::default(),
                is_over: false,
            };
            out.put(partition, key, encode(&measured));
        }
        if entered != before {
            set_counter(partition, number, entered, out);
        }
        Ok(())
    }

    /// Adds the people of a tenant whose measured time ended before `now`.
    pub(crate) fn compare_people(
        &self,
        partition: u32,
        tenant: &TenantId,
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let timers = PEOPLE.of(tenant);
        while let Some(timer) = timers.due(out, partition, now, 1)?.pop() {
            if timer.at == now {
                break;
            }
            timers.cancel(out, partition, timer.at, &timer.id);
            let key = std::str::from_utf8(&timer.id).map_err(|error| damaged(&error))?;
            let Some(saved) = out.get(partition, key.as_bytes())? else {
                continue;
            };
            let mut person: MeasuredPerson = decode(&saved)?;
            let whose = key.strip_prefix(PERSON).and_then(|rest| rest.rsplit_once('/'));
            let (campaign, _) = whose.ok_or_else(|| damaged(&"a measured person without a campaign"))?;
            let mut estimate = lift_estimate_at(partition, &format!("lift/{campaign}"), out)?;
            estimate.add(person.group, person.value, self.settings.holdout.largest_value);
            person.is_over = true;
            out.put(partition, format!("lift/{campaign}"), encode(&estimate));
            out.put(partition, key.to_owned(), encode(&person));
        }
        Ok(())
    }

    /// Counts a conversion for its person: in the measured time, or before it as earlier behaviour.
    pub(crate) fn count_conversion(
        &self,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        change: &ConversionChange,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let holdout = &self.settings.holdout;
        let key = person_key(tenant, campaign, &change.person);
        let Some(saved) = out.get(partition, key.as_bytes())? else {
            return Ok(());
        };
        let mut person: MeasuredPerson = decode(&saved)?;
        let before = person.value;
        let waited = change.at.millis_since(person.entered);
        let value = if (0..=holdout.measured_for.as_millis()).contains(&waited) {
            &mut person.value.after
        } else if (-holdout.earlier.as_millis()..0).contains(&waited) {
            &mut person.value.before
        } else {
            return Ok(());
        };
        *value = (*value + change.reward).max(0.0);
        if person.is_over {
            let mut estimate = lift_estimate(partition, tenant, campaign, out)?;
            estimate.correct(person.group, before, person.value, holdout.largest_value);
            out.put(partition, lift_key(tenant, campaign), encode(&estimate));
        }
        out.put(partition, key, encode(&person));
        Ok(())
    }
}

/// When the measured time of a person is over. These timers are not among those of open decisions: there are many more.
const PEOPLE: Timers = Timers::new("people whose measured time ends", b"person_due_of/");

/// The same, in programs that had one event time for all tenants.
const FORMER_PEOPLE: Timers = Timers::new("people of all tenants whose measured time ends", b"person_timer/");

/// Gives each tenant timers of its own, from those that older programs kept for all tenants. Returns the tenants.
pub(crate) fn divide_time(partition: u32, out: &mut Outputs<'_>) -> Result<BTreeSet<TenantId>, StageError> {
    let mut tenants = BTreeSet::new();
    loop {
        let former = FORMER_PEOPLE.due(out, partition, Utc::MAX, AT_ONCE)?;
        if former.is_empty() {
            return Ok(tenants);
        }
        for timer in former {
            let tenant = tenant_of(target_of(&timer)?)?;
            PEOPLE.of(&tenant).set(out, partition, timer.at, &timer.id, &());
            FORMER_PEOPLE.cancel(out, partition, timer.at, &timer.id);
            tenants.insert(tenant);
        }
    }
}

const PERSON: &str = "lift_person/";

fn person_key(tenant: &TenantId, campaign: &str, person: &Pseudonym) -> String {
    format!("{PERSON}{tenant}/{campaign}/{person}")
}

/// A person in the comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MeasuredPerson {
    group: Group,
    /// Time of the first contact.
    entered: Utc,
    value: PersonValue,
    /// Whether the person is part of the estimate. The record is kept, so that a person enters once.
    is_over: bool,
}

fn lift_estimate(
    partition: u32,
    tenant: &TenantId,
    campaign: &str,
    out: &Outputs<'_>,
) -> Result<LiftEstimate, StageError> {
    lift_estimate_at(partition, &lift_key(tenant, campaign), out)
}

fn lift_estimate_at(partition: u32, key: &str, out: &Outputs<'_>) -> Result<LiftEstimate, StageError> {
    let saved = out.get(partition, key.as_bytes())?;
    let saved: LiftEstimate = saved.map_or_else(|| Ok(LiftEstimate::default()), |saved| decode(&saved))?;
    if saved.format() > LiftEstimate::FORMAT {
        return Err(damaged(
            &"a later version of this program has written the lift: upgrade this program first",
        ));
    }
    Ok(saved.migrated())
}

/// Adds the entries to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema
        .entries("lifts", b"lift/", json::<LiftEstimate>)
        .entries(
            "people in the comparison",
            PERSON.as_bytes(),
            json::<MeasuredPerson>,
        )
        .entries(
            "numbers of people in the comparison",
            b"lift_people/",
            |_, value| {
                let problem = || format!("the value has {} bytes, not 8", value.len());
                (value.len() == 8).then_some(()).ok_or_else(problem)
            },
        )
        .timers_of_tenants(&PEOPLE)
        .timers(&FORMER_PEOPLE)
}
