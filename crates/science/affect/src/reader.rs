//! The reader used where there is no trained one, and beside it: lexica only, every number can be explained.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::{Affect, Distress, Emotions, Entity, Label, Probability, Sentiment};

use crate::cues::{DistressScores, EmotionScores, IntentCues, KNOWLEDGE, Words, rounded};
use crate::entities::{self, Names};
use crate::normal::normalise_into;
use crate::vader::{Scores, Scratch};
use crate::{AffectEngine, Vader, cues, language};

/// From this compound on a text is positive, and from its negative on negative (Hutto & Gilbert 2014).
const LEANING: f64 = 0.05;

/// Reads sentiment with [`Vader`], emotions, arousal, distress, intent, names and language with lexica and rules of its own.
///
/// * **valence** is VADER's compound.
/// * **emotions** are Plutchik's eight. A text in a language other than English shows only those that a cue (most often
///   an emoji) was found for: the lexicon is English, and its silence on other words is no evidence.
/// * **arousal** is `0.1 + 0.35·intensity + 0.15·exclamation + 0.1·capitals + 0.05·drawing out + 0.3·stirring − 0.1·sadness`,
///   kept in `[0, 1]`, where *intensity* is the mean |valence| of the words that have one over VADER's largest (4),
///   *exclamation* is the number of `!` over 4, *capitals* twice the share of words in capitals where others are not,
///   *drawing out* 1 if a word is (`sooo`), each at most 1, and *stirring* the strongest of anger, fear, surprise,
///   0.7·joy and 0.6·anticipation. The weights are a judgement, not a fit.
/// * **intensity** is the greater of |compound| and the strongest emotion.
/// * **distress** as [`DistressScores`] says, **entities** as [`Names`] and the page of the module say, **intent** by phrases.
/// * irony, offence and hate it cannot tell.
#[derive(Debug, Clone)]
pub struct LexiconReader {
    surface: Arc<Surface>,
    version: String,
}

impl Default for LexiconReader {
    fn default() -> Self {
        Self::new()
    }
}

impl LexiconReader {
    /// The reader's version without brands of one's own: it changes with every change of a lexicon or a rule.
    pub const VERSION: &'static str = "lexicon-2-vader-3.3.2";

    /// The reader.
    pub fn new() -> Self {
        Self::with_brands(&BTreeMap::new())
    }

    /// The reader, with brands by their names and the ways to write each, as [`Names::with_brands`] takes them. They are
    /// part of the version.
    pub fn with_brands(brands: &BTreeMap<String, Vec<String>>) -> Self {
        let surface = Arc::new(Surface::with_brands(brands));
        let version = format!("{}{}", Self::VERSION, surface.suffix());
        Self { surface, version }
    }

    /// How much distress of each kind a text shows.
    pub fn distress(&self, text: &str) -> DistressScores {
        let mut room = Room::default();
        normalise_into(text, &mut room.normal);
        KNOWLEDGE.read_words(&room.normal, &mut room.words);
        KNOWLEDGE.distress(&room.words)
    }

    pub(crate) fn surface(&self) -> &Arc<Surface> {
        &self.surface
    }

    /// What was seen of a text, as this reader tells it.
    pub(crate) fn affect(&self, seen: Seen) -> Affect {
        let scores = seen.vader;
        let label = if scores.compound >= LEANING {
            Label::Positive
        } else if scores.compound <= -LEANING {
            Label::Negative
        } else {
            Label::Neutral
        };
        let strongest = seen.emotions.0.into_iter().fold(0.0, f64::max);
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
            arousal: seen.arousal(Stirring::from(seen.emotions)),
            intensity: Some(probability(f64::max(scores.compound.abs(), strongest))),
            emotions: named(seen.emotions, seen.language),
            intent: Some(seen.intent.intent(scores.compound, &seen.entities)),
            entities: seen.entities,
            distress: Distress {
                score: probability(seen.distress.score()),
                cues: seen.distress.cues(),
            },
            language: seen.language.to_owned(),
            model: self.version.clone(),
            ..Affect::default()
        }
    }
}

impl AffectEngine for LexiconReader {
    fn version(&self) -> &str {
        &self.version
    }

    fn read(&self, texts: &[&str]) -> Vec<Affect> {
        let mut room = Room::default();
        texts
            .iter()
            .map(|text| {
                let seen = self.surface.see(text, &mut room);
                self.affect(seen)
            })
            .collect()
    }
}

