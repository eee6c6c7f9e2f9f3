//! The word lists, and how a text is held against them.
//!
//! `cancer` is that word and its plural, `war.` that word alone, `depress*` every word that begins so, `mental health` the words in a row (or
//! written together); `@health` counts only in names of audiences and campaigns, `=union` only as a whole name.

use std::collections::HashMap;

use crate::SettingsError;
use crate::reading::sentences;

mod lists;

use lists::{CUES, FEELING, SENSITIVE, SHAMING, STATES};

/// How many words after a cue a state still belongs to it.
const REACH: usize = 4;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The rule it breaks.
    pub(crate) rule: &'static str,
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
}

/// Where an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In names and in copy.
    Everywhere,
    /// In names alone.
    Names,
    /// As a whole name alone.
    WholeName,
}

#[derive(Debug, Clone)]
struct Entry {
    scope: Scope,
    words: Vec<Pattern>,
    /// A phrase written together.
    together: Option<Pattern>,
    found: Found,
}

impl Entry {
    fn parse(text: &str, rule: &'static str, category: &'static str) -> Option<Self> {
        let (scope, bare) = match text.as_bytes().first()? {
            b'@' => (Scope::Names, &text[1..]),
            b'=' => (Scope::WholeName, &text[1..]),
            _ => (Scope::Everywhere, text),
        };
        let words: Vec<Pattern> = bare.split_whitespace().map(pattern).collect::<Option<_>>()?;
        let last = words.last()?;
        let together = (words.len() > 1).then(|| Pattern {
            stem: words.iter().map(|word| word.stem.as_str()).collect(),
            ending: last.ending,
        });
        Some(Self {
            scope,
            together,
            found: Found {
                rule,
                category,
                entry: bare.to_owned(),
            },
            words,
        })
    }

    /// Whether it stands at the beginning of `words`.
    fn leads(&self, words: &[String]) -> bool {
        let in_a_row = words.len() >= self.words.len()
            && self
                .words
                .iter()
                .zip(words)
                .all(|(pattern, word)| pattern.matches(word));
        let in_one = || {
            let together = self.together.as_ref().zip(words.first());
            together.is_some_and(|(pattern, word)| pattern.matches(word))
        };
        in_a_row || in_one()
    }
}

/// Letters and digits, folded as texts are; a `*` only at the end, after three letters or more.
fn pattern(word: &str) -> Option<Pattern> {
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
    (is_long_enough && !bare.contains('*')).then(|| Pattern {
        stem: stem.clone(),
        ending,
    })
}

/// Entries by the first letter of their first word.
#[derive(Debug, Clone, Default)]
struct List(HashMap<char, Vec<Entry>>);

impl List {
    fn add(&mut self, entry: Entry) {
        let first = entry.words.first().and_then(|word| word.stem.chars().next());
        if let Some(first) = first {
            self.0.entry(first).or_default().push(entry);
        }
    }

    fn of(entries: &[&str], rule: &'static str, category: &'static str) -> Self {
        let mut list = Self::default();
        for text in entries {
            list.add(
                Entry::parse(text, rule, category).expect("a built-in entry is one: a test reads them all"),
            );
        }
        list
    }

    /// The entries that lead `words`.
    fn at<'a>(&'a self, words: &'a [String]) -> impl Iterator<Item = &'a Entry> {
        let first = words.first().and_then(|word| word.chars().next());
        let entries = first
            .and_then(|first| self.0.get(&first))
            .map_or(&[][..], Vec::as_slice);
        entries.iter().filter(move |entry| entry.leads(words))
    }

    fn find<'a>(
        &'a self,
        sentences: &'a [Vec<String>],
        allowed: impl Fn(Scope) -> bool,
    ) -> Option<&'a Found> {
        let places = sentences
            .iter()
            .flat_map(|sentence| (0..sentence.len()).map(move |at| &sentence[at..]));
        places
            .flat_map(|words| self.at(words))
            .find(|entry| allowed(entry.scope))
            .map(|entry| &entry.found)
    }
}

