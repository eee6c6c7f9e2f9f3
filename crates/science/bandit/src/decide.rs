//! From a context and its candidates to one choice with its exact probability, or a stated reason for none.

use limbic_domain::{Micros, PolicyVersion, Suppression, Utc, UtcOffset};
use serde::{Deserialize, Serialize};

use crate::guardrails::champion_challenger::Challenger;
use crate::policy::{AnyPolicy, Feedback, Policy, PolicyConfig, PolicyError, within};
use crate::random::{self, Random};
use crate::{Arm, Features};

/// Settings of a [`DecisionEngine`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// How to choose.
    pub policy: PolicyConfig,
    /// Everything random is a function of this and the decision's id.
    pub seed: u64,
    /// No candidate is less likely than this (or than an equal share, if that is less). It bounds every weight of an
    /// off-policy estimate by its inverse.
    pub minimum_propensity: f64,
    /// At most this much probability in all for candidates other than the likeliest; the minimum comes on top.
    pub exploration_budget: f64,
    /// Importance weights are cut here wherever the engine itself uses them: where a contest compares two policies.
    pub maximum_weight: f64,
    /// A candidate that may cost less is not worth its place.
    pub floor_price: Micros,
    /// When anything may run; empty = always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dayparts: Vec<Daypart>,
    /// A policy that would like to take the place of `policy`. The optimize stage asks both; an engine by itself does
    /// not look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Challenger>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            policy: PolicyConfig::default(),
            seed: 0,
            minimum_propensity: 0.0,
            exploration_budget: 1.0,
            maximum_weight: 20.0,
            floor_price: Micros(0),
            dayparts: Vec::new(),
            challenger: None,
        }
    }
}

/// Hours of some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Daypart {
    /// Days, 0 = Monday to 6 = Sunday; empty = every day.
    #[serde(default)]
    pub days: Vec<u8>,
    /// First hour, 0 to 23.
    pub from: u8,
    /// The hour it ends before, 1 to 24; not after `from` = it runs past midnight.
    pub until: u8,
    /// The audience's clock. Default `Z`.
    #[serde(default)]
    pub utc_offset: UtcOffset,
}

impl Daypart {
    /// Whether `at` lies within.
    pub fn contains(&self, at: Utc) -> bool {
        let minutes = at.as_millis().div_euclid(60_000) + self.utc_offset.as_minutes();
        let hour = minutes.div_euclid(60).rem_euclid(24);
        let (from, until) = (i64::from(self.from), i64::from(self.until));
        let past_midnight = until <= from;
        if !past_midnight {
            return hour >= from && hour < until && self.has_day(minutes);
        }
        // After midnight it is still the part that began the day before.
        (hour >= from && self.has_day(minutes)) || (hour < until && self.has_day(minutes - 1440))
    }

    fn has_day(&self, minutes: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let day = (minutes.div_euclid(1440) + 3).rem_euclid(7);
        self.days.is_empty() || self.days.iter().any(|&known| i64::from(known) == day)
    }
}

/// Something that could be chosen, and what it may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What it is.
    pub arm: Arm,
    /// What it may cost at most.
    pub price: Micros,
}

/// Why a candidate, or everything, was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing was offered.
    NothingOffered,
    /// Nobody is left to reach.
    NobodyLeft,
    /// Everybody left is held out for ever.
    HoldOut,
    /// Everybody left was reached often enough.
    FrequencyCap,
    /// The budget would not cover it.
    BudgetExhausted,
    /// Spending is ahead of plan.
    BudgetPaced,
    /// Nothing may run at this hour.
    Daypart,
    /// Its price is below the floor.
    FloorPrice,
    /// What was offered fell to different rules.
    Several,
}

impl Rule {
    /// The rule's name in a decision.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingOffered | Self::Several => "no_eligible_candidate",
            Self::NobodyLeft => "no_person_left",
            Self::HoldOut => "hold_out",
            Self::FrequencyCap => "frequency_cap",
            Self::BudgetExhausted => "budget_exhausted",
            Self::BudgetPaced => "budget_paced",
            Self::Daypart => "daypart",
            Self::FloorPrice => "floor_price",
        }
    }

    /// Why nothing was chosen, as a decision says it.
    pub fn suppression(self) -> Suppression {
        Suppression {
            rule: self.name().to_owned(),
            reason: self.reason().to_owned(),
        }
    }

    /// One sentence for a person who asks.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NothingOffered => "No creative was left to choose from.",
            Self::NobodyLeft => "Nobody was left to reach.",
            Self::HoldOut => "They belong to the few whom no ad ever reaches, to measure what ads add.",
            Self::FrequencyCap => "They were reached as often as the campaign allows.",
            Self::BudgetExhausted => "The campaign's budget for this period is spent or reserved.",
            Self::BudgetPaced => "The campaign's budget is spent ahead of plan.",
            Self::Daypart => "The campaign does not run at this hour.",
            Self::FloorPrice => "Every creative's price is below the floor price.",
            Self::Several => "Every creative was ruled out.",
        }
    }
}

