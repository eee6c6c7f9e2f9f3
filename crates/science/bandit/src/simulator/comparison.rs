//! Compares policies on the same decisions, with known click probabilities.
//!
//! A run is a bootstrap sample of the decisions, in their order, with one uniform number per decision that turns
//! click probabilities into clicks. Every policy sees the same runs and learns from its own clicks. The comparison is
//! of the expected reward of the choices, so a lucky click counts only through what a policy learns from it.
//!
//! * *oracle*: the offer with the highest click probability, in every decision. Regret is the difference from it.
//! * *random*: a uniform choice.
//! * *best fixed creative*: for each campaign, the single creative with the most expected clicks if it is chosen
//!   whenever it is offered (otherwise a uniform choice). It is known only in hindsight.

use std::collections::BTreeMap;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::Features;
use crate::decide::{DecisionEngine, EngineConfig, Offer, Selection};
use crate::policy::{Feedback, PolicyConfig, PolicyError};
use crate::random::{Random, derive};

/// A decision, with the true click probability of each offer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimulatedDecision {
    /// The campaign. Each campaign has its own policy.
    pub campaign: String,
    /// Event time of the decision.
    pub at: Utc,
    /// Features of the context.
    pub context: Features,
    /// The offers to choose from.
    pub offers: Vec<Offer>,
    /// The click probability of each of `offers`, in the same order.
    pub click_probabilities: Vec<f64>,
    /// Number of the round, ascending. The outcomes of a round are learned when the next round begins.
    pub round: u64,
}

/// Mean and central 95 % range of a quantity over the runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Mean over all runs.
    pub mean: f64,
    /// The 2.5 % quantile over the runs.
    pub low: f64,
    /// The 97.5 % quantile over the runs.
    pub high: f64,
}

impl RunSummary {
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

/// The results of one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyResult {
    /// Name of the policy; a baseline has its name in parentheses.
    pub name: String,
    /// Expected clicks per decision.
    pub clicks: RunSummary,
    /// Clicks per hundred decisions that the oracle has more.
    pub regret: RunSummary,
    /// Relative gain in clicks over the random choice; 0.1 is 10 % more.
    pub over_random: RunSummary,
    /// Relative gain in clicks over the best fixed creative.
    pub over_fixed: RunSummary,
}

/// Expected clicks of the baselines in one run.
#[derive(Debug, Clone, Copy)]
struct Baselines {
    oracle: f64,
    random: f64,
    fixed: f64,
}

/// Every policy with its default settings, and Bernoulli Thompson sampling a second time with a table for each
/// direction and subject.
pub fn default_policies() -> Vec<(String, PolicyConfig)> {
    let mut all: Vec<(String, PolicyConfig)> = [
        "uniform",
        "pooled-ts",
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
        4,
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

/// Runs every policy, the oracle and the best fixed creative on `runs` runs of `decisions`, with the bounds and the
/// seed of `engine`. Sorted by clicks, most first. Empty if there are no decisions.
pub fn compare_policies(
    decisions: &[SimulatedDecision],
    engine: &EngineConfig,
    policies: &[(String, PolicyConfig)],
    runs: u64,
) -> Result<Vec<PolicyResult>, PolicyError> {
    if decisions.is_empty() {
        return Ok(Vec::new());
    }
    let drawn: Vec<Vec<Drawn<'_>>> = (0..runs)
        .map(|run| draw(decisions, decisions.len(), derive(engine.seed, run)))
        .collect();
    let baselines: Vec<Baselines> = drawn.iter().map(|run| Baselines::of(run)).collect();
    let count = decisions.len() as f64;
    let result = |name: &str, clicks: &[f64]| {
        let each = |value: &dyn Fn(f64, &Baselines) -> f64| {
            RunSummary::of(
                clicks
                    .iter()
                    .zip(&baselines)
                    .map(|(&clicks, baselines)| value(clicks, baselines))
                    .collect(),
            )
        };
        PolicyResult {
            name: name.to_owned(),
            clicks: each(&|clicks, _| clicks / count),
            regret: each(&|clicks, baselines| 100.0 * (baselines.oracle - clicks) / count),
            over_random: each(&|clicks, baselines| more(clicks, baselines.random)),
            over_fixed: each(&|clicks, baselines| more(clicks, baselines.fixed)),
        }
    };
    let of_baselines = |value: fn(&Baselines) -> f64| baselines.iter().map(value).collect::<Vec<_>>();
    let mut results = vec![
        result("(oracle)", &of_baselines(|baselines| baselines.oracle)),
        result(
            "(best fixed creative)",
            &of_baselines(|baselines| baselines.fixed),
        ),
    ];
    for (name, policy) in policies {
        let clicks = (0..runs).zip(&drawn).map(|(run, decisions)| {
            let config = configured_engine(engine, policy, derive(engine.seed, run));
            Ok(run_policy(decisions, &config, &[decisions.len()])?[0])
        });
        results.push(result(name, &clicks.collect::<Result<Vec<_>, PolicyError>>()?));
    }
    results.sort_by(|one, other| other.clicks.mean.total_cmp(&one.clicks.mean));
    Ok(results)
}

/// Mean over the runs and its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanOfRuns {
    /// Mean over all runs.
    pub mean: f64,
    /// Lower end of the interval of the mean.
    pub low: f64,
    /// Upper end of the interval of the mean.
    pub high: f64,
}

impl MeanOfRuns {
    fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum::<f64>();
        let half = 1.96 * (squares / (count - 1.0).max(1.0) / count).sqrt();
        Self {
            mean,
            low: mean - half,
            high: mean + half,
        }
    }
}

