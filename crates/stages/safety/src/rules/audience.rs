//! Rules about an audience as a whole.

use limbic_domain::{CampaignDraft, Change, Direction, Draft, Suppression};

use super::{RuleError, percent};
use crate::gate::Context;

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

/// Emotions of people who complain.
const ANGER: [&str; 6] = [
    "anger",
    "annoyance",
    "disgust",
    "disapproval",
    "disappointment",
    "contempt",
];

/// The chance that must remain for a share at or above a limit: it counts as plausible.
const PLAUSIBLE: f64 = 0.2;
/// From this number of posts on, the binomial distribution is replaced by the normal one.
const MANY: u64 = 1_000;
/// The quantile of the normal distribution at [`PLAUSIBLE`].
const PLAUSIBLE_QUANTILE: f64 = -0.841_621_233_572_914_2;

/// Whether the share of such posts may be at or above `limit`, if `count` of `posts` are such: whether a share of exactly `limit`
/// would give so few of them with a chance of [`PLAUSIBLE`] or more.
///
/// Few posts prove little, and then the answer is yes: with a limit of 15 %, ten posts without a hit are the fewest that pass.
fn is_plausible(count: u64, posts: u64, limit: f64) -> bool {
    let (n, k) = (posts as f64, count as f64);
    if k >= limit * n {
        return true;
    }
    if posts > MANY {
        let deviation = (n * limit * (1.0 - limit)).sqrt();
        return (k + 0.5 - n * limit) / deviation >= PLAUSIBLE_QUANTILE;
    }
    let mut term = (1.0 - limit).powf(n);
    let mut chance = term;
    for hits in 0..count {
        term *= (posts - hits) as f64 / (hits + 1) as f64 * limit / (1.0 - limit);
        chance += term;
    }
    chance >= PLAUSIBLE
}

/// The posts since the change whose distress and events can be read.
fn read_posts(draft: &Draft) -> u64 {
    draft.change.posts.saturating_sub(draft.change.unread)
}

/// A share of the posts since the change, in words.
fn share_since(draft: &Draft, count: u64) -> String {
    format!(
        "{count} of {} posts since {}",
        read_posts(draft),
        draft.change.since
    )
}

/// A death, a disaster or violence: a hold on the subject or on one of the campaign's brands, or too many of the posts since the
/// change that name one.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is one of the rules, and a rule may fail"
)]
pub(crate) fn event(
    draft: &Draft,
    campaign: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
    let subjects = std::iter::once(draft.audience.subject());
    let mut subjects = subjects.chain(campaign.brands.iter().map(limbic_domain::Slug::as_str));
    if let Some(hold) = subjects.find_map(|subject| context.hold_on(subject)) {
        return Ok(Some(Suppression {
            rule: "hold".to_owned(),
            reason: hold.reason(),
        }));
    }
    let limit = context.rules.sensitive_events;
    let events = draft.change.sensitive_events;
    Ok(
        is_plausible(events, read_posts(draft), limit).then(|| Suppression {
            rule: "sensitive_event".to_owned(),
            reason: format!(
                "{} were read as reports of a death, a disaster or violence. {}",
                share_since(draft, events),
                compared(events, read_posts(draft), limit)
            ),
        }),
    )
}

/// Why `count` of `posts` is too many: the share is at the limit, or so few posts do not exclude it.
fn compared(count: u64, posts: u64, limit: f64) -> String {
    let limit_text = percent(limit);
    if count as f64 >= limit * posts as f64 {
        format!("At {limit_text} no ad runs.")
    } else {
        format!("So few posts do not exclude that {limit_text} of them do; from there on, no ad runs.")
    }
}

/// Too much of what the audience writes cannot be read.
pub(crate) fn unread(
    draft: &Draft,
    _: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
    let (unread, posts) = (draft.change.unread, draft.change.posts);
    if unread > posts {
        return Err(RuleError::Unreadable("the number of posts that cannot be read"));
    }
    let limit = context.rules.unread;
    let share = if posts == 0 {
        1.0
    } else {
        unread as f64 / posts as f64
    };
    Ok((share >= limit).then(|| Suppression {
        rule: "unread_audience".to_owned(),
        reason: format!(
            "{unread} of {posts} posts since {} are in languages in which distress cannot be read; at {} no ad runs.",
            draft.change.since,
            percent(limit)
        ),
    }))
}

