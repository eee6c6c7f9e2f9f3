//! The reader used until there is a trained one, and beside it after: lexica only, every number can be explained.

use limbic_domain::{Affect, Distress, Emotions, Label, Probability, Sentiment};

use crate::cues::{DistressScores, EmotionScores, KNOWLEDGE, Words};
use crate::normal::normalise_into;
use crate::vader::Scratch;
use crate::{AffectEngine, Vader, cues, language};

/// From this compound on a text is positive, and from its negative on negative (Hutto & Gilbert 2014).
const LEANING: f64 = 0.05;

/// Reads sentiment with [`Vader`], emotions, arousal, distress and language with lexica of its own.
///
/// * **valence** is VADER's compound.
/// * **emotions** are Plutchik's eight. A text in a language other than English shows only those that a cue (most often
///   an emoji) was found for: the lexicon is English, and its silence on other words is no evidence.
/// * **arousal** is `0.1 + 0.35·intensity + 0.15·exclamation + 0.1·capitals + 0.05·drawing out + 0.3·stirring − 0.1·sadness`,
///   kept in `[0, 1]`, where *intensity* is the mean |valence| of the words that have one over VADER's largest (4),
///   *exclamation* is the number of `!` over 4, *capitals* twice the share of words in capitals where others are not,
///   *drawing out* 1 if a word is (`sooo`), each at most 1, and *stirring* the strongest of anger, fear, surprise,
///   0.7·joy and 0.6·anticipation. The weights are a judgement, not a fit.
/// * **distress** as [`DistressScores`] says.
#[derive(Debug, Clone, Copy, Default)]
pub struct LexiconReader {
    vader: Vader,
}

#[derive(Default)]
struct Room {
    vader: Scratch,
    normal: String,
    words: Words,
    word: String,
}

impl LexiconReader {
    /// The reader's version: it changes with every change of a lexicon or a rule.
    pub const VERSION: &'static str = "lexicon-1-vader-3.3.2";

    /// The reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much distress of each kind a text shows.
    pub fn distress(&self, text: &str) -> DistressScores {
        let mut room = Room::default();
        normalise_into(text, &mut room.normal);
        KNOWLEDGE.read_words(&room.normal, &mut room.words);
        KNOWLEDGE.distress(&room.words)
    }

    fn read_one(&self, text: &str, room: &mut Room) -> Affect {
        let scores = self.vader.score_in(text, &mut room.vader);
        normalise_into(text, &mut room.normal);
        KNOWLEDGE.read_words(&room.normal, &mut room.words);
        let emotions = KNOWLEDGE.emotions(&room.words);
        let distress = KNOWLEDGE.distress(&room.words);
        let language = language::guess(text, &mut room.word);
        let label = if scores.compound >= LEANING {
            Label::Positive
        } else if scores.compound <= -LEANING {
            Label::Negative
        } else {
            Label::Neutral
        };
        Affect {
            sentiment: Sentiment {
                label,
                scores: [
                    ("negative".to_owned(), scores.neg),
                    ("neutral".to_owned(), scores.neu),
                    ("positive".to_owned(), scores.pos),
                ]
                .into(),
                compound: scores.compound,
            },
            valence: scores.compound,
            arousal: arousal(text, room, emotions),
            emotions: named(emotions, language),
            distress: Distress {
                score: Probability::new(round(distress.score())).unwrap_or(Probability::ONE),
                cues: distress.cues(),
            },
            language: language.to_owned(),
            model: Self::VERSION.to_owned(),
            ..Affect::default()
        }
    }
}

impl AffectEngine for LexiconReader {
    fn version(&self) -> &str {
        Self::VERSION
    }

    fn read(&self, texts: &[&str]) -> Vec<Affect> {
        let mut room = Room::default();
        texts.iter().map(|text| self.read_one(text, &mut room)).collect()
    }
}

fn named(scores: EmotionScores, language: &str) -> Emotions {
    let knows_the_words = matches!(language, "en" | language::UNDETERMINED);
    cues::EMOTIONS
        .iter()
        .zip(scores.0)
        .filter(|(_, score)| knows_the_words || *score > 0.0)
        .map(|(name, score)| ((*name).to_owned(), round(score)))
        .collect()
}

fn arousal(text: &str, room: &Room, emotions: EmotionScores) -> f64 {
    const LARGEST_VALENCE: f64 = 4.0;
    let sentiments = room.vader.sentiments();
    let (sum, rated) = sentiments
        .iter()
        .filter(|s| **s != 0.0)
        .fold((0.0, 0usize), |(sum, rated), s| (sum + s.abs(), rated + 1));
    let intensity = if rated == 0 {
        0.0
    } else {
        f64::min(sum / rated as f64 / LARGEST_VALENCE, 1.0)
    };
    let exclamation = text.bytes().filter(|&b| b == b'!').count().min(4) as f64 / 4.0;
    let capitals = match sentiments.len() {
        0 => 0.0,
        words => f64::min(2.0 * room.vader.shouted() as f64 / words as f64, 1.0),
    };
    let drawn_out = if room.words.drawn_out > 0 { 1.0 } else { 0.0 };
    let [
        anger,
        anticipation,
        _disgust,
        fear,
        joy,
        sadness,
        surprise,
        _trust,
    ] = emotions.0;
    let stirring = [anger, fear, surprise, 0.7 * joy, 0.6 * anticipation]
        .into_iter()
        .fold(0.0, f64::max);
    let arousal =
        0.1 + 0.35 * intensity + 0.15 * exclamation + 0.1 * capitals + 0.05 * drawn_out + 0.3 * stirring
            - 0.1 * sadness;
    round(arousal.clamp(0.0, 1.0))
}

/// Four decimals: more would be noise, and every machine agrees on these.
fn round(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}
