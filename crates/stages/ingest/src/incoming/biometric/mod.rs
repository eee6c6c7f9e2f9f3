//! Features of a voice, a face or typing in an input, which is refused then.
//!
//! Regulation (EU) 2024/1689 (AI Act) speaks of emotion recognition where emotions are inferred from *biometric* data (Art. 3(39)): data
//! of the physical, physiological or behavioural characteristics of a person after technical processing (Art. 3(34)). Recital 15 names
//! face, voice, prosody and keystrokes. At work and in education such systems are prohibited (Art. 5(1)(f)), and elsewhere they are of
//! high risk (Annex III, 1(c)). Text alone is not biometric. So no such feature comes in, whatever `ingest.keep_fields` keeps.
//!
//! An input is judged by the names of its further fields, which [`names`] lists as data. Texts are not read: a post about voices and
//! faces is an ordinary post. A link is not a feature, and nor is an empty value.

mod names;

use std::fmt;
use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt as _};
use serde_json::{Map, Value};

use super::problem::{Problem, clip};

/// What a feature was measured of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trait {
    /// A voice: pitch, prosody, an embedding of a speaker.
    Voice,
    /// A face: landmarks, action units, gaze, an embedding.
    Face,
    /// Typing: the times of keystrokes.
    Typing,
    /// Another characteristic of a body.
    Other,
}

impl Trait {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Face => "face",
            Self::Typing => "typing",
            Self::Other => "other",
        }
    }
}

/// A field with a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Biometric {
    /// What was measured.
    pub of: Trait,
    /// The names of the field and of the objects around it, with full stops between them: at most 100 characters.
    pub field: String,
}

impl fmt::Display for Biometric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Trait::Voice => "a voice",
            Trait::Face => "a face",
            Trait::Typing => "typing",
            Trait::Other => "a body",
        };
        write!(
            f,
            "`{}` is a feature of {of}, and emotion is read from text only (EU AI Act, Art. 3(34) and (39)): leave the field out; a link \
             to a picture or a recording can stay",
            self.field
        )
    }
}

impl Biometric {
    /// The first field of an object that is a feature, with all objects and arrays inside it.
    pub fn of_fields(fields: &Map<String, Value>) -> Option<Self> {
        let mut path = Vec::new();
        Self::below(fields, 0, &mut path)
    }

    /// The first feature in a field of this name: the field itself, or something inside it.
    pub fn of_field(name: &str, value: &Value) -> Option<Self> {
        let mut path = Vec::new();
        Self::here(name, value, 0, &mut path)
    }

    /// Whether the name of a column says that it has features.
    pub fn of_column(name: &str) -> Option<Self> {
        Vocabulary::get().judge(name, 0).map(|of| Self {
            of,
            field: shown(&[name]),
        })
    }

    /// The first of the columns with features.
    pub fn of_columns(names: &[String]) -> Option<Self> {
        names.iter().find_map(|name| Self::of_column(name))
    }

    /// `around` are the groups of the names of the objects around these fields.
    fn below<'a>(fields: &'a Map<String, Value>, around: u128, path: &mut Vec<&'a str>) -> Option<Self> {
        fields
            .iter()
            .find_map(|(name, value)| Self::here(name, value, around, path))
    }

    fn here<'a>(name: &'a str, value: &'a Value, around: u128, path: &mut Vec<&'a str>) -> Option<Self> {
        if is_empty(value) {
            return None;
        }
        let vocabulary = Vocabulary::get();
        path.push(name);
        let found = match vocabulary.judge(name, around) {
            Some(of) => Some(Self {
                of,
                field: shown(path),
            }),
            None if value.is_object() || value.is_array() => {
                Self::inside(value, around | vocabulary.groups_of(name), path)
            }
            None => None,
        };
        path.pop();
        found
    }

    fn inside<'a>(value: &'a Value, around: u128, path: &mut Vec<&'a str>) -> Option<Self> {
        match value {
            Value::Object(fields) => Self::below(fields, around, path),
            Value::Array(items) => items.iter().find_map(|item| Self::inside(item, around, path)),
            _ => None,
        }
    }
}

