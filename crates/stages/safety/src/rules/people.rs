//! Rules about each person.

use std::collections::{HashMap, HashSet};

use limbic_domain::{ConsentState, Pseudonym, Removal, Suppression, Target};

use super::percent;
use crate::Rules;

/// The people an ad may be chosen for, in the order given. Who is named twice is judged by the worst that is known.
pub(crate) fn clear(people: &[Target], rules: &Rules, removals: &mut Vec<Removal>) -> Vec<Target> {
    let mut against: HashMap<&Pseudonym, (&'static str, String)> = HashMap::new();
    for target in people {
        if let Some(objection) = objection(target, rules) {
            against.entry(&target.person).or_insert(objection);
        }
    }
    let mut seen = HashSet::new();
    let mut cleared = Vec::new();
    for target in people {
        if !seen.insert(&target.person) {
            continue;
        }
        let objection = against.remove(&target.person).or_else(|| {
            let is_full = cleared.len() >= rules.people;
            is_full.then(|| {
                let reason = format!(
                    "One decision reaches at most {} people, those who spoke last.",
                    rules.people
                );
                ("people_limit", reason)
            })
        });
        match objection {
            Some((rule, reason)) => removals.push(Removal {
                rule: rule.to_owned(),
                removed: format!("person/{}", target.person),
                reason,
            }),
            None => cleared.push(target.clone()),
        }
    }
    cleared
}

/// Why no ad may be chosen for this person.
fn objection(target: &Target, rules: &Rules) -> Option<(&'static str, String)> {
    if target.minor {
        return Some((
            "minor",
            "A source says or suspects that this person is a minor.".to_owned(),
        ));
    }
    let limit = rules.person_distress;
    let is_calm = (0.0..limit).contains(&target.distress);
    if !is_calm {
        let reason = format!(
            "What this person wrote lately may show distress; from {} on no ad is shown.",
            percent(limit)
        );
        return Some(("distress", reason));
    }
    if !target.consent.permits() {
        let reason = match target.consent {
            ConsentState::Denied => "This person said no to ads on the ground of what they write.",
            _ => "The source demands this person's consent, and none is known.",
        };
        return Some(("consent", reason.to_owned()));
    }
    None
}

/// Whether too few people are left of those there were.
pub(crate) fn too_few(were: usize, are: usize, rules: &Rules) -> Option<Suppression> {
    if are == 0 {
        let reason = match were {
            0 => "The moment named nobody whom an ad could reach.".to_owned(),
            1 => "The one person it could reach had to be taken out.".to_owned(),
            _ => format!("All {were} people it could reach had to be taken out."),
        };
        return Some(Suppression {
            rule: "no_person_left".to_owned(),
            reason,
        });
    }
    (are < rules.fewest_people).then(|| Suppression {
        rule: "too_few_people".to_owned(),
        reason: format!(
            "Only {are} of {were} people are left, and {} are demanded.",
            rules.fewest_people
        ),
    })
}