/// All the lists, the settings' words among them.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon {
    sensitive: List,
    feeling: List,
    shaming: List,
    forbidden: List,
    cues: List,
    states: List,
}

impl Lexicon {
    /// The built-in lists with these words added.
    pub(crate) fn with(
        sensitive_words: &[String],
        forbidden_words: &[String],
    ) -> Result<Self, SettingsError> {
        let add = |list: &mut List, name, words: &[String], rule, category| {
            for word in words {
                let entry = Entry::parse(word, rule, category)
                    .filter(|entry| entry.scope == Scope::Everywhere)
                    .ok_or_else(|| SettingsError::Word {
                        name,
                        word: word.clone(),
                    })?;
                list.add(entry);
            }
            Ok(())
        };
        let mut sensitive = List::default();
        for (category, entries) in SENSITIVE {
            for text in entries {
                let entry = Entry::parse(text, "sensitive_word", category);
                sensitive.add(entry.expect("a built-in entry is one: a test reads them all"));
            }
        }
        add(
            &mut sensitive,
            "sensitive_words",
            sensitive_words,
            "sensitive_word",
            "what the settings call sensitive",
        )?;
        let mut forbidden = List::default();
        add(
            &mut forbidden,
            "forbidden_words",
            forbidden_words,
            "forbidden_word",
            "what the settings forbid",
        )?;
        Ok(Self {
            sensitive,
            feeling: List::of(FEELING, "feeling", "a feeling"),
            shaming: List::of(SHAMING, "shaming", "shame"),
            forbidden,
            cues: List::of(CUES, "feeling", "a feeling"),
            states: List::of(STATES, "feeling", "a feeling"),
        })
    }

    /// What makes a name (of a subject, an audience, a campaign) sensitive.
    pub(crate) fn sensitive_name(&self, name: &str) -> Option<Found> {
        let read = sentences(&name.replace(['-', '_', '.'], " "));
        let part = self.sensitive.find(&read, |scope| scope != Scope::WholeName);
        part.cloned().or_else(|| self.sensitive_whole_name(&read))
    }

    fn sensitive_whole_name(&self, read: &[Vec<String>]) -> Option<Found> {
        let whole: Vec<_> = read.iter().filter(|words| words.len() == 1).cloned().collect();
        self.sensitive
            .find(&whole, |scope| scope == Scope::WholeName)
            .cloned()
    }

    /// What in a text speaks of a sensitive matter.
    pub(crate) fn sensitive_word(&self, text: &str) -> Option<Found> {
        self.sensitive
            .find(&sentences(text), |scope| scope == Scope::Everywhere)
            .cloned()
    }

    /// What in an ad's copy may not be said.
    pub(crate) fn objection_to_copy(&self, text: &str) -> Option<Found> {
        let read = sentences(text);
        let everywhere = |scope| scope == Scope::Everywhere;
        self.feeling
            .find(&read, everywhere)
            .or_else(|| self.state_of_the_reader(&read))
            .or_else(|| self.shaming.find(&read, everywhere))
            .or_else(|| self.sensitive.find(&read, everywhere))
            .or_else(|| self.forbidden.find(&read, everywhere))
            .cloned()
    }

    /// A state within reach of a cue, in one sentence.
    fn state_of_the_reader<'a>(&'a self, read: &'a [Vec<String>]) -> Option<&'a Found> {
        read.iter().find_map(|sentence| {
            (0..sentence.len()).find_map(|at| {
                let cue = self.cues.at(&sentence[at..]).next()?;
                let after = at + cue.words.len();
                let reach = after..(after + REACH).min(sentence.len());
                reach
                    .into_iter()
                    .find_map(|at| self.states.at(&sentence[at..]).next())
                    .map(|entry| &entry.found)
            })
        })
    }
}

/// Every built-in list in one text, for the version of the rules.
pub(crate) fn canonical() -> String {
    let sensitive = SENSITIVE
        .iter()
        .flat_map(|(category, entries)| std::iter::once(category).chain(*entries));
    let others = [FEELING, CUES, STATES, SHAMING].into_iter().flatten();
    sensitive.chain(others).copied().collect::<Vec<_>>().join("\n")
}
