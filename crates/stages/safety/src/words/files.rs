//! The built-in word lists: files of the folder `data`, one folder for each language.
//!
//! A file begins with lines `# key: value` that say where it comes from. Then each line is a category, a tab and an entry.

/// A word list as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordList {
    /// The file, below the crate's folder `data`.
    pub file: &'static str,
    text: &'static str,
}

macro_rules! lists {
    ($($file:literal),* $(,)?) => {
        [$(WordList { file: $file, text: include_str!(concat!("../../data/", $file)) }),*]
    };
}

/// Every list.
pub const WORD_LISTS: [WordList; 7] = lists![
    "en/cues.tsv",
    "en/feeling.tsv",
    "en/pressure.tsv",
    "en/regulated.tsv",
    "en/sensitive.tsv",
    "en/shaming.tsv",
    "en/states.tsv",
];

/// The lists that a language must have, all of them, before an ad in it can run.
pub(crate) const NEEDED: [&str; 7] = [
    "cues",
    "feeling",
    "pressure",
    "regulated",
    "sensitive",
    "shaming",
    "states",
];

/// Whether the rules have word lists for a language.
pub(crate) fn has_lists(language: &str) -> bool {
    are_all_among(&WORD_LISTS, language)
}

fn are_all_among(lists: &[WordList], language: &str) -> bool {
    let is_there = |needed: &str| {
        let of = |list: &WordList| list.language() == language && list.name() == needed;
        lists.iter().any(of)
    };
    NEEDED.into_iter().all(is_there)
}

impl WordList {
    /// The language, a BCP 47 tag: the folder.
    pub fn language(&self) -> &'static str {
        self.file.split_once('/').map_or("", |(language, _)| language)
    }

    /// The list's name: the file without folder and ending.
    pub(crate) fn name(&self) -> &'static str {
        let (_, file) = self.file.split_once('/').unwrap_or_default();
        file.strip_suffix(".tsv").unwrap_or(file)
    }

    /// A value of the header, for instance `source`, `date` or `licence`.
    pub fn header(&self, key: &str) -> Option<&'static str> {
        let headers = self.text.lines().take_while(|line| line.starts_with('#'));
        let mut pairs = headers.filter_map(|line| line.trim_start_matches('#').trim().split_once(": "));
        pairs.find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The entries with their categories, in the order of the file. A line without a tab has an empty category.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let lines = self
            .text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.split_once('\t').unwrap_or(("", line)))
    }
}

/// Every built-in list in one text, for the version of the rules.
pub(crate) fn canonical() -> String {
    WORD_LISTS
        .iter()
        .map(|list| list.text)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::path::Path;

    use super::*;
    use crate::words::entry::Entry;

    #[test]
    fn every_list_says_where_it_comes_from() {
        for list in WORD_LISTS {
            for key in ["source", "licence"] {
                let value = list
                    .header(key)
                    .unwrap_or_else(|| panic!("{} has no {key}", list.file));
                assert!(value.len() > 10, "{}: {key}: {value}", list.file);
            }
            assert_eq!(list.header("language"), Some(list.language()), "{}", list.file);
            let date = list.header("date").unwrap();
            assert!(
                format!("{date}T00:00:00Z").parse::<limbic_domain::Utc>().is_ok(),
                "{}: {date}",
                list.file
            );
            assert_eq!(list.header("author"), None);
        }
    }

    #[test]
    fn every_entry_can_match_and_stands_once() {
        for list in WORD_LISTS {
            let mut seen = HashSet::new();
            assert!(list.entries().count() > 15, "{}", list.file);
            for (category, entry) in list.entries() {
                assert!(!category.is_empty(), "{}: {entry}", list.file);
                assert!(Entry::parse(entry, category).is_some(), "{}: {entry}", list.file);
                assert!(
                    seen.insert((category, entry)),
                    "{}: {entry} stands twice",
                    list.file
                );
            }
        }
    }

    #[test]
    fn the_folder_has_the_lists_and_nothing_else() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            entries
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        };
        let mut stored = BTreeSet::new();
        for language in names(&folder).iter().filter(|name| folder.join(name).is_dir()) {
            stored.extend(
                names(&folder.join(language))
                    .iter()
                    .map(|name| format!("{language}/{name}")),
            );
        }
        let listed: BTreeSet<String> = WORD_LISTS.iter().map(|list| list.file.to_owned()).collect();
        assert_eq!(stored, listed);
    }

    #[test]
    fn a_language_has_lists_if_it_has_all_of_them() {
        assert!(has_lists("en"));
        for without in ["de", "und", "", "e", "EN"] {
            assert!(!has_lists(without), "{without}");
        }
        let names: Vec<_> = WORD_LISTS.iter().map(WordList::name).collect();
        assert_eq!(names, NEEDED);
        for missing in NEEDED {
            let others = WORD_LISTS.into_iter().filter(|list| list.name() != missing);
            assert!(!are_all_among(&others.collect::<Vec<_>>(), "en"), "{missing}");
        }
    }

    #[test]
    fn the_version_of_the_rules_depends_on_every_list() {
        let canonical = canonical();
        for list in WORD_LISTS {
            assert!(canonical.contains(list.text), "{}", list.file);
        }
    }
}