/// A policy's clicks in the first so many decisions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearningPoint {
    /// Number of decisions since the start, of all campaigns.
    pub decisions: usize,
    /// Relative gain in expected clicks over the random choice; 0.1 is 10 % more.
    pub over_random: MeanOfRuns,
    /// Relative gain in expected clicks over the first policy, in the same runs.
    pub over_first: MeanOfRuns,
}

/// How a policy learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// Name of the policy. `(oracle)` chooses the best offer within the engine's least propensity.
    pub name: String,
    /// One point for each number of decisions.
    pub points: Vec<LearningPoint>,
}

/// The gain of every policy in the first decisions, for each number in `marks` (ascending, positive), over `runs` runs.
/// If a run has more decisions than `decisions`, it continues with another bootstrap sample of them. Empty if there are
/// no decisions or no policies.
pub fn learning_curves(
    decisions: &[SimulatedDecision],
    engine: &EngineConfig,
    policies: &[(String, PolicyConfig)],
    marks: &[usize],
    runs: u64,
) -> Result<Vec<LearningCurve>, PolicyError> {
    let (Some(&most), false) = (marks.last(), decisions.is_empty() || policies.is_empty()) else {
        return Ok(Vec::new());
    };
    // By policy, then run, then mark. The oracle comes last.
    let mut clicks = vec![Vec::new(); policies.len() + 1];
    let mut random = Vec::new();
    for run in 0..runs {
        let seed = derive(engine.seed, run);
        let drawn = draw(decisions, most, seed);
        for (clicks, (_, policy)) in clicks.iter_mut().zip(policies) {
            clicks.push(run_policy(
                &drawn,
                &configured_engine(engine, policy, seed),
                marks,
            )?);
        }
        let sums = |value: &dyn Fn(&SimulatedDecision) -> f64| -> Vec<f64> {
            let sum = |&mark: &usize| drawn[..mark].iter().map(|drawn| value(drawn.decision)).sum();
            marks.iter().map(sum).collect()
        };
        random.push(sums(&|decision| mean(&decision.click_probabilities)));
        clicks[policies.len()].push(sums(&|decision| {
            let probabilities = &decision.click_probabilities;
            let best = probabilities.iter().copied().fold(0.0, f64::max);
            let forced = (engine.minimum_propensity * probabilities.len() as f64).min(1.0);
            forced * mean(probabilities) + (1.0 - forced) * best
        }));
    }
    let names = policies.iter().map(|(name, _)| name.as_str()).chain(["(oracle)"]);
    let curve = |(name, own): (&str, &Vec<Vec<f64>>)| {
        let point = |(place, &decisions): (usize, &usize)| {
            let over = |others: &[Vec<f64>]| {
                let gains = own
                    .iter()
                    .zip(others)
                    .map(|(own, other)| more(own[place], other[place]));
                MeanOfRuns::of(&gains.collect::<Vec<_>>())
            };
            LearningPoint {
                decisions,
                over_random: over(&random),
                over_first: over(&clicks[0]),
            }
        };
        LearningCurve {
            name: name.to_owned(),
            points: marks.iter().enumerate().map(point).collect(),
        }
    };
    Ok(names.zip(&clicks).map(curve).collect())
}