/// A choice, ready to be logged.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionDraft {
    /// Positions, in the offers, of the candidates that could be chosen.
    pub eligible: Vec<usize>,
    /// The probability of each of them; they sum to 1 within 1e-9.
    pub probabilities: Vec<f64>,
    /// Which of [`Self::eligible`] was chosen.
    pub choice: usize,
    /// Its probability.
    pub propensity: f64,
    /// The seed of the draw.
    pub seed: u64,
    /// Offers that were left out, and why.
    pub ruled_out: Vec<(usize, Rule)>,
}

/// What an engine answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One candidate was chosen.
    Chosen(DecisionDraft),
    /// None was, for this reason.
    NoAd(Rule),
}

/// A policy within its bounds.
#[derive(Debug, Clone)]
pub struct DecisionEngine {
    config: EngineConfig,
    version: PolicyVersion,
    policy: AnyPolicy,
}

impl DecisionEngine {
    /// An engine that has learnt nothing. Refuses settings outside their ranges.
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

    /// Which policy chooses, exactly.
    pub const fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// The settings.
    pub const fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The policy.
    pub const fn policy(&self) -> &AnyPolicy {
        &self.policy
    }

    /// The seed of the decision `id`.
    pub fn seed_of(&self, id: &str) -> u64 {
        random::derive(self.config.seed, random::hash(id.as_bytes()))
    }

    /// Chooses one of `offers` for the decision `id`. A function of its arguments, the settings and what was learnt.
    pub fn decide(&self, id: &str, at: Utc, context: &Features, offers: &[Offer]) -> Answer {
        if offers.is_empty() {
            return Answer::NoAd(Rule::NothingOffered);
        }
        let parts = &self.config.dayparts;
        if !parts.is_empty() && !parts.iter().any(|part| part.contains(at)) {
            return Answer::NoAd(Rule::Daypart);
        }
        let (mut eligible, mut ruled_out) = (Vec::new(), Vec::new());
        for (position, offer) in offers.iter().enumerate() {
            if offer.price < self.config.floor_price {
                ruled_out.push((position, Rule::FloorPrice));
            } else {
                eligible.push(position);
            }
        }
        if eligible.is_empty() {
            let first = ruled_out[0].1;
            let alike = ruled_out.iter().all(|&(_, rule)| rule == first);
            return Answer::NoAd(if alike { first } else { Rule::Several });
        }
        let seed = self.seed_of(id);
        let arms: Vec<Arm> = eligible
            .iter()
            .map(|&position| offers[position].arm.clone())
            .collect();
        let probabilities = self.probabilities(context, &arms, seed);
        let unit = Random::new(random::derive(seed, 1)).unit();
        let choice = random::choose(&probabilities, unit).expect("probabilities of some arms sum to 1");
        Answer::Chosen(DecisionDraft {
            propensity: probabilities[choice],
            eligible,
            probabilities,
            choice,
            seed,
            ruled_out,
        })
    }

    /// The probabilities with which one of `arms` is chosen: the policy's, within the engine's bounds.
    pub fn probabilities(&self, context: &Features, arms: &[Arm], seed: u64) -> Vec<f64> {
        let mut probabilities = self.policy.probabilities(context, arms, random::derive(seed, 0));
        bound(
            &mut probabilities,
            self.config.exploration_budget,
            self.config.minimum_propensity,
        );
        probabilities
    }

    /// Learns from an outcome. An error changes nothing.
    pub fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        self.policy.learn(feedback)
    }

    /// All that was learnt; [`Self::restore`] gives it back to the last bit.
    pub fn snapshot(&self) -> Vec<u8> {
        self.policy.snapshot()
    }

    /// Takes on what an engine of the same settings learnt.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        self.policy.restore(snapshot)
    }
}

/// Keeps what the unlikelier have in all below `budget`, then gives everyone at least `minimum`.
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
mod tests {
    use super::*;

    fn offers(count: i64) -> Vec<Offer> {
        (0..count)
            .map(|index| Offer {
                arm: Arm::new(format!("arm-{index}"), "f", Features::new()),
                price: Micros(index * 100),
            })
            .collect()
    }

    fn engine(config: EngineConfig) -> DecisionEngine {
        DecisionEngine::new(config).unwrap()
    }

