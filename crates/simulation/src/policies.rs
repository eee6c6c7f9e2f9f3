//! Every policy on the decisions that the town really had to make.

use limbic_bandit::decide::EngineConfig;
use limbic_bandit::simulator::{Situation, Standing, every_policy, tournament};
use limbic_domain::{CreativeSet, Utc};
use limbic_optimize::{context_of, offers_of};
use limbic_views::Kind;

use crate::observer::{Observer, appeal};
use limbic_node::settings::Settings;

/// What was decided, or would have been, with what each ad is worth to the town.
pub fn situations(watch: &Observer, settings: &Settings) -> anyhow::Result<Vec<Situation>> {
    let window = settings.optimize.rewards.click_window.as_millis().max(1);
    let mut situations = Vec::new();
    for found in watch.all(Kind::CreativeSet)? {
        let at: Utc = found["at"].as_str().unwrap_or_default().parse()?;
        let set: CreativeSet = serde_json::from_value(found)?;
        if set.creatives.is_empty() || set.people.is_empty() {
            continue;
        }
        let appeals = set.creatives.iter().map(|creative| {
            let subject = set.audience.subject();
            appeal(set.direction, subject, creative.tone.as_str(), set.mood.valence)
        });
        situations.push(Situation {
            campaign: set.campaign.to_string(),
            at,
            context: context_of(&set, at).0,
            appeals: appeals.collect(),
            offers: offers_of(&set),
            round: at.as_millis().div_euclid(window).cast_unsigned(),
        });
    }
    Ok(situations)
}

/// How every policy does on them, within the bounds that the house has set.
pub fn standings(
    situations: &[Situation],
    settings: &Settings,
    seed: u64,
    runs: u64,
) -> anyhow::Result<Vec<Standing>> {
    let engine = EngineConfig {
        seed,
        ..settings.optimize.engine.clone()
    };
    Ok(tournament(situations, &engine, &every_policy(), runs)?)
}
