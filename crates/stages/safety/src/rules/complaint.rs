//! The audience complains about the brand that the ad is for.

use limbic_domain::{CampaignDraft, Direction, Draft};

use super::evidence::{percent, share};
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const COMPLAINT: Rule = Rule {
    id: "complaint",
    protection: Protection::P11,
    version: 1,
    protects: "people who complain about a brand",
    objects_when: "the audience's subject is the campaign's own brand, and its mood falls, is negative, or has anger of \
                   `safety.brand_anger`",
    check: Check::Campaign(complaint),
};

/// Emotions of people who complain.
pub(super) const ANGER: [&str; 6] = [
    "anger",
    "annoyance",
    "disgust",
    "disapproval",
    "disappointment",
    "contempt",
];

fn complaint(draft: &Draft, campaign: &CampaignDraft, context: &Context<'_>) -> Objects {
    if !campaign.own_brand {
        return Ok(None);
    }
    let limit = context.rules.brand_anger;
    let mut why = (draft.direction == Direction::Down).then(|| "its mood falls".to_owned());
    for mood in [&draft.change.mood, &draft.mood] {
        // NaN is not a valence, and so no ad runs.
        let is_pleased = mood.valence >= 0.0;
        if !is_pleased {
            why.get_or_insert_with(|| format!("its mean valence is {:+.2}", mood.valence));
        }
        for (name, &strength) in &mood.emotions {
            let is_anger = ANGER.contains(&name.to_lowercase().as_str());
            if is_anger && share(strength, "an emotion's strength")? >= limit {
                why.get_or_insert_with(|| format!("it feels {name} ({})", percent(strength)));
            }
        }
    }
    Ok(why.map(|why| {
        format!(
            "The audience's subject `{}` is the campaign's own brand, and the audience is not pleased with it: {why}.",
            draft.audience.subject()
        )
    }))
}
