//! Plutchik's eight emotions from words and emoji.

use foldhash::{HashMap, HashMapExt as _};

use super::words::Words;
use super::{BOOSTS, Knowledge, NEGATES, WordId, any_of};

/// Plutchik's eight emotions, in the order of the scores.
pub(crate) const NAMES: [&str; 8] = [
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "sadness",
    "surprise",
    "trust",
];

/// Ratings of an emoji below this are noise: raters gave them to any emoji.
const LEAST_EMOJI_RATING: f64 = 0.25;
/// Weight of an emoji's rating, compared with that of a word.
const EMOJI_WORTH: f64 = 0.8;
/// Number of words before a word that can negate it.
const NEGATION_REACH: usize = 3;
/// Factor of a booster before the word, and the largest weight it can give.
const BOOST: f64 = 1.25;
const MOST: f64 = 0.95;

/// Strength of each emotion, in `[0, 1]`, in the order of [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct EmotionScores(pub(crate) [f64; 8]);

/// Words and emoji that are cues of emotions.
#[derive(Debug)]
pub(super) struct Lexicon {
    /// By word: indexes of emotions and their weights.
    words: Vec<Vec<(usize, f64)>>,
    emoji: HashMap<char, [f64; 8]>,
}

impl Lexicon {
    pub(super) fn build(id_of: &mut dyn FnMut(&'static str) -> WordId) -> Self {
        let mut words: Vec<Vec<(usize, f64)>> = Vec::new();
        for line in include_str!("../../data/emotions.tsv")
            .lines()
            .filter(|l| !l.starts_with('#'))
        {
            let mut columns = line.split('\t');
            let (Some(name), Some(weight), Some(list)) = (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            let emotion = NAMES
                .iter()
                .position(|n| *n == name)
                .expect("the emotion is one of the eight");
            let weight = weight.parse().expect("the weight is a number");
            for word in list.split(' ') {
                let id = usize::from(id_of(word));
                if words.len() <= id {
                    words.resize_with(id + 1, Vec::new);
                }
                words[id].push((emotion, weight));
            }
        }
        let mut emoji = HashMap::new();
        for line in include_str!("../../data/emotag1200.tsv").lines().skip(1) {
            let (Some(symbol), Some((_, ratings))) = (line.chars().next(), line.split_once('\t')) else {
                continue;
            };
            let mut scores = [0.0; 8];
            for (score, rating) in scores.iter_mut().zip(ratings.split('\t')) {
                let rating: f64 = rating.parse().expect("the rating is a number");
                *score = if rating < LEAST_EMOJI_RATING {
                    0.0
                } else {
                    rating * EMOJI_WORTH
                };
            }
            emoji.insert(symbol, scores);
        }
        Self { words, emoji }
    }

    pub(super) fn knows_emoji(&self, emoji: char) -> bool {
        self.emoji.contains_key(&emoji)
    }

    pub(super) fn score(&self, words: &Words, knowledge: &Knowledge) -> EmotionScores {
        let mut scores = EmotionScores::default();
        let spoken = &words.spoken;
        for (index, word) in spoken.iter().enumerate() {
            let Some(shown) = self.words.get(usize::from(word.id)).filter(|s| !s.is_empty()) else {
                continue;
            };
            let before = &spoken[index.saturating_sub(NEGATION_REACH)..index];
            let is_negated = before
                .iter()
                .any(|b| b.clause == word.clause && knowledge.is(b.id, NEGATES));
            if is_negated || spoken[..index].iter().rev().take(64).any(|b| b.id == word.id) {
                continue;
            }
            let is_boosted = before.last().is_some_and(|b| knowledge.is(b.id, BOOSTS));
            for &(emotion, weight) in shown {
                let weight = if is_boosted {
                    f64::min(weight * BOOST, MOST)
                } else {
                    weight
                };
                scores.0[emotion] = any_of(scores.0[emotion], weight);
            }
        }
        for emoji in &words.emoji {
            if let Some(shown) = self.emoji.get(emoji) {
                for (score, weight) in scores.0.iter_mut().zip(shown) {
                    *score = any_of(*score, *weight);
                }
            }
        }
        scores
    }
}
