//! Cues of emotion, distress and intent in words and emoji: the lexica and their look-up.

mod distress;
mod emotions;
mod intent;
mod phrases;
mod words;

use std::sync::LazyLock;

use foldhash::HashMap;

pub use distress::DistressScores;
pub(crate) use distress::{NAMED, score_from};
pub(crate) use emotions::{EmotionScores, NAMES as EMOTIONS};
pub(crate) use intent::IntentCues;
pub(crate) use words::Words;

use phrases::Phrases;

/// A word of the vocabulary; [`UNKNOWN`] for every other.
type WordId = u16;
const UNKNOWN: WordId = 0;

/// Words that negate the words after them.
const NEGATORS: &str = "not no never none nobody nothing neither nor without hardly barely rarely isnt arent wasnt \
    werent dont doesnt didnt hasnt havent hadnt wont wouldnt shouldnt aint cant cannot couldnt";
/// Negators that express disbelief, not denial, before bad news.
const DISBELIEF: &str = "cant cannot couldnt never dont";
/// Words that strengthen the word after them.
const BOOSTERS: &str = "so very really extremely absolutely totally completely incredibly fucking too super";
/// Words that stand for laughter.
const LAUGHTER: &str = "lol lmao lmfao rofl haha hahaha hahahaha hehe lolol jk";
/// Words that are also written with digits and signs for letters, to avoid filters.
const DISGUISED: &str =
    "kill killing suicide suicidal die dying death dead unalive kms selfharm overdose cutting";

const NEGATES: u8 = 1;
const DISBELIEVES: u8 = 2;
const BOOSTS: u8 = 4;
const LAUGHS: u8 = 8;
const IS_DISGUISED: u8 = 16;

/// All lexica, built once.
pub(crate) struct Knowledge {
    ids: HashMap<&'static str, WordId>,
    flags: Vec<u8>,
    emotions: emotions::Lexicon,
    distress: Phrases,
    figurative: Phrases,
    intent: Phrases,
}

pub(crate) static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(Knowledge::build);

impl Knowledge {
    fn build() -> Self {
        let mut ids = HashMap::from_iter([("", UNKNOWN)]);
        let emotions = emotions::Lexicon::build(&mut |word| id_of(&mut ids, word));
        let distress = Phrases::build(include_str!("../../data/distress.tsv"), &mut |word| {
            id_of(&mut ids, word)
        });
        let figurative = Phrases::build(include_str!("../../data/figurative.tsv"), &mut |word| {
            id_of(&mut ids, word)
        });
        let intent = Phrases::build(include_str!("../../data/intent.tsv"), &mut |word| {
            id_of(&mut ids, word)
        });
        let classes = [
            (NEGATORS, NEGATES),
            (DISBELIEF, DISBELIEVES),
            (BOOSTERS, BOOSTS),
            (LAUGHTER, LAUGHS),
            (DISGUISED, IS_DISGUISED),
        ];
        let mut marked = Vec::new();
        for (words, flag) in classes {
            for word in words.split_ascii_whitespace() {
                marked.push((id_of(&mut ids, word), flag));
            }
        }
        let mut flags = vec![0; ids.len()];
        for (id, flag) in marked {
            flags[usize::from(id)] |= flag;
        }
        Self {
            ids,
            flags,
            emotions,
            distress,
            figurative,
            intent,
        }
    }

    fn id(&self, word: &str) -> WordId {
        self.ids.get(word).copied().unwrap_or(UNKNOWN)
    }

    fn is(&self, word: WordId, flag: u8) -> bool {
        self.flags[usize::from(word)] & flag != 0
    }

    /// Reads the words of a text in normal form into `words`.
    pub(crate) fn read_words(&self, normal: &str, words: &mut Words) {
        words.read(normal, self);
    }

    /// The strength of each emotion by the words.
    pub(crate) fn emotions(&self, words: &Words) -> EmotionScores {
        self.emotions.score(words, self)
    }

    /// The distress of each kind by the words.
    pub(crate) fn distress(&self, words: &Words) -> DistressScores {
        distress::score(words, self)
    }

    /// The scores of each intent by the words.
    pub(crate) fn intent(&self, text: &str, words: &Words) -> IntentCues {
        IntentCues::read(text, words, self)
    }
}

/// Whether any lexicon has the word, in lower case and without apostrophes.
pub(crate) fn is_known(word: &str) -> bool {
    KNOWLEDGE.id(word) != UNKNOWN
}

fn id_of(ids: &mut HashMap<&'static str, WordId>, word: &'static str) -> WordId {
    let next = WordId::try_from(ids.len()).expect("the vocabulary has fewer than 65,536 words");
    *ids.entry(word).or_insert(next)
}

/// The probability that at least one of several independent cues is right.
fn any_of(so_far: f64, cue: f64) -> f64 {
    1.0 - (1.0 - so_far) * (1.0 - cue)
}

/// Rounds to four decimals: more would be noise, and these are equal on every machine.
pub(crate) fn rounded(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}