/// What rules and lists see in a text, whichever reader asks.
#[derive(Debug)]
pub(crate) struct Surface {
    vader: Vader,
    names: Names,
    /// Of the brands' settings, for the version.
    brands: Option<u32>,
}

/// What one text showed.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) vader: Scores,
    pub(crate) emotions: EmotionScores,
    pub(crate) distress: DistressScores,
    pub(crate) language: &'static str,
    pub(crate) entities: Vec<Entity>,
    pub(crate) intent: IntentCues,
    /// What words and signs say of arousal, emotions apart.
    liveliness: f64,
}

/// Room that one text after another is read in.
#[derive(Default)]
pub(crate) struct Room {
    vader: Scratch,
    normal: String,
    words: Words,
    language: language::Room,
    pieces: entities::Pieces,
}

impl Surface {
    fn with_brands(brands: &BTreeMap<String, Vec<String>>) -> Self {
        Self {
            vader: Vader::new(),
            names: Names::with_brands(brands),
            brands: (!brands.is_empty()).then(|| fingerprint(brands)),
        }
    }

    /// What the brands of the settings add to a version: readings with other brands are other readings.
    pub(crate) fn suffix(&self) -> String {
        self.brands
            .map_or_else(String::new, |hash| format!("+brands-{hash:08x}"))
    }

    pub(crate) fn see(&self, text: &str, room: &mut Room) -> Seen {
        let vader = self.vader.score_in(text, &mut room.vader);
        normalise_into(text, &mut room.normal);
        KNOWLEDGE.read_words(&room.normal, &mut room.words);
        Seen {
            vader,
            emotions: KNOWLEDGE.emotions(&room.words),
            distress: KNOWLEDGE.distress(&room.words),
            language: language::guess(text, &mut room.language),
            entities: entities::find(text, &self.names, &mut room.pieces),
            intent: KNOWLEDGE.intent(text, &room.words),
            liveliness: liveliness(text, room),
        }
    }
}

/// FNV-1a, of names and forms with their ends.
fn fingerprint(brands: &BTreeMap<String, Vec<String>>) -> u32 {
    let words = brands.iter().flat_map(|(name, forms)| {
        std::iter::once(name)
            .chain(forms)
            .map(String::as_bytes)
            .chain([&b"\0"[..]])
    });
    words
        .flat_map(|word| word.iter().copied().chain([0xff]))
        .fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}

/// A score as a probability of four decimals. Whatever is outside, or no number, is taken to the nearest end, or to 0.
pub(crate) fn probability(score: f64) -> Probability {
    Probability::new(rounded(score.clamp(0.0, 1.0))).unwrap_or(Probability::ZERO)
}

fn named(scores: EmotionScores, language: &str) -> Emotions {
    let knows_the_words = matches!(language, "en" | language::UNDETERMINED);
    cues::EMOTIONS
        .iter()
        .zip(scores.0)
        .filter(|(_, score)| knows_the_words || *score > 0.0)
        .map(|(name, score)| ((*name).to_owned(), rounded(score)))
        .collect()
}

/// The emotions that arousal is reckoned from.
#[derive(Clone, Copy)]
pub(crate) struct Stirring {
    pub(crate) anger: f64,
    pub(crate) fear: f64,
    pub(crate) surprise: f64,
    pub(crate) joy: f64,
    pub(crate) anticipation: f64,
    pub(crate) sadness: f64,
}

impl From<EmotionScores> for Stirring {
    fn from(scores: EmotionScores) -> Self {
        let [
            anger,
            anticipation,
            _disgust,
            fear,
            joy,
            sadness,
            surprise,
            _trust,
        ] = scores.0;
        Self {
            anger,
            fear,
            surprise,
            joy,
            anticipation,
            sadness,
        }
    }
}

impl Seen {
    /// See [`LexiconReader`].
    pub(crate) fn arousal(&self, emotions: Stirring) -> f64 {
        let Stirring {
            anger,
            fear,
            surprise,
            joy,
            anticipation,
            sadness,
        } = emotions;
        let stirring = [anger, fear, surprise, 0.7 * joy, 0.6 * anticipation]
            .into_iter()
            .fold(0.0, f64::max);
        rounded((self.liveliness + 0.3 * stirring - 0.1 * sadness).clamp(0.0, 1.0))
    }
}

fn liveliness(text: &str, room: &Room) -> f64 {
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
    0.1 + 0.35 * intensity + 0.15 * exclamation + 0.1 * capitals + 0.05 * drawn_out
}
