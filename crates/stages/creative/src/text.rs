//! Text as a person sees it: graphemes, words, and hidden characters.

use unicode_segmentation::UnicodeSegmentation;

/// A text may be cut if at least this share of its graphemes remains.
const KEPT: (usize, usize) = (3, 5);

/// How many extended grapheme clusters (UAX #29) a text has.
pub(crate) fn graphemes(text: &str) -> usize {
    text.graphemes(true).count()
}

/// The text in one line: every run of white space becomes one space, and both ends are trimmed.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first character that a person cannot see, but that changes what they see or what a machine reads: controls,
/// bidirectional overrides and isolates, line separators, private use areas, and zero-width characters, except the
/// joiners that emoji and scripts need.
pub(crate) fn hidden_character(text: &str) -> Option<char> {
    text.chars().find(|&c| {
        c.is_control()
            || matches!(c,
                '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}' | '\u{200B}'
                | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
                | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}')
    })
}

/// The text, cut between words to at most `limit` graphemes, with an ellipsis. `None` if too little would remain. A text
/// that fits is returned unchanged.
pub(crate) fn clip(text: &str, limit: usize) -> Option<String> {
    let whole = graphemes(text);
    if whole <= limit {
        return Some(text.to_owned());
    }
    let room = limit.checked_sub(1)?;
    let mut kept = 0;
    let mut end = 0;
    for (start, word) in text.split_word_bound_indices() {
        let length = graphemes(word);
        if kept + length > room {
            break;
        }
        kept += length;
        end = start + word.len();
    }
    let remains = text[..end]
        .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '-' | '–' | '—'));
    let (share, of) = KEPT;
    if graphemes(remains) * of < whole * share {
        return None;
    }
    Some(format!("{remains}…"))
}

/// Adds a full stop, unless the text already ends like a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let ends = text.is_empty() || text.ends_with(['.', '!', '?', '…', ':', '。', '！', '？', '।', '؟']);
    if ends { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_family_emoji_is_one_grapheme() {
        assert_eq!(graphemes("👨‍👩‍👧‍👦 e\u{301}"), 3);
        assert_eq!(hidden_character("👨‍👩‍👧‍👦 नमस्ते"), None);
    }

    #[test]
    fn hidden_characters_are_found() {
        for hidden in [
            "a\u{202E}b",
            "a\u{200B}b",
            "a\u{0}b",
            "a\nb",
            "\u{FEFF}a",
            "a\u{2066}b",
            "a\u{E000}",
        ] {
            assert!(hidden_character(hidden).is_some(), "{hidden:?}");
        }
    }

    #[test]
    fn a_text_is_cut_between_words() {
        assert_eq!(clip("one two three four", 15).as_deref(), Some("one two three…"));
        assert_eq!(clip("one two", 7).as_deref(), Some("one two"));
        assert_eq!(clip("one two three four", 9), None, "too little would remain");
        assert_eq!(clip("Donaudampfschifffahrt", 20), None, "no word is cut in two");
        assert_eq!(clip("x", 0), None);
    }

    #[test]
    fn a_full_stop_is_added_only_if_it_is_missing() {
        assert_eq!(sentence("Try it today"), "Try it today.");
        assert_eq!(sentence("Try it today! "), "Try it today!");
        assert_eq!(sentence(""), "");
    }

    proptest! {
        #[test]
        fn a_cut_text_is_within_its_limit_and_splits_no_grapheme(text in "\\PC{0,80}", limit in 0usize..60) {
            if let Some(clipped) = clip(&text, limit) {
                prop_assert!(graphemes(&clipped) <= limit);
                if clipped != text {
                    let kept = clipped.strip_suffix('…').expect("a cut is marked");
                    prop_assert!(text.starts_with(kept));
                    let boundary = text.grapheme_indices(true).any(|(at, _)| at == kept.len());
                    prop_assert!(boundary, "cut at {} in {text:?}", kept.len());
                }
            }
        }
    }
}
