//! From a cleared set of creatives to a decision.

use limbic_domain::{
    Candidate, Chosen, Creative, CreativeSet, Decision, DecisionResult, Envelope, Removal, Suppressed,
    SuppressedBy, topics,
};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::features::{context_of, offers_of};
use crate::guardrails::Reach;
use crate::pending::{Beside, ChosenArm, Pending};
use crate::policies::{Decided, PolicyCache, probability};
use crate::state::open_key;
use limbic_bandit::decide::{Answer, DecisionDraft};
use limbic_bandit::outcomes::Account;

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
        let open = open_key(&set.tenant, &id);
        if out.get(partition, open.as_bytes())?.is_some() {
            return Ok(());
        }
        let (context, described) = context_of(&set.data, set.at);
        let Reach {
            people,
            held_out,
            mut removals,
            nobody,
        } = self.reachable(partition, &set, out)?;
        let offers = offers_of(&set.data);
        let policies = self.policies(cache, partition, &set.tenant, set.data.campaign.as_str(), out)?;
        let Decided {
            mut answer,
            policy,
            seed,
            contest,
            trial,
        } = match nobody {
            Some(rule) => policies.refuse(&id, rule),
            None => policies.decide(&id, set.at, &context, &offers),
        };
        let mut reserved = None;
        if let Answer::Chosen(draft) = &answer {
            let price = offers[draft.eligible[draft.choice]].price;
            match self.reserve(partition, &set, &id, price, out)? {
                Ok(price) => reserved = price,
                Err(rule) => answer = Answer::NoAd(rule),
            }
        }
        let result = match answer {
            Answer::NoAd(rule) => {
                let by = SuppressedBy::Policy(policy);
                DecisionResult::Suppressed(Suppressed::new(rule.suppression(), by))
            }
            Answer::Chosen(draft) => {
                let position = draft.eligible[draft.choice];
                let offer = &offers[position];
                note_ruled_out(&mut removals, &set.data.creatives, &draft);
                let mut pending = Pending::of(set.data.campaign.as_str(), Account::open(set.at));
                pending.chosen = Some(ChosenArm {
                    arm: offer.arm.clone(),
                    context,
                    propensity: draft.propensity.to_bits(),
                });
                pending.trial = trial;
                pending.reserved = reserved;
                pending.beside = Beside::of(&set, &people, &held_out);
                self.open(partition, &set.tenant, &id, pending, out)?;
                self.note_contacts(partition, &set, &people, out)?;
                DecisionResult::Chosen(Chosen {
                    candidates: candidates_of(&set.data.creatives, &draft),
                    creative: set.data.creatives[position].clone(),
                    propensity: probability(draft.propensity),
                    position: draft.choice,
                    price: offer.price,
                    people,
                    policy,
                    seed,
                    champion_challenger: contest,
                })
            }
        };
        let is_chosen = matches!(result, DecisionResult::Chosen(_));
        let decision = Decision {
            moment: set.data.moment.clone(),
            campaign: set.data.campaign.clone(),
            audience: set.data.audience.clone(),
            context: described,
            removals,
            result,
        };
        let key = format!("{}/{}", set.tenant, decision.campaign);
        let envelope = Envelope::new(set.tenant.clone(), id.clone(), set.at, decision);
        out.emit(&record.cause(), topics::DECISIONS, &key, &envelope);
        if is_chosen && !held_out.is_empty() {
            self.decide_for_held_out(record, &set, &id, held_out, out)?;
        }
        Ok(())
    }
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

fn note_ruled_out(removals: &mut Vec<Removal>, creatives: &[Creative], draft: &DecisionDraft) {
    for &(position, rule) in &draft.ruled_out {
        let removed = format!("creative/{}", creatives[position].id);
        Removal::note(removals, rule.name(), rule.reason(), removed);
    }
}
