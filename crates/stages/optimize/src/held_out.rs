//! The decision about those who are held out: nobody is reached, and what they do anyway is compared with what the others
//! do, person for person.
//!
//! Both decisions are about the same moment and the same ad, and who is in which is fixed by a hash, so the difference
//! of what their people bring is what the ad added. Conversions are reported under either id; what only an ad can
//! have (an impression, a click) is refused under the id of those who are held out.

use std::collections::BTreeMap;

use limbic_domain::{
    CreativeSet, Decision, DecisionResult, Envelope, HeldOut, Lift, Pseudonym, TenantId, topics,
};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::pending::{Beside, Pending};
use crate::state::{decode, encode, open_key};
use limbic_bandit::guardrails::hold_out::Added;
use limbic_bandit::outcomes::Account;

fn added_key(tenant: &TenantId, campaign: &str) -> String {
    format!("added/{tenant}/{campaign}")
}

impl OptimizeStage {
    /// Writes the decision about those who are held out of the decision `id`, and opens its account.
    pub(crate) fn decide_for_held_out(
        &self,
        record: &Record,
        set: &Envelope<CreativeSet>,
        id: &str,
        held_out: Vec<Pseudonym>,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let campaign = set.data.campaign.as_str();
        let added = added(record.partition, &set.tenant, campaign, out)?;
        let alpha = self.settings.holdout.alpha;
        let most = self.settings.rewards.most;
        let (low, high) = added.difference(alpha);
        let lift = Lift {
            compared: added.count(),
            reached: added.reached() * most,
            held_out: added.held_out() * most,
            adds_at_least: low * most,
            adds_at_most: high * most,
        };
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
        let pending = Pending::of(campaign, Account::open(set.at));
        self.open(record.partition, &set.tenant, &own, pending, out)?;
        let key = format!("{}/{campaign}", set.tenant);
        let envelope = Envelope::new(set.tenant.clone(), own, set.at, decision);
        out.emit(&record.cause(), topics::DECISIONS, &key, &envelope);
        Ok(())
    }

    /// The conversion window of both groups has passed: what did each bring, per person?
    pub(crate) fn compare(
        &self,
        partition: u32,
        tenant: &TenantId,
        pending: &Pending,
        beside: &Beside,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let held_out = out.get(partition, open_key(tenant, &beside.hold_out).as_bytes())?;
        let Some(held_out) = held_out else {
            // Closed before its time, because too many decisions were open.
            return Ok(());
        };
        let held_out: Pending = decode(&held_out)?;
        let rewards = &self.settings.rewards;
        let per_person = |account: &Account, people: u64| {
            account.conversions(rewards) / (people.max(1) as f64 * rewards.most)
        };
        let mut added = added(partition, tenant, &pending.campaign, out)?;
        added.observe(
            per_person(&pending.account, beside.reached),
            per_person(&held_out.account, beside.held_out),
            self.settings.holdout.alpha,
        );
        out.put(partition, added_key(tenant, &pending.campaign), encode(&added));
        Ok(())
    }
}

fn added(partition: u32, tenant: &TenantId, campaign: &str, out: &Outputs<'_>) -> Result<Added, StageError> {
    let saved = out.get(partition, added_key(tenant, campaign).as_bytes())?;
    saved.map_or_else(|| Ok(Added::default()), |saved| decode(&saved))
}
