//! The normal form in which phrases are searched: one spelling for the many ways in which people write.
//!
//! * compatibility decomposition (NFKD) without combining marks: `ｋｉｌｌ`, `𝖐𝖎𝖑𝖑`, `kïll` become `kill`
//! * no zero-width, bidirectional, variation or control characters: `ki\u{200b}ll` becomes `kill`
//! * lower case, straight quotes, and one space for any white space
//! * at most three equal letters in a row: `sooooo` becomes `sooo`, which a look-up may shorten further
//!
//! The form is for searching, not for display, and for phrases in Latin letters: it damages the vowel signs of other
//! scripts.
//!
//! [`plain`] comes before it, and before every other reader: it changes nothing that a reader can see in print. It resolves
//! character references (`&#39;`), straightens apostrophes and quotes, makes every space a plain one, and removes selectors of
//! emoji and invisible characters.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::tokens::resolve;

/// Largest number of equal letters in a row.
const MOST_REPEATS: usize = 3;

/// The normal form of a text. Normalising it again changes nothing.
pub fn normalise(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    normalise_into(text, &mut normal);
    normal
}

/// [`normalise`] into a buffer that is reused.
pub(crate) fn normalise_into(text: &str, normal: &mut String) {
    let mut writer = Writer {
        normal,
        last: ' ',
        repeats: 0,
    };
    writer.normal.clear();
    // Most of a post is ASCII: the tables are used for the rest only.
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|b| !b.is_ascii()).unwrap_or(rest.len());
        let (plain, after) = rest.split_at(ascii);
        for byte in plain.bytes() {
            writer.write(char::from(byte.to_ascii_lowercase()));
        }
        let other = after.bytes().position(|b| b.is_ascii()).unwrap_or(after.len());
        let (foreign, after) = after.split_at(other);
        // The acute accent in place of an apostrophe would decompose into a space and a mark.
        let foreign = foreign.chars().map(|c| if c == '\u{b4}' { '\'' } else { c });
        for c in foreign.nfkd().filter(|&c| !is_combining_mark(c)) {
            for lower in c.to_lowercase().filter(|&c| !is_combining_mark(c)) {
                writer.write(lower);
            }
        }
        rest = after;
    }
    if writer.normal.ends_with(' ') {
        writer.normal.pop();
    }
}

/// The text in the one spelling that every reader gets: as it looks, without the many ways to encode the same look. `room` holds it if
/// it differs from the text.
pub(crate) fn plain<'a>(text: &'a str, room: &'a mut String) -> &'a str {
    let resolved = resolve(text);
    let is_plain = |c: char| c.is_ascii() || straight(c) == Some(c);
    if let Cow::Borrowed(text) = resolved
        && text.chars().all(is_plain)
    {
        return text;
    }
    room.clear();
    room.extend(resolved.chars().filter_map(straight));
    room
}

/// The character that looks the same and that readers know; `None` for one that is invisible.
fn straight(c: char) -> Option<char> {
    Some(match c {
        '\u{b4}' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' | '\u{2bc}'
        | '\u{ff07}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{2033}' | '\u{ff02}' => '"',
        c if c.is_ascii() => c,
        c if c.is_whitespace() => ' ',
        // The joiners belong to words of Persian and of Indic languages, and to emoji.
        '\u{200c}' | '\u{200d}' => c,
        c if is_invisible(c) => return None,
        c => c,
    })
}

struct Writer<'a> {
    normal: &'a mut String,
    last: char,
    repeats: usize,
}

