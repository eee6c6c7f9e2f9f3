//! Explains a reading: how much each word and emoji contributed to it.
//!
//! Each word is left out once, all these texts are read in one batch, and the change of the reading is the
//! contribution of the word (occlusion). This needs only the engine, so it explains any engine. It does not show what
//! two words contribute only together. The valence that VADER gave to each word, with its rules, is added for
//! comparison.

use std::ops::Range;

use limbic_domain::Affect;

use crate::{AffectEngine, Vader, VaderScratch};

/// Largest number of words that are left out. Only the beginning of a longer text is explained.
const MOST: usize = 96;

/// A word or emoji of a text, and its contribution to the reading.
#[derive(Debug, Clone, PartialEq)]
pub struct WordContribution {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Compound with the word minus compound without it, in `[-2, 2]`.
    pub compound: f64,
    /// Distress score with the word minus the score without it.
    pub distress: f64,
    /// The same difference for each emotion of [`Explanation::emotions`], in their order.
    pub emotions: Vec<f64>,
    /// The valence that VADER gave to the word, with its rules.
    pub vader: f64,
}

/// A reading and the contributions of its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The reading of the whole text.
    pub reading: Affect,
    /// The strongest emotions except `neutral`, at most three.
    pub emotions: Vec<String>,
    /// Words and emoji in the order of the text. A word without which another engine would read the text is left out.
    pub words: Vec<WordContribution>,
}

/// Emotions below this score are not explained.
const SHOWN: f64 = 0.1;

/// Reads a text, and again without each of its words.
pub fn explain(engine: &dyn AffectEngine, text: &str) -> Explanation {
    let units = units(text);
    let without: Vec<String> = units
        .iter()
        .map(|unit| format!("{}{}", &text[..unit.start], &text[unit.end..]))
        .collect();
    let all: Vec<&str> = std::iter::once(text)
        .chain(without.iter().map(String::as_str))
        .collect();
    let mut readings = engine.read(&all).into_iter();
    let reading = readings.next().unwrap_or_default();
    let mut strongest: Vec<(&String, f64)> = reading
        .emotions
        .iter()
        .filter(|(name, score)| *name != "neutral" && **score >= SHOWN)
        .map(|(name, score)| (name, *score))
        .collect();
    strongest.sort_by(|a, b| b.1.total_cmp(&a.1));
    strongest.truncate(3);
    let vader = Vader::new().given(text, &units);
    let words = units
        .into_iter()
        .zip(readings)
        .zip(vader)
        .filter(|((_, other), _)| other.model == reading.model)
        .map(|((span, other), vader)| WordContribution {
            span,
            compound: reading.sentiment.compound - other.sentiment.compound,
            distress: reading.distress.score.get() - other.distress.score.get(),
            emotions: strongest
                .iter()
                .map(|(name, score)| score - other.emotions.get(*name).copied().unwrap_or(0.0))
                .collect(),
            vader,
        })
        .collect();
    Explanation {
        emotions: strongest.iter().map(|(name, _)| (*name).clone()).collect(),
        words,
        reading,
    }
}

/// Words as separated by white space, without the punctuation before them. Each emoji is a word. Punctuation alone is
/// a word.
fn units(text: &str) -> Vec<Range<usize>> {
    let mut units: Vec<Range<usize>> = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut after_emoji = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let is_emoji = is_emoji(c);
        let goes_on = after_emoji && is_part_of_emoji(c);
        if c.is_whitespace() || (is_emoji && !goes_on) || (after_emoji && !goes_on) {
            units.extend(open.take());
            after_emoji = false;
        }
        if !c.is_whitespace() {
            open = Some(open.map_or(at, |unit| unit.start)..end);
            after_emoji |= is_emoji;
        }
        if units.len() >= MOST {
            return units;
        }
    }
    units.extend(open);
    units
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1f1e6..=0x1faff)
}

/// Characters that continue an emoji: selectors, joiners and what they join, skin tones, the second half of a flag.
fn is_part_of_emoji(c: char) -> bool {
    matches!(u32::from(c), 0xfe0f | 0x200d | 0x1f3fb..=0x1f3ff | 0x20e3)
}

impl Vader {
    /// The valence of each span of `text` with VADER's rules, in the order of the text: the sum over its tokens.
    fn given(self, text: &str, spans: &[Range<usize>]) -> Vec<f64> {
        let mut scratch = VaderScratch::default();
        // Tokens of the text up to a byte: an emoji becomes several tokens, and a word directly after it is joined to
        // the last.
        let mut tokens_until = |end: usize| {
            self.score_in(&text[..end], &mut scratch);
            scratch.sentiments().len()
        };
        let places: Vec<Range<usize>> = spans
            .iter()
            .map(|span| tokens_until(span.start)..tokens_until(span.end))
            .collect();
        self.score_in(text, &mut scratch);
        let all = scratch.sentiments();
        places
            .into_iter()
            .map(|place| all.get(place).map_or(0.0, |given| given.iter().sum()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LexiconReader;

    fn written<'a>(text: &'a str, explained: &Explanation) -> Vec<&'a str> {
        explained
            .words
            .iter()
            .map(|word| &text[word.span.clone()])
            .collect()
    }

    #[test]
    fn words_and_emoji_are_separate_units() {
        for (text, expected) in [
            ("so good 😂😂 #cup", &["so", "good", "😂", "😂", "#cup"][..]),
            ("good😂bad", &["good", "😂", "bad"]),
            ("I ❤️ it!!!", &["I", "❤️", "it!!!"]),
            ("👍🏽 ok", &["👍🏽", "ok"]),
            ("", &[]),
            (" \n ", &[]),
        ] {
            let found = units(text);
            let found: Vec<&str> = found.into_iter().map(|unit| &text[unit]).collect();
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(units(&"a ".repeat(1_000)).len(), MOST);
    }

    #[test]
    fn the_word_that_caused_the_emotion_has_the_largest_contribution() {
        let text = "the train is late and I am furious";
        let explained = explain(&LexiconReader::new(), text);
        assert_eq!(explained.emotions, ["anger"]);
        let (strongest, _) = written(text, &explained)
            .into_iter()
            .zip(&explained.words)
            .max_by(|a, b| a.1.emotions[0].total_cmp(&b.1.emotions[0]))
            .unwrap();
        assert_eq!(strongest, "furious");
        let furious = explained.words.last().unwrap();
        assert!(furious.compound < -0.3 && furious.vader < -2.0);
        assert!(explained.words[..6].iter().all(|word| word.vader == 0.0));
    }

    #[test]
    fn words_also_have_a_contribution_to_distress() {
        let text = "my dog died";
        let explained = explain(&LexiconReader::new(), text);
        assert!(explained.words.last().unwrap().distress > 0.5);
    }

    #[test]
    fn vader_gives_an_emoji_the_sum_of_its_name() {
        let text = "well 😍 not good";
        let explained = explain(&LexiconReader::new(), text);
        let given: Vec<f64> = explained.words.iter().map(|word| word.vader).collect();
        // "smiling face with heart-eyes" has one word with a valence; "not" reverses "good".
        assert!(given[1] > 0.0 && given[3] < 0.0, "{given:?}");
        let mut scratch = VaderScratch::default();
        Vader::new().score_in(text, &mut scratch);
        let sum: f64 = scratch.sentiments().iter().sum();
        assert!((given.iter().sum::<f64>() - sum).abs() < 1e-12);
    }
}
