//! An ad with a word that the settings forbid.

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const FORBIDDEN_WORD: Rule = Rule {
    id: "forbidden_word",
    protection: Protection::P2,
    version: 2,
    protects: "what the tenant wants to protect",
    objects_when: "the ad has a word of `safety.forbidden_words`",
    check: Check::Ad(forbidden_word),
};

fn forbidden_word(ad: &Ad<'_>) -> Objects {
    let found = ad.rules.lexicon.forbidden(&ad.copy);
    Ok(found.map(|found| format!("It contains `{}`, which the settings forbid.", found.entry)))
}
