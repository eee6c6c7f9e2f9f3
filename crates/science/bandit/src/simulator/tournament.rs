//! Policies against each other on the same decisions, each with what its candidates are truly worth.
//!
//! A run draws as many decisions as there are, with replacement and in their order, and a lot for every decision that
//! says how easily it is clicked; every policy meets the same runs and learns from its own clicks only. What is compared
//! is the expected reward of what was chosen, so that the luck of a click counts only where it misleads a policy.
//!
//! * *oracle*: the most valuable candidate, every time. Regret is what a policy loses against it.
//! * *random*: a choice among equals.
//! * *best fixed creative*: of each campaign the one creative that, chosen whenever it is on offer (otherwise a choice among
//!   equals), brings most. Only hindsight knows it.

use std::collections::BTreeMap;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::Features;
use crate::decide::{Answer, DecisionEngine, EngineConfig, Offer};
use crate::policy::{Feedback, PolicyConfig, PolicyError};
use crate::random::{Random, derive};

/// A decision to be made, and what each of its offers is worth.
#[derive(Debug, Clone)]
pub struct Situation {
    /// Whose policy decides.
    pub campaign: String,
    /// When.
    pub at: Utc,
    /// What is known.
    pub context: Features,
    /// What there is to choose from.
    pub offers: Vec<Offer>,
    /// With what probability each offer is clicked.
    pub appeals: Vec<f64>,
    /// Outcomes of a round are known when the next begins.
    pub round: u64,
}

/// A mean over runs, and the range of the middle 95 of 100 runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Of all runs.
    pub mean: f64,
    /// Below it are 2.5 % of the runs.
    pub low: f64,
    /// Above it are 2.5 % of the runs.
    pub high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * values.len().saturating_sub(1) as f64;
            values.get(place.round() as usize).copied().unwrap_or(0.0)
        };
        Self {
            mean: values.iter().sum::<f64>() / values.len().max(1) as f64,
            low: at(0.025),
            high: at(0.975),
        }
    }
}

/// How one policy did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Clicks per decision.
    pub clicks: Spread,
    /// Clicks that the oracle has more, per hundred decisions.
    pub regret: Spread,
    /// Clicks more than at random, as a part of those.
    pub over_random: Spread,
    /// Clicks more than with the best fixed creative, as a part of those.
    pub over_fixed: Spread,
}

/// Expected clicks of one run.
#[derive(Debug, Clone, Copy)]
struct Yardsticks {
    oracle: f64,
    random: f64,
    fixed: f64,
}

/// Every policy there is, as its defaults are, and Bernoulli Thompson sampling once more with a table of its own for each
/// feeling and subject.
pub fn every_policy() -> Vec<(String, PolicyConfig)> {
    let mut all: Vec<(String, PolicyConfig)> = [
        "uniform",
        "epsilon-greedy",
        "bernoulli-ts",
        "linear-ts",
        "logistic-ts",
        "lin-ucb",
        "square-cb",
        "softmax",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), configured(&serde_json::json!({ "name": name }))))
    .collect();
    let strata = serde_json::json!({"name": "bernoulli-ts", "stratify": ["direction", "subject"]});
    all.insert(
        3,
        (
            "bernoulli-ts by direction × subject".to_owned(),
            configured(&strata),
        ),
    );
    all
}

fn configured(settings: &serde_json::Value) -> PolicyConfig {
    PolicyConfig::deserialize(settings).expect("names of policies and their settings")
}