fn configured_engine(engine: &EngineConfig, policy: &PolicyConfig, seed: u64) -> EngineConfig {
    EngineConfig {
        policy: policy.clone(),
        seed,
        challenger: None,
        // Nothing is evaluated from a log here.
        marginal_seeds: 1,
        ..engine.clone()
    }
}

fn more(clicks: f64, than: f64) -> f64 {
    if than > 0.0 { clicks / than - 1.0 } else { 0.0 }
}

/// A decision of a run, and the round of the run to which it belongs.
struct Drawn<'a> {
    decision: &'a SimulatedDecision,
    round: u64,
}

/// `count` decisions: bootstrap samples of all decisions, each in their order, one after the other.
fn draw(decisions: &[SimulatedDecision], count: usize, seed: u64) -> Vec<Drawn<'_>> {
    let mut random = Random::new(seed);
    let first = decisions.first().map_or(0, |decision| decision.round);
    let rounds = decisions.last().map_or(0, |decision| decision.round) - first + 1;
    let mut drawn = Vec::with_capacity(count);
    let mut passed = 0;
    while drawn.len() < count && !decisions.is_empty() {
        let mut sample: Vec<usize> = decisions.iter().map(|_| random.below(decisions.len())).collect();
        sample.sort_unstable();
        drawn.extend(sample.into_iter().map(|index| Drawn {
            decision: &decisions[index],
            round: decisions[index].round - first + passed,
        }));
        passed += rounds;
    }
    drawn.truncate(count);
    drawn
}

fn mean(click_probabilities: &[f64]) -> f64 {
    click_probabilities.iter().sum::<f64>() / click_probabilities.len().max(1) as f64
}