impl Biometric {
    /// Why the input is refused. `field` is the object that has the feature.
    pub(super) fn problem(&self, field: &'static str) -> Problem {
        Problem {
            field,
            problem: self.to_string(),
            biometric: Some(self.of),
        }
    }
}

/// Whether a value has no feature, whatever its name is: a link leads to a picture or a recording, which nothing here opens.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text.starts_with("https://") || text.starts_with("http://"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn shown(path: &[&str]) -> String {
    let path: Vec<String> = path.iter().map(|name| clip(name)).collect();
    let path = path.join(".");
    path.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The longest word that is looked up, in bytes. No word of a rule is longer.
const LONGEST: usize = 24;

/// The words of all rules. Each group of each rule has a bit, and a set of groups is a number.
struct Vocabulary {
    /// The groups of each word.
    words: HashMap<&'static [u8], u128>,
    /// The groups of each word that needs digits behind it.
    numbered: HashMap<&'static [u8], u128>,
    /// The rules with all their groups.
    rules: Vec<(&'static names::Rule, u128)>,
}

impl Vocabulary {
    fn get() -> &'static Self {
        static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(Vocabulary::new);
        &VOCABULARY
    }

    fn new() -> Self {
        let mut vocabulary = Self {
            words: HashMap::new(),
            numbered: HashMap::new(),
            rules: Vec::new(),
        };
        let mut next = 0;
        for rule in names::RULES {
            let mut groups = 0;
            for group in rule.words {
                let bit = 1_u128
                    .checked_shl(next)
                    .expect("the rules have at most 128 groups");
                next += 1;
                groups |= bit;
                for word in *group {
                    let (words, word) = match word.strip_suffix('#') {
                        Some(letters) => (&mut vocabulary.numbered, letters),
                        None => (&mut vocabulary.words, *word),
                    };
                    *words.entry(word.as_bytes()).or_default() |= bit;
                }
            }
            vocabulary.rules.push((rule, groups));
        }
        vocabulary
    }

    /// Judges a name inside objects whose names are in the groups `around`.
    fn judge(&self, name: &str, around: u128) -> Option<Trait> {
        let own = self.groups_of(name);
        // Otherwise the object around it would have been found.
        if own == 0 {
            return None;
        }
        let fits = |(rule, groups): &&(&names::Rule, u128)| {
            let named = if rule.is_one_name { own } else { own | around };
            groups & !named == 0
        };
        self.rules.iter().find(fits).map(|(rule, _)| rule.of)
    }

    /// The groups of the words of a name.
    fn groups_of(&self, name: &str) -> u128 {
        let of = |words: &HashMap<&'static [u8], u128>, word: &[u8]| words.get(word).copied().unwrap_or(0);
        let mut groups = 0;
        for word in words(name).filter(|word| word.len() <= LONGEST) {
            let mut lower = [0; LONGEST];
            let lower = &mut lower[..word.len()];
            lower.copy_from_slice(word.as_bytes());
            lower.make_ascii_lowercase();
            groups |= of(&self.words, lower);
            let letters = word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            if letters < word.len() {
                groups |= of(&self.words, &lower[..letters]) | of(&self.numbered, &lower[..letters]);
            }
        }
        groups
    }
}

/// The words of a name: `voice_pitch`, `voice-pitch`, `VoicePitch` and `voice.pitch` have two. Digits belong to the word before them.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let ends = |at: usize| {
            let (before, here) = (bytes[at - 1], bytes[at]);
            let next = bytes.get(at + 1).copied().unwrap_or(b' ');
            let is_new_word = before.is_ascii_lowercase() && here.is_ascii_uppercase();
            // `MFCCMean` is `MFCC` and `Mean`.
            let ends_capitals =
                before.is_ascii_uppercase() && here.is_ascii_uppercase() && next.is_ascii_lowercase();
            let follows_digits = before.is_ascii_digit() && here.is_ascii_alphabetic();
            !here.is_ascii_alphanumeric() || is_new_word || ends_capitals || follows_digits
        };
        let end = (1..bytes.len()).find(|at| ends(*at)).unwrap_or(bytes.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests;
