//! The rules, one file each, and the table of all.
#![expect(
    clippy::unnecessary_wraps,
    reason = "a rule may fail, so each returns a result"
)]

mod ai_mark;
mod audience_distress;
mod audience_feeling;
mod awaits_review;
mod complaint;
mod consent;
mod distress;
mod evidence;
mod feeling;
mod forbidden_word;
mod hold;
mod hostile_audience;
mod malformed;
mod minor;
mod over_limit;
mod pressure;
mod refused_category;
mod rest;
mod sensitive_audience;
mod sensitive_event;
mod sensitive_word;
mod shaming;
mod transparency;
mod undeclared_category;
mod unknown_language;
mod unread_audience;
mod unreadable;
mod withdrawn;

use limbic_domain::Declaration;

use crate::regions::REGIONS;
use crate::rule::Rule;

pub(crate) use awaits_review::AWAITS_REVIEW;
pub(crate) use malformed::MALFORMED;
pub(crate) use pressure::is_upset;
pub(crate) use rest::{PEOPLE_LIMIT, RULE_FAILED, cannot_be_judged, no_creative, too_few};
pub use transparency::missing_advertiser;
pub(crate) use transparency::record as transparency_record;

/// Every rule, in the order of application: those about a campaign, about a person, about an ad, and about what they leave.
pub static RULES: [Rule; 33] = [
    hold::HOLD,
    sensitive_event::SENSITIVE_EVENT,
    unread_audience::UNREAD_AUDIENCE,
    audience_distress::AUDIENCE_DISTRESS,
    audience_feeling::AUDIENCE_FEELING,
    hostile_audience::AUDIENCE_HATE,
    hostile_audience::AUDIENCE_OFFENCE,
    complaint::COMPLAINT,
    sensitive_audience::SENSITIVE_AUDIENCE,
    refused_category::REFUSED_CATEGORY,
    undeclared_category::UNDECLARED_CAMPAIGN,
    transparency::TRANSPARENCY,
    minor::MINOR,
    distress::DISTRESS,
    consent::CONSENT,
    withdrawn::WITHDRAWN,
    MALFORMED,
    over_limit::OVER_LIMIT,
    unreadable::UNREADABLE,
    ai_mark::AI_MARK,
    feeling::FEELING,
    shaming::SHAMING,
    sensitive_word::SENSITIVE_WORD,
    forbidden_word::FORBIDDEN_WORD,
    undeclared_category::UNDECLARED_CATEGORY,
    pressure::PRESSURE,
    unknown_language::UNKNOWN_LANGUAGE,
    // The last one about ads: a person is asked about an ad only if no other rule objects to it.
    AWAITS_REVIEW,
    PEOPLE_LIMIT,
    rest::NO_PERSON_LEFT,
    rest::TOO_FEW_PEOPLE,
    rest::NO_CREATIVE_LEFT,
    RULE_FAILED,
];

/// The first source by which a region of the campaign requires this rule; `None` if none does.
fn required(declared: &Declaration, rule: &str) -> Option<String> {
    let applying = declared.regions();
    let packs = REGIONS.iter().filter(|pack| applying.contains(&pack.region));
    let mut sources = packs.flat_map(|pack| pack.requires.iter().map(move |required| (pack, required)));
    let (pack, required) = sources.find(|(_, required)| required.rule == rule)?;
    Some(format!("{} ({})", required.source, pack.name))
}

/// The rule of this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_its_id() {
        for known in &RULES {
            assert_eq!(rule(known.id).map(|found| found.id), Some(known.id));
            assert_eq!(
                RULES.iter().filter(|other| *other == known).count(),
                1,
                "{}",
                known.id
            );
        }
        assert_eq!(rule("no_such_rule"), None);
    }
}
