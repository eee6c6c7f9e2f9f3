//! From a text to the tokens of the rules.

use super::lexicon::{EmojiNames, KEY_BYTES, Word, Words, key};

/// The text with every emoji replaced by its name, in `room` if there is an emoji, and without white space at its
/// ends.
///
/// As in the reference, a space is added before a name if there is none, but not after it. A word directly after an
/// emoji is joined to the last word of the name and is lost.
pub(super) fn name_emoji<'a>(text: &'a str, names: &EmojiNames, room: &'a mut String) -> &'a str {
    let first = text
        .char_indices()
        .find(|&(_, c)| !c.is_ascii() && names.get(c).is_some());
    let Some((plain, _)) = first else {
        return text.trim_matches(is_space);
    };
    room.clear();
    room.push_str(&text[..plain]);
    let mut after_space = plain == 0 || text.as_bytes()[plain - 1] == b' ';
    for c in text[plain..].chars() {
        if let Some(name) = names.get(c) {
            if !after_space {
                room.push(' ');
            }
            room.push_str(name);
            after_space = false;
        } else {
            room.push(c);
            after_space = c == ' ';
        }
    }
    room.trim_matches(is_space)
}

/// White space as in Python's `str.split`: that of Unicode, and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Looks up all tokens of the text.
pub(super) fn tokens(text: &str, words: &Words, into: &mut Vec<Word>) {
    into.clear();
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (is_end, width) = match bytes[at] {
            byte if byte.is_ascii() => (is_space(char::from(byte)), 1),
            _ => text[at..]
                .chars()
                .next()
                .map_or((false, 1), |c| (is_space(c), c.len_utf8())),
        };
        if is_end {
            if start < at {
                into.push(token(&text[start..at], words));
            }
            start = at + width;
        }
        at += width;
    }
    if start < bytes.len() {
        into.push(token(&text[start..], words));
    }
}

/// A token without the punctuation around it, unless so little remains that it was an emoticon.
fn token(raw: &str, words: &Words) -> Word {
    let stripped = raw.trim_matches(|c: char| c.is_ascii_punctuation());
    let is_word = stripped.len() > 2 && (stripped.len() > 8 || stripped.chars().nth(2).is_some());
    look_up(if is_word { stripped } else { raw }, words)
}

fn look_up(token: &str, words: &Words) -> Word {
    if !token.is_ascii() {
        return look_up_unicode(token, words);
    }
    let mut padded = [0; KEY_BYTES];
    let (mut any_upper, mut any_lower, mut any_apostrophe) = (false, false, false);
    for (index, byte) in token.bytes().enumerate() {
        any_upper |= byte.is_ascii_uppercase();
        any_lower |= byte.is_ascii_lowercase();
        any_apostrophe |= byte == b'\'';
        if index < KEY_BYTES {
            padded[index] = byte.to_ascii_lowercase();
        }
    }
    let known = if token.len() <= KEY_BYTES {
        words.get(key(&padded))
    } else {
        Word::default()
    };
    known.seen(
        any_apostrophe && negates_by_spelling(token.as_bytes()),
        any_upper && !any_lower,
    )
}

#[cold]
fn look_up_unicode(token: &str, words: &Words) -> Word {
    let lower = token.to_lowercase();
    let mut padded = [0; KEY_BYTES];
    // Some letters outside ASCII have an ASCII lower case (the Kelvin sign), so the token can still be a known word.
    let known = if lower.is_ascii() && lower.len() <= KEY_BYTES {
        padded[..lower.len()].copy_from_slice(lower.as_bytes());
        words.get(key(&padded))
    } else {
        Word::default()
    };
    known.seen(negates_by_spelling(lower.as_bytes()), is_upper(token))
}

/// Whether the lexicon rates a lower-case word.
pub(super) fn rates(word: &str, words: &Words) -> bool {
    look_up(word, words).rated()
}

fn negates_by_spelling(token: &[u8]) -> bool {
    token.windows(3).any(|w| w.eq_ignore_ascii_case(b"n't"))
}

/// Python's `str.isupper`: some character is upper case, and none is lower or title case.
fn is_upper(token: &str) -> bool {
    let mut any = false;
    for c in token.chars() {
        if c.is_lowercase() || is_title(c) {
            return false;
        }
        any |= c.is_uppercase();
    }
    any
}

/// Unicode's category `Lt`, complete.
fn is_title(c: char) -> bool {
    matches!(u32::from(c), 0x1c5 | 0x1c8 | 0x1cb | 0x1f2 | 0x1f88..=0x1f8f | 0x1f98..=0x1f9f | 0x1fa8..=0x1faf | 0x1fbc
        | 0x1fcc | 0x1ffc)
}

/// Whether some tokens, but not all, are in capitals. Otherwise capitals have no effect.
pub(super) fn capitals_differ(words: &[Word]) -> bool {
    let upper = words.iter().filter(|w| w.upper()).count();
    0 < upper && upper < words.len()
}
