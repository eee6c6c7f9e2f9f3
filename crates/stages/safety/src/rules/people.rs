//! Rules about each person.

use std::collections::{HashMap, HashSet};

use limbic_domain::{ConsentState, Pseudonym, Recipient, Removal, Suppression};

use super::percent;
use crate::Rules;

/// The people of a moment after the rules.
pub(crate) struct People {
    /// The people whom an ad may reach, in the order given, each once.
    pub(crate) cleared: Vec<Pseudonym>,
    /// The others.
    pub(crate) removals: Vec<Removal>,
}

/// Judges the people of a moment. A person who is named twice is judged by the worst that is known of them.
pub(crate) fn clear(people: &[Recipient], rules: &Rules) -> People {
    let mut against: HashMap<&Pseudonym, (&'static str, String)> = HashMap::new();
    for recipient in people {
        if let Some(objection) = objection(recipient, rules) {
            against.entry(&recipient.person).or_insert(objection);
        }
    }
    let mut seen = HashSet::new();
    let (mut cleared, mut removals) = (Vec::new(), Vec::new());
    for Recipient { person, .. } in people {
        if !seen.insert(person) {
            continue;
        }
        let objection = against.remove(person).or_else(|| {
            let is_full = cleared.len() >= rules.people;
            is_full.then(|| {
                let reason = format!(
                    "One decision reaches at most {} people, those who posted last.",
                    rules.people
                );
                ("people_limit", reason)
            })
        });
        match objection {
            Some((rule, reason)) => {
                Removal::note(&mut removals, rule, &reason, format!("person/{person}"));
            }
            None => cleared.push(person.clone()),
        }
    }
    People { cleared, removals }
}

/// Why no ad may be chosen for this person.
fn objection(recipient: &Recipient, rules: &Rules) -> Option<(&'static str, String)> {
    if recipient.minor {
        return Some((
            "minor",
            "A source says or suspects that this person is a minor.".to_owned(),
        ));
    }
    let limit = rules.person_distress;
    let is_calm = (0.0..limit).contains(&recipient.distress);
    if !is_calm {
        let reason = format!(
            "What this person wrote lately may show distress; at {} or more no ad is shown.",
            percent(limit)
        );
        return Some(("distress", reason));
    }
    if !recipient.consent.permits() {
        let reason = match recipient.consent {
            ConsentState::Denied => "This person refused ads based on what they write.",
            _ => "The source requires this person's consent, and none is known.",
        };
        return Some(("consent", reason.to_owned()));
    }
    None
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
            rule: "no_person_left".to_owned(),
            reason,
        });
    }
    (are < rules.fewest_people).then(|| Suppression {
        rule: "too_few_people".to_owned(),
        reason: format!(
            "Only {are} of {were} people are left, and the settings require {}.",
            rules.fewest_people
        ),
    })
}
