//! From a cleared set of creatives to a decision.

use limbic_domain::{Candidate, Choice, Creative, CreativeSet, Decision, Envelope, Removal, topics};
use limbic_stream::{Outputs, Record, StageError};

use crate::OptimizeStage;
use crate::features::{context_of, offers_of};
use crate::guardrails::Reach;
use crate::pending::{Beside, Chosen, Pending};
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
        if set.data.cleared_by.is_none() {
            out.dead(
                record,
                "not_cleared",
                "no safety gate has cleared these creatives",
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
        let (mut candidates, mut choice, mut suppression) = (Vec::new(), None, None);
        match answer {
            Answer::NoAd(rule) => suppression = Some(rule.suppression()),
            Answer::Chosen(draft) => {
                let position = draft.eligible[draft.choice];
                candidates = candidates_of(&set.data.creatives, &draft);
                removals.extend(ruled_out(&set.data.creatives, &draft));
                choice = Some(Choice {
                    creative: set.data.creatives[position].clone(),
                    propensity: probability(draft.propensity),
                    position: draft.choice,
                    price: offers[position].price,
                });
                let chosen = Chosen {
                    arm: offers[position].arm.clone(),
                    context,
                    propensity: draft.propensity.to_bits(),
                };
                let mut pending = Pending::of(set.data.campaign.as_str(), Account::open(set.at));
                pending.chosen = Some(chosen);
                pending.trial = trial;
                pending.reserved = reserved;
                pending.beside = Beside::of(&set, &people, &held_out);
                self.open(partition, &set.tenant, &id, pending, out)?;
                self.note_contacts(partition, &set, &people, out)?;
            }
        }
        let is_chosen = choice.is_some();
        let decision = Decision {
            moment: set.data.moment.clone(),
            campaign: set.data.campaign.clone(),
            audience: set.data.audience.clone(),
            people,
            policy: Some(policy),
            candidates,
            // A contest is of choices: where nothing was chosen there is nothing to compare.
            champion_challenger: contest.filter(|_| is_chosen),
            choice,
            suppression,
            removals,
            seed,
            context: described,
            hold_out: None,
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

fn ruled_out<'a>(creatives: &'a [Creative], draft: &'a DecisionDraft) -> impl Iterator<Item = Removal> + 'a {
    draft.ruled_out.iter().map(|&(position, rule)| Removal {
        rule: rule.name().to_owned(),
        removed: format!("creative/{}", creatives[position].id),
        reason: rule.reason().to_owned(),
    })
}