/// Lets every policy play `runs` runs of `situations` within the bounds of `engine`, and the oracle and the best fixed
/// creative beside them. Sorted by clicks, most first; empty without situations.
pub fn tournament(
    situations: &[Situation],
    engine: &EngineConfig,
    policies: &[(String, PolicyConfig)],
    runs: u64,
) -> Result<Vec<Standing>, PolicyError> {
    if situations.is_empty() {
        return Ok(Vec::new());
    }
    let drawn: Vec<Vec<&Situation>> = (0..runs)
        .map(|run| draw(situations, derive(engine.seed, run)))
        .collect();
    let sticks: Vec<Yardsticks> = drawn.iter().map(|run| Yardsticks::of(run)).collect();
    let count = situations.len() as f64;
    let standing = |name: &str, clicks: &[f64]| {
        let each = |value: &dyn Fn(f64, &Yardsticks) -> f64| {
            Spread::of(
                clicks
                    .iter()
                    .zip(&sticks)
                    .map(|(&clicks, sticks)| value(clicks, sticks))
                    .collect(),
            )
        };
        Standing {
            name: name.to_owned(),
            clicks: each(&|clicks, _| clicks / count),
            regret: each(&|clicks, sticks| 100.0 * (sticks.oracle - clicks) / count),
            over_random: each(&|clicks, sticks| more(clicks, sticks.random)),
            over_fixed: each(&|clicks, sticks| more(clicks, sticks.fixed)),
        }
    };
    let of_sticks = |value: fn(&Yardsticks) -> f64| sticks.iter().map(value).collect::<Vec<_>>();
    let mut standings = vec![
        standing("(oracle)", &of_sticks(|sticks| sticks.oracle)),
        standing("(best fixed creative)", &of_sticks(|sticks| sticks.fixed)),
    ];
    for (name, policy) in policies {
        let clicks = (0..runs).zip(&drawn).map(|(run, situations)| {
            let config = EngineConfig {
                policy: policy.clone(),
                seed: derive(engine.seed, run),
                challenger: None,
                ..engine.clone()
            };
            play(situations, &config)
        });
        standings.push(standing(name, &clicks.collect::<Result<Vec<_>, _>>()?));
    }
    standings.sort_by(|one, two| two.clicks.mean.total_cmp(&one.clicks.mean));
    Ok(standings)
}

fn more(clicks: f64, than: f64) -> f64 {
    if than > 0.0 { clicks / than - 1.0 } else { 0.0 }
}

fn draw(situations: &[Situation], seed: u64) -> Vec<&Situation> {
    let mut random = Random::new(seed);
    let mut drawn: Vec<usize> = situations
        .iter()
        .map(|_| random.below(situations.len()))
        .collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|index| &situations[index]).collect()
}

fn mean(appeals: &[f64]) -> f64 {
    appeals.iter().sum::<f64>() / appeals.len().max(1) as f64
}

impl Yardsticks {
    fn of(situations: &[&Situation]) -> Self {
        let best = |one: &&Situation| one.appeals.iter().copied().fold(0.0, f64::max);
        let random: f64 = situations.iter().map(|one| mean(&one.appeals)).sum();
        // What each creative adds to a choice among equals where it is on offer.
        let mut added: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for one in situations {
            let equal = mean(&one.appeals);
            for (offer, appeal) in one.offers.iter().zip(&one.appeals) {
                *added.entry((&one.campaign, &offer.arm.id)).or_default() += appeal - equal;
            }
        }
        let mut most: BTreeMap<&str, f64> = BTreeMap::new();
        for ((campaign, _), added) in added {
            let known = most.entry(campaign).or_insert(f64::NEG_INFINITY);
            *known = known.max(added);
        }
        Self {
            oracle: situations.iter().map(best).sum(),
            random,
            fixed: random + most.values().sum::<f64>(),
        }
    }
}

