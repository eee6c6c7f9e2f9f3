//! The decision engine: chooses one of the eligible offers with an exact probability, or states why it chose none.

use limbic_domain::{Micros, PolicyVersion, Suppression, Utc, UtcOffset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guardrails::champion_challenger::Challenger;
use crate::policy::{AnyPolicy, Feedback, Policy, PolicyConfig, PolicyError, within};
use crate::random::{self, Random};
use crate::{Arm, Features};

/// Settings of a [`DecisionEngine`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// The policy that gives each arm its probability.
    pub policy: PolicyConfig,
    /// Every draw is a function of this seed and the decision's id.
    pub seed: u64,
    /// Smallest probability of a candidate, in `[0, 1]`. With so many candidates that it cannot hold, each gets an
    /// equal share instead. Its inverse bounds the weights of an off-policy estimate.
    pub minimum_propensity: f64,
    /// Largest total probability of all candidates except the most likely one, in `[0, 1]`. `minimum_propensity` is
    /// applied afterwards and can exceed it.
    pub exploration_budget: f64,
    /// Number of seeds over which the probabilities of a policy with seeded draws are averaged for evaluation, 1 to
    /// 1024. A decision takes so many times the time of one draw. With 1, nothing is averaged. Policies without seeded draws ignore it.
    pub marginal_seeds: usize,
    /// Largest importance weight in the engine's own estimates, in `[1, 1000000]`. The champion/challenger test uses
    /// it.
    pub maximum_weight: f64,
    /// An offer with a lower price is not eligible.
    pub floor_price: Micros,
    /// Hours at which ads may run. Empty: at all hours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dayparts: Vec<Daypart>,
    /// A policy that is tested against `policy`. The optimize stage runs both; [`DecisionEngine`] ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Challenger>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            policy: PolicyConfig::default(),
            seed: 0,
            minimum_propensity: 0.01,
            exploration_budget: 1.0,
            marginal_seeds: 64,
            maximum_weight: 20.0,
            floor_price: Micros(0),
            dayparts: Vec::new(),
            challenger: None,
        }
    }
}

/// A range of hours on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Daypart {
    /// Days, from 0 (Monday) to 6 (Sunday). Empty: every day.
    #[serde(default)]
    pub days: Vec<u8>,
    /// First hour, 0 to 23.
    pub from: u8,
    /// Hour before which the range ends, 1 to 24. If it is not after `from`, the range runs past midnight.
    pub until: u8,
    /// Offset of the audience's clock from UTC. Default `Z`.
    #[serde(default)]
    pub utc_offset: UtcOffset,
}

impl Daypart {
    /// Whether `at` is in the range.
    pub fn contains(&self, at: Utc) -> bool {
        let minutes = at.as_millis().div_euclid(60_000) + self.utc_offset.as_minutes();
        let hour = minutes.div_euclid(60).rem_euclid(24);
        let (from, until) = (i64::from(self.from), i64::from(self.until));
        let past_midnight = until <= from;
        if !past_midnight {
            return hour >= from && hour < until && self.has_day(minutes);
        }
        // After midnight, the range belongs to the day on which it began.
        (hour >= from && self.has_day(minutes)) || (hour < until && self.has_day(minutes - 1440))
    }

    fn has_day(&self, minutes: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let day = (minutes.div_euclid(1440) + 3).rem_euclid(7);
        self.days.is_empty() || self.days.iter().any(|&known| i64::from(known) == day)
    }
}

/// An arm that can be chosen, and its price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The arm.
    pub arm: Arm,
    /// Highest price of the delivery.
    pub price: Micros,
}

/// The rule that excluded one offer, or suppressed the whole decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExclusionRule {
    /// The set of offers was empty.
    NothingOffered,
    /// The audience has no people.
    NobodyLeft,
    /// All remaining people belong to the hold-out.
    HoldOut,
    /// All remaining people have reached the frequency cap.
    FrequencyCap,
    /// All remaining people have reached a frequency cap, the stricter one for people in a negative feeling too.
    NegativeFeelingCap,
    /// The price exceeds what is left of the budget.
    BudgetExhausted,
    /// The campaign has spent its budget faster than planned.
    BudgetPaced,
    /// No ad may run at this hour.
    Daypart,
    /// The price is below the floor price.
    FloorPrice,
    /// The offers were excluded by different rules.
    Several,
}

