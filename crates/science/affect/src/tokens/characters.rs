//! Kinds of characters, for the tokeniser.

use unicode_normalization::char::is_combining_mark;

/// The role of a character in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters and digits: part of a word.
    Word,
    /// Punctuation, symbols, emoji, ideographs: each is a separate word.
    Alone,
    /// Ends a word.
    Space,
    /// Dropped before the model reads the text.
    Nothing,
}

pub(super) fn kind(c: char) -> Kind {
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => Kind::Word,
            ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1f}' => Kind::Space,
            c if c.is_ascii_control() => Kind::Nothing,
            _ => Kind::Alone,
        };
    }
    if c.is_whitespace() {
        Kind::Space
    } else if is_combining_mark(c) || c.is_control() || is_invisible(c) || is_skin_tone(c) {
        Kind::Nothing
    } else if c.is_alphanumeric() && !is_ideograph(c) {
        Kind::Word
    } else {
        Kind::Alone
    }
}

/// Whether it is one half of a flag.
pub(super) fn is_regional_indicator(c: char) -> bool {
    ('\u{1f1e6}'..='\u{1f1ff}').contains(&c)
}

/// Whether it is a gender sign. After a joiner it only changes the person of an emoji.
pub(super) fn is_gender(c: char) -> bool {
    matches!(c, '\u{2640}' | '\u{2642}')
}

/// Joins several emoji into one.
pub(super) const JOINER: char = '\u{200d}';

fn is_skin_tone(c: char) -> bool {
    ('\u{1f3fb}'..='\u{1f3ff}').contains(&c)
}

/// Zero-width, bidirectional and invisible operators, fillers, tags, selectors, keycaps.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0xad | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0x20e3 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffc
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// The blocks of Chinese ideographs, around which `BERT` adds spaces.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x2_ceaf
        | 0x2_f800..=0x2_fa1f)
}
