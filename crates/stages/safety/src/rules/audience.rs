//! Rules about an audience as a whole.

use limbic_domain::{CampaignDraft, Direction, Draft, Suppression};

use super::{RuleError, percent};
use crate::Rules;

/// Emotions in which an ad is an intrusion, by the names that the lexicon, GoEmotions and NRC use.
const DREAD: [&str; 13] = [
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

/// Too many of the audience's recent posts show distress.
pub(crate) fn distress(
    draft: &Draft,
    _: &CampaignDraft,
    rules: &Rules,
) -> Result<Option<Suppression>, RuleError> {
    let share = share(draft.mood.distress, "the audience's distress")?;
    let limit = rules.audience_distress;
    Ok((share >= limit).then(|| Suppression {
        rule: "audience_distress".to_owned(),
        reason: format!(
            "{} of what this audience wrote lately shows distress; at {} no ad runs.",
            percent(share),
            percent(limit)
        ),
    }))
}

/// Fear, grief or despair is strong; or sadness, if the mood falls.
pub(crate) fn feeling(
    draft: &Draft,
    _: &CampaignDraft,
    rules: &Rules,
) -> Result<Option<Suppression>, RuleError> {
    let falls = draft.direction == Direction::Down;
    for (name, &strength) in &draft.mood.emotions {
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
            let reason = format!(
                "This audience feels {name} ({}){}; at {} no ad runs.",
                percent(strength),
                if falls { " and its mood is falling" } else { "" },
                percent(limit)
            );
            return Ok(Some(Suppression {
                rule: "audience_feeling".to_owned(),
                reason,
            }));
        }
    }
    Ok(None)
}

/// The name of the audience or of the campaign belongs to a sensitive category.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is one of the rules, and a rule may fail"
)]
pub(crate) fn sensitive(
    draft: &Draft,
    campaign: &CampaignDraft,
    rules: &Rules,
) -> Result<Option<Suppression>, RuleError> {
    let names = [
        ("audience", draft.audience.as_str().replace(':', "-")),
        ("subject", draft.audience.subject().to_owned()),
        ("campaign", campaign.campaign.as_str().to_owned()),
    ];
    for (what, name) in &names {
        if let Some(found) = rules.lexicon.sensitive_name(name) {
            let reason = format!(
                "The {what} `{name}` touches {} (`{}`), which is never a ground for advertising.",
                found.category, found.entry
            );
            return Ok(Some(Suppression {
                rule: "sensitive_audience".to_owned(),
                reason,
            }));
        }
    }
    Ok(None)
}

/// The value, if it is in `[0, 1]` within rounding errors of 1e-9; otherwise an error.
fn share(value: f64, what: &'static str) -> Result<f64, RuleError> {
    const ROUNDING: f64 = 1e-9;
    if (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
        Ok(value)
    } else {
        Err(RuleError::Unreadable(what))
    }
}
