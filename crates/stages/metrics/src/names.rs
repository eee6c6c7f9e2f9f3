//! Names of fields and groups. A name that is known to the program is a number, because the same few dozen are in every
//! window. Any other name is allocated once in each thread.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::HashMap;

/// The name of a field or a group. It is cheap to copy and to compare.
#[derive(Clone)]
pub struct Name(Kind);

#[derive(Clone)]
enum Kind {
    /// The place in [`KNOWN`].
    Known(u8),
    Other(Arc<str>),
}

macro_rules! known {
    ($($field:literal)* ; $($emotion:literal)*) => {
        /// The names that the program knows. Their places are part of the format of [`Sums`](crate::sums::Sums): append new names at
        /// the end, and keep those that exist.
        static KNOWN: &[&str] = &[
            $($field,)*
            $(concat!("emotion.", $emotion, "_count"), concat!("emotion.", $emotion, "_sum"),)*
        ];
    };
}

known! {
    "*" "none" "other" "arousal_sum" "count" "distress" "valence_sum" "folded" "fields_folded" "up" "down" "returns" "posts" "copied" "automated" "released" "sensitive_events" "unread" "chosen" "suppressed" "held_out"
    "challenger.shadow" "challenger.live" "challenger.rolled_back" "challenger.decisions" "challenger.ratio_alarm"
    "delivered" "refused" "withdrawn" "paused" "impressions" "clicks" "conversions" "dismissals" "value" ;
    "admiration" "amusement" "anger" "annoyance" "anticipation" "approval" "caring" "confusion" "curiosity" "desire"
    "disappointment" "disapproval" "disgust" "embarrassment" "excitement" "fear" "gratitude" "grief" "joy" "love" "nervousness"
    "neutral" "optimism" "pessimism" "pride" "realization" "relief" "remorse" "sadness" "surprise" "trust"
}

/// The maximum number of names that a thread keeps. Names of groups come from outside, so the cache is cleared when it is
/// full.
const MOST: usize = 8_192;

struct Cache {
    names: HashMap<Box<str>, Name>,
    /// For each emotion, the names of its count and its sum.
    emotions: HashMap<Box<str>, (Name, Name)>,
}

impl Cache {
    fn new() -> Self {
        Self {
            names: known().collect(),
            emotions: HashMap::default(),
        }
    }
}

fn known() -> impl Iterator<Item = (Box<str>, Name)> {
    let number = |(text, number): (&&str, u8)| (Box::from(*text), Name(Kind::Known(number)));
    KNOWN.iter().zip(0..).map(number)
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::new());
}

/// `text` as a [`Name`].
pub(crate) fn name(text: &str) -> Name {
    CACHE.with_borrow_mut(|cache| {
        if let Some(name) = cache.names.get(text) {
            return name.clone();
        }
        if cache.names.len() >= MOST {
            cache.names = known().collect();
        }
        let name = Name(Kind::Other(text.into()));
        cache.names.insert(text.into(), name.clone());
        name
    })
}

/// The names of an emotion's count and sum.
pub(crate) fn of_emotion(emotion: &str) -> (Name, Name) {
    let cached = CACHE.with_borrow(|cache| cache.emotions.get(emotion).cloned());
    if let Some(names) = cached {
        return names;
    }
    let names = (
        name(&format!("emotion.{emotion}_count")),
        name(&format!("emotion.{emotion}_sum")),
    );
    CACHE.with_borrow_mut(|cache| {
        if cache.emotions.len() >= MOST {
            cache.emotions.clear();
        }
        cache.emotions.insert(emotion.into(), names.clone());
    });
    names
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Known(number) => KNOWN[usize::from(*number)],
            Kind::Other(text) => text,
        }
    }

    /// The place in the list of known names.
    pub(crate) const fn number(&self) -> Option<u8> {
        match self.0 {
            Kind::Known(number) => Some(number),
            Kind::Other(_) => None,
        }
    }

    /// The name at a place in the list of known names.
    pub(crate) fn known(number: u64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (usize::from(number) < KNOWN.len()).then_some(Self(Kind::Known(number)))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        name(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Known(one), Kind::Known(other)) => one == other,
            (Kind::Other(one), Kind::Other(other)) => Arc::ptr_eq(one, other) || one == other,
            _ => false,
        }
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    /// The order of the texts.
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other {
            return Ordering::Equal;
        }
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_is_a_number_and_any_other_is_allocated_once() {
        assert_eq!(name("count").number(), Some(4));
        let (count, sum) = of_emotion("joy");
        assert_eq!(
            (count.as_str(), sum.as_str()),
            ("emotion.joy_count", "emotion.joy_sum")
        );
        assert!(count.number().is_some() && sum.number().is_some());
        let (Kind::Other(one), Kind::Other(other)) = (name("tea").0, name("tea").0) else {
            panic!("tea is not a known name");
        };
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn names_are_in_the_order_of_their_texts() {
        let mut names: Vec<Name> = KNOWN
            .iter()
            .map(|text| name(text))
            .chain(["a", "zz"].map(name))
            .collect();
        names.sort_unstable();
        assert!(
            names.is_sorted_by(|one, other| one.as_str() < other.as_str()),
            "{names:?}"
        );
    }

    #[test]
    fn the_places_of_known_names_stay() {
        // State that older programs have written names fields by these numbers.
        let digest = KNOWN.iter().take(97).fold(0_u64, |digest, text| {
            text.bytes().fold(digest.rotate_left(5), |digest, byte| {
                digest.wrapping_mul(31) ^ u64::from(byte)
            })
        });
        assert_eq!((KNOWN.len(), digest), (97, 13_405_616_547_421_824_269));
    }
}
