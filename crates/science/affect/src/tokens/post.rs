//! Tokenises a post.

use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use super::characters::{JOINER, Kind, is_gender, is_regional_indicator, kind};
use super::vocabulary::{Vocabulary, VocabularyError};
use super::{entities, hashtag};

/// Largest number of equal letters, signs or emoji in a row that are kept for a look-up.
const MOST_REPEATS: usize = 3;
/// Largest number of letters of a word. A longer word is unknown to the vocabulary anyway.
const LONGEST_WORD: usize = 512;

/// Turns posts into ids of word pieces. See the [module](super) for the rules.
#[derive(Debug)]
pub struct Tokeniser {
    vocabulary: Vocabulary,
}

/// Buffers for the tokens of a text, reused between texts.
#[derive(Debug, Default)]
pub struct Tokens {
    ids: Vec<u32>,
    word: String,
    spelling: String,
}

impl Tokens {
    /// `[CLS]`, the pieces, `[SEP]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl Tokeniser {
    /// Builds a tokeniser with the vocabulary in `path`.
    pub fn open(path: &Path) -> Result<Self, VocabularyError> {
        Vocabulary::open(path).map(Self::new)
    }

    /// Builds a tokeniser with a vocabulary.
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { vocabulary }
    }

    /// The vocabulary of the tokeniser.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The tokens of `text`, with `[CLS]` and `[SEP]`: at most `most`, and at least 2.
    pub fn tokenise<'a>(&self, text: &str, most: usize, room: &'a mut Tokens) -> &'a [u32] {
        room.ids.clear();
        room.ids.push(self.vocabulary.class);
        let text = entities::resolve(text);
        let mut walk = Walk {
            vocabulary: &self.vocabulary,
            full: most.max(2) - 1,
            room,
            last: None,
            repeats: 0,
            drawn_out: false,
            after_joiner: false,
            half_flag: false,
        };
        for chunk in text.split(char::is_whitespace).filter(|chunk| !chunk.is_empty()) {
            if walk.is_full() {
                break;
            }
            walk.chunk(chunk);
        }
        let full = walk.full;
        room.ids.truncate(full);
        room.ids.push(self.vocabulary.separator);
        &room.ids
    }
}

