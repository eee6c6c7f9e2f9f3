//! Makes a decision from a cleared set of creatives.

use limbic_domain::{
    Candidate, Chosen, Creative, CreativeSet, Decision, DecisionResult, Envelope, Removal, Suppressed,
    SuppressedBy, topics,
};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::features::{context_of, offers_of};
use crate::guardrails::ReachablePeople;
use crate::open_decision::{ChosenArm, OpenDecision};
use crate::policies::{PolicyCache, PolicyDecision, probability};
use crate::results;
use crate::state::open_key;
use limbic_bandit::decide::{DecisionDraft, ExclusionRule, Selection};
use limbic_bandit::guardrails::lift::Group;
use limbic_bandit::outcomes::Attribution;

impl OptimizeStage {
    pub(crate) fn decide(
        &self,
        cache: &mut PolicyCache,
        record: &Record,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let set = match Envelope::<CreativeSet>::decode(&record.value) {
            Ok(set) => set,
            Err(error) => {
                out.dead(record, "malformed", error);
                return Ok(());
            }
        };
        if set.data.cleared_by.is_empty() {
            out.dead(
                record,
                "not_cleared",
                "`cleared_by` is empty: the safety gate did not clear these creatives",
            );
            return Ok(());
        }
        let partition = record.partition;
        let id = Decision::id_of(&set.data.campaign, &set.data.moment);
        let key = open_key(&set.tenant, &id);
        if out.get(partition, key.as_bytes())?.is_some() {
            return Ok(());
        }
        let (context, named_features) = context_of(&set.data, set.at);
        let ReachablePeople {
            people,
            held_out,
            mut removals,
            suppressed_by,
        } = self.reachable(partition, &set, out)?;
        let offers = offers_of(&set.data);
        let policies = self.policies(cache, partition, &set.tenant, set.data.campaign.as_str(), out)?;
        let PolicyDecision {
            mut selection,
            policy,
            seed,
            test,
            observation,
        } = match suppressed_by {
            Some(rule) => policies.suppress(&id, rule),
            None => policies.decide(&id, set.at, &context, &offers),
        };
        // If only held-out people are left, they have a contact whenever people who may be reached would have one. Otherwise
        // the two groups would not be comparable.
        let mut is_ghost = false;
        if suppressed_by == Some(ExclusionRule::HoldOut)
            && let Selection::Chosen(draft) = policies.decide(&id, set.at, &context, &offers).selection
        {
            let price = offers[draft.eligible[draft.choice]].price;
            is_ghost = self.can_reserve(partition, &set, &id, price, out)?;
            if is_ghost {
                let contacted: Vec<_> = held_out.iter().collect();
                self.record_contacts(partition, &set, (&id, contacted), out)?;
            }
        }
        let mut reserved = None;
        if let Selection::Chosen(draft) = &selection {
            let price = offers[draft.eligible[draft.choice]].price;
            match self.reserve(partition, &set, &id, price, out)? {
                Ok(price) => reserved = price,
                Err(rule) => selection = Selection::Suppressed(rule),
            }
        }
        let result = match selection {
            Selection::Suppressed(rule) => {
                let by = SuppressedBy::Policy(policy);
                DecisionResult::Suppressed(Suppressed::new(rule.suppression(), by))
            }
            Selection::Chosen(draft) => {
                let position = draft.eligible[draft.choice];
                let offer = &offers[position];
                record_excluded(&mut removals, &set.data.creatives, &draft);
                results::count_decision(out, partition, &set, &draft)?;
                let mut open = OpenDecision::of(
                    set.data.campaign.as_str(),
                    Attribution::open(set.at, people.len() as u64),
                );
                open.chosen = Some(ChosenArm {
                    arm: offer.arm.clone(),
                    context,
                    propensity: draft.propensity.to_bits(),
                });
                open.observation = observation;
                open.reserved = reserved;
                self.open(partition, &set.tenant, &id, open, out)?;
                let contacted: Vec<_> = people.iter().chain(&held_out).collect();
                self.record_contacts(partition, &set, (&id, contacted), out)?;
                self.measure_people(partition, &set, (Group::Reachable, &people), out)?;
                DecisionResult::Chosen(Chosen {
                    candidates: candidates_of(&set.data.creatives, &draft),
                    creative: set.data.creatives[position].clone(),
                    propensity: probability(draft.propensity),
                    position: draft.choice,
                    price: offer.price,
                    people,
                    policy,
                    seed,
                    transparency: set.data.transparency.clone(),
                    champion_challenger: test,
                })
            }
        };
        let is_compared = matches!(result, DecisionResult::Chosen(_)) || is_ghost;
        let decision = Decision {
            moment: set.data.moment.clone(),
            campaign: set.data.campaign.clone(),
            audience: set.data.audience.clone(),
            context: named_features,
            removals,
            result,
        };
        let key = format!("{}/{}", set.tenant, decision.campaign);
        let envelope = Envelope::new(set.tenant.clone(), id.clone(), set.at, decision);
        out.emit(&record.cause(), topics::DECISIONS, &key, &envelope);
        if is_compared && !held_out.is_empty() {
            self.measure_people(partition, &set, (Group::HeldOut, &held_out), out)?;
            self.decide_for_held_out(record, &set, &id, held_out, out)?;
        }
        Ok(())
    }
}

fn candidates_of(creatives: &[Creative], draft: &DecisionDraft) -> Vec<Candidate> {
    let pairs = draft.eligible.iter().zip(&draft.probabilities).enumerate();
    pairs
        .map(|(place, (&position, &propensity))| Candidate {
            creative: creatives[position].id.clone(),
            propensity: probability(propensity),
            marginal_propensity: draft
                .marginal
                .as_ref()
                .map(|marginal| probability(marginal[place])),
        })
        .collect()
}

fn record_excluded(removals: &mut Vec<Removal>, creatives: &[Creative], draft: &DecisionDraft) {
    for &(position, rule) in &draft.excluded {
        let removed = format!("creative/{}", creatives[position].id);
        Removal::note(removals, rule.name(), rule.reason(), removed);
    }
}
