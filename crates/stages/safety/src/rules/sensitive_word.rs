//! An ad that speaks of a special category.

use crate::ad::Ad;
use crate::reading::Reading;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const SENSITIVE_WORD: Rule = Rule {
    id: "sensitive_word",
    protection: Protection::P2,
    version: 3,
    protects: "people from being addressed by health, belief, politics, sexuality, union, origin, crime or money trouble",
    objects_when: "a text or the link has a word of a sensitive category",
    check: Check::Ad(sensitive_word),
};

fn sensitive_word(ad: &Ad<'_>) -> Objects {
    let lexicon = &ad.rules.lexicon;
    let found = lexicon
        .sensitive(&ad.copy)
        .or_else(|| lexicon.sensitive(&Reading::of_link(ad.link?)));
    Ok(found.map(|found| format!("It speaks of {} (`{}`).", found.category, found.entry)))
}
