//! Splits a text in normal form into words of the vocabulary and emoji.

use super::{IS_DISGUISED, Knowledge, LAUGHS, UNKNOWN, WordId};

/// A word and its clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) id: WordId,
    pub(super) clause: u32,
}

/// The words of a text. Emoji do not separate words; mentions and links are not words.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(super) spoken: Vec<Spoken>,
    /// Each emoji once, in the order of its first use.
    pub(super) emoji: Vec<char>,
    /// Whether the text has laughter.
    pub(super) laughs: bool,
    /// Number of lengthened words (`sooo`).
    pub(crate) drawn_out: usize,
    clause: u32,
    word: String,
    folded: String,
}

/// Largest number of different emoji that are examined.
const MOST_EMOJI: usize = 16;

impl Words {
    /// How many words there are.
    pub(crate) const fn count(&self) -> usize {
        self.spoken.len()
    }

    pub(super) fn read(&mut self, normal: &str, knowledge: &Knowledge) {
        self.spoken.clear();
        self.emoji.clear();
        self.laughs = false;
        self.drawn_out = 0;
        self.clause = 0;
        for chunk in normal.split(' ') {
            let is_mention_or_link = (chunk.len() > 1 && chunk.starts_with('@'))
                || chunk.starts_with("http")
                || chunk.starts_with("www.");
            if !is_mention_or_link {
                self.read_chunk(chunk, knowledge);
            }
        }
    }

    fn read_chunk(&mut self, chunk: &str, knowledge: &Knowledge) {
        if let Some(id) = self.undisguised(chunk, knowledge) {
            self.push(id, knowledge);
            return;
        }
        let is_mixed = !chunk.is_ascii() && chunk.bytes().any(|b| b.is_ascii_lowercase());
        for c in chunk.chars() {
            let c = if is_mixed { latin_lookalike(c) } else { c };
            match c {
                '\'' => {}
                c if c.is_alphanumeric() => self.word.push(c),
                c => {
                    self.finish_word(knowledge);
                    match c {
                        '.' | '!' | '?' | ';' | ':' | ',' | '(' | ')' => self.clause += 1,
                        c if !c.is_ascii() => self.see_emoji(c, knowledge),
                        _ => {}
                    }
                }
            }
        }
        self.finish_word(knowledge);
    }

    fn see_emoji(&mut self, c: char, knowledge: &Knowledge) {
        self.laughs |= matches!(c, '😂' | '🤣' | '😹' | '😆');
        let is_new = knowledge.emotions.knows_emoji(c) && !self.emoji.contains(&c);
        if is_new && self.emoji.len() < MOST_EMOJI {
            self.emoji.push(c);
        }
    }

    fn finish_word(&mut self, knowledge: &Knowledge) {
        if self.word.is_empty() {
            return;
        }
        let mut id = knowledge.id(&self.word);
        let is_drawn_out = has_run_of_three(&self.word);
        self.drawn_out += usize::from(is_drawn_out);
        if id == UNKNOWN && is_drawn_out {
            id = self.shortened(knowledge);
        }
        self.word.clear();
        self.push(id, knowledge);
    }

    fn push(&mut self, id: WordId, knowledge: &Knowledge) {
        self.laughs |= knowledge.is(id, LAUGHS);
        self.spoken.push(Spoken {
            id,
            clause: self.clause,
        });
    }

    /// The known word that remains if every run of three letters is cut to one or two letters.
    fn shortened(&mut self, knowledge: &Knowledge) -> WordId {
        // Bit `n` of `choice` decides whether run `n` keeps two letters. Beyond three runs, they share the last bit.
        for choice in 0..8u8 {
            self.folded.clear();
            let (mut last, mut repeats, mut run) = ('\0', 0, 0u8);
            for c in self.word.chars() {
                repeats = if c == last { repeats + 1 } else { 1 };
                last = c;
                let keeps_two = choice & (1 << run.min(2)) != 0;
                // A run of three is known at its third letter, so letters written before are removed.
                match repeats {
                    3 => {
                        if !keeps_two {
                            self.folded.pop();
                        }
                        run += 1;
                    }
                    _ => self.folded.push(c),
                }
            }
            let id = knowledge.id(&self.folded);
            if id != UNKNOWN {
                return id;
            }
        }
        UNKNOWN
    }

    /// The word behind a spelling such as `su1c1de`, `k!ll` or `d*e`. Only a few words are written like this.
    fn undisguised(&mut self, chunk: &str, knowledge: &Knowledge) -> Option<WordId> {
        let chunk =
            chunk.trim_matches(|c: char| matches!(c, '.' | ',' | '?' | '!' | '"' | '\'' | '#' | '(' | ')'));
        let is_sign = |b: u8| b.is_ascii_digit() || matches!(b, b'@' | b'$' | b'!' | b'*');
        if !(3..=16).contains(&chunk.len())
            || !chunk.is_ascii()
            || !chunk.bytes().any(is_sign)
            || !chunk.bytes().any(|b| b.is_ascii_lowercase())
        {
            return None;
        }
        // A star stands for any letter that gives a word.
        ['i', 'u', 'e', 'a', 'o'].into_iter().find_map(|star| {
            self.folded.clear();
            self.folded.extend(chunk.chars().filter_map(|c| match c {
                '*' => Some(star),
                '0' => Some('o'),
                '1' | '!' => Some('i'),
                '3' => Some('e'),
                '4' | '@' => Some('a'),
                '5' | '$' => Some('s'),
                '7' => Some('t'),
                '-' | '_' | '.' | '\'' => None,
                c => Some(c),
            }));
            let id = knowledge.id(&self.folded);
            knowledge.is(id, IS_DISGUISED).then_some(id)
        })
    }
}

fn has_run_of_three(word: &str) -> bool {
    let (mut last, mut repeats) = ('\0', 0);
    word.chars().any(|c| {
        repeats = if c == last { repeats + 1 } else { 1 };
        last = c;
        repeats == 3 && c.is_alphabetic()
    })
}

/// Cyrillic and Greek letters that look Latin, in a word that also has Latin letters.
fn latin_lookalike(c: char) -> char {
    match c {
        'а' | 'α' => 'a',
        'в' => 'b',
        'с' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'һ' | 'н' => 'h',
        'і' | 'ι' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' | 'ł' => 'l',
        'м' => 'm',
        'о' | 'ο' | 'ø' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'ν' | 'ѵ' => 'v',
        'х' | 'χ' => 'x',
        'у' => 'y',
        c => c,
    }
}