/// Too many of the audience's posts show distress, lately or since the change.
pub(crate) fn distress(
    draft: &Draft,
    _: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
    let share = share(draft.mood.distress, "the audience's distress")?;
    let limit = context.rules.audience_distress;
    let reason = if share >= limit {
        format!(
            "{} of what this audience wrote lately shows distress; at {} no ad runs.",
            percent(share),
            percent(limit)
        )
    } else if is_plausible(draft.change.distressed, read_posts(draft), limit) {
        format!(
            "{} show distress. {}",
            share_since(draft, draft.change.distressed),
            compared(draft.change.distressed, read_posts(draft), limit)
        )
    } else {
        return Ok(None);
    };
    Ok(Some(Suppression {
        rule: "audience_distress".to_owned(),
        reason,
    }))
}

/// Fear, grief or despair is strong, lately or since the change; or sadness, if the mood falls.
pub(crate) fn feeling(
    draft: &Draft,
    _: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
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

/// Too many of the audience's posts are offensive or hateful, lately or since the change.
///
/// A brand beside them is the only harm, so few posts need not exclude a share: the measured one counts. Posts in which neither
/// can be read count for nothing.
pub(crate) fn hostility(
    draft: &Draft,
    _: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
    let Change {
        judged,
        offensive,
        hateful,
        since,
        ..
    } = draft.change;
    let rules = context.rules;
    for (lately, count, limit, rule, what) in [
        (
            draft.mood.hate,
            hateful,
            rules.hate,
            "audience_hate",
            "were read as attacks on people because of a group that they belong to",
        ),
        (
            draft.mood.offence,
            offensive,
            rules.offence,
            "audience_offence",
            "were read as offensive",
        ),
    ] {
        let lately = share(lately, "the share of hostile posts")?;
        if count > judged {
            return Err(RuleError::Unreadable("the number of hostile posts"));
        }
        let who = if judged > 0 && count as f64 >= limit * judged as f64 {
            format!("{count} of {judged} posts since {since}")
        } else if lately >= limit {
            format!("{} of the posts that this audience wrote lately", percent(lately))
        } else {
            continue;
        };
        return Ok(Some(Suppression {
            rule: rule.to_owned(),
            reason: format!("{who} {what}; at {} no ad runs.", percent(limit)),
        }));
    }
    Ok(None)
}

/// The audience complains about the brand that the ad is for.
pub(crate) fn complaint(
    draft: &Draft,
    campaign: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
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
    Ok(why.map(|why| Suppression {
        rule: "complaint".to_owned(),
        reason: format!(
            "The audience's subject `{}` is the campaign's own brand, and the audience is not pleased with it: {why}.",
            draft.audience.subject()
        ),
    }))
}

/// The name of the audience or of the campaign belongs to a sensitive category.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is one of the rules, and a rule may fail"
)]
pub(crate) fn sensitive(
    draft: &Draft,
    campaign: &CampaignDraft,
    context: &Context<'_>,
) -> Result<Option<Suppression>, RuleError> {
    let names = [
        ("audience", draft.audience.as_str().replace(':', "-")),
        ("subject", draft.audience.subject().to_owned()),
        ("campaign", campaign.campaign.as_str().to_owned()),
    ];
    for (what, name) in &names {
        if let Some(found) = context.rules.lexicon.sensitive_name(name) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with the binomial distribution as `scipy.stats.binom.cdf` has it: `cdf(0, 10, .15)` = 0.19687,
    /// `cdf(1, 19, .15)` = 0.19849, `cdf(1, 18, .15)` = 0.22405, `cdf(9, 80, .15)` = 0.22026, `cdf(8, 80, .15)` = 0.13085.
    #[test]
    fn a_share_is_plausible_until_enough_posts_speak_against_it() {
        for (count, posts, plausible) in [
            (0, 0, true),
            (0, 9, true),
            (0, 10, false),
            (1, 18, true),
            (1, 19, false),
            (9, 80, true),
            (8, 80, false),
            (150, 1_000, true),
            (200, 1_000, true),
            (100, 1_000, false),
            (1_480, 10_000, true),
            (1_460, 10_000, false),
            (0, 1_000_000, false),
        ] {
            assert_eq!(is_plausible(count, posts, 0.15), plausible, "{count} of {posts}");
        }
    }
}
