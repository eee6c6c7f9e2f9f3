//! A person whose consent does not permit ads.

use limbic_domain::{ConsentState, Recipient};

use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const CONSENT: Rule = Rule {
    id: "consent",
    protection: Protection::P6,
    version: 1,
    protects: "people who did not agree",
    objects_when: "the person refused, or the source requires consent and none is known",
    check: Check::Person(consent),
};

fn consent(recipient: &Recipient, _: &Context<'_>) -> Objects {
    Ok((!recipient.consent.permits()).then(|| {
        let reason = match recipient.consent {
            ConsentState::Denied => "This person refused ads based on what they write.",
            _ => "The source requires this person's consent, and none is known.",
        };
        reason.to_owned()
    }))
}
