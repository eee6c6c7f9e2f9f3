//! Rules about each ad.

use std::collections::HashSet;

use limbic_domain::{Creative, Removal};
use unicode_segmentation::UnicodeSegmentation;

use crate::Rules;
use crate::reading::is_readable;

/// The ads that may run, in the order given.
pub(crate) fn clear(creatives: &[Creative], rules: &Rules, removals: &mut Vec<Removal>) -> Vec<Creative> {
    let mut seen = HashSet::new();
    let mut cleared = Vec::new();
    for creative in creatives {
        let objection = if seen.insert(&creative.id) {
            objection(creative, rules)
        } else {
            Some((
                "malformed",
                "Another ad of this draft has the same id.".to_owned(),
            ))
        };
        match objection {
            Some((rule, reason)) => {
                Removal::note(removals, rule, &reason, format!("creative/{}", creative.id));
            }
            None => cleared.push(creative.clone()),
        }
    }
    cleared
}

fn objection(creative: &Creative, rules: &Rules) -> Option<(&'static str, String)> {
    let rendering = &creative.rendering;
    let texts = [("headline", &rendering.headline), ("body", &rendering.body)];
    for (part, text) in texts {
        if text.trim().is_empty() {
            return Some(("malformed", format!("The {part} is empty.")));
        }
        if let Some(hidden) = text.chars().find(|&c| is_hidden(c)) {
            let reason = format!(
                "The {part} holds the hidden character U+{:04X}.",
                u32::from(hidden)
            );
            return Some(("malformed", reason));
        }
    }
    if !is_web_link(&rendering.link) {
        return Some(("malformed", "The link is not a web address.".to_owned()));
    }
    let room = rules.room_on(&rendering.platform);
    for ((part, text), limit) in texts.into_iter().zip([room.headline, room.body]) {
        let length = text.graphemes(true).count();
        if length > limit {
            let reason = format!(
                "The {part} has {length} graphemes, and {} takes {limit}.",
                rendering.platform
            );
            return Some(("over_limit", reason));
        }
    }
    if let Some((part, _)) = texts.into_iter().find(|(_, text)| !is_readable(text)) {
        let reason =
            format!("The {part} is in a script that the rules cannot read, so they cannot clear it.");
        return Some(("unreadable", reason));
    }
    // Headline and body are also read as one: `Feeling` may stand in one and `sad?` in the other.
    let whole = format!("{} {}", rendering.headline, rendering.body);
    let found = rules
        .lexicon
        .objection_to_copy(&whole)
        .or_else(|| rules.lexicon.sensitive_word(&rendering.link))?;
    let reason = match found.rule {
        "feeling" => format!("It names or works on what a person feels (`{}`).", found.entry),
        "shaming" => format!("It shames the person it is shown to (`{}`).", found.entry),
        "forbidden_word" => format!("It contains `{}`, which the settings forbid.", found.entry),
        _ => format!("It speaks of {} (`{}`).", found.category, found.entry),
    };
    Some((found.rule, reason))
}

/// Controls, bidirectional and zero-width characters, all but the joiners that emoji and scripts need.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}')
}

fn is_web_link(link: &str) -> bool {
    let rest = link
        .strip_prefix("https://")
        .or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !link.chars().any(|c| c.is_whitespace() || is_hidden(c))
}