impl Baselines {
    fn of(drawn: &[Drawn<'_>]) -> Self {
        let decisions = || drawn.iter().map(|drawn| drawn.decision);
        let best =
            |decision: &SimulatedDecision| decision.click_probabilities.iter().copied().fold(0.0, f64::max);
        let random: f64 = decisions()
            .map(|decision| mean(&decision.click_probabilities))
            .sum();
        // For each creative: the clicks it adds to a uniform choice where it is offered.
        let mut gain: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for decision in decisions() {
            let equal = mean(&decision.click_probabilities);
            for (offer, click_probability) in decision.offers.iter().zip(&decision.click_probabilities) {
                *gain.entry((&decision.campaign, &offer.arm.id)).or_default() += click_probability - equal;
            }
        }
        let mut most: BTreeMap<&str, f64> = BTreeMap::new();
        for ((campaign, _), gain) in gain {
            let known = most.entry(campaign).or_insert(f64::NEG_INFINITY);
            *known = known.max(gain);
        }
        Self {
            oracle: decisions().map(best).sum(),
            random,
            fixed: random + most.values().sum::<f64>(),
        }
    }
}

/// Expected clicks of the choices of one policy that learns from the simulated clicks: the sums over the first so many
/// decisions, for each number in `marks`.
fn run_policy(
    decisions: &[Drawn<'_>],
    config: &EngineConfig,
    marks: &[usize],
) -> Result<Vec<f64>, PolicyError> {
    let mut engines: BTreeMap<&str, DecisionEngine> = BTreeMap::new();
    let mut pending: Vec<(&SimulatedDecision, usize, f64, f64)> = Vec::new();
    let mut pending_round = 0;
    let (mut expected, mut sums) = (0.0, Vec::with_capacity(marks.len()));
    for (number, &Drawn { decision, round }) in decisions.iter().enumerate() {
        if marks.contains(&number) {
            sums.push(expected);
        }
        if pending_round < round {
            pending_round = round;
            for (then, choice, propensity, reward) in pending.drain(..) {
                if let Some(engine) = engines.get_mut(then.campaign.as_str()) {
                    engine.learn(&Feedback {
                        context: &then.context,
                        arm: &then.offers[choice].arm,
                        reward,
                        previous_reward: None,
                        propensity,
                    })?;
                }
            }
        }
        if !engines.contains_key(decision.campaign.as_str()) {
            engines.insert(&decision.campaign, DecisionEngine::new(config.clone())?);
        }
        let engine = &engines[decision.campaign.as_str()];
        let Selection::Chosen(draft) = engine.decide(
            &number.to_string(),
            decision.at,
            &decision.context,
            &decision.offers,
        ) else {
            continue;
        };
        let choice = draft.eligible[draft.choice];
        let click_probability = decision.click_probabilities[choice];
        expected += click_probability;
        let is_clicked = Random::new(derive(config.seed, number as u64 | 1 << 63)).unit() < click_probability;
        pending.push((
            decision,
            choice,
            draft.propensity,
            f64::from(u8::from(is_clicked)),
        ));
    }
    if marks.contains(&decisions.len()) {
        sums.push(expected);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use limbic_domain::Micros;

    use super::*;
    use crate::Arm;

    /// Two campaigns, and two users who prefer different ads of three.
    fn decisions(count: u64) -> Vec<SimulatedDecision> {
        let click_probabilities = [[0.6, 0.1, 0.2], [0.1, 0.5, 0.2]];
        (0..count)
            .map(|number| {
                let user = number as usize % 2;
                let offers = ["a", "b", "c"].map(|name| Offer {
                    arm: Arm::new(name, "f", Features::new()),
                    price: Micros(1),
                });
                SimulatedDecision {
                    campaign: ["spring", "autumn"][(number as usize / 2) % 2].to_owned(),
                    at: Utc::from_millis(0),
                    context: Features::new().with("direction", ["up", "down"][user]),
                    offers: offers.to_vec(),
                    click_probabilities: click_probabilities[user].to_vec(),
                    round: number / 10,
                }
            })
            .collect()
    }

    fn of<'s>(results: &'s [PolicyResult], name: &str) -> &'s PolicyResult {
        results.iter().find(|decision| decision.name == name).unwrap()
    }

    #[test]
    fn a_policy_that_sees_the_user_beats_the_best_fixed_creative_and_none_beats_the_oracle() {
        let engine = EngineConfig::default();
        let results = compare_policies(&decisions(400), &engine, &default_policies(), 5).unwrap();
        assert_eq!(results.len(), 2 + default_policies().len());
        assert_eq!(results[0].name, "(oracle)");
        assert!((results[0].clicks.mean - 0.55).abs() < 0.02);
        let fixed = of(&results, "(best fixed creative)");
        // "a": 0.6 and 0.1.
        assert!((fixed.clicks.mean - 0.35).abs() < 0.04 && fixed.over_fixed.mean.abs() < 1e-12);
        for decision in &results {
            for spread in [
                decision.clicks,
                decision.regret,
                decision.over_random,
                decision.over_fixed,
            ] {
                assert!(
                    spread.low <= spread.mean && spread.mean <= spread.high,
                    "{decision:?}"
                );
            }
            assert!(decision.regret.low >= -1e-9, "{decision:?}");
        }
        let uniform = of(&results, "uniform");
        assert!(uniform.over_random.mean.abs() < 0.1, "{uniform:?}");
        for name in ["linear-ts", "bernoulli-ts by direction × subject"] {
            let decision = of(&results, name);
            assert!(
                decision.over_fixed.mean > 0.0 && decision.over_random.low > 0.2,
                "{decision:?}"
            );
        }
        let blind = of(&results, "bernoulli-ts");
        assert!(
            blind.over_random.mean > 0.0 && blind.over_fixed.mean < 0.1,
            "{blind:?}"
        );
    }

    #[test]
    fn results_are_a_function_of_the_seed_and_empty_without_decisions() {
        let engine = EngineConfig::default();
        let play = |seed| {
            let engine = EngineConfig {
                seed,
                ..engine.clone()
            };
            compare_policies(&decisions(60), &engine, &default_policies(), 2).unwrap()
        };
        assert_eq!(play(1), play(1));
        assert_ne!(play(1), play(2));
        assert_eq!(
            compare_policies(&[], &engine, &default_policies(), 3).unwrap(),
            []
        );
    }
}
