//! The lexicon engine. It uses lexica and rules only, so every number of it can be explained.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::{Affect, Distress, Emotions, Entity, Label, Probability, Sentiment};

use crate::cues::{DistressScores, EmotionScores, IntentCues, KNOWLEDGE, Words, rounded};
use crate::entities::{self, Names};
use crate::events::event_classifier;
use crate::language::Language;
use crate::normal::{normalise_into, plain};
use crate::vader::{Scores, VaderScratch};
use crate::{AffectEngine, ClassifierRoom, DistressWords, Vader, cues, distress_words, events, language};

/// A text in no known language that has fewer words counts as read: it is a name, a laugh, an emoji.
const FEWEST_WORDS: usize = 3;

/// Compound from which a text is positive; its negative is the limit for negative texts (Hutto & Gilbert 2014).
const LEANING: f64 = 0.05;

/// Reads sentiment with [`Vader`], and emotions, arousal, distress, intent, names and language with lexica and rules.
///
/// * **valence** is VADER's compound, of the text in one spelling: character references, curly apostrophes, selectors of emoji and
///   invisible characters do not change it.
/// * **emotions** are Plutchik's eight.
/// * A text in a language other than English has no sentiment, because the lexicon is English: compound, valence and arousal are 0,
///   there are no scores, and `unknown_language` is set. Its emotions are those with a cue, most often an emoji.
/// * **arousal** is `0.1 + 0.35·intensity + 0.15·exclamation + 0.1·capitals + 0.05·lengthening + 0.3·activation −
///   0.1·sadness`, cut to `[0, 1]`. *intensity* is the mean |valence| of the words that have one, divided by VADER's
///   largest (4). *exclamation* is the number of `!` divided by 4, *capitals* is twice the share of words in capitals
///   if other words are not, and *lengthening* is 1 if a word is lengthened (`sooo`); each is at most 1. *activation*
///   is the strongest of anger, fear, surprise, 0.7·joy and 0.6·anticipation. The weights are a judgement, not a fit.
/// * **intensity** is the greater of |compound| and the strongest emotion.
/// * **distress** is described at [`DistressScores`], and in six languages [`DistressWords`] reads it too; **entities** at [`Names`]; **intent** comes from phrases.
/// * Irony, offence and hate are absent.
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
    /// The version without configured brands. It changes with every change of a lexicon or a rule.
    pub const VERSION: &'static str = "lexicon-5-vader-3.3.2";

    /// The engine without configured brands.
    pub fn new() -> Self {
        Self::with_brands(&BTreeMap::new())
    }

    /// The engine with brands: for each name, the other ways to write it, as in [`Names::with_brands`]. They are part
    /// of the version.
    pub fn with_brands(brands: &BTreeMap<String, Vec<String>>) -> Self {
        let surface = Arc::new(Surface::with_brands(brands));
        let version = format!("{}{}", Self::VERSION, surface.suffix());
        Self { surface, version }
    }

    /// The distress of a text by kind, from its phrases.
    pub fn distress(&self, text: &str) -> DistressScores {
        let mut room = Room::default();
        normalise_into(text, &mut room.normal);
        KNOWLEDGE.read_words(&room.normal, &mut room.words);
        KNOWLEDGE.distress(&room.words)
    }

    pub(crate) fn surface(&self) -> &Arc<Surface> {
        &self.surface
    }

    /// The reading of this engine for what was seen in a text.
    pub(crate) fn affect(&self, seen: Seen) -> Affect {
        let is_read = seen.language.is_read();
        let scores = if is_read { seen.vader } else { Scores::NONE };
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
                    ("negative", scores.neg),
                    ("neutral", scores.neu),
                    ("positive", scores.pos),
                ]
                .into_iter()
                .filter(|_| is_read)
                .map(|(name, score)| (name.to_owned(), score))
                .collect(),
                compound: scores.compound,
            },
            valence: scores.compound,
            arousal: if is_read {
                seen.arousal(Stirring::from(seen.emotions))
            } else {
                0.0
            },
            intensity: Some(probability(f64::max(scores.compound.abs(), strongest))),
            emotions: named(seen.emotions, seen.language),
            intent: Some(seen.intent.intent(scores.compound, &seen.entities)),
            entities: seen.entities,
            distress: Distress {
                score: probability(seen.distress.score()),
                cues: seen.distress.cues(),
                sensitive_event: probability(seen.sensitive_event),
                unread: seen.unread,
            },
            fingerprint: None,
            language: seen.language.tag.to_owned(),
            unknown_language: !is_read,
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

