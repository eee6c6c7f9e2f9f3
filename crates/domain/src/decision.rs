//! The choice of a creative with its probability, or the reason why there is none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AudienceId, Creative, Micros, Probability, Pseudonym, Record, Removal, Slug, Transparency};

/// A policy with its exact settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PolicyVersion {
    /// For instance `bernoulli-ts`.
    pub name: String,
    /// Grows when the policy's computation changes.
    pub version: u32,
    /// Hash of its settings, 16 hexadecimal digits.
    pub hash: String,
}

/// An ad that could have been chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The creative's id.
    pub creative: String,
    /// The probability with which the policy chooses it. Those of all candidates add up to 1.
    pub propensity: Probability,
    /// The mean of this probability over several seeds, of which the decision's own is one. `None` if the policy's
    /// probabilities do not depend on the seed: then it is equal to `propensity`. Those of all candidates add up to 1.
    ///
    /// Both are exact. A weight of an off-policy estimate with this one varies less, because `propensity` also contains
    /// the chance of the few posterior draws of one seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marginal_propensity: Option<Probability>,
}

impl Candidate {
    /// The probability to weigh with: `marginal_propensity`, or `propensity` if there is none.
    pub fn evaluation_propensity(&self) -> Probability {
        self.marginal_propensity.unwrap_or(self.propensity)
    }
}

/// Why nothing was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The rule, for instance `audience_distress`, `no_person_left`, `no_eligible_candidate`.
    pub rule: String,
    /// One sentence for a person who asks.
    pub reason: String,
}

/// How a challenger takes part in the decisions of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChallengerMode {
    /// It decides nothing; its probabilities are recorded.
    Shadow,
    /// It makes a random share of the decisions.
    Live,
    /// It was worse with statistical certainty, and makes no further decision.
    RolledBack,
}

/// The role of a policy in a comparison of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyRole {
    /// The policy in force.
    Champion,
    /// The policy that may replace it.
    Challenger,
}

/// The comparison of champion and challenger at the time of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChampionChallenger {
    /// How the challenger takes part.
    pub mode: ChallengerMode,
    /// The role of the policy that made this decision.
    pub by: PolicyRole,
    /// The other policy.
    pub other: PolicyVersion,
    /// The probability with which the other policy would have made the same choice. `None` after a roll-back, when the
    /// challenger is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_propensity: Option<Probability>,
    /// How many decisions with a known outcome were compared so far.
    pub judged: u64,
    /// A lower bound of how much more reward the champion earns per decision. It holds at every time at once. Negative:
    /// the champion may be worse.
    pub champion_leads_by: f64,
    /// The same bound for the challenger.
    pub challenger_leads_by: f64,
    /// Whether the compared decisions are divided between the two policies in another ratio than they were drawn in.
    /// Then outcomes are joined wrongly, and the comparison is not valid.
    pub ratio_alarm: bool,
}

/// What ads add, measured on the people whom no ad reaches.
///
/// A person counts once, with the value of their conversions in a fixed time after their first contact, cut to
/// [`Lift::largest_value`]. The unit of values is that of rewards.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Lift {
    /// How many people were compared so far: those whose measured time is over. In records of earlier versions, how many
    /// decisions.
    pub compared: u64,
    /// Mean value of a person whom ads may reach.
    pub reached: f64,
    /// Mean value of a person held out.
    pub held_out: f64,
    /// The lower end of a confidence interval of what ads add per person. The interval holds at every time at once.
    pub adds_at_least: f64,
    /// Its upper end.
    pub adds_at_most: f64,
    /// The estimate of what ads add per person, adjusted for earlier behaviour.
    #[serde(default)]
    pub adds: f64,
    /// How many of the compared people are held out.
    #[serde(default)]
    pub compared_held_out: u64,
    /// The value to which larger ones are cut. 0 in records of earlier versions.
    #[serde(default)]
    pub largest_value: f64,
    /// How many people had a larger one.
    #[serde(default)]
    pub cut: u64,
    /// The share of the variance that earlier behaviour explains, in `[0, 1]`.
    #[serde(default)]
    pub explained: f64,
}

