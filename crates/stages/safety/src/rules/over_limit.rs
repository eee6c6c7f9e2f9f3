//! An ad that is longer than its platform takes.

use unicode_segmentation::UnicodeSegmentation;

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const OVER_LIMIT: Rule = Rule {
    id: "over_limit",
    protection: Protection::P7,
    version: 1,
    protects: "people from ads whose end is cut off",
    objects_when: "a text has more graphemes than its ad platform takes",
    check: Check::Ad(over_limit),
};

fn over_limit(ad: &Ad<'_>) -> Objects {
    let room = ad.rules.room_on(ad.platform);
    let name = ad.platform.map_or("any platform", |platform| platform.as_str());
    Ok(ad.texts.iter().find_map(|(part, text)| {
        let limit = if *part == "headline" {
            room.headline
        } else {
            room.body
        };
        let length = text.graphemes(true).count();
        (length > limit).then(|| format!("The {part} has {length} graphemes, and {name} takes {limit}."))
    }))
}
