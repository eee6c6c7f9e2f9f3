//! An ad with letters that are in no word list.

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const UNREADABLE: Rule = Rule {
    id: "unreadable",
    protection: Protection::P2,
    version: 2,
    protects: "people from texts that no rule can judge",
    objects_when: "a letter or number of the ad is not Latin: a word with it could be anything, or look like another word",
    check: Check::Ad(unreadable),
};

fn unreadable(ad: &Ad<'_>) -> Objects {
    Ok(ad.copy.unreadable.map(|letter| {
        format!(
            "The ad is in a script that the rules cannot read (`{letter}`, U+{:04X}), so they cannot clear it.",
            u32::from(letter)
        )
    }))
}