/// Expected clicks of what the policy chooses, learning from those that come.
fn play(situations: &[&Situation], config: &EngineConfig) -> Result<f64, PolicyError> {
    let mut engines: BTreeMap<&str, DecisionEngine> = BTreeMap::new();
    let mut unknown: Vec<(&Situation, usize, f64, f64)> = Vec::new();
    let mut expected = 0.0;
    for (number, &one) in situations.iter().enumerate() {
        if unknown.last().is_some_and(|last| last.0.round < one.round) {
            for (then, choice, propensity, reward) in unknown.drain(..) {
                if let Some(engine) = engines.get_mut(then.campaign.as_str()) {
                    engine.learn(&Feedback {
                        context: &then.context,
                        arm: &then.offers[choice].arm,
                        reward,
                        corrects: None,
                        propensity,
                    })?;
                }
            }
        }
        if !engines.contains_key(one.campaign.as_str()) {
            engines.insert(&one.campaign, DecisionEngine::new(config.clone())?);
        }
        let engine = &engines[one.campaign.as_str()];
        let Answer::Chosen(draft) = engine.decide(&number.to_string(), one.at, &one.context, &one.offers)
        else {
            continue;
        };
        let choice = draft.eligible[draft.choice];
        let appeal = one.appeals[choice];
        expected += appeal;
        let is_clicked = Random::new(derive(config.seed, number as u64 | 1 << 63)).unit() < appeal;
        unknown.push((one, choice, draft.propensity, f64::from(u8::from(is_clicked))));
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use limbic_domain::Micros;

    use super::*;
    use crate::Arm;

    /// Two campaigns, two users who like different ads of three.
    fn situations(count: u64) -> Vec<Situation> {
        let appeals = [[0.6, 0.1, 0.2], [0.1, 0.5, 0.2]];
        (0..count)
            .map(|number| {
                let user = number as usize % 2;
                let offers = ["a", "b", "c"].map(|name| Offer {
                    arm: Arm::new(name, "f", Features::new()),
                    price: Micros(1),
                });
                Situation {
                    campaign: ["spring", "autumn"][(number as usize / 2) % 2].to_owned(),
                    at: Utc::from_millis(0),
                    context: Features::new().with("direction", ["up", "down"][user]),
                    offers: offers.to_vec(),
                    appeals: appeals[user].to_vec(),
                    round: number / 10,
                }
            })
            .collect()
    }

    fn of<'s>(standings: &'s [Standing], name: &str) -> &'s Standing {
        standings.iter().find(|one| one.name == name).unwrap()
    }

    #[test]
    fn whoever_tells_the_users_apart_beats_the_best_fixed_creative_and_nobody_the_oracle() {
        let engine = EngineConfig::default();
        let standings = tournament(&situations(400), &engine, &every_policy(), 5).unwrap();
        assert_eq!(standings.len(), 2 + every_policy().len());
        assert_eq!(standings[0].name, "(oracle)");
        assert!((standings[0].clicks.mean - 0.55).abs() < 0.02);
        let fixed = of(&standings, "(best fixed creative)");
        // "a": 0.6 and 0.1.
        assert!((fixed.clicks.mean - 0.35).abs() < 0.04 && fixed.over_fixed.mean.abs() < 1e-12);
        for one in &standings {
            for spread in [one.clicks, one.regret, one.over_random, one.over_fixed] {
                assert!(spread.low <= spread.mean && spread.mean <= spread.high, "{one:?}");
            }
            assert!(one.regret.low >= -1e-9, "{one:?}");
        }
        let uniform = of(&standings, "uniform");
        assert!(uniform.over_random.mean.abs() < 0.1, "{uniform:?}");
        for name in ["linear-ts", "bernoulli-ts by direction × subject"] {
            let one = of(&standings, name);
            assert!(one.over_fixed.mean > 0.0 && one.over_random.low > 0.2, "{one:?}");
        }
        let blind = of(&standings, "bernoulli-ts");
        assert!(
            blind.over_random.mean > 0.0 && blind.over_fixed.mean < 0.1,
            "{blind:?}"
        );
    }

    #[test]
    fn a_seed_says_everything_and_nothing_to_decide_is_no_tournament() {
        let engine = EngineConfig::default();
        let play = |seed| {
            let engine = EngineConfig {
                seed,
                ..engine.clone()
            };
            tournament(&situations(60), &engine, &every_policy(), 2).unwrap()
        };
        assert_eq!(play(1), play(1));
        assert_ne!(play(1), play(2));
        assert_eq!(tournament(&[], &engine, &every_policy(), 3).unwrap(), []);
    }
}