impl ExclusionRule {
    /// Name of the rule, as a decision records it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingOffered | Self::Several => "no_eligible_candidate",
            Self::NobodyLeft => "no_person_left",
            Self::HoldOut => "hold_out",
            Self::FrequencyCap => "frequency_cap",
            Self::NegativeFeelingCap => "negative_feeling_cap",
            Self::BudgetExhausted => "budget_exhausted",
            Self::BudgetPaced => "budget_paced",
            Self::Daypart => "daypart",
            Self::FloorPrice => "floor_price",
        }
    }

    /// The rule and its reason, as a suppressed decision records them.
    pub fn suppression(self) -> Suppression {
        Suppression {
            rule: self.name().to_owned(),
            reason: self.reason().to_owned(),
        }
    }

    /// One sentence for the reader of a decision.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NothingOffered => "There was no creative to choose from.",
            Self::NobodyLeft => "The audience has no people left to reach.",
            Self::HoldOut => {
                "The person belongs to the hold-out, which no ad reaches so that the effect of ads can be measured."
            }
            Self::FrequencyCap => "The person was reached as often as the campaign's frequency caps allow.",
            Self::NegativeFeelingCap => {
                "The person is in a negative feeling, and was reached as often as the stricter caps for such people allow."
            }
            Self::BudgetExhausted => "The campaign's budget for this period is spent or reserved.",
            Self::BudgetPaced => "The campaign's budget is spent ahead of plan.",
            Self::Daypart => "The campaign does not run at this hour.",
            Self::FloorPrice => "Every creative's price is below the floor price.",
            Self::Several => "Every creative was excluded, for different reasons.",
        }
    }
}

/// A choice with everything that a decision logs about it.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionDraft {
    /// Indexes into the offers of those that were eligible.
    pub eligible: Vec<usize>,
    /// The probability of each eligible offer; they sum to 1 within 1e-9.
    pub probabilities: Vec<f64>,
    /// If the probabilities depend on the seed: their mean over [`EngineConfig::marginal_seeds`] seeds, of which the
    /// decision's own is one. They sum to 1 within 1e-9.
    ///
    /// All seeds are equally likely to be the decision's own. So this is also an exact probability of the choice: the
    /// one before it is known which of these seeds is used.
    pub marginal: Option<Vec<f64>>,
    /// Index of the choice in [`Self::eligible`].
    pub choice: usize,
    /// The probability of the choice.
    pub propensity: f64,
    /// The seed of the draw.
    pub seed: u64,
    /// Indexes into the offers of those that were excluded, and the rule that excluded them.
    pub excluded: Vec<(usize, ExclusionRule)>,
}

/// The result of [`DecisionEngine::decide`].
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// One offer was chosen.
    Chosen(DecisionDraft),
    /// No offer was chosen, because of this rule.
    Suppressed(ExclusionRule),
}

/// A policy with eligibility rules and bounds on its probabilities.
#[derive(Debug, Clone)]
pub struct DecisionEngine {
    config: EngineConfig,
    version: PolicyVersion,
    policy: AnyPolicy,
}

impl DecisionEngine {
    /// Builds an engine without any feedback. Returns an error for the first setting that is outside its range.
    pub fn new(config: EngineConfig) -> Result<Self, PolicyError> {
        let unit = 0.0..=1.0;
        within(
            "minimum_propensity",
            config.minimum_propensity,
            unit.clone(),
            "must be in [0, 1]",
        )?;
        within(
            "exploration_budget",
            config.exploration_budget,
            unit,
            "must be in [0, 1]",
        )?;
        within(
            "marginal_seeds",
            config.marginal_seeds as f64,
            1.0..=1024.0,
            "must be in 1..=1024",
        )?;
        within(
            "maximum_weight",
            config.maximum_weight,
            1.0..=1e6,
            "must be in [1, 1000000]",
        )?;
        for part in &config.dayparts {
            within("dayparts.from", part.from.into(), 0.0..=23.0, "must be in 0..=23")?;
            within(
                "dayparts.until",
                part.until.into(),
                1.0..=24.0,
                "must be in 1..=24",
            )?;
            for &day in &part.days {
                within("dayparts.days", day.into(), 0.0..=6.0, "must be in 0..=6")?;
            }
        }
        Ok(Self {
            version: config.policy.version(),
            policy: config.policy.build()?,
            config,
        })
    }

    /// Name, version and settings hash of the policy, as decisions record them.
    pub const fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// The settings that the engine was built with.
    pub const fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The policy and what it has learned.
    pub const fn policy(&self) -> &AnyPolicy {
        &self.policy
    }

