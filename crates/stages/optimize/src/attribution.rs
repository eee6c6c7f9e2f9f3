//! Open decisions in the stage's state: opened, updated by outcomes, processed when they are due, learned from,
//! removed.

use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId, Utc};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::guardrails::settle_contacts;
use crate::open_decision::OpenDecision;
use crate::policies::PolicyCache;
use crate::posteriors::{PUBLISH, schedule_publication};
use crate::results;
use crate::state::{
    AT_ONCE, DUE, clock_key, count_key, counter, decode, encode, open_key, set_counter, split_open, target_of,
};
use limbic_bandit::guardrails::frequency_cap::Contacts;
use limbic_bandit::outcomes::{Acceptance, OutcomeError, RewardUpdate};
use limbic_bandit::policy::Feedback;

impl OptimizeStage {
    pub(crate) fn open(
        &self,
        partition: u32,
        tenant: &TenantId,
        id: &str,
        mut open: OpenDecision,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let timers = DUE.of(tenant);
        let count_key = count_key(tenant);
        let mut count = counter(partition, count_key.as_bytes(), out)?;
        while count >= self.settings.most_open.max(1).cast_signed() {
            // Contacts may be due first: look at a limited number of timers for a decision.
            let due = timers.due(out, partition, Utc::MAX, AT_ONCE)?;
            let Some(timer) = due.iter().find(|timer| timer.id.starts_with(b"open/")) else {
                break;
            };
            let target = target_of(timer)?;
            tracing::warn!(
                target,
                most = self.settings.most_open,
                "the tenant has its largest number of open decisions in a partition: the decision that is due first is removed and not \
                 learned from; raise `optimize.most_open` if this continues"
            );
            self.close(partition, target, out)?;
            timers.cancel(out, partition, timer.at, &timer.id);
            count -= 1;
        }
        set_counter(partition, count_key, count + 1, out);
        let key = open_key(tenant, id);
        open.due = open.next_due(&self.settings.rewards);
        timers.set(out, partition, open.due, key.as_bytes(), &());
        out.put(partition, key, encode(&open));
        Ok(())
    }

    /// Writes an open decision back and schedules its next due time.
    fn save(
        &self,
        partition: u32,
        tenant: &TenantId,
        id: &str,
        mut open: OpenDecision,
        out: &mut Outputs<'_>,
    ) {
        let due = open.next_due(&self.settings.rewards);
        let key = open_key(tenant, id);
        let timers = DUE.of(tenant);
        timers.cancel(out, partition, open.due, key.as_bytes());
        timers.set(out, partition, due, key.as_bytes(), &());
        open.due = due;
        out.put(partition, key, encode(&open));
    }

    /// Processes what is due of a tenant before `now`: judges impressions, adds decisions to the champion/challenger test and people
    /// to the lift, removes expired decisions, and removes contacts that no frequency cap counts any more.
    pub(crate) fn process_due(
        &self,
        cache: &mut PolicyCache,
        (partition, tenant): (u32, &TenantId),
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let timers = DUE.of(tenant);
        // One at a time: what a timer does may set another one that is due.
        while let Some(timer) = timers.due(out, partition, now, 1)?.pop() {
            if timer.at == now {
                break;
            }
            timers.cancel(out, partition, timer.at, &timer.id);
            let target = target_of(&timer)?;
            if target.starts_with("reached/") {
                self.expire_contacts(partition, target, now, out)?;
            } else if target.starts_with(PUBLISH) {
                self.publish_posterior(cache, partition, target, timer.at, out)?;
            } else {
                self.process_due_decision(cache, partition, target, timer.at, out)?;
            }
        }
        self.compare_people(partition, tenant, now, out)
    }

    /// Does what is due at `due`, the time of the timer, and nothing later, so that the order of what is learned depends on
    /// event time and not on where a batch ends.
    fn process_due_decision(
        &self,
        cache: &mut PolicyCache,
        partition: u32,
        target: &str,
        due: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(saved) = out.get(partition, target.as_bytes())? else {
            return Ok(());
        };
        let mut open: OpenDecision = decode(&saved)?;
        let (tenant, id) = split_open(target)?;
        let rewards = &self.settings.rewards;
        let is_past = |time: Option<Utc>| time.filter(|time| *time <= due);
        if let Some(until) = is_past(open.attribution.click_window_closes(rewards)) {
            let update = open.attribution.close_click_window(until, rewards);
            self.learn(cache, partition, &tenant, &open, (update, due), out)?;
        }
        if let Some(until) = is_past(open.observed_at(rewards))
            && let Some(observation) = open.observation.take()
            && let Some(reward) = open.attribution.reward(until, rewards)
        {
            self.policies(cache, partition, &tenant, &open.campaign, out)?
                .observe(&tenant, &open.campaign, &observation, reward);
        }
        if is_past(open.unseen_at(rewards)).is_some() {
            open.is_unseen = true;
            self.notice_clicks_without_impressions(partition, &tenant, &open.campaign, out)?;
        }
        if open.expires(rewards) <= due {
            self.close(partition, target, out)?;
            let count_key = count_key(&tenant);
            let count = counter(partition, count_key.as_bytes(), out)?;
            set_counter(partition, count_key, count - 1, out);
        } else {
            self.save(partition, &tenant, id, open, out);
        }
        Ok(())
    }

