//! Text as a person sees it: graphemes, words, and what must not hide in it.

use unicode_segmentation::UnicodeSegmentation;

/// Of a text that is cut, at least this share of its graphemes must remain for it to say what it said.
const KEPT: (usize, usize) = (3, 5);

/// How many extended grapheme clusters (UAX #29) a text has.
pub(crate) fn graphemes(text: &str) -> usize {
    text.graphemes(true).count()
}

/// One line: every run of white space is one space, none at the ends.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first character that a person cannot see but that changes what they see, or what a machine reads: controls,
/// bidirectional overrides and isolates, zero-width characters other than the joiners that emoji and scripts need,
/// line separators, and the private use areas.
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

/// The text cut between words to at most `limit` graphemes, an ellipsis included; `None` when too little would remain.
/// A text that fits is answered as it is.
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

/// The text with a full stop, unless it ends as a sentence does.
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
    fn a_family_is_one_grapheme() {
        assert_eq!(graphemes("👨‍👩‍👧‍👦 e\u{301}"), 3);
        assert_eq!(hidden_character("👨‍👩‍👧‍👦 नमस्ते"), None);
    }

    #[test]
    fn what_hides_is_found() {
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
    fn a_cut_falls_between_words() {
        assert_eq!(clip("one two three four", 15).as_deref(), Some("one two three…"));
        assert_eq!(clip("one two", 7).as_deref(), Some("one two"));
        assert_eq!(clip("one two three four", 9), None, "too little would remain");
        assert_eq!(clip("Donaudampfschifffahrt", 20), None, "no word is cut in two");
        assert_eq!(clip("x", 0), None);
    }

    #[test]
    fn a_sentence_ends_once() {
        assert_eq!(sentence("Try it today"), "Try it today.");
        assert_eq!(sentence("Try it today! "), "Try it today!");
        assert_eq!(sentence(""), "");
    }

    proptest! {
        #[test]
        fn a_clip_is_within_its_limit_and_never_in_mid_grapheme(text in "\\PC{0,80}", limit in 0usize..60) {
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
