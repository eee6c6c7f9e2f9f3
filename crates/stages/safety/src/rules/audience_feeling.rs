//! Fear, grief or despair is strong in the audience, lately or since the change; or sadness, if the mood falls.

use limbic_domain::{CampaignDraft, Direction, Draft};

use super::evidence::{percent, share};
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const AUDIENCE_FEELING: Rule = Rule {
    id: "audience_feeling",
    protection: Protection::P1,
    version: 1,
    protects: "people in fear, grief or despair",
    objects_when: "the mean of fear, grief or despair reaches `safety.any_dread` (`safety.down_dread` if the mood falls), or sadness \
                   `safety.down_sadness` if it falls",
    check: Check::Campaign(feeling),
};

/// Emotions in which an ad is an intrusion, by the names that the lexicon, GoEmotions and NRC use.
pub(super) const DREAD: [&str; 13] = [
    "fear",
    "grief",
    "despair",
    "panic",
    "terror",
    "horror",
    "anxiety",
    "nervousness",
    "hopelessness",
    "mourning",
    "anguish",
    "trauma",
    "crisis",
];
/// Emotions in which an audience whose mood falls gets no ad, if they are strong.
const SADNESS: [&str; 4] = ["sadness", "remorse", "loneliness", "shame"];

fn feeling(draft: &Draft, _: &CampaignDraft, context: &Context<'_>) -> Objects {
    let rules = context.rules;
    let falls = draft.direction == Direction::Down;
    for (name, &strength) in draft.change.mood.emotions.iter().chain(&draft.mood.emotions) {
        let strength = share(strength, "an emotion's strength")?;
        let name = name.to_lowercase();
        let is = |names: &[&str]| names.contains(&name.as_str());
        let limit = match (is(&DREAD), is(&SADNESS), falls) {
            (true, _, true) => rules.down_dread.min(rules.any_dread),
            (true, _, false) => rules.any_dread,
            (_, true, true) => rules.down_sadness,
            _ => continue,
        };
        if strength >= limit {
            return Ok(Some(format!(
                "This audience feels {name} ({}){}; at {} no ad runs.",
                percent(strength),
                if falls { " and its mood is falling" } else { "" },
                percent(limit)
            )));
        }
    }
    Ok(None)
}
