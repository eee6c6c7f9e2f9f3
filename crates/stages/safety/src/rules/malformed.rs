//! An ad that is empty, hides characters, or leads to no web page.

use unicode_segmentation::UnicodeSegmentation;

use crate::ad::Ad;
use crate::reading::hidden_character;
use crate::rule::{Check, Objects, Protection, Rule};

pub(crate) const MALFORMED: Rule = Rule {
    id: "malformed",
    protection: Protection::P2,
    version: 2,
    protects: "people from texts that look otherwise than they are",
    objects_when: "a text is empty, has a hidden character, or a character of more than 16 code points; or the link is not a web address; \
                   or two ads have the same id",
    check: Check::Ad(malformed),
};

/// Most code points of one visible character. A family emoji with skin tones has 11.
const MOST_CODE_POINTS: usize = 16;

fn malformed(ad: &Ad<'_>) -> Objects {
    for (part, text) in &ad.texts {
        if text.trim().is_empty() {
            return Ok(Some(format!("The {part} is empty.")));
        }
        if let Some(hidden) = hidden_character(text) {
            return Ok(Some(format!(
                "The {part} holds the hidden character U+{:04X}.",
                u32::from(hidden)
            )));
        }
        let longest = text.graphemes(true).map(|one| one.chars().count()).max();
        if let Some(longest) = longest.filter(|&longest| longest > MOST_CODE_POINTS) {
            return Ok(Some(format!(
                "The {part} has a character of {longest} code points; {MOST_CODE_POINTS} are the most."
            )));
        }
    }
    let is_broken = ad.link.is_some_and(|link| !is_web_link(link));
    Ok(is_broken.then(|| "The link is not a web address.".to_owned()))
}

/// Whether a text is the address of a web page: `https://` or `http://`, then a host, without spaces, hidden characters, or a user's
/// name before the host.
fn is_web_link(link: &str) -> bool {
    let rest = link
        .strip_prefix("https://")
        .or_else(|| link.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_host = host.contains(|c: char| c.is_alphanumeric()) && !host.contains(['@', '\\']);
    is_host && !link.contains(char::is_whitespace) && hidden_character(link).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_link_has_a_scheme_and_a_host() {
        for link in [
            "https://example.com",
            "http://example.com/",
            "https://example.com/a?b=c#d",
            "https://例え.jp/",
            "https://127.0.0.1:8080/x",
            "https://example.com/@user",
        ] {
            assert!(is_web_link(link), "{link}");
        }
        for link in [
            "",
            "https://",
            "http://",
            "https:///path",
            "https://?q",
            "https://#f",
            "https://...",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "javascript:alert(1)",
            "data:text/html,x",
            "mailto:a@example.com",
            " https://example.com",
            "https://example.com/a b",
            "https://example.com/\n",
            "https://exam\u{200b}ple.com",
            "https://example.com\u{202e}moc",
            "https://bank.example@evil.example",
            "https://evil.example\\@bank.example",
            "HTTPS//example.com",
            "httpss://example.com",
        ] {
            assert!(!is_web_link(link), "{link:?}");
        }
    }
}
