//! VADER, the valence-aware dictionary and sentiment reasoner, in agreement with its reference.
//!
//! C.J. Hutto & E.E. Gilbert, *VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text*,
//! ICWSM 2014. What is followed here is not the paper but the Python package `vaderSentiment` 3.3.2, accidents and
//! all, because its scores are what the field compares with: every text gets the same `compound` to four decimals and
//! the same `neg`, `neu`, `pos` to three. The accidents are named where they are reproduced ([`rules`]).
//!
//! The way of a text: emoji become their names ([`text`]), the text is split at white space, each token loses the
//! punctuation around it and is looked up **once**; the rules then run over small `Copy` values and never touch a
//! string again. One [`Scratch`] serves a whole batch, so that a text allocates nothing.

mod lexicon;
mod round;
mod rules;
mod text;

use lexicon::Word;

/// What VADER says of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Share of the text that is negative, in `[0, 1]`, three decimals.
    pub neg: f64,
    /// Share that is neither.
    pub neu: f64,
    /// Share that is positive. The three add up to 1 within rounding, or are all 0 for a text without a word.
    pub pos: f64,
    /// The whole text's leaning, from -1 to 1, four decimals.
    pub compound: f64,
}

/// The VADER reader. Its lexicon is part of the program; making one costs nothing after the first.
///
/// It is no [`crate::AffectEngine`]: it cannot see distress, and no engine may stand before the safety gate without
/// (DESIGN, law 8). [`crate::LexiconReader`] is the engine around it.
#[derive(Debug, Clone, Copy)]
pub struct Vader {
    words: &'static lexicon::Words,
    emoji: &'static lexicon::EmojiNames,
}

/// Room that one text after another is read in.
#[derive(Debug, Default)]
pub struct Scratch {
    expanded: String,
    words: Vec<Word>,
    sentiments: Vec<f64>,
}

impl Scratch {
    /// The valence that each token of the last text came to, rules included; 0 for a token without any.
    pub fn sentiments(&self) -> &[f64] {
        &self.sentiments
    }

    /// How many tokens of the last text are written all in capitals, where others are not.
    pub(crate) fn shouted(&self) -> usize {
        if text::capitals_differ(&self.words) {
            self.words.iter().filter(|w| w.upper()).count()
        } else {
            0
        }
    }
}

impl Default for Vader {
    fn default() -> Self {
        Self::new()
    }
}

impl Vader {
    /// The version of the reference that this agrees with.
    pub const VERSION: &'static str = "vader-3.3.2";

    /// The reader.
    pub fn new() -> Self {
        Self {
            words: &lexicon::WORDS,
            emoji: &lexicon::EMOJI,
        }
    }

    /// The scores of one text.
    pub fn score(&self, text: &str) -> Scores {
        self.score_in(text, &mut Scratch::default())
    }

    /// The scores of one text, read in room that is used again for the next.
    pub fn score_in(&self, text: &str, scratch: &mut Scratch) -> Scores {
        let Scratch {
            expanded,
            words,
            sentiments,
        } = scratch;
        let text = text::name_emoji(text, self.emoji, expanded);
        text::tokens(text, self.words, words);
        rules::sentiments(words, sentiments);
        rules::score(sentiments, text)
    }
}

/// Whether the lexicon rates the word, in lower case.
pub(crate) fn rates(word: &str) -> bool {
    text::rates(word, &lexicon::WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_word_has_no_scores() {
        for text in ["", " ", "\u{1f}\u{85}\t\n", "\u{3000}"] {
            let scores = Vader::new().score(text);
            assert_eq!(
                scores,
                Scores {
                    neg: 0.0,
                    neu: 0.0,
                    pos: 0.0,
                    compound: 0.0
                },
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_used_scratch_remembers_nothing_of_the_text_before() {
        let vader = Vader::new();
        let mut scratch = Scratch::default();
        for text in ["GREAT but 😡 awful!!", "", "ok", "not good at all, NOT GOOD"] {
            assert_eq!(vader.score_in(text, &mut scratch), vader.score(text), "{text}");
        }
    }
}
