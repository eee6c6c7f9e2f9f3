//! How a text is held against the word lists.
//!
//! `cancer` is that word and its plural, `war.` that word alone, `depress*` every word that begins so, `mental health` the words in a row (or
//! written together); `@health` counts only in names of audiences and campaigns, `=union` only as a whole name.

mod entry;
mod files;

use limbic_domain::RegulatedCategory;

use crate::SettingsError;
use crate::reading::{Reading, sentences};

pub(crate) use entry::Found;
use entry::{Entry, List, Scope};
pub use files::{WORD_LISTS, WordList};
pub(crate) use files::{canonical, has_lists};

/// How many words after a cue a state still belongs to it.
const REACH: usize = 4;

/// All the lists, the settings' words among them.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon {
    sensitive: List,
    feeling: List,
    shaming: List,
    pressure: List,
    regulated: List,
    forbidden: List,
    cues: List,
    states: List,
}

/// The entries of the built-in lists of this name, in all languages.
fn built_in(name: &str) -> List {
    let mut list = List::default();
    for file in WORD_LISTS.iter().filter(|list| list.name() == name) {
        for (category, entry) in file.entries() {
            list.add(Entry::parse(entry, category).expect("a test reads every entry of the built-in lists"));
        }
    }
    list
}

/// Adds words of the settings.
fn add(
    list: &mut List,
    setting: &'static str,
    words: &[String],
    category: &'static str,
) -> Result<(), SettingsError> {
    for word in words {
        let entry = Entry::parse(word, category)
            .filter(|entry| entry.scope == Scope::Everywhere)
            .ok_or_else(|| SettingsError::Word {
                name: setting,
                word: word.clone(),
            })?;
        list.add(entry);
    }
    Ok(())
}

fn everywhere(scope: Scope) -> bool {
    scope == Scope::Everywhere
}

impl Lexicon {
    /// The built-in lists with these words added.
    pub(crate) fn with(
        sensitive_words: &[String],
        forbidden_words: &[String],
    ) -> Result<Self, SettingsError> {
        let mut sensitive = built_in("sensitive");
        let what = "what the settings call sensitive";
        add(&mut sensitive, "sensitive_words", sensitive_words, what)?;
        let mut forbidden = List::default();
        add(
            &mut forbidden,
            "forbidden_words",
            forbidden_words,
            "what the settings forbid",
        )?;
        Ok(Self {
            sensitive,
            feeling: built_in("feeling"),
            shaming: built_in("shaming"),
            pressure: built_in("pressure"),
            regulated: built_in("regulated"),
            forbidden,
            cues: built_in("cues"),
            states: built_in("states"),
        })
    }

    /// What makes a name (of a subject, an audience, a campaign) sensitive.
    pub(crate) fn sensitive_name(&self, name: &str) -> Option<Found> {
        let read = name_sentences(name);
        let part = self
            .sensitive
            .all(&read, |scope| scope != Scope::WholeName)
            .next()
            .cloned();
        part.or_else(|| {
            let whole: Vec<_> = read.iter().filter(|words| words.len() == 1).cloned().collect();
            self.sensitive
                .all(&whole, |scope| scope == Scope::WholeName)
                .next()
                .cloned()
        })
    }

    /// What in a text speaks of a sensitive matter.
    pub(crate) fn sensitive(&self, text: &Reading) -> Option<Found> {
        self.sensitive.all(&text.sentences, everywhere).next().cloned()
    }

    /// What in a text names or works on a feeling.
    pub(crate) fn feeling(&self, text: &Reading) -> Option<Found> {
        let named = self.feeling.all(&text.sentences, everywhere).next();
        named
            .or_else(|| self.state_of_the_reader(&text.sentences))
            .cloned()
    }

    /// What in a text shames.
    pub(crate) fn shaming(&self, text: &Reading) -> Option<Found> {
        self.shaming.all(&text.sentences, everywhere).next().cloned()
    }

    /// What in a text presses to act at once.
    pub(crate) fn pressure(&self, text: &Reading) -> Option<Found> {
        self.pressure.all(&text.sentences, everywhere).next().cloned()
    }

    /// What in a text the settings forbid.
    pub(crate) fn forbidden(&self, text: &Reading) -> Option<Found> {
        self.forbidden.all(&text.sentences, everywhere).next().cloned()
    }

    /// The regulated categories of a text, each with the entry that says so.
    pub(crate) fn regulated(&self, text: &Reading) -> Vec<(RegulatedCategory, Found)> {
        self.of_categories(&text.sentences, everywhere)
    }

    /// The regulated categories of a name.
    pub(crate) fn regulated_name(&self, name: &str) -> Vec<(RegulatedCategory, Found)> {
        self.of_categories(&name_sentences(name), |scope| scope != Scope::WholeName)
    }

    fn of_categories(
        &self,
        read: &[Vec<String>],
        allowed: impl Fn(Scope) -> bool,
    ) -> Vec<(RegulatedCategory, Found)> {
        let mut categories: Vec<(RegulatedCategory, Found)> = Vec::new();
        for found in self.regulated.all(read, allowed) {
            let mut known = RegulatedCategory::ALL.into_iter();
            let category = known
                .find(|category| category.name() == found.category)
                .expect("a test reads every category of the built-in lists");
            if categories.iter().all(|(one, _)| *one != category) {
                categories.push((category, found.clone()));
            }
        }
        categories
    }

    /// A state within reach of a cue, in one sentence.
    fn state_of_the_reader<'a>(&'a self, read: &'a [Vec<String>]) -> Option<&'a Found> {
        read.iter().find_map(|sentence| {
            (0..sentence.len()).find_map(|at| {
                let cue = self.cues.at(&sentence[at..]).next()?;
                // A cue may be written together, and so be shorter than its entry.
                let reach = (at + 1)..(at + cue.length() + REACH).min(sentence.len());
                reach
                    .into_iter()
                    .find_map(|at| self.states.at(&sentence[at..]).next())
                    .map(|entry| &entry.found)
            })
        })
    }
}

fn name_sentences(name: &str) -> Vec<Vec<String>> {
    sentences(&name.replace(['-', '_', '.'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_regulated_category_has_words_and_every_word_a_category() {
        let regulated = WORD_LISTS.iter().filter(|list| list.name() == "regulated");
        for list in regulated {
            let known: Vec<_> = RegulatedCategory::ALL.map(RegulatedCategory::name).into();
            for (category, entry) in list.entries() {
                assert!(known.contains(&category), "{entry}: {category}");
            }
            for category in known {
                assert!(list.entries().any(|(one, _)| one == category), "{category}");
            }
        }
    }

    #[test]
    fn a_state_is_found_up_to_four_words_after_its_cue() {
        let lexicon = Lexicon::with(&[], &[]).expect("the built-in lists");
        for (text, found) in [
            ("you are sad", Some("sad")),
            ("you are so very very sad", Some("sad")),
            ("you are so very very much sad", None),
            ("well now you are so very very sad", Some("sad")),
            ("well now you are so very very much sad", None),
            ("youare sad", Some("sad")),
            ("sick of being late", None),
            ("sad you are", None),
            ("you are. sad", None),
            ("feeling in pain", Some("in pain")),
        ] {
            let said = lexicon.feeling(&Reading::of(text)).map(|found| found.entry);
            assert_eq!(said.as_deref(), found, "{text}");
        }
    }
}
