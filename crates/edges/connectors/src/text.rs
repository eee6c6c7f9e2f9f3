//! The text of a post as people read it.

use std::borrow::Cow;

/// `text` without characters that nobody sees and that change what software reads: marks of direction, and spaces without width.
/// Joiners stay, because they are part of words and of emoji.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|c| !is_hidden(*c)).collect())
}

/// A name as one line: white space of any kind and control characters become single spaces, as a browser shows them. Feeds break lines in
/// names.
pub(crate) fn one_line(name: &str) -> String {
    let words: Vec<&str> = name
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// Whether a text is a language tag (BCP 47) that the edge accepts.
pub(crate) fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    tag.len() <= 35
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\0' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(one_line(" Ann\n\t of\u{7f}London\0"), "Ann of London");
        assert_eq!(one_line("\u{1}\n"), "");
    }

    #[test]
    fn hidden_characters_go_and_joiners_stay() {
        assert_eq!(visible("g\u{200b}oa\u{202e}l\u{feff}!"), "goal!");
        let family = "👨\u{200d}👩\u{200d}👧 نمی\u{200c}خواهم";
        assert!(matches!(visible(family), Cow::Borrowed(same) if same == family));
    }
}
