//! VADER's knowledge of single words. Each token is looked up once.

use std::sync::LazyLock;

/// Amount by which a booster (`very`) raises the valence of the next word.
const BOOST: f64 = 0.293;

/// Words with `n't` need no entry: their spelling shows that they negate.
const NEGATIONS: &str = "aint arent cannot cant couldnt darent didnt doesnt dont hadnt hasnt havent isnt mightnt \
    mustnt neither neednt never none nope nor not nothing nowhere oughtnt shant shouldnt uhuh wasnt werent uh-uh \
    without wont wouldnt rarely seldom despite";

const BOOSTERS: &str = "absolutely amazingly awfully completely considerable considerably decidedly deeply effing \
    enormous enormously entirely especially exceptional exceptionally extreme extremely fabulously flipping flippin \
    frackin fracking fricking frickin frigging friggin fully fuckin fucking fuggin fugging greatly hella highly \
    hugely incredible incredibly intensely major majorly more most particularly purely quite really remarkably so \
    substantially thoroughly total totally tremendous tremendously uber unbelievably unusually utter utterly very";

const DAMPENERS: &str = "almost barely hardly kinda kindof kind-of less little marginal marginally occasional \
    occasionally partly scarce scarcely slight slightly somewhat sorta sortof sort-of";

/// The words that a rule names. All others are [`Name::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Name {
    #[default]
    Other,
    Ass,
    At,
    Bad,
    Beating,
    Bomb,
    Bus,
    But,
    Death,
    Die,
    Doubt,
    Enough,
    For,
    Heart,
    Just,
    Kind,
    Kiss,
    Least,
    Never,
    No,
    Nor,
    Of,
    Or,
    Right,
    Shit,
    So,
    Sort,
    Stop,
    The,
    This,
    To,
    Very,
    Without,
    Yeah,
}

const NAMES: [(&str, Name); 33] = [
    ("ass", Name::Ass),
    ("at", Name::At),
    ("bad", Name::Bad),
    ("beating", Name::Beating),
    ("bomb", Name::Bomb),
    ("bus", Name::Bus),
    ("but", Name::But),
    ("death", Name::Death),
    ("die", Name::Die),
    ("doubt", Name::Doubt),
    ("enough", Name::Enough),
    ("for", Name::For),
    ("heart", Name::Heart),
    ("just", Name::Just),
    ("kind", Name::Kind),
    ("kiss", Name::Kiss),
    ("least", Name::Least),
    ("never", Name::Never),
    ("no", Name::No),
    ("nor", Name::Nor),
    ("of", Name::Of),
    ("or", Name::Or),
    ("right", Name::Right),
    ("shit", Name::Shit),
    ("so", Name::So),
    ("sort", Name::Sort),
    ("stop", Name::Stop),
    ("the", Name::The),
    ("this", Name::This),
    ("to", Name::To),
    ("very", Name::Very),
    ("without", Name::Without),
    ("yeah", Name::Yeah),
];

const RATED: u8 = 1;
const NEGATES: u8 = 2;
const UPPER: u8 = 4;

/// Everything that the rules need to know about a token.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Word {
    /// Mean human rating, -4 to 4; 0 without a rating.
    pub(super) valence: f64,
    /// Amount added to a favourable word after this one; 0 for most words.
    pub(super) boost: f64,
    /// The word, if a rule names it.
    pub(super) name: Name,
    flags: u8,
}

impl Word {
    /// Whether the lexicon rates the word.
    pub(super) const fn rated(self) -> bool {
        self.flags & RATED != 0
    }

    /// Whether the word negates the next words.
    pub(super) const fn negates(self) -> bool {
        self.flags & NEGATES != 0
    }

    /// Whether the token was written in capitals.
    pub(super) const fn upper(self) -> bool {
        self.flags & UPPER != 0
    }

    /// Whether the word raises or lowers the valence of the next words.
    pub(super) fn boosts(self) -> bool {
        self.boost != 0.0
    }

    /// The same word as a token that negates by its spelling, or was written in capitals.
    pub(super) const fn seen(mut self, negates: bool, upper: bool) -> Self {
        if negates {
            self.flags |= NEGATES;
        }
        if upper {
            self.flags |= UPPER;
        }
        self
    }
}

/// Bytes of the longest word of the lexicon. Longer tokens are unknown.
pub(super) const KEY_BYTES: usize = 24;

/// A lower-case word of at most [`KEY_BYTES`] ASCII bytes, padded with zeros, as three machine words.
type Key = [u64; 3];

