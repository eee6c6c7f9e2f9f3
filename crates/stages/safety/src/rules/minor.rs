//! A suspected minor.

use limbic_domain::Recipient;

use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const MINOR: Rule = Rule {
    id: "minor",
    protection: Protection::P3,
    version: 1,
    protects: "children and teenagers",
    objects_when: "the source says or suspects that the person is a minor, or a text of theirs says so",
    check: Check::Person(minor),
};

fn minor(recipient: &Recipient, _: &Context<'_>) -> Objects {
    let reason = "A source or a text of theirs says or suspects that this person is a minor.";
    Ok(recipient.minor.then(|| reason.to_owned()))
}