    /// The seed of the decision `id`: a function of the id and [`EngineConfig::seed`].
    pub fn seed_of(&self, id: &str) -> u64 {
        random::derive(self.config.seed, random::hash(id.as_bytes()))
    }

    /// Chooses one of `offers` for the decision `id`. The result is a function of the arguments, the settings and the
    /// learned state.
    pub fn decide(&self, id: &str, at: Utc, context: &Features, offers: &[Offer]) -> Selection {
        if offers.is_empty() {
            return Selection::Suppressed(ExclusionRule::NothingOffered);
        }
        let parts = &self.config.dayparts;
        if !parts.is_empty() && !parts.iter().any(|part| part.contains(at)) {
            return Selection::Suppressed(ExclusionRule::Daypart);
        }
        let (mut eligible, mut excluded) = (Vec::new(), Vec::new());
        for (position, offer) in offers.iter().enumerate() {
            if offer.price < self.config.floor_price {
                excluded.push((position, ExclusionRule::FloorPrice));
            } else {
                eligible.push(position);
            }
        }
        if eligible.is_empty() {
            let first = excluded[0].1;
            let alike = excluded.iter().all(|&(_, rule)| rule == first);
            return Selection::Suppressed(if alike { first } else { ExclusionRule::Several });
        }
        let seed = self.seed_of(id);
        let arms: Vec<Arm> = eligible
            .iter()
            .map(|&position| offers[position].arm.clone())
            .collect();
        let probabilities = self.probabilities(context, &arms, seed);
        let unit = Random::new(random::derive(seed, 1)).unit();
        let choice = random::choose(&probabilities, unit).expect("probabilities of some arms sum to 1");
        Selection::Chosen(DecisionDraft {
            propensity: probabilities[choice],
            marginal: self.marginal_probabilities(context, &arms, seed, &probabilities),
            eligible,
            probabilities,
            choice,
            seed,
            excluded,
        })
    }

    /// The probability of each of `arms`, within the engine's bounds; they sum to 1 within 1e-9.
    pub fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64> {
        let mut probabilities = self.policy.probabilities(context, arms, random::derive(seed, 0));
        bound(
            &mut probabilities,
            self.config.exploration_budget,
            self.config.minimum_propensity,
        );
        probabilities
    }

    /// The mean of the probabilities over the decision's seed, which gives `own`, and others. `None` if the policy
    /// does not use its seed, or nothing is to be averaged.
    pub fn marginal_probabilities(
        &self,
        context: &Features,
        arms: &[Arm],
        seed: u64,
        own: &[f64],
    ) -> Option<Vec<f64>> {
        let seeds = self.config.marginal_seeds;
        if seeds < 2 || !self.policy.is_seeded() {
            return None;
        }
        let others = random::derive(seed, 2);
        let mut mean = own.to_vec();
        for number in 1..seeds as u64 {
            let other = self.probabilities(context, arms, random::derive(others, number));
            for (sum, probability) in mean.iter_mut().zip(other) {
                *sum += probability;
            }
        }
        for sum in &mut mean {
            *sum /= seeds as f64;
        }
        Some(mean)
    }

    /// Learns from feedback. An error changes nothing.
    pub fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        self.policy.learn(feedback)
    }

    /// Takes back a reward that was learned. Errors as in [`Policy::unlearn`].
    pub fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        self.policy.unlearn(feedback)
    }

    /// The learned state; [`Self::restore`] restores it to the bit.
    pub fn snapshot(&self) -> Vec<u8> {
        self.policy.snapshot()
    }

    /// Replaces the learned state by the snapshot of an engine with the same settings. An error changes nothing.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        self.policy.restore(snapshot)
    }
}

/// Scales the probabilities of all but the most likely arm down to `budget` in total, then raises each to `minimum`
/// or more.
fn bound(probabilities: &mut [f64], budget: f64, minimum: f64) {
    let likeliest = probabilities
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))
        .map(|(index, _)| index);
    let Some(likeliest) = likeliest else { return };
    let others: f64 = 1.0 - probabilities[likeliest];
    if others > budget {
        for (index, probability) in probabilities.iter_mut().enumerate() {
            if index == likeliest {
                *probability = 1.0 - budget;
            } else {
                *probability *= budget / others;
            }
        }
    }
    let share = minimum.min(1.0 / probabilities.len() as f64);
    let rest = 1.0 - share * probabilities.len() as f64;
    for probability in probabilities {
        *probability = share + rest.max(0.0) * *probability;
    }
}

#[cfg(test)]
mod tests;
