//! Compares every policy on the decisions of a simulation.

use std::collections::BTreeMap;

use limbic_bandit::PolicyConfig;
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::simulator::{
    LearningCurve, PolicyResult, SimulatedDecision, compare_policies, default_policies, learning_curves,
};
use limbic_domain::{CreativeSet, Utc};
use limbic_optimize::{context_of, offers_of};
use limbic_views::Kind;

use crate::driver::{Driver, click_probability};
use limbic_node::settings::Settings;

/// The decisions of a simulation with the click probability of each candidate, which only the simulation knows. Sets without a
/// creative or without people are left out.
pub fn situations(driver: &Driver, settings: &Settings) -> anyhow::Result<Vec<SimulatedDecision>> {
    let window = settings
        .section::<limbic_optimize::OptimizeStage>()
        .rewards
        .click_window
        .as_millis()
        .max(1);
    let mut situations = Vec::new();
    for found in driver.all(Kind::CreativeSet)? {
        let at: Utc = found["at"].as_str().unwrap_or_default().parse()?;
        let set: CreativeSet = serde_json::from_value(found)?;
        if set.creatives.is_empty() || set.people.is_empty() {
            continue;
        }
        let probabilities = set.creatives.iter().map(|creative| {
            let subject = set.audience.subject();
            click_probability(set.direction, subject, creative.tone.as_str(), set.mood.valence)
        });
        situations.push(SimulatedDecision {
            campaign: set.campaign.to_string(),
            at,
            context: context_of(&set, at).0,
            click_probabilities: probabilities.collect(),
            offers: offers_of(&set),
            round: at.as_millis().div_euclid(window).cast_unsigned(),
        });
    }
    Ok(situations)
}

/// The result of every policy on these decisions, with the node's bounds (for example its minimum propensity), over `runs` runs.
pub fn results(
    situations: &[SimulatedDecision],
    settings: &Settings,
    seed: u64,
    runs: u64,
) -> anyhow::Result<Vec<PolicyResult>> {
    let engine = engine_of(settings, seed);
    Ok(compare_policies(situations, &engine, &default_policies(), runs)?)
}

fn engine_of(settings: &Settings, seed: u64) -> EngineConfig {
    EngineConfig {
        seed,
        ..settings
            .section::<limbic_optimize::OptimizeStage>()
            .engine
            .clone()
    }
}

/// Numbers of decisions after which [`learning`] states the gain.
pub const MARKS: [usize; 4] = [90, 350, 1_000, 3_000];

/// Most runs of [`learning`]: one has some ten times as many decisions as a run of [`results`].
const MOST_RUNS: u64 = 8;

/// How three policies learn, if people click in one of four ways.
#[derive(Debug, serde::Serialize)]
pub struct Learning {
    /// How people click.
    pub clicks: &'static str,
    /// The curves: first the policy that is blind to feelings, with which the others are compared.
    pub curves: Vec<LearningCurve>,
}

/// How the default policy learns on these decisions, beside the policy that ignores feelings and the one that learns each
/// feeling alone. Beside the simulation's click probabilities: a twentieth of them, as real people click, and the mean of
/// each creative over all feelings, as if feelings did not matter.
pub fn learning(
    situations: &[SimulatedDecision],
    settings: &Settings,
    seed: u64,
    runs: u64,
) -> anyhow::Result<Vec<Learning>> {
    let policies = [
        ("blind to feelings", serde_json::json!({"name": "bernoulli-ts"})),
        (
            "each feeling alone",
            serde_json::json!({"name": "bernoulli-ts", "stratify": ["direction", "subject"]}),
        ),
        ("pooled-ts (default)", serde_json::json!({"name": "pooled-ts"})),
    ];
    let policies = policies
        .into_iter()
        .map(|(name, settings)| Ok((name.to_owned(), serde_json::from_value(settings)?)))
        .collect::<Result<Vec<(String, PolicyConfig)>, serde_json::Error>>()?;
    let engine = engine_of(settings, seed);
    let worlds = [
        ("as simulated", 1.0, true),
        ("a twentieth of that", 0.05, true),
        ("feelings do not matter", 1.0, false),
        ("feelings do not matter, a twentieth", 0.05, false),
    ];
    let learn = |(clicks, factor, matter)| {
        let world = world(situations, factor, matter);
        let curves = learning_curves(&world, &engine, &policies, &MARKS, runs.min(MOST_RUNS))?;
        Ok(Learning { clicks, curves })
    };
    std::thread::scope(|scope| {
        let learn = &learn;
        let threads = worlds.map(|world| scope.spawn(move || learn(world)));
        threads
            .into_iter()
            .map(|thread| thread.join().expect("comparing policies does not panic"))
            .collect()
    })
}

/// The same decisions with other click probabilities.
fn world(situations: &[SimulatedDecision], factor: f64, matter: bool) -> Vec<SimulatedDecision> {
    let mut sums: BTreeMap<(&str, &str), (f64, f64)> = BTreeMap::new();
    for situation in situations {
        for (offer, probability) in situation.offers.iter().zip(&situation.click_probabilities) {
            let (sum, count) = sums.entry((&situation.campaign, &offer.arm.id)).or_default();
            *sum += probability;
            *count += 1.0;
        }
    }
    let mut world = situations.to_vec();
    for situation in &mut world {
        for (offer, probability) in situation.offers.iter().zip(&mut situation.click_probabilities) {
            let (sum, count) = sums[&(situation.campaign.as_str(), offer.arm.id.as_str())];
            let own = if matter { *probability } else { sum / count };
            *probability = factor * own;
        }
    }
    world
}
