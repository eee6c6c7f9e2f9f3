//! The decision about the people who are held out. It reaches nobody, and their conversions are compared, per person,
//! with those of the people who were reached.
//!
//! Both decisions have the same moment and the same ad. A hash assigns each person to one of them, so the difference
//! of their rewards is the lift of the ad. Conversions are reported under either id. Outcomes that need an ad (an
//! impression, a click) are rejected under the id of the hold-out decision.

use std::collections::BTreeMap;

use limbic_domain::{
    CreativeSet, Decision, DecisionResult, Envelope, HeldOut, Lift, Pseudonym, TenantId, topics,
};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::open_decision::{HoldOutComparison, OpenDecision};
use crate::state::{decode, encode, open_key};
use limbic_bandit::guardrails::hold_out::LiftEstimate;
use limbic_bandit::outcomes::Attribution;

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
        let alpha = self.settings.holdout.alpha;
        let most = self.settings.rewards.most;
        let (low, high) = estimate.difference(alpha);
        let lift = Lift {
            compared: estimate.count(),
            reached: estimate.reached() * most,
            held_out: estimate.held_out() * most,
            adds_at_least: low * most,
            adds_at_most: high * most,
        };
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

    /// Compares the rewards of both groups, per person, after the conversion window has passed.
    pub(crate) fn compare(
        &self,
        partition: u32,
        tenant: &TenantId,
        open: &OpenDecision,
        comparison: &HoldOutComparison,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let held_out = out.get(partition, open_key(tenant, &comparison.hold_out).as_bytes())?;
        let Some(held_out) = held_out else {
            // Removed early, because too many decisions were open.
            return Ok(());
        };
        let held_out: OpenDecision = decode(&held_out)?;
        let rewards = &self.settings.rewards;
        let per_person = |attribution: &Attribution, people: u64| {
            attribution.conversions(rewards) / (people.max(1) as f64 * rewards.most)
        };
        let mut estimate = lift_estimate(partition, tenant, &open.campaign, out)?;
        estimate.observe(
            per_person(&open.attribution, comparison.reached),
            per_person(&held_out.attribution, comparison.held_out),
            self.settings.holdout.alpha,
        );
        out.put(partition, lift_key(tenant, &open.campaign), encode(&estimate));
        Ok(())
    }
}

fn lift_estimate(
    partition: u32,
    tenant: &TenantId,
    campaign: &str,
    out: &Outputs<'_>,
) -> Result<LiftEstimate, StageError> {
    let saved = out.get(partition, lift_key(tenant, campaign).as_bytes())?;
    saved.map_or_else(|| Ok(LiftEstimate::default()), |saved| decode(&saved))
}
