//! Accounts of open decisions in the stage's state: opened, attended to when they are due, taught from, closed.

use bytes::Bytes;
use limbic_domain::{TenantId, Utc};
use limbic_stream::{Outputs, StageError};

use super::state::{counter, decode, due_key, encode, open_key, set_counter, split_due, split_open};
use super::{Desk, OptimizeStage, Pending};
use crate::brakes::frequency::Contacts;
use crate::outcomes::Teaching;
use crate::policy::Lesson;

impl OptimizeStage {
    pub(super) fn open(
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

    /// Writes a pending decision back, due when it next wants attention.
    pub(super) fn keep(
        &self,
        partition: u32,
        tenant: &TenantId,
        id: &str,
        mut pending: Pending,
        out: &mut Outputs<'_>,
    ) {
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
    pub(super) fn attend(
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

    pub(super) fn attend_account(
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
    pub(super) fn close(
        &self,
        partition: u32,
        target: &str,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
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

    pub(super) fn forget(
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

    pub(super) fn teach(
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
