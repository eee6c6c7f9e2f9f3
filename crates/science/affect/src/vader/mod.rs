//! VADER, the valence-aware dictionary and sentiment reasoner, equal to its reference implementation.
//!
//! C.J. Hutto & E.E. Gilbert, *VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text*,
//! ICWSM 2014. The reference is not the paper but the Python package `vaderSentiment` 3.3.2 with its accidents,
//! because the field compares with its scores. Every text gets the same `compound` to four decimals and the same
//! `neg`, `neu`, `pos` to three. Comments name the accidents where they are reproduced (in `rules`).
//!
//! A text is read in these steps: emoji become their names (`text`), the text is split at white space, and each token
//! loses the punctuation around it and is looked up **once**. The rules then work on small `Copy` values and not on
//! strings. One [`VaderScratch`] serves a whole batch, so a text allocates nothing.

mod lexicon;
mod round;
mod rules;
mod text;

use lexicon::Word;

/// The scores of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Negative share of the text, in `[0, 1]`, three decimals.
    pub neg: f64,
    /// Neutral share.
    pub neu: f64,
    /// Positive share. The three sum to 1 within rounding, or are all 0 for a text without a word.
    pub pos: f64,
    /// Sentiment of the whole text, from -1 to 1, four decimals.
    pub compound: f64,
}

impl Scores {
    /// The scores of a text without a word.
    pub(crate) const NONE: Self = Self {
        neg: 0.0,
        neu: 0.0,
        pos: 0.0,
        compound: 0.0,
    };
}

/// VADER. Its lexicon is part of the program and is loaded once.
///
/// It is not a [`crate::AffectEngine`], because it cannot see distress and the safety gate needs distress.
/// [`crate::LexiconReader`] is the engine around it.
#[derive(Debug, Clone, Copy)]
pub struct Vader {
    words: &'static lexicon::Words,
    emoji: &'static lexicon::EmojiNames,
}

/// Buffers that are reused between texts.
#[derive(Debug, Default)]
pub struct VaderScratch {
    expanded: String,
    words: Vec<Word>,
    sentiments: Vec<f64>,
}

impl VaderScratch {
    /// The valence of each token of the last text, with the rules; 0 for a token without one.
    pub fn sentiments(&self) -> &[f64] {
        &self.sentiments
    }

    /// Number of tokens of the last text that are in capitals, if other tokens are not.
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
    /// Version of the reference implementation.
    pub const VERSION: &'static str = "vader-3.3.2";

    /// Loads the lexicon on first use.
    pub fn new() -> Self {
        Self {
            words: &lexicon::WORDS,
            emoji: &lexicon::EMOJI,
        }
    }

    /// The scores of one text.
    pub fn score(&self, text: &str) -> Scores {
        self.score_in(text, &mut VaderScratch::default())
    }

    /// The scores of one text, with reused buffers.
    pub fn score_in(&self, text: &str, scratch: &mut VaderScratch) -> Scores {
        let VaderScratch {
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

/// Whether the lexicon has the word, in lower case.
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
    fn a_reused_scratch_gives_the_same_scores_as_a_new_one() {
        let vader = Vader::new();
        let mut scratch = VaderScratch::default();
        for text in ["GREAT but 😡 awful!!", "", "ok", "not good at all, NOT GOOD"] {
            assert_eq!(vader.score_in(text, &mut scratch), vader.score(text), "{text}");
        }
    }
}
