//! The safety stage: every draft passes the gate, and what does not is a decision that says why.

use limbic_domain::{CreativeSet, Decision, Envelope, Removal, Suppression, event_id, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};

use crate::{Rules, Verdict, gate};

/// The stage's name.
pub const STAGE: &str = "safety";

/// Reads `drafts`; writes what is cleared to `creatives` and what is held to `decisions`. Stateless.
#[derive(Debug, Clone)]
pub struct SafetyStage {
    rules: Rules,
}

impl SafetyStage {
    /// A stage with these rules.
    pub const fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// What the runtime must know of it.
    pub fn spec() -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::DRAFTS, EventTime::Ignored)
            .writes(topics::CREATIVES, Forward::Nothing)
            .writes(topics::DECISIONS, Forward::Nothing)
    }

    fn judge(&self, record: &Record, draft: Envelope<CreativeSet>, out: &mut Outputs<'_>) {
        let cause = record.cause();
        let key = format!("{}/{}", draft.tenant, draft.data.campaign);
        match gate(&draft.data, &self.rules) {
            Verdict::Cleared(set) => {
                let id = event_id("cleared", &[&set.moment, set.campaign.as_str()]);
                let cleared = Envelope::new(draft.tenant, id, draft.at, *set);
                out.emit(&cause, topics::CREATIVES, &key, &cleared);
            }
            Verdict::Suppressed {
                suppression,
                removals,
            } => {
                tracing::debug!(
                    moment = draft.data.moment,
                    campaign = %draft.data.campaign,
                    rule = suppression.rule,
                    "held back"
                );
                let id = Decision::id_of(&draft.data.campaign, &draft.data.moment);
                let decision = held(draft.data, suppression, removals);
                let decided = Envelope::new(draft.tenant, id, draft.at, decision);
                out.emit(&cause, topics::DECISIONS, &key, &decided);
            }
        }
    }
}

/// The decision not to show anything.
fn held(draft: CreativeSet, suppression: Suppression, removals: Vec<Removal>) -> Decision {
    Decision {
        moment: draft.moment,
        campaign: draft.campaign,
        audience: draft.audience,
        people: Vec::new(),
        policy: None,
        candidates: Vec::new(),
        choice: None,
        suppression: Some(suppression),
        removals,
        seed: 0,
        context: std::collections::BTreeMap::new(),
        champion_challenger: None,
        hold_out: None,
    }
}

impl Stage for SafetyStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            match Envelope::<CreativeSet>::decode(&record.value) {
                Ok(draft) => self.judge(record, draft, out),
                Err(error) => out.dead(record, "malformed", error),
            }
        }
        Ok(())
    }
}