/// One answer to a moment for one campaign.
///
/// The envelope's `id` is `CAMPAIGN.HASH`, so that an outcome, which names a decision, reaches the campaign's partition
/// without a look-up. The envelope's `at` is the moment's.
///
/// As JSON, the key in `result` says what happened: `"result": {"chosen": {…}}`, `{"suppressed": {…}}` or
/// `{"held_out": {…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The moment's id.
    pub moment: String,
    /// The campaign.
    pub campaign: Slug,
    /// The audience whose mood changed.
    pub audience: AudienceId,
    /// The features that the policy saw (name → value), for evaluation and explanation. Empty if no policy was asked.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub context: std::collections::BTreeMap<String, f64>,
    /// What the safety gate or a guardrail removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
    /// What happened.
    pub result: DecisionResult,
}

/// What a decision decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every decision is a chosen one, and none is kept in memory for long"
)]
pub enum DecisionResult {
    /// A policy chose an ad.
    Chosen(Chosen),
    /// No ad runs.
    Suppressed(Suppressed),
    /// No ad reaches these people, so that what ads add can be measured.
    HeldOut(HeldOut),
}

/// An ad, the people it may reach, and the probabilities of the choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chosen {
    /// Everything that could have been chosen, with its probability.
    pub candidates: Vec<Candidate>,
    /// The ad as a whole: delivery needs no other record.
    pub creative: Creative,
    /// The probability with which it was chosen, above 0.
    pub propensity: Probability,
    /// Its place in [`Chosen::candidates`].
    pub position: usize,
    /// The most that its delivery may cost.
    pub price: Micros,
    /// The people it may reach, at least one.
    pub people: Vec<Pseudonym>,
    /// The policy that chose.
    pub policy: PolicyVersion,
    /// The seed of the draw, a function of the decision's id and the policy's seed.
    pub seed: u64,
    /// Who is behind the ad and why it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency: Option<Transparency>,
    /// If two policies compete: the state of the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion_challenger: Option<ChampionChallenger>,
}

/// Who suppressed a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuppressedBy {
    /// The safety gate, with the version of its rules.
    SafetyGate(String),
    /// The guardrails or the policy of the campaign.
    Policy(PolicyVersion),
}

/// Why no ad runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppressed {
    /// The rule, for instance `audience_distress`, `no_person_left`, `no_eligible_candidate`.
    pub rule: String,
    /// One sentence for a person who asks.
    pub reason: String,
    /// Who applied the rule.
    pub by: SuppressedBy,
}

impl Suppressed {
    /// The suppression that `by` made.
    pub fn new(suppression: Suppression, by: SuppressedBy) -> Self {
        Self {
            rule: suppression.rule,
            reason: suppression.reason,
            by,
        }
    }
}

/// The people whom a chosen ad does not reach, for comparison. Outcomes of this decision are what they do without an ad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldOut {
    /// The id of the decision about the people who are reached.
    pub beside: String,
    /// The people held out, at least one.
    pub people: Vec<Pseudonym>,
    /// What ads add, as far as it is known.
    pub lift: Lift,
}

impl Decision {
    /// The choice, if an ad was chosen.
    pub const fn chosen(&self) -> Option<&Chosen> {
        match &self.result {
            DecisionResult::Chosen(chosen) => Some(chosen),
            DecisionResult::Suppressed(_) | DecisionResult::HeldOut(_) => None,
        }
    }

    /// The suppression, if no ad runs.
    pub const fn suppressed(&self) -> Option<&Suppressed> {
        match &self.result {
            DecisionResult::Suppressed(suppressed) => Some(suppressed),
            DecisionResult::Chosen(_) | DecisionResult::HeldOut(_) => None,
        }
    }

    /// The people held out, if this decision is about them.
    pub const fn held_out(&self) -> Option<&HeldOut> {
        match &self.result {
            DecisionResult::HeldOut(held_out) => Some(held_out),
            DecisionResult::Chosen(_) | DecisionResult::Suppressed(_) => None,
        }
    }

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

    /// The campaign that a decision's id names; `None` if the text is not the id of a decision.
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
