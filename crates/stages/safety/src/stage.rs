//! The safety stage: it puts every draft through the gate.

use std::collections::BTreeMap;

use limbic_domain::{
    CampaignDraft, Decision, DecisionResult, DecodeError, Draft, Envelope, Hold, Removal, Slug, Suppressed,
    SuppressedBy, Withdrawal, event_id, topics,
};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Reference, Stage, StageError, StageSpec};

use crate::{Holds, Rules, Verdict, gate, review};

/// The stage's name, and that of its consumer group.
pub const STAGE: &str = "safety";

/// Reads `drafts`; writes what is cleared to `creatives`, a decision with the reason for what is suppressed, and to `reviews` the ads
/// that wait for a person. It keeps no state.
#[derive(Debug, Clone)]
pub struct SafetyStage {
    rules: Rules,
}

impl SafetyStage {
    /// A stage that applies `rules`.
    pub const fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// Its topics.
    pub fn spec() -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::DRAFTS, EventTime::Ignored)
            .broadcasts(topics::HOLDS)
            .broadcasts_within(topics::WITHDRAWALS, Withdrawal::TABLE)
            .broadcasts_within(topics::REVIEWS, review::TABLE)
            .writes(topics::CREATIVES, Forward::Nothing)
            .writes(topics::DECISIONS, Forward::Nothing)
            .writes(topics::REVIEWS, Forward::Nothing)
    }

    fn judge(
        &self,
        record: &Record,
        draft: &Envelope<Draft>,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let cause = record.cause();
        let tables = (out.reference(topics::HOLDS)?, out.reference(topics::WITHDRAWALS)?);
        let holds = match holds(draft, tables) {
            Ok(holds) => holds,
            Err(error) => {
                // Without an answer no ad runs. The dead letter can be replayed.
                out.dead(record, "hold_unreadable", error);
                return Ok(());
            }
        };
        let verdicts = gate(&draft.data, draft.at, &holds, &self.rules);
        for (of_campaign, verdict) in draft.data.campaigns.iter().zip(verdicts) {
            let CampaignDraft { campaign, .. } = of_campaign;
            review::request(&cause, draft, of_campaign, removals_of(&verdict), out)?;
            let key = format!("{}/{campaign}", draft.tenant);
            let moment = &draft.data.moment;
            match verdict {
                Verdict::Cleared(set) => {
                    let id = event_id("cleared", &[moment, campaign.as_str()]);
                    let cleared = Envelope::new(draft.tenant.clone(), id, draft.at, *set);
                    out.emit(&cause, topics::CREATIVES, &key, &cleared);
                }
                Verdict::Suppressed {
                    suppression,
                    removals,
                } => {
                    tracing::debug!(moment, %campaign, rule = suppression.rule, "suppressed");
                    let by = SuppressedBy::SafetyGate(self.rules.version().to_owned());
                    let decision = Decision {
                        moment: moment.clone(),
                        campaign: campaign.clone(),
                        audience: draft.data.audience.clone(),
                        context: BTreeMap::new(),
                        removals,
                        result: DecisionResult::Suppressed(Suppressed::new(suppression, by)),
                    };
                    let id = Decision::id_of(campaign, moment);
                    let decided = Envelope::new(draft.tenant.clone(), id, draft.at, decision);
                    out.emit(&cause, topics::DECISIONS, &key, &decided);
                }
            }
        }
        Ok(())
    }
}

/// What was removed from the campaign.
fn removals_of(verdict: &Verdict) -> &[Removal] {
    match verdict {
        Verdict::Cleared(set) => &set.removals,
        Verdict::Suppressed { removals, .. } => removals,
    }
}

/// The holds on the audience's subject and on the campaigns' brands, and the people of the moment who took something back.
fn holds(
    draft: &Envelope<Draft>,
    (table, withdrawals): (Reference<'_>, Reference<'_>),
) -> Result<Holds, DecodeError> {
    let brands = draft.data.campaigns.iter().flat_map(|campaign| &campaign.brands);
    let subjects = std::iter::once(draft.data.audience.subject()).chain(brands.map(Slug::as_str));
    let mut holds = Holds::new();
    for subject in subjects {
        if let Some(hold) = table.get::<Hold>(&Hold::key(&draft.tenant, subject))? {
            holds.insert(subject.to_owned(), hold.data);
        }
    }
    for recipient in &draft.data.people {
        let key = Withdrawal::key(&draft.tenant, &recipient.person);
        if withdrawals.get::<Withdrawal>(&key)?.is_some() {
            holds.withdraw(recipient.person.clone());
        }
    }
    Ok(holds)
}

impl Stage for SafetyStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            match Envelope::<Draft>::decode(&record.value) {
                Ok(draft) => self.judge(record, &draft, out)?,
                Err(error) => out.dead(record, "malformed", error),
            }
        }
        Ok(())
    }
}
