//! Urgency or scarcity in an ad to people who are upset.

use limbic_domain::{Draft, MoodSummary};

use super::audience_feeling::DREAD;
use super::complaint::ANGER;
use crate::Rules;
use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const PRESSURE: Rule = Rule {
    id: "pressure",
    protection: Protection::P11,
    version: 2,
    protects: "people who are upset and would decide in haste",
    objects_when: "the ad presses to act at once, and the audience is in a negative feeling with an arousal of `safety.pressure_arousal`, \
                   or in fear or anger of `safety.pressure_feeling`",
    check: Check::Ad(pressure),
};

fn pressure(ad: &Ad<'_>) -> Objects {
    if !ad.is_to_upset_people {
        return Ok(None);
    }
    let found = ad.rules.lexicon.pressure(&ad.copy);
    Ok(found.map(|found| {
        format!(
            "It presses to act at once (`{}`), and its audience is upset.",
            found.entry
        )
    }))
}

/// Whether an audience is in a negative feeling of high arousal, lately or since the change. NaN counts as upset.
pub(crate) fn is_upset(draft: &Draft, rules: &Rules) -> bool {
    [&draft.change.mood, &draft.mood]
        .into_iter()
        .any(|mood| is_upset_mood(mood, rules))
}

fn is_upset_mood(mood: &MoodSummary, rules: &Rules) -> bool {
    let is_pleasant = mood.valence >= 0.0;
    let is_calm = mood.arousal < rules.pressure_arousal;
    let is_strong = |(name, &strength): (&String, &f64)| {
        let name = name.to_lowercase();
        let is_one = DREAD.contains(&name.as_str()) || ANGER.contains(&name.as_str());
        let is_weak = strength < rules.pressure_feeling;
        is_one && !is_weak
    };
    (!is_pleasant && !is_calm) || mood.emotions.iter().any(is_strong)
}
