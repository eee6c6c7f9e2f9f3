//! Compares every policy on the decisions of a simulation.

use limbic_bandit::decide::EngineConfig;
use limbic_bandit::simulator::{PolicyResult, SimulatedDecision, compare_policies, default_policies};
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
    let engine = EngineConfig {
        seed,
        ..settings
            .section::<limbic_optimize::OptimizeStage>()
            .engine
            .clone()
    };
    Ok(compare_policies(situations, &engine, &default_policies(), runs)?)
}