    #[test]
    fn nothing_to_choose_from_is_a_stated_decision() {
        let at = Utc::from_millis(0);
        let engine = engine(EngineConfig {
            floor_price: Micros(1000),
            ..EngineConfig::default()
        });
        assert_eq!(
            engine.decide("d", at, &Features::new(), &[]),
            Answer::NoAd(Rule::NothingOffered)
        );
        assert_eq!(
            engine.decide("d", at, &Features::new(), &offers(3)),
            Answer::NoAd(Rule::FloorPrice)
        );
    }

    #[test]
    fn a_candidate_below_the_floor_price_is_never_chosen() {
        let engine = engine(EngineConfig {
            floor_price: Micros(100),
            ..EngineConfig::default()
        });
        let offers = offers(4);
        for decision in 0..200 {
            let answer = engine.decide(
                &format!("d{decision}"),
                Utc::from_millis(0),
                &Features::new(),
                &offers,
            );
            let Answer::Chosen(draft) = answer else {
                panic!("some are eligible")
            };
            assert_eq!(draft.eligible, [1, 2, 3]);
            assert_eq!(draft.ruled_out, [(0, Rule::FloorPrice)]);
            assert_eq!(
                draft.propensity.to_bits(),
                draft.probabilities[draft.choice].to_bits()
            );
        }
    }

    #[test]
    fn the_choice_is_a_function_of_the_decisions_id() {
        let engine = engine(EngineConfig::default());
        let decide = |id: &str| engine.decide(id, Utc::from_millis(0), &Features::new(), &offers(9));
        assert_eq!(decide("x"), decide("x"));
        let different = (0..50).filter(|n| decide(&n.to_string()) != decide("x")).count();
        assert!(different > 30, "{different}");
    }

    #[test]
    fn logged_propensities_are_the_frequencies_of_choices() {
        let mut engine = engine(EngineConfig {
            minimum_propensity: 0.02,
            ..EngineConfig::default()
        });
        let offers = offers(3);
        let context = Features::new();
        for (arm, reward) in [(0, 1.0), (0, 0.0), (1, 0.0), (1, 0.0), (2, 1.0), (2, 1.0)] {
            let feedback = Feedback {
                context: &context,
                arm: &offers[arm].arm,
                reward,
                corrects: None,
                propensity: 0.3,
            };
            engine.learn(&feedback).unwrap();
        }
        let mut counts = [0.0; 3];
        let mut logged = Vec::new();
        for decision in 0..4_000 {
            match engine.decide(&decision.to_string(), Utc::from_millis(0), &context, &offers) {
                Answer::Chosen(draft) => {
                    counts[draft.choice] += 1.0 / 4_000.0;
                    logged = draft.probabilities;
                }
                Answer::NoAd(rule) => panic!("{rule:?}"),
            }
        }
        for (count, probability) in counts.iter().zip(&logged) {
            // Four standard deviations, at most.
            assert!((count - probability).abs() < 0.032, "{counts:?} {logged:?}");
        }
    }

    #[test]
    fn bounds_hold_and_probabilities_still_sum_to_one() {
        let mut probabilities = [0.5, 0.3, 0.2, 0.0];
        bound(&mut probabilities, 0.1, 0.01);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(probabilities.iter().all(|&probability| probability >= 0.01));
        assert!(probabilities[0] >= 0.86);
        let mut equal = [0.25; 4];
        bound(&mut equal, 1.0, 0.9);
        assert!(equal.iter().all(|probability| (probability - 0.25).abs() < 1e-15));
    }

    #[test]
    fn a_daypart_may_run_past_midnight() {
        let part = Daypart {
            days: vec![4],
            from: 22,
            until: 2,
            utc_offset: UtcOffset::from_minutes(60),
        };
        let at = |text: &str| text.parse::<Utc>().unwrap();
        // Friday 2026-11-20, an hour ahead of UTC.
        assert!(part.contains(at("2026-11-20T21:00:00Z")));
        assert!(
            part.contains(at("2026-11-21T00:59:00Z")),
            "Saturday 01:59 still belongs to Friday night"
        );
        assert!(!part.contains(at("2026-11-21T01:00:00Z")));
        assert!(
            !part.contains(at("2026-11-20T00:30:00Z")),
            "Friday 01:30 belongs to Thursday night"
        );
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        for (text, name) in [
            (r#"{"minimum_propensity": 1.5}"#, "minimum_propensity"),
            (
                r#"{"policy": {"name": "bernoulli-ts", "discount": 0}}"#,
                "discount",
            ),
        ] {
            let config: EngineConfig = serde_json::from_str(text).unwrap();
            let error = DecisionEngine::new(config).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(serde_json::from_str::<EngineConfig>(r#"{"minimum_propensty": 0.1}"#).is_err());
        assert!(
            serde_json::from_str::<EngineConfig>(r#"{"policy": {"name": "bernoulli-ts", "discuont": 1}}"#)
                .is_err()
        );
    }
}
