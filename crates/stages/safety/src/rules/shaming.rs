//! An ad that shames.

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const SHAMING: Rule = Rule {
    id: "shaming",
    protection: Protection::P2,
    version: 2,
    protects: "the dignity of the person who sees the ad",
    objects_when: "the ad shames or insults",
    check: Check::Ad(shaming),
};

fn shaming(ad: &Ad<'_>) -> Objects {
    let found = ad.rules.lexicon.shaming(&ad.copy);
    Ok(found.map(|found| format!("It shames the person it is shown to (`{}`).", found.entry)))
}
