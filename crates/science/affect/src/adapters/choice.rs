//! Which adapters the settings name, and which of them may read a post.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use limbic_domain::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Adapter, AdapterError, Input, PerClass};
use crate::language;
use crate::{AffectEngine, CacheCounts, ModelReader};

/// The most adapters of a node.
pub const MOST_ADAPTERS: usize = 64;

/// An adapter, and the posts that it reads. A post must meet every condition that is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterChoice {
    /// File that `limbic train adapter` wrote.
    pub file: PathBuf,
    /// Social networks (sources) whose posts it reads. Empty (default) = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Slug>,
    /// Subjects: it reads posts that have one of them. Empty (default) = posts about anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// Languages, as tags: it reads posts that are found to be in one of them. Empty (default) = each that the model reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
}

/// Why the adapters of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A file cannot be used.
    #[error("affect.adapters, entry {number}")]
    File {
        /// Number of the entry, from 1.
        number: usize,
        /// What is wrong with the file.
        #[source]
        source: AdapterError,
    },
    /// A language that no model reads.
    #[error(
        "affect.adapters, entry {number}: the model does not read `{language}`, so no adapter does: it reads {}; remove the language",
        language::READ
    )]
    Language {
        /// Number of the entry, from 1.
        number: usize,
        /// The language.
        language: String,
    },
    /// More than [`MOST_ADAPTERS`].
    #[error(
        "affect.adapters has {0} entries, and {MOST_ADAPTERS} are the most: fit one adapter to the posts of several entries"
    )]
    TooMany(usize),
    /// Two entries read the same posts: the second never reads any.
    #[error(
        "affect.adapters, entries {first} and {second} read the same posts, so the second never reads any: remove one, or give them \
         different conditions"
    )]
    Same {
        /// Number of the first entry, from 1.
        first: usize,
        /// Number of the second.
        second: usize,
    },
}

/// Some of the adapters of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdapterSet(u64);

impl AdapterSet {
    /// None: the general model reads.
    pub const NONE: Self = Self(0);

    const fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }
}

/// The adapters of the settings, in their order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Adapters(Arc<[Chosen]>);

#[derive(Debug)]
struct Chosen {
    choice: AdapterChoice,
    adapter: Adapter,
}

impl Adapters {
    /// Reads the files and checks the conditions.
    pub fn open(choices: &[AdapterChoice]) -> Result<Self, ChoiceError> {
        if choices.len() > MOST_ADAPTERS {
            return Err(ChoiceError::TooMany(choices.len()));
        }
        let conditions = |choice: &AdapterChoice| {
            let mut sorted = (
                choice.networks.clone(),
                choice.subjects.clone(),
                choice.languages.clone(),
            );
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            sorted.2.sort_unstable();
            sorted
        };
        let mut chosen = Vec::with_capacity(choices.len());
        for (place, choice) in choices.iter().enumerate() {
            let number = place + 1;
            if let Some(language) = choice.languages.iter().find(|tag| *tag != language::READ) {
                return Err(ChoiceError::Language {
                    number,
                    language: language.clone(),
                });
            }
            let same = choices[..place]
                .iter()
                .position(|earlier| conditions(earlier) == conditions(choice));
            if let Some(first) = same {
                return Err(ChoiceError::Same {
                    first: first + 1,
                    second: number,
                });
            }
            let adapter =
                Adapter::open(&choice.file).map_err(|source| ChoiceError::File { number, source })?;
            chosen.push(Chosen {
                choice: choice.clone(),
                adapter,
            });
        }
        Ok(Self(chosen.into()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that may read a post of this network with these subjects. Its language is found by the engine.
    pub fn for_post(&self, network: &Slug, subjects: &[Slug]) -> AdapterSet {
        self.set(|Chosen { choice, .. }| {
            (choice.networks.is_empty() || choice.networks.contains(network))
                && (choice.subjects.is_empty()
                    || choice.subjects.iter().any(|subject| subjects.contains(subject)))
        })
    }

    /// The one with this name or version; `None` if there is none.
    pub fn named(&self, name: &str) -> Option<AdapterSet> {
        let set = self.set(|Chosen { adapter, .. }| adapter.name() == name || adapter.version() == name);
        (set != AdapterSet::NONE).then_some(set)
    }

    /// Their names, in the order of the settings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|one| one.adapter.name())
    }

    /// What each was fitted to and gained, in words for `limbic check`.
    pub fn descriptions(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|one| one.adapter.description())
    }

    fn set(&self, is_in: impl Fn(&Chosen) -> bool) -> AdapterSet {
        let places = self.0.iter().enumerate().filter(|(_, one)| is_in(one));
        AdapterSet(places.fold(0, |set, (place, _)| set | 1 << place))
    }

    /// The first of a set that reads the language.
    pub(crate) fn first(&self, set: AdapterSet, language: &str) -> Option<usize> {
        if set == AdapterSet::NONE {
            return None;
        }
        let reads = |choice: &AdapterChoice| {
            choice.languages.is_empty() || choice.languages.iter().any(|tag| tag == language)
        };
        (0..self.0.len()).find(|place| set.has(*place) && reads(&self.0[*place].choice))
    }

    /// The version of one of them.
    pub(crate) fn version(&self, place: usize) -> &str {
        self.0[place].adapter.version()
    }

    /// What each of them says of a post.
    pub(crate) fn probabilities(&self, input: &Input) -> Box<[PerClass<f64>]> {
        self.0
            .iter()
            .map(|one| one.adapter.probabilities(input))
            .collect()
    }

    /// Refuses those that were fitted to another model.
    pub(crate) fn check(&self, reader: &ModelReader) -> Result<(), ChoiceError> {
        for (place, one) in self.0.iter().enumerate() {
            let path: &Path = &one.choice.file;
            one.adapter
                .check(reader, path)
                .map_err(|source| ChoiceError::File {
                    number: place + 1,
                    source,
                })?;
        }
        Ok(())
    }
}

/// An engine whose every text is read with the same adapters: for the explanation of a reading, and for single texts.
pub struct WithAdapters<'a> {
    /// The engine.
    pub engine: &'a dyn AffectEngine,
    /// Its adapters for every text.
    pub adapters: AdapterSet,
}

