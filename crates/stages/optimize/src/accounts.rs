//! Accounts of open decisions in the stage's state: opened, entered into, attended to when they are due, taught from,
//! closed.

use bytes::Bytes;
use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId, Utc};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::pending::Pending;
use crate::policies::PolicyCache;
use crate::state::{counter, decode, due_key, encode, open_key, set_counter, split_due, split_open};
use limbic_bandit::guardrails::frequency_cap::Contacts;
use limbic_bandit::outcomes::{OutcomeError, Teaching};
use limbic_bandit::policy::Feedback;

impl OptimizeStage {
    pub(crate) fn open(
        &self,
        partition: u32,
        tenant: &TenantId,
        id: &str,
        mut pending: Pending,
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
        pending.due = pending.next_due(&self.settings.rewards);
        out.put(partition, due_key(pending.due, &open), Bytes::new());
        out.put(partition, open, encode(&pending));
        Ok(())
    }

    /// Writes a pending decision back, due when it next wants attention.
    fn keep(&self, partition: u32, tenant: &TenantId, id: &str, mut pending: Pending, out: &mut Outputs<'_>) {
        let due = pending.next_due(&self.settings.rewards);
        let open = open_key(tenant, id);
        out.remove(partition, due_key(pending.due, &open));
        out.put(partition, due_key(due, &open), Bytes::new());
        pending.due = due;
        out.put(partition, open, encode(&pending));
    }

    /// Does what is due before `now`: believes the silence of accounts whose window has passed, judges and compares those
    /// that have waited for it, closes those that have expired, forgets contacts that no cap looks back to.
    pub(crate) fn attend(
        &self,
        cache: &mut PolicyCache,
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
                self.attend_account(cache, partition, &target, now, out)?;
            }
        }
    }

    fn attend_account(
        &self,
        cache: &mut PolicyCache,
        partition: u32,
        target: &str,
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(saved) = out.get(partition, target.as_bytes())? else {
            return Ok(());
        };
        let mut pending: Pending = decode(&saved)?;
        let (tenant, id) = split_open(target)?;
        let rewards = &self.settings.rewards;
        let is_past = |due: Option<Utc>| due.is_some_and(|due| due < now);
        if is_past(pending.account.closes(rewards)) {
            let teaching = pending.account.close(rewards);
            self.teach(cache, partition, &tenant, &pending, teaching, out)?;
        }
        if is_past(pending.judged_at(rewards))
            && let Some(trial) = pending.trial.take()
        {
            let reward = pending.account.reward(rewards);
            self.policies(cache, partition, &tenant, &pending.campaign, out)?
                .judge(&tenant, &pending.campaign, &trial, reward);
        }
        if is_past(pending.compared_at(rewards))
            && let Some(beside) = pending.beside.take()
        {
            self.compare(partition, &tenant, &pending, &beside, out)?;
        }
        if pending.expires(rewards) < now {
            self.close(partition, target, out)?;
            let count = counter(partition, b"count", out)?;
            set_counter(partition, b"count", count - 1, out);
        } else {
            self.keep(partition, &tenant, id, pending, out);
        }
        Ok(())
    }

    /// Closes an account: nothing more will be learnt from it, and money still reserved for it is free again.
    fn close(&self, partition: u32, target: &str, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if let Some(saved) = out.get(partition, target.as_bytes())? {
            let pending: Pending = decode(&saved)?;
            let (tenant, _) = split_open(target)?;
            if let Some(reserved) = pending.reserved {
                self.with_pacer(partition, &tenant, &pending.campaign, out, |pacer, _| {
                    pacer.release(reserved);
                })?;
            }
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

    fn teach(
        &self,
        cache: &mut PolicyCache,
        partition: u32,
        tenant: &TenantId,
        pending: &Pending,
        teaching: Teaching,
        out: &Outputs<'_>,
    ) -> Result<(), StageError> {
        let Some(chosen) = &pending.chosen else {
            return Ok(());
        };
        let (reward, corrects) = match teaching {
            Teaching::Nothing => return Ok(()),
            Teaching::Reward(reward) => (reward, None),
            Teaching::Correction { before, now } => (now, Some(before)),
        };
        let policies = self.policies(cache, partition, tenant, &pending.campaign, out)?;
        let feedback = Feedback {
            context: &chosen.context,
            arm: &chosen.arm,
            reward,
            corrects,
            propensity: f64::from_bits(chosen.propensity),
        };
        policies.learn(&feedback).map_err(|error| {
            StageError::poison(
                "reward",
                format!("{error}: `rewards` and the campaign's policy do not fit"),
            )
        })
    }

    /// Enters an outcome into its decision's account.
    pub(crate) fn enter(
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
        let clock = counter(partition, b"clock", out)?;
        if outcome.at.as_millis() > clock {
            set_counter(partition, b"clock", outcome.at.as_millis(), out);
            let believed = outcome.at.plus_millis(-self.settings.disorder.as_millis());
            self.attend(cache, partition, believed, out)?;
        }
        let id = &outcome.data.decision;
        let Some(saved) = out.get(partition, open_key(&outcome.tenant, id).as_bytes())? else {
            let unknown = OutcomeError::UnknownDecision(id.clone());
            out.dead(record, unknown.reason(), unknown);
            return Ok(());
        };
        let mut pending: Pending = decode(&saved)?;
        let before = pending.clone();
        let is_possible = pending.chosen.is_some() || outcome.data.kind == OutcomeKind::Conversion;
        let accepted = if is_possible {
            pending
                .account
                .accept(&outcome.data, outcome.at, &self.settings.rewards)
        } else {
            Err(OutcomeError::HeldOut(id.clone()))
        };
        match accepted {
            Ok((_, teaching)) => {
                self.account_for(partition, &outcome, &mut pending, out)?;
                self.teach(cache, partition, &outcome.tenant, &pending, teaching, out)?;
            }
            Err(error) => {
                out.dead(record, error.reason(), error);
                return Ok(());
            }
        }
        if pending != before {
            self.keep(partition, &outcome.tenant, id, pending, out);
        }
        Ok(())
    }
}
