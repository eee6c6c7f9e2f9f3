//! A person in distress.

use limbic_domain::Recipient;

use super::evidence::percent;
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const DISTRESS: Rule = Rule {
    id: "distress",
    protection: Protection::P1,
    version: 1,
    protects: "a person in distress",
    objects_when: "the distress of what the person wrote lately reaches `safety.person_distress`",
    check: Check::Person(distress),
};

fn distress(recipient: &Recipient, context: &Context<'_>) -> Objects {
    let limit = context.rules.person_distress;
    // NaN is in no range: such a person gets no ad.
    let is_calm = (0.0..limit).contains(&recipient.distress);
    Ok((!is_calm).then(|| {
        format!(
            "What this person wrote lately may show distress; at {} or more no ad is shown.",
            percent(limit)
        )
    }))
}
