//! The counting rules of ad platforms.

use std::fmt;

use serde::Deserialize;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthChar as _;

use crate::weighted::weighted_length;

/// What an ad platform counts when it says "characters".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Extended grapheme clusters (UAX #29): a family emoji is one. Consonants of Indic scripts that a virama joins count one each,
    /// as before Unicode 15.1, because platforms count by different versions.
    Graphemes,
    /// UTF-16 code units. It is used where a document says "characters" and no more, because it is never less than the number of
    /// code points or of graphemes.
    Utf16,
    /// UTF-8 bytes.
    Bytes,
    /// Display width: a double-width character is two, every other character at least one. A character that UTF-16 writes with
    /// two units is two as well, because it is not published how such characters are counted.
    Width,
    /// The weighted length of X: see [`weighted_length`].
    X,
}

impl Unit {
    /// How many units `text` has.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Graphemes => text.graphemes(true).map(letters_of).sum(),
            Self::Utf16 => text.encode_utf16().count(),
            Self::Bytes => text.len(),
            Self::Width => text.chars().map(width).sum(),
            Self::X => weighted_length(text),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graphemes => "graphemes",
            Self::Utf16 => "UTF-16 units",
            Self::Bytes => "bytes",
            Self::Width => "columns",
            Self::X => "weighted characters",
        })
    }
}

/// In how many clusters versions of Unicode before 15.1 divide a cluster of today.
fn letters_of(cluster: &str) -> usize {
    let mut count = 1;
    let mut joined = false;
    for c in cluster.chars() {
        if is_virama(c) {
            joined = true;
        } else if joined && c.is_alphabetic() {
            count += 1;
            joined = false;
        }
    }
    count
}

/// The viramas that join consonants to one cluster: `InCB=Linker` of Unicode 16, without the scripts of historical texts.
const fn is_virama(c: char) -> bool {
    matches!(
        c,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{c4d}'
            | '\u{d4d}'
            | '\u{1039}'
            | '\u{17d2}'
            | '\u{1a60}'
    )
}

fn width(c: char) -> usize {
    c.width().unwrap_or(1).max(c.len_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_counts_by_its_own_rule() {
        let family = "👨‍👩‍👧‍👦";
        let counts = |text: &str| {
            [Unit::Graphemes, Unit::Utf16, Unit::Bytes, Unit::Width, Unit::X].map(|unit| unit.count(text))
        };
        assert_eq!(counts("abc"), [3, 3, 3, 3, 3]);
        assert_eq!(counts("東京"), [2, 2, 6, 4, 4]);
        assert_eq!(counts(family), [1, 11, 25, 11, 2]);
        assert_eq!(counts("e\u{301}"), [1, 2, 3, 2, 1]);
        assert_eq!(counts("…"), [1, 1, 3, 1, 2]);
        assert_eq!(counts("한국"), [2, 2, 6, 4, 4]);
    }
}
