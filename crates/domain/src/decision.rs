//! Which creative, with what probability; or none, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AudienceId, Creative, Micros, Probability, Pseudonym, Record, Removal, Slug};

/// Which policy chose, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PolicyVersion {
    /// Its name, for instance `bernoulli-ts`.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Hash of its settings, 16 hexadecimal digits.
    pub hash: String,
}

/// One of the things that could have been chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The creative's id.
    pub creative: String,
    /// The probability with which the policy would choose it now. All candidates' add up to 1.
    pub propensity: Probability,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// The creative, whole: delivery needs no other record.
    pub creative: Creative,
    /// The probability it was chosen with.
    pub propensity: Probability,
    /// Its place in [`Decision::candidates`].
    pub position: usize,
    /// What it may cost.
    pub price: Micros,
}

/// Why nothing was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suppression {
    /// The rule that stopped it, for instance `audience_distress`, `no_person_left`, `no_eligible_candidate`.
    pub rule: String,
    /// One sentence for a person who asks.
    pub reason: String,
}

/// How a challenger takes part in the decisions of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChallengerMode {
    /// It watches.
    Shadow,
    /// It decides a share, by lot.
    Live,
    /// It was surely worse and decides nothing any more.
    RolledBack,
}

/// One of two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The one that is in force.
    Champion,
    /// The one that would like to be.
    Challenger,
}

/// The state of a contest of two policies when a decision was made, and what it had to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChampionChallenger {
    /// How the challenger takes part.
    pub mode: ChallengerMode,
    /// Who decided.
    pub by: Side,
    /// The one who did not.
    pub other: PolicyVersion,
    /// With what probability that one would have chosen the same. `None` after a roll-back: it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_propensity: Option<Probability>,
    /// Decisions judged so far: those whose outcome was known.
    pub judged: u64,
    /// How much more reward a decision the champion earns, for sure (negative: not surely more), at whatever moment one
    /// looks.
    pub champion_leads_by: f64,
    /// The same of the challenger.
    pub challenger_leads_by: f64,
    /// Whether the judged decisions are divided between the two otherwise than they were drawn: then something is wrong
    /// with how outcomes are joined, and the contest is not to be believed.
    pub ratio_alarm: bool,
}

/// What those whom no ad may reach did without one, beside what the others did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldOut {
    /// The decision about everyone else.
    pub beside: String,
    /// Decisions compared so far: those whose conversion window has passed.
    pub compared: u64,
    /// What conversions brought per person reached, on average over those decisions.
    pub reached: f64,
    /// What they brought per person held out.
    pub held_out: f64,
    /// What ads add per person, at least: the lower end of an interval that holds at whatever moment one looks.
    pub adds_at_least: f64,
    /// The upper end.
    pub adds_at_most: f64,
}

/// A decision. Its envelope's `id` is `CAMPAIGN.HASH`: an outcome that names it can be routed to its campaign
/// without a look-up. Its envelope's `at` is the moment's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The moment it answers.
    pub moment: String,
    /// The campaign.
    pub campaign: Slug,
    /// Whom it is for.
    pub audience: AudienceId,
    /// The people it may reach, after the safety gate.
    pub people: Vec<Pseudonym>,
    /// Who chose. `None` for a suppression made by the safety gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyVersion>,
    /// Everything that could have been chosen, with its probability.
    pub candidates: Vec<Candidate>,
    /// What was chosen; `None` with a [`Decision::suppression`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// Why nothing was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppression: Option<Suppression>,
    /// What was taken out, by the safety gate or by the engine's own rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
    /// The seed of the draw, a function of the decision's id and the policy's seed.
    pub seed: u64,
    /// The features the policy saw (name → value), for evaluation and explanation.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub context: std::collections::BTreeMap<String, f64>,
    /// Where two policies compete: how far they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion_challenger: Option<ChampionChallenger>,
    /// In the decision about those who are held out: what is known of what ads add. Its outcomes are what these people
    /// did anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<HoldOut>,
}

impl Decision {
    /// The id of the decision about `campaign` for `moment`.
    pub fn id_of(campaign: &Slug, moment: &str) -> String {
        format!(
            "{campaign}.{}",
            crate::event_id("decision", &[campaign.as_str(), moment])
        )
    }

    /// The id of the decision about those who are held out of the one about `campaign` for `moment`.
    pub fn hold_out_id_of(campaign: &Slug, moment: &str) -> String {
        format!(
            "{campaign}.{}",
            crate::event_id("hold_out", &[campaign.as_str(), moment])
        )
    }

    /// The campaign that a decision's id names, if it is of the right form.
    pub fn campaign_of(id: &str) -> Option<Slug> {
        let (campaign, hash) = id.rsplit_once('.')?;
        let is_hash = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash { Slug::new(campaign).ok() } else { None }
    }
}

impl Record for Decision {
    const TYPE: &'static str = "decision";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decisions_id_names_its_campaign() {
        let campaign = Slug::new("acme.spring").unwrap();
        assert_eq!(
            Decision::campaign_of(&Decision::id_of(&campaign, "m")),
            Some(campaign)
        );
        for wrong in ["", "acme", "acme.short", ".0123456789abcdef0123456789abcdef"] {
            assert_eq!(Decision::campaign_of(wrong), None, "{wrong}");
        }
    }
}