struct Walk<'a> {
    vocabulary: &'a Vocabulary,
    /// Largest number of ids before the separator.
    full: usize,
    room: &'a mut Tokens,
    /// The previous character, to find repeats.
    last: Option<char>,
    repeats: usize,
    /// Whether the current word has a letter three times in a row.
    drawn_out: bool,
    after_joiner: bool,
    half_flag: bool,
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.room.ids.len() >= self.full
    }

    /// Reads a part without white space.
    fn chunk(&mut self, chunk: &str) {
        let mut rest = chunk;
        let mut before: Option<char> = None;
        while !rest.is_empty() && !self.is_full() {
            if let Some(length) = link(rest, before) {
                self.flush();
                self.known("http");
                before = rest[..length].chars().next_back();
                rest = &rest[length..];
                continue;
            }
            let Some(c) = rest.chars().next() else { break };
            let after = &rest[c.len_utf8()..];
            let name = match c {
                '@' | '\u{ff20}' | '#' | '\u{ff03}' if !before.is_some_and(char::is_alphanumeric) => {
                    name(after)
                }
                _ => "",
            };
            if name.is_empty() {
                self.character(c);
                before = Some(c);
                rest = after;
                continue;
            }
            self.flush();
            if matches!(c, '@' | '\u{ff20}') {
                self.known("@");
                self.known("user");
            } else {
                self.known("#");
                self.hashtag(name);
            }
            before = name.chars().next_back();
            rest = &after[name.len()..];
        }
        self.flush();
        self.last = None;
    }

    fn hashtag(&mut self, tag: &str) {
        let vocabulary = self.vocabulary;
        hashtag::words(tag, vocabulary, |word| {
            for c in word.chars() {
                self.character(c);
            }
            self.flush();
        });
    }

    /// Reads one character of the post.
    fn character(&mut self, c: char) {
        if c.is_ascii() {
            self.part(c.to_ascii_lowercase());
            return;
        }
        match c {
            // It would decompose into a space and a mark.
            '\u{b4}' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' | '\u{2bc}' => {
                self.part('\'');
            }
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{2033}' => self.part('"'),
            JOINER => {
                self.after_joiner = true;
                return;
            }
            c if self.after_joiner && is_gender(c) => {}
            c if is_regional_indicator(c) => self.flag(),
            // A symbol is looked up before it is decomposed: ™ has another meaning than `tm`.
            c if kind(c) == Kind::Alone && self.vocabulary.word(c.encode_utf8(&mut [0; 4])).is_some() => {
                self.part(c);
            }
            c => {
                for part in std::iter::once(c).nfkd() {
                    for lower in part.to_lowercase() {
                        self.part(lower);
                    }
                }
            }
        }
        self.after_joiner = false;
    }

    /// Reads one character of the normal form.
    fn part(&mut self, c: char) {
        let kind = kind(c);
        if kind == Kind::Nothing {
            return;
        }
        self.repeats = if self.last == Some(c) { self.repeats + 1 } else { 1 };
        self.last = Some(c);
        let is_digit = c.is_numeric();
        match kind {
            Kind::Word => {
                self.drawn_out |= self.repeats >= MOST_REPEATS && !is_digit;
                if (self.repeats <= MOST_REPEATS || is_digit) && self.room.word.len() < LONGEST_WORD {
                    self.room.word.push(c);
                }
            }
            Kind::Alone => {
                self.flush();
                if self.repeats <= MOST_REPEATS {
                    self.known(c.encode_utf8(&mut [0; 4]));
                }
            }
            Kind::Space | Kind::Nothing => self.flush(),
        }
    }

    /// Two letters of a country are one flag.
    fn flag(&mut self) {
        self.half_flag = !self.half_flag;
        if self.half_flag {
            self.flush();
            self.repeats = if self.last == Some('\u{1f1e6}') {
                self.repeats + 1
            } else {
                1
            };
            self.last = Some('\u{1f1e6}');
            if self.repeats <= MOST_REPEATS {
                self.known("flag");
            }
        }
    }

    /// Appends a token. Unknown tokens are appended once in a row.
    fn known(&mut self, token: &str) {
        let id = self.vocabulary.word(token).unwrap_or(self.vocabulary.unknown);
        if id != self.vocabulary.unknown || self.room.ids.last() != Some(&id) {
            self.room.ids.push(id);
        }
    }

    /// Ends the current word.
    fn flush(&mut self) {
        if self.room.word.is_empty() {
            return;
        }
        let Tokens { ids, word, spelling } = &mut *self.room;
        if self.drawn_out {
            self.drawn_out = false;
            shorten(word, spelling, self.vocabulary);
        }
        self.vocabulary.cut(word, ids);
        word.clear();
    }
}

/// Shortens a word to a spelling of the vocabulary, with three equal letters, two, or one. Two if none is known.
fn shorten(word: &mut String, spelling: &mut String, vocabulary: &Vocabulary) {
    for most in [MOST_REPEATS, 2, 1] {
        spell(word, most, spelling);
        if vocabulary.word(spelling).is_some() {
            std::mem::swap(word, spelling);
            return;
        }
    }
    spell(word, 2, spelling);
    std::mem::swap(word, spelling);
}

/// `word` with at most `most` equal letters wherever it has three or more in a row.
fn spell(word: &str, most: usize, spelling: &mut String) {
    spelling.clear();
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(c).len();
        let count = run / c.len_utf8();
        let kept = if count >= MOST_REPEATS && !c.is_numeric() {
            most
        } else {
            count
        };
        spelling.extend(std::iter::repeat_n(c, kept));
        rest = &rest[run..];
    }
}

/// The length of the link at the beginning of `text`; `None` if there is none, or if a word is directly before it.
fn link(text: &str, before: Option<char>) -> Option<usize> {
    const SCHEMES: [&str; 3] = ["http://", "https://", "www."];
    if !matches!(text.as_bytes()[0], b'h' | b'H' | b'w' | b'W') {
        return None;
    }
    let begins = |scheme: &&str| {
        let start = text.as_bytes().get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    let scheme = SCHEMES.iter().find(|scheme| begins(scheme))?;
    if scheme.starts_with('w') && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    // Links are ASCII, up to an emoji or a bracket directly after them.
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_graphic() || matches!(b, b'"' | b'<' | b'>' | b')' | b']'));
    Some(end.unwrap_or(text.len()))
}

/// The name at the beginning of `text`: of a person after `@`, of a subject after `#`.
fn name(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    &text[..end]
}