    /// Removes an open decision. Nothing more is learned from it, and its reservation returns to the budget.
    fn close(&self, partition: u32, target: &str, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if let Some(saved) = out.get(partition, target.as_bytes())? {
            let open: OpenDecision = decode(&saved)?;
            let (tenant, _) = split_open(target)?;
            if let Some(reserved) = open.reserved {
                self.with_pacer(partition, &tenant, &open.campaign, out, |pacer, _| {
                    pacer.release(reserved);
                })?;
            }
        }
        out.remove(partition, target.replacen("open/", "contacted/", 1));
        out.remove(partition, target.to_owned());
        Ok(())
    }

    /// A decision has clicks and, a click window later, no impression. It has no reward and teaches nothing.
    fn notice_clicks_without_impressions(
        &self,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let key = format!("unseen/{tenant}/{campaign}");
        let decisions = counter(partition, key.as_bytes(), out)? + 1;
        set_counter(partition, key, decisions, out);
        self.meters.unseen(tenant, campaign);
        // The first, the second, the fourth, and so on.
        if decisions & (decisions - 1) == 0 {
            tracing::warn!(
                %tenant, campaign, decisions,
                "an ad platform reports clicks without impressions, so nothing is learned from these decisions: have it report \
                 impressions, or set `optimize.rewards.exposure` to \"delivered\" to count each delivery as seen by its people"
            );
        }
        Ok(())
    }

    fn expire_contacts(
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
        // A later contact has its own timer.
        if contacts
            .expires(&self.every_cap())
            .is_none_or(|expired| expired < now)
        {
            out.remove(partition, target.to_owned());
        }
        Ok(())
    }

    fn learn(
        &self,
        cache: &mut PolicyCache,
        partition: u32,
        tenant: &TenantId,
        open: &OpenDecision,
        (update, at): (RewardUpdate, Utc),
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(chosen) = &open.chosen else {
            return Ok(());
        };
        let (reward, previous_reward, is_withdrawn) = match update {
            RewardUpdate::Unchanged => return Ok(()),
            RewardUpdate::First(reward) => (reward, None, false),
            RewardUpdate::Corrected { before, now } => (now, Some(before), false),
            RewardUpdate::Withdrawn { before } => (before, None, true),
        };
        let policies = self.policies(cache, partition, tenant, &open.campaign, out)?;
        let feedback = Feedback {
            context: &chosen.context,
            arm: &chosen.arm,
            reward,
            previous_reward,
            propensity: f64::from_bits(chosen.propensity),
        };
        let learned = if is_withdrawn {
            policies.unlearn(&feedback)
        } else {
            policies.learn(&feedback)
        };
        learned.map_err(|error| {
            StageError::poison(
                "reward",
                format!("{error}: the settings of `rewards` and of the campaign's policy do not match"),
            )
        })?;
        schedule_publication(partition, tenant, &open.campaign, at, out);
        Ok(())
    }

    /// Attributes an outcome to its decision.
    pub(crate) fn attribute(
        &self,
        cache: &mut PolicyCache,
        record: &Record,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let outcome = match Envelope::<Outcome>::decode(&record.value) {
            Ok(outcome) => outcome,
            Err(error) => {
                out.dead(record, "malformed", error);
                return Ok(());
            }
        };
        let partition = record.partition;
        let clock_key = clock_key(&outcome.tenant);
        let mut clock = counter(partition, clock_key.as_bytes(), out)?;
        if outcome.at.as_millis() > clock {
            clock = outcome.at.as_millis();
            set_counter(partition, clock_key, clock, out);
            let due_before = outcome.at.plus_millis(-self.settings.disorder.as_millis());
            self.process_due(cache, (partition, &outcome.tenant), due_before, out)?;
        }
        let id = &outcome.data.decision;
        let Some(saved) = out.get(partition, open_key(&outcome.tenant, id).as_bytes())? else {
            // An ad may be paused a day after its delivery, when nothing can be learnt from it any more.
            if outcome.data.kind == OutcomeKind::Paused {
                return Ok(());
            }
            let unknown = OutcomeError::UnknownDecision(id.clone());
            out.dead(record, unknown.reason(), unknown);
            return Ok(());
        };
        let mut open: OpenDecision = decode(&saved)?;
        let before = open.clone();
        let is_possible = open.chosen.is_some() || outcome.data.kind == OutcomeKind::Conversion;
        let accepted = if is_possible {
            open.attribution
                .accept(&outcome.data, outcome.at, &self.settings.rewards)
        } else {
            Err(OutcomeError::HeldOut(id.clone()))
        };
        match accepted {
            Ok(accepted) => {
                self.meters.outcome(accepted.acceptance);
                if accepted.acceptance == Acceptance::TooLate {
                    tracing::warn!(
                        decision = %id,
                        key = %outcome.data.key,
                        "an outcome was restated after `optimize.rewards.restatement_window`: the correction is dropped"
                    );
                }
                self.settle_reservation(partition, &outcome, &mut open, out)?;
                settle_contacts(partition, &outcome, &open, out)?;
                if let Some(chosen) = &open.chosen {
                    let whose = (&outcome.tenant, &*open.campaign, &*chosen.arm.id);
                    let totals = (&before.attribution.totals(), &open.attribution.totals());
                    results::count_outcome(out, partition, whose, totals, outcome.at)?;
                }
                for change in &accepted.conversions {
                    self.count_conversion(partition, &outcome.tenant, &open.campaign, change, out)?;
                }
                let now = Utc::from_millis(clock);
                self.learn(
                    cache,
                    partition,
                    &outcome.tenant,
                    &open,
                    (accepted.update, now),
                    out,
                )?;
            }
            Err(error) => out.dead(record, error.reason(), error),
        }
        if open != before {
            self.save(partition, &outcome.tenant, id, open, out);
        }
        Ok(())
    }
}
