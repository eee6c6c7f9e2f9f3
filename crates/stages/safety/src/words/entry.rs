//! One entry of a word list, and where it matches.

use std::collections::HashMap;

use crate::reading::sentences;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The category, as in a sentence.
    pub(crate) category: &'static str,
    /// The entry that matched.
    pub(crate) entry: String,
}

/// One word of an entry.
#[derive(Debug, Clone)]
struct Pattern {
    stem: String,
    ending: Ending,
}

/// What may follow a pattern's stem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing.
    None,
    /// A plural's ending, or nothing.
    Plural,
    /// Anything.
    Any,
}

impl Pattern {
    fn matches(&self, word: &str) -> bool {
        let Some(rest) = word.strip_prefix(self.stem.as_str()) else {
            return false;
        };
        match self.ending {
            Ending::None => rest.is_empty(),
            Ending::Plural => matches!(rest, "" | "s" | "es"),
            Ending::Any => true,
        }
    }

    /// Letters and digits, folded as texts are; a `*` only at the end, after three letters or more.
    fn parse(word: &str) -> Option<Self> {
        let (bare, ending) = match (word.strip_suffix('*'), word.strip_suffix('.')) {
            (Some(bare), _) => (bare, Ending::Any),
            (_, Some(bare)) => (bare, Ending::None),
            _ => (word, Ending::Plural),
        };
        let read = sentences(bare);
        let [.., folded] = read.as_slice() else {
            return None;
        };
        let [stem] = folded.as_slice() else { return None };
        let is_long_enough = ending != Ending::Any || stem.chars().count() >= 3;
        (is_long_enough && !bare.contains('*')).then(|| Self {
            stem: stem.clone(),
            ending,
        })
    }
}

/// Where an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In names and in copy.
    Everywhere,
    /// In names alone.
    Names,
    /// As a whole name alone.
    WholeName,
}

/// One entry of a word list.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) scope: Scope,
    words: Vec<Pattern>,
    /// The words written together: of a single word, that word.
    together: Pattern,
    pub(crate) found: Found,
}

impl Entry {
    pub(crate) fn parse(text: &str, category: &'static str) -> Option<Self> {
        let (scope, bare) = match text.as_bytes().first()? {
            b'@' => (Scope::Names, &text[1..]),
            b'=' => (Scope::WholeName, &text[1..]),
            _ => (Scope::Everywhere, text),
        };
        let words: Vec<Pattern> = bare
            .split_whitespace()
            .map(Pattern::parse)
            .collect::<Option<_>>()?;
        let last = words.last()?;
        let together = Pattern {
            stem: words.iter().map(|word| word.stem.as_str()).collect(),
            ending: last.ending,
        };
        Some(Self {
            scope,
            together,
            found: Found {
                category,
                entry: bare.to_owned(),
            },
            words,
        })
    }

    /// How many words it has.
    pub(crate) fn length(&self) -> usize {
        self.words.len()
    }

    /// Whether it stands at the beginning of `words`.
    fn leads(&self, words: &[String]) -> bool {
        let in_a_row = words.len() >= self.words.len()
            && self
                .words
                .iter()
                .zip(words)
                .all(|(pattern, word)| pattern.matches(word));
        in_a_row || words.first().is_some_and(|word| self.together.matches(word))
    }
}

/// Entries by the first letter of their first word.
#[derive(Debug, Clone, Default)]
pub(crate) struct List(HashMap<char, Vec<Entry>>);

impl List {
    pub(crate) fn add(&mut self, entry: Entry) {
        let first = entry.words.first().and_then(|word| word.stem.chars().next());
        if let Some(first) = first {
            self.0.entry(first).or_default().push(entry);
        }
    }

    /// The entries that lead `words`.
    pub(crate) fn at<'a>(&'a self, words: &'a [String]) -> impl Iterator<Item = &'a Entry> {
        let first = words.first().and_then(|word| word.chars().next());
        let entries = first
            .and_then(|first| self.0.get(&first))
            .map_or(&[][..], Vec::as_slice);
        entries.iter().filter(move |entry| entry.leads(words))
    }

    /// Everything that is found in the sentences, in their order.
    pub(crate) fn all<'a>(
        &'a self,
        sentences: &'a [Vec<String>],
        allowed: impl Fn(Scope) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Found> {
        let places = sentences
            .iter()
            .flat_map(|sentence| (0..sentence.len()).map(move |at| &sentence[at..]));
        places
            .flat_map(|words| self.at(words))
            .filter(move |entry| allowed(entry.scope))
            .map(|entry| &entry.found)
    }
}
