//! An ad that names or works on a feeling.

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const FEELING: Rule = Rule {
    id: "feeling",
    protection: Protection::P2,
    version: 2,
    protects: "people from being told what they feel, or that they were watched",
    objects_when: "the ad names or works on what the person feels",
    check: Check::Ad(feeling),
};

fn feeling(ad: &Ad<'_>) -> Objects {
    let found = ad.rules.lexicon.feeling(&ad.copy);
    Ok(found.map(|found| format!("It names or works on what a person feels (`{}`).", found.entry)))
}
