//! Rules about what the others have left. The gate applies them.

use limbic_domain::Suppression;

use crate::Rules;
use crate::rule::{Check, Protection, Rule};

pub(crate) const PEOPLE_LIMIT: Rule = Rule {
    id: "people_limit",
    protection: Protection::P11,
    version: 1,
    protects: "people from ads that follow a whole crowd",
    objects_when: "more people than `safety.people` are left: those who posted last stay",
    check: Check::Rest,
};

pub(crate) const NO_PERSON_LEFT: Rule = Rule {
    id: "no_person_left",
    protection: Protection::P12,
    version: 1,
    protects: "everybody who was removed",
    objects_when: "nobody is left whom the ads could reach",
    check: Check::Rest,
};

pub(crate) const TOO_FEW_PEOPLE: Rule = Rule {
    id: "too_few_people",
    protection: Protection::P2,
    version: 1,
    protects: "people who could be recognised by what they are shown",
    objects_when: "fewer people than `safety.fewest_people` are left",
    check: Check::Rest,
};

pub(crate) const NO_CREATIVE_LEFT: Rule = Rule {
    id: "no_creative_left",
    protection: Protection::P12,
    version: 1,
    protects: "everybody whom a removed ad would have reached",
    objects_when: "no ad is left",
    check: Check::Rest,
};

pub(crate) const RULE_FAILED: Rule = Rule {
    id: "rule_failed",
    protection: Protection::P12,
    version: 1,
    protects: "everybody, when the program itself is at fault",
    objects_when: "a rule fails or panics: what cannot be judged does not run",
    check: Check::Rest,
};

/// The reason of [`RULE_FAILED`].
pub(crate) fn cannot_be_judged(error: &str) -> String {
    format!("An ad that cannot be judged does not run: {error}.")
}

/// Whether too few people are left of those there were.
pub(crate) fn too_few(were: usize, are: usize, rules: &Rules) -> Option<Suppression> {
    if are == 0 {
        let reason = match were {
            0 => "The moment has no person whom an ad could reach.".to_owned(),
            1 => "The only person it could reach had to be removed.".to_owned(),
            _ => format!("All {were} people it could reach had to be removed."),
        };
        return Some(Suppression {
            rule: NO_PERSON_LEFT.id.to_owned(),
            reason,
        });
    }
    (are < rules.fewest_people).then(|| Suppression {
        rule: TOO_FEW_PEOPLE.id.to_owned(),
        reason: format!(
            "Only {are} of {were} people are left, and the settings require {}.",
            rules.fewest_people
        ),
    })
}

/// No ad is left of those there were.
pub(crate) fn no_creative(were: usize) -> Suppression {
    Suppression {
        rule: NO_CREATIVE_LEFT.id.to_owned(),
        reason: match were {
            0 => "There was no ad to choose from.".to_owned(),
            1 => "The only ad had to be removed.".to_owned(),
            count => format!("All {count} ads had to be removed."),
        },
    }
}
