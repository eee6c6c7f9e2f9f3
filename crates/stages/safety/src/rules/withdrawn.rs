//! A person who deleted a post or their account a short time ago.

use limbic_domain::Recipient;

use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const WITHDRAWN: Rule = Rule {
    id: "withdrawn",
    protection: Protection::P5,
    version: 1,
    protects: "people who took back what they wrote",
    objects_when: "the person deleted a post or their account within the last hour",
    check: Check::Person(withdrawn),
};

fn withdrawn(recipient: &Recipient, context: &Context<'_>) -> Objects {
    Ok(context
        .has_withdrawn(&recipient.person)
        .then(|| "This person deleted a post or their account a short time ago.".to_owned()))
}