/// The rules and lists that every engine uses.
#[derive(Debug)]
pub(crate) struct Surface {
    vader: Vader,
    names: Names,
    /// Hash of the configured brands, for the version.
    brands: Option<u32>,
}

/// What the rules and lists found in one text.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) vader: Scores,
    pub(crate) emotions: EmotionScores,
    pub(crate) distress: DistressScores,
    pub(crate) language: Language,
    /// Whether distress cannot be read in the text's language.
    pub(crate) unread: bool,
    /// How likely the text is about a sensitive event.
    pub(crate) sensitive_event: f64,
    pub(crate) entities: Vec<Entity>,
    pub(crate) intent: IntentCues,
    /// The part of arousal that comes from words and punctuation, without emotions.
    liveliness: f64,
}

/// Buffers that are reused between texts.
#[derive(Default)]
pub(crate) struct Room {
    vader: VaderScratch,
    plain: String,
    normal: String,
    words: Words,
    language: language::Room,
    classifier: ClassifierRoom,
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

    /// The suffix of the version for configured brands: with other brands, readings are different.
    pub(crate) fn suffix(&self) -> String {
        self.brands
            .map_or_else(String::new, |hash| format!("+brands-{hash:08x}"))
    }

    pub(crate) fn see(&self, text: &str, room: &mut Room) -> Seen {
        // Names have places in the text as it is written. Everything else reads the one spelling of it.
        let entities = entities::find(text, &self.names, &mut room.pieces);
        let plain = plain(text, &mut room.plain);
        let vader = self.vader.score_in(plain, &mut room.vader);
        normalise_into(plain, &mut room.normal);
        KNOWLEDGE.read_words(&room.normal, &mut room.words);
        let language = language::guess(plain, &mut room.language);
        let liveliness = liveliness(plain, &room.vader, &room.words);
        let sensitive_event = event_classifier().probability(&room.normal, &mut room.classifier);
        let mut distress = KNOWLEDGE.distress(&room.words);
        if DistressWords::reads(language.tag) {
            distress = distress.strongest(distress_words().of_same_text(&room.classifier));
        }
        Seen {
            vader,
            emotions: KNOWLEDGE.emotions(&room.words),
            distress,
            sensitive_event,
            unread: !events::LANGUAGES.contains(&language.tag)
                && (language.tag != language::UNDETERMINED || room.words.count() >= FEWEST_WORDS),
            language,
            entities,
            intent: KNOWLEDGE.intent(plain, &room.words),
            liveliness,
        }
    }
}

/// FNV-1a over names and forms, with separators.
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

/// A score as a probability with four decimals. Numbers outside are cut, and NaN becomes 0.
pub(crate) fn probability(score: f64) -> Probability {
    Probability::new(rounded(score.clamp(0.0, 1.0))).unwrap_or(Probability::ZERO)
}

fn named(scores: EmotionScores, language: Language) -> Emotions {
    cues::EMOTIONS
        .iter()
        .zip(scores.0)
        .filter(|(_, score)| language.is_read() || *score > 0.0)
        .map(|(name, score)| ((*name).to_owned(), rounded(score)))
        .collect()
}

/// The emotions that arousal depends on.
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

fn liveliness(text: &str, vader: &VaderScratch, words: &Words) -> f64 {
    const LARGEST_VALENCE: f64 = 4.0;
    let sentiments = vader.sentiments();
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
        tokens => f64::min(2.0 * vader.shouted() as f64 / tokens as f64, 1.0),
    };
    let drawn_out = if words.drawn_out > 0 { 1.0 } else { 0.0 };
    0.1 + 0.35 * intensity + 0.15 * exclamation + 0.1 * capitals + 0.05 * drawn_out
}