/// Packs a lower-case word.
pub(super) fn key(padded: &[u8; KEY_BYTES]) -> Key {
    let part = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&padded[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    [part(0), part(8), part(16)]
}

fn slot_of(key: Key) -> usize {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = key.iter().fold(0u64, |hash, part| {
        (hash.rotate_left(26) ^ part).wrapping_mul(MULTIPLIER)
    });
    (mixed >> (64 - Words::BITS)) as usize
}

/// Words by key, with open addressing, a quarter full. The slots are small, so most unknown words need one access to
/// the second-level cache.
#[derive(Debug)]
pub(super) struct Words {
    /// Indexes into `entries`. 0 is an empty slot, and the first entry describes unknown words.
    slots: Vec<u16>,
    entries: Vec<(Key, Word)>,
}

impl Words {
    const BITS: u32 = 15;
    const MASK: usize = (1 << Self::BITS) - 1;

    fn build() -> Self {
        let mut words = Self {
            slots: vec![0; 1 << Self::BITS],
            entries: vec![([0; 3], Word::default())],
        };
        for line in include_str!("../../data/vader_lexicon.tsv").lines() {
            let Some((word, mean)) = line.split_once('\t') else {
                continue;
            };
            // Tokens are looked up in lower case and have no white space, so the reference never finds these words
            // either.
            if word.bytes().any(|b| b.is_ascii_uppercase() || b == b' ') || !word.is_ascii() {
                continue;
            }
            let entry = words.entry(word);
            entry.valence = mean.parse().expect("the lexicon's second column is a number");
            entry.flags |= RATED;
        }
        for word in NEGATIONS.split_ascii_whitespace() {
            words.entry(word).flags |= NEGATES;
        }
        for word in BOOSTERS.split_ascii_whitespace() {
            words.entry(word).boost = BOOST;
        }
        for word in DAMPENERS.split_ascii_whitespace() {
            words.entry(word).boost = -BOOST;
        }
        for (word, name) in NAMES {
            words.entry(word).name = name;
        }
        words
    }

    fn entry(&mut self, word: &str) -> &mut Word {
        let mut padded = [0; KEY_BYTES];
        padded[..word.len()].copy_from_slice(word.as_bytes());
        let key = key(&padded);
        let (slot, entry) = self.find(key);
        if entry != 0 {
            return &mut self.entries[entry].1;
        }
        self.slots[slot] =
            u16::try_from(self.entries.len()).expect("the lexicon has fewer than 65,536 words");
        self.entries.push((key, Word::default()));
        &mut self.entries.last_mut().expect("one was just pushed").1
    }

    /// The entry of a word; the default for unknown words.
    pub(super) fn get(&self, key: Key) -> Word {
        self.entries[self.find(key).1].1
    }

    /// The slot of the key and its entry; the entry is 0 if the key is unknown.
    fn find(&self, key: Key) -> (usize, usize) {
        let mut slot = slot_of(key);
        loop {
            let entry = usize::from(self.slots[slot]);
            if entry == 0 || self.entries[entry].0 == key {
                return (slot, entry);
            }
            slot = (slot + 1) & Self::MASK;
        }
    }
}

/// Names of the emoji that consist of one character.
///
/// The reference looks up single characters, so only the parts of a longer emoji have names.
#[derive(Debug)]
pub(super) struct EmojiNames {
    slots: Vec<Option<(char, &'static str)>>,
}

impl EmojiNames {
    const BITS: u32 = 13;
    const MASK: usize = (1 << Self::BITS) - 1;

    fn build() -> Self {
        let mut names = Self {
            slots: vec![None; 1 << Self::BITS],
        };
        for line in include_str!("../../data/vader_emoji.tsv").lines() {
            let Some((emoji, name)) = line.split_once('\t') else {
                continue;
            };
            let Some(emoji) = emoji.chars().next() else {
                continue;
            };
            let mut slot = Self::slot_of(emoji);
            while is_other(names.slots[slot], emoji) {
                slot = (slot + 1) & Self::MASK;
            }
            names.slots[slot] = Some((emoji, name));
        }
        names
    }

    fn slot_of(emoji: char) -> usize {
        (u32::from(emoji).wrapping_mul(0x9e37_79b1) >> (32 - Self::BITS)) as usize
    }

    /// The name of an emoji.
    pub(super) fn get(&self, emoji: char) -> Option<&'static str> {
        let mut slot = Self::slot_of(emoji);
        while is_other(self.slots[slot], emoji) {
            slot = (slot + 1) & Self::MASK;
        }
        self.slots[slot].map(|(_, name)| name)
    }
}

fn is_other(slot: Option<(char, &str)>, emoji: char) -> bool {
    slot.is_some_and(|(found, _)| found != emoji)
}

pub(super) static WORDS: LazyLock<Words> = LazyLock::new(Words::build);
pub(super) static EMOJI: LazyLock<EmojiNames> = LazyLock::new(EmojiNames::build);

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        let mut padded = [0; KEY_BYTES];
        padded[..text.len()].copy_from_slice(text.as_bytes());
        WORDS.get(key(&padded))
    }

    #[test]
    fn the_lexicon_knows_the_role_of_each_kind_of_word() {
        assert!(word("good").rated() && !word("good").negates());
        assert!(word("never").negates() && word("never").name == Name::Never);
        assert!(word("very").boosts() && word("hardly").boost < 0.0);
        assert_eq!(word("zzzz"), Word::default());
        assert_eq!(word(""), Word::default());
    }

    #[test]
    fn emoji_have_names() {
        assert_eq!(EMOJI.get('💘'), Some("heart with arrow"));
        assert_eq!(EMOJI.get('x'), None);
    }
}
