//! What a brand kit allows: banned words, claims that are proven, colours.

use limbic_domain::BrandKit;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation as _;

/// Expressions of claims that somebody may have to prove: superlatives, firsts, proofs, and "free".
const CLAIMS: &str = include_str!("claims.txt");

/// Why the brand kit does not allow a text, as one sentence. `None` = it does.
pub(crate) fn objection(kit: &BrandKit, text: &str) -> Option<String> {
    let words = words(text);
    for banned in &kit.banned_words {
        if find(&words, &self::words(banned)).is_some() {
            return Some(format!("The text contains the banned word “{banned}”."));
        }
    }
    let claims = kit.claims.as_ref()?;
    let proven: Vec<(usize, usize)> = claims
        .iter()
        .flat_map(|claim| ranges(&words, &self::words(claim)))
        .collect();
    let expressions = CLAIMS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(';'));
    for expression in expressions {
        let found = ranges(&words, &self::words(expression));
        let unproven = found
            .iter()
            .any(|&(start, end)| !proven.iter().any(|&(first, last)| first <= start && end <= last));
        if unproven {
            return Some(format!(
                "The text claims “{expression}”, which is not part of a claim in brand.claims."
            ));
        }
    }
    None
}

/// Whether `colour` is written as `#rrggbb`.
pub(crate) fn is_colour(colour: &str) -> bool {
    let digits = colour.strip_prefix('#');
    digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The words of a text in lower case, without accents, hidden characters and the difference of wide and narrow letters. `%` and `#`
/// count as words, because claims consist of them.
fn words(text: &str) -> Vec<String> {
    let plain: String = text
        .nfkd()
        .filter(|&c| !is_combining_mark(c) && !is_hidden(c))
        .collect();
    let parts = plain.split_word_bounds();
    let parts = parts.filter(|part| {
        part.chars()
            .any(|c| c.is_alphanumeric() || matches!(c, '%' | '#'))
    });
    parts.map(str::to_lowercase).collect()
}

/// Whether a character changes how its neighbours are shown, and shows nothing itself: soft hyphens, joiners, marks of direction.
const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn find(words: &[String], wanted: &[String]) -> Option<(usize, usize)> {
    ranges(words, wanted).first().copied()
}

/// Where `wanted` stands in `words`, as ranges of positions. Nothing stands nowhere.
fn ranges(words: &[String], wanted: &[String]) -> Vec<(usize, usize)> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let windows = words.windows(wanted.len()).enumerate();
    windows
        .filter(|(_, window)| *window == wanted)
        .map(|(start, _)| (start, start + wanted.len()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kit(banned: &[&str], claims: Option<&[&str]>) -> BrandKit {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        BrandKit {
            banned_words: owned(banned),
            claims: claims.map(owned),
            ..BrandKit::default()
        }
    }

    #[test]
    fn a_banned_word_is_found_as_a_whole_word() {
        let kit = kit(&["cheap", "last chance"], None);
        assert!(objection(&kit, "A CHEAP pair").is_some());
        assert!(objection(&kit, "Your last  chance!").is_some());
        assert_eq!(objection(&kit, "A cheaper pair, at last: a chance"), None);
    }

    #[test]
    fn a_banned_word_is_found_however_it_is_written() {
        let kit = kit(&["cheap", "café"], None);
        for written in [
            "a ch\u{ad}eap pair",
            "ｃｈｅａｐ",
            "ché\u{200b}ap",
            "che\u{301}ap",
            "the cafe",
            "the CAFE\u{301}",
        ] {
            assert!(objection(&kit, written).is_some(), "{written}");
        }
        assert_eq!(objection(&kit, "the cafeteria"), None);
    }

    #[test]
    fn a_claim_needs_its_proof() {
        let none = kit(&[], Some(&[]));
        for claim in [
            "The best boots",
            "No. 1 in boots",
            "100 % natural",
            "Clinically proven",
            "Free delivery",
        ] {
            assert!(objection(&none, claim).is_some(), "{claim}");
        }
        assert_eq!(objection(&none, "Warm feet in any weather"), None);
        let proven = kit(&[], Some(&["the best boots of 2026"]));
        assert_eq!(objection(&proven, "The Best Boots of 2026, for you"), None);
        assert!(objection(&proven, "The best boots of 2026, and the best price").is_some());
        assert_eq!(
            objection(&BrandKit::default(), "The best boots"),
            None,
            "not checked"
        );
    }

    #[test]
    fn a_colour_has_six_digits() {
        assert!(is_colour("#0a0B0c"));
        for wrong in ["0a0b0c", "#abc", "#12345g", "red", "#1234567"] {
            assert!(!is_colour(wrong), "{wrong}");
        }
    }
}
