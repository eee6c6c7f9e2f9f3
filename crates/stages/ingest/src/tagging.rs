//! Which subjects a post speaks of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limbic_domain::Slug;

use crate::SettingsError;

/// Finds subjects by their words. A word matches whole, ignoring case; `#word` matches the hashtag only, `word` both.
#[derive(Debug, Clone, Default)]
pub struct SubjectTagger {
    words: HashMap<String, Vec<Slug>>,
}

/// Most subjects kept of one post.
const MOST_SUBJECTS: usize = 16;

impl SubjectTagger {
    /// From `subject → words`.
    pub fn new(subjects: &BTreeMap<Slug, Vec<String>>) -> Result<Self, SettingsError> {
        let mut words: HashMap<String, Vec<Slug>> = HashMap::new();
        for (subject, given) in subjects {
            if given.is_empty() {
                return Err(SettingsError::NoWords(subject.clone()));
            }
            for word in given {
                let lower = word.to_lowercase();
                let bare = lower.strip_prefix(['#', '@']).unwrap_or(&lower);
                if bare.is_empty() || !bare.chars().all(is_of_word) {
                    return Err(SettingsError::BadWord {
                        subject: subject.clone(),
                        word: word.clone(),
                    });
                }
                words.entry(lower).or_default().push(subject.clone());
            }
        }
        Ok(Self { words })
    }

    /// The subjects that `text` speaks of, and those its source named, sorted, at most 16.
    pub fn tag(&self, text: &str, named: &[Slug]) -> Vec<Slug> {
        let mut found: BTreeSet<Slug> = named.iter().cloned().collect();
        if !self.words.is_empty() {
            let lower = text.to_lowercase();
            for token in tokens(&lower) {
                let bare = token.strip_prefix(['#', '@']).unwrap_or(token);
                for form in [token, bare] {
                    found.extend(self.words.get(form).into_iter().flatten().cloned());
                }
            }
        }
        found.into_iter().take(MOST_SUBJECTS).collect()
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Words of `text`, each with the `#` or `@` before it.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_of_word(c) && c != '#' && c != '@')
        .filter_map(|piece| {
            // "a#b" is the hashtag b: keep from the last sign.
            let start = piece.rfind(['#', '@']).unwrap_or(0);
            let token = &piece[start..];
            (token.chars().any(is_of_word)).then_some(token)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagger() -> SubjectTagger {
        let subjects = [("boxing", vec!["fight", "#MayMac"]), ("tea", vec!["Tee", "чай"])];
        SubjectTagger::new(
            &subjects
                .into_iter()
                .map(|(subject, words)| {
                    (
                        Slug::new(subject).unwrap(),
                        words.into_iter().map(str::to_owned).collect(),
                    )
                })
                .collect(),
        )
        .unwrap()
    }

    fn tags(text: &str) -> Vec<String> {
        tagger().tag(text, &[]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_match_whole_and_hashtags_only_as_hashtags() {
        assert_eq!(tags("What a FIGHT!"), ["boxing"]);
        assert_eq!(tags("so good #maymac🔥"), ["boxing"]);
        assert_eq!(tags("maymac firefighter"), Vec::<String>::new());
        assert_eq!(tags("люблю ЧАЙ и #fight"), ["boxing", "tea"]);
    }

    #[test]
    fn a_word_that_can_never_match_is_refused() {
        let subjects = [(Slug::new("x").unwrap(), vec!["two words".to_owned()])]
            .into_iter()
            .collect();
        assert!(SubjectTagger::new(&subjects).is_err());
    }
}