impl AffectEngine for WithAdapters<'_> {
    fn version(&self) -> &str {
        self.engine.version()
    }

    fn read(&self, texts: &[&str]) -> Vec<limbic_domain::Affect> {
        self.engine.read_adapted(texts, &vec![self.adapters; texts.len()])
    }

    fn cache_counts(&self) -> Option<CacheCounts> {
        self.engine.cache_counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slugs(names: &[&str]) -> Vec<Slug> {
        names.iter().map(|name| Slug::new(name).unwrap()).collect()
    }

    fn choice(networks: &[&str], subjects: &[&str], languages: &[&str]) -> AdapterChoice {
        AdapterChoice {
            file: "nowhere.adapter".into(),
            networks: slugs(networks),
            subjects: slugs(subjects),
            languages: languages.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    fn adapters(choices: Vec<AdapterChoice>) -> Adapters {
        let chosen = choices.into_iter().zip(["a", "b", "c"]);
        let chosen = chosen.map(|(choice, name)| Chosen {
            choice,
            adapter: Adapter::for_tests(name),
        });
        Adapters(chosen.collect())
    }

    #[test]
    fn the_first_adapter_whose_conditions_a_post_meets_reads_it() {
        let all = adapters(vec![
            choice(&["x"], &["finance", "banks"], &[]),
            choice(&[], &["finance"], &["en"]),
            choice(&["x", "mastodon"], &[], &[]),
        ]);
        let first = |network: &str, subjects: &[&str], language: &str| {
            let set = all.for_post(&Slug::new(network).unwrap(), &slugs(subjects));
            all.first(set, language).map(|place| all.0[place].adapter.name())
        };
        assert_eq!(first("x", &["tea", "banks"], "en"), Some("a"));
        assert_eq!(first("bluesky", &["finance"], "en"), Some("b"));
        assert_eq!(first("bluesky", &["finance"], "und"), None);
        assert_eq!(first("mastodon", &["finance"], "und"), Some("c"));
        assert_eq!(first("mastodon", &[], "en"), Some("c"));
        assert_eq!(first("bluesky", &["tea"], "en"), None);
        assert_eq!(all.first(AdapterSet::NONE, "en"), None);
        assert_eq!(all.named("b").and_then(|set| all.first(set, "en")), Some(1));
        assert_eq!(all.named("d"), None);
    }

    #[test]
    fn entries_that_can_never_read_a_post_are_refused() {
        let refused = |choices: &[AdapterChoice]| Adapters::open(choices).unwrap_err().to_string();
        let error = refused(&[choice(&[], &[], &["fr"])]);
        assert!(error.contains("entry 1") && error.contains("`fr`"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.adapter");
        std::fs::write(&file, Adapter::for_tests("a").to_text()).unwrap();
        let [mut one, mut other] = [
            choice(&["x"], &["tea", "cake"], &[]),
            choice(&["x"], &["cake", "tea"], &[]),
        ];
        one.file.clone_from(&file);
        other.file = file;
        let error = refused(&[one, other]);
        assert!(error.contains("entries 1 and 2"), "{error}");
        let many: Vec<AdapterChoice> = (0..=MOST_ADAPTERS).map(|_| choice(&[], &[], &[])).collect();
        assert!(refused(&many).contains("65"));
    }
}