impl Writer<'_> {
    fn write(&mut self, c: char) {
        let c = match c {
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' | '\u{2bc}' | '`' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{2033}' => '"',
            c if c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c) => ' ',
            c if is_invisible(c) => return,
            c => c,
        };
        self.repeats = if c == self.last { self.repeats + 1 } else { 1 };
        let is_surplus = (c == ' ' && (self.last == ' ' || self.normal.is_empty()))
            || (c.is_alphabetic() && self.repeats > MOST_REPEATS);
        self.last = c;
        if !is_surplus {
            self.normal.push(c);
        }
    }
}

/// Whether a character has no visible form: controls, zero-width, bidirectional and invisible operators, fillers, tags, selectors.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c), 0xad | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffc
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn disguised_spellings_have_the_plain_normal_form() {
        for disguised in [
            "kill myself",
            "  KILL\t\nMyself ",
            "ki\u{200b}ll my\u{200d}self",
            "\u{202e}kill\u{202c} myself",
            "ｋｉｌｌ ｍｙｓｅｌｆ",
            "𝖐𝖎𝖑𝖑 𝓂𝓎𝓈𝑒𝓁𝒻",
            "kíłl myself".replace('ł', "l").as_str(),
            "k\u{336}i\u{336}l\u{336}l\u{336} myself",
            "kill\u{a0}\u{feff}myself",
            "ki\u{7}ll myself",
        ] {
            assert_eq!(normalise(disguised), "kill myself", "{disguised:?}");
        }
        assert_eq!(normalise("can’t … sooooo 1000000"), "can't ... sooo 1000000");
    }

    #[test]
    fn the_ways_to_encode_one_look_give_one_plain_text() {
        for written in [
            "It isn't \"good\" & nice ❤",
            "It isn\u{2019}t \u{201c}good\u{201d} & nice ❤\u{fe0f}",
            "It isn&#39;t &quot;good&quot; &amp; nice ❤",
            "It\u{a0}isn\u{2bc}t \"go\u{200b}od\" & nice\u{2003}❤\u{fe0e}",
        ] {
            assert_eq!(
                plain(written, &mut String::new()),
                "It isn't \"good\" & nice ❤",
                "{written:?}"
            );
        }
        for unchanged in ["", "naïve café 👨\u{200d}👩\u{200d}👧", "می\u{200c}خواهم", "a\tb"] {
            assert_eq!(plain(unchanged, &mut String::new()), unchanged);
        }
    }

    #[test]
    fn normalising_twice_changes_nothing_for_any_single_character() {
        // Ideographs, syllables, private use and the unassigned planes behave alike: a few of them suffice.
        let alike = |c: char| {
            matches!(u32::from(c), 0x3400..=0x9fff | 0xac00..=0xd7a3 | 0xe000..=0xf8ff | 0x1_7000..=0x1_afff
            | 0x2_0000..=0x2_f7ff | 0x3_0000..=0xd_ffff | 0xe_1000..)
        };
        for c in ('\0'..=char::MAX).filter(|&c| !alike(c) || u32::from(c) % 0x1fd == 0) {
            let once = normalise(&format!("a{c}b"));
            assert_eq!(normalise(&once), once, "{:x}", u32::from(c));
        }
    }

    #[test]
    fn unusual_texts_have_the_expected_normal_form() {
        for (text, normal) in [
            ("", ""),
            (" ", ""),
            ("x", "x"),
            ("\u{200f}\u{200b}", ""),
            ("😀😀😀😀", "😀😀😀😀"),
            ("\0\u{1}\u{7f}", ""),
        ] {
            assert_eq!(normalise(text), normal);
        }
        assert_eq!(normalise(&"a".repeat(100_000)), "aaa");
        assert_eq!(normalise(&"ab".repeat(50_000)).len(), 100_000);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_for_any_text(text in any::<String>()) {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn normalising_twice_changes_nothing_for_disguised_words(
            text in "[a-cA-C'’!. \\u{200b}-\\u{200f}\\u{202a}-\\u{202e}\\u{300}-\\u{310}😀кИ日ｋ𝖐\\u{1c}\\u{85}ΣİK]{0,60}"
        ) {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once.clone());
            let hides = once.contains(['\u{200b}', '\u{202e}', '’']);
            prop_assert!(!hides, "{once:?}");
        }
    }
}
