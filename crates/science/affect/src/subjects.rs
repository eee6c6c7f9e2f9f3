//! The subjects that a post is about.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt as _};
use limbic_domain::{Slug, event_id};
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A list of words that cannot find its subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectsError {
    /// A subject without words is never found.
    #[error("affect.subjects.{0} is empty: give at least one word")]
    NoWords(Slug),
    /// A word that never matches.
    #[error(
        "affect.subjects.{subject}: `{word}` is not one word; give letters and digits, with an optional `#` or `@` before them"
    )]
    BadWord {
        /// The key in `affect.subjects`.
        subject: Slug,
        /// The invalid entry of its list.
        word: String,
    },
}

/// Finds subjects by their words. A word matches as a whole; `#word` matches the hashtag only, `word` matches both.
///
/// Words and texts are compared folded: compatibility forms, letter case (`STRASSE` is `straße`) and accents do not matter, nor in which
/// of Unicode's forms they are written. Vowel signs of Indic and Thai words are part of the word, and joiners are ignored. So `cafe` finds `Café`,
/// and a list cannot tell `schon` from `schön`.
///
/// ```
/// use limbic_affect::SubjectTagger;
///
/// let subjects = [("music".parse()?, vec!["concert".to_owned(), "#live".to_owned()])].into();
/// let tagger = SubjectTagger::new(&subjects)?;
/// let named = ["football".parse()?];
/// assert_eq!(tagger.tag("What a concert!", &named), ["football".parse()?, "music".parse()?]);
/// assert_eq!(tagger.tag("I live here", &[]), []);
/// assert_eq!(tagger.tag("un concért", &[]), ["music".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SubjectTagger {
    words: HashMap<String, Vec<Slug>>,
    version: String,
}

impl Default for SubjectTagger {
    /// A tagger that finds nothing: only the subjects that the source named remain.
    fn default() -> Self {
        Self::new(&BTreeMap::new()).expect("no list is empty where there is no list")
    }
}

/// Most subjects kept of one post.
const MOST_SUBJECTS: usize = 16;

impl SubjectTagger {
    /// A tagger over `subject → words`. Fails if a subject has no words, or a word can never match.
    pub fn new(subjects: &BTreeMap<Slug, Vec<String>>) -> Result<Self, SubjectsError> {
        let mut words: HashMap<String, Vec<Slug>> = HashMap::new();
        for (subject, given) in subjects {
            if given.is_empty() {
                return Err(SubjectsError::NoWords(subject.clone()));
            }
            for word in given {
                let folded = fold(word);
                let bare = folded.strip_prefix(['#', '@']).unwrap_or(&folded);
                if bare.is_empty() || !bare.chars().all(is_of_word) {
                    return Err(SubjectsError::BadWord {
                        subject: subject.clone(),
                        word: word.clone(),
                    });
                }
                words.entry(folded).or_default().push(subject.clone());
            }
        }
        let causes = subjects.iter().flat_map(|(subject, given)| {
            std::iter::once(subject.as_str()).chain(given.iter().map(String::as_str))
        });
        let mut version = event_id("subjects folded", &causes.collect::<Vec<_>>());
        version.truncate(16);
        Ok(Self { words, version })
    }

    /// A hash of the lists, 16 hexadecimal digits. Two taggers of one version find the same subjects.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The subjects that `text` mentions and those that its source `named`: sorted, each once, the first 16.
    pub fn tag(&self, text: &str, named: &[Slug]) -> Vec<Slug> {
        let mut found: BTreeSet<Slug> = named.iter().cloned().collect();
        if !self.words.is_empty() {
            let folded = fold(text);
            for token in tokens(&folded) {
                let bare = token.strip_prefix(['#', '@']).unwrap_or(token);
                for form in [token, bare] {
                    found.extend(self.words.get(form).into_iter().flatten().cloned());
                }
            }
        }
        found.into_iter().take(MOST_SUBJECTS).collect()
    }
}

/// The form in which words are compared: compatibility forms, full case folding, no accents, no joiners.
fn fold(text: &str) -> String {
    let is_kept = |c: &char| {
        !is_accent(*c) && !matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
    };
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Folding can produce marks (`İ`), and removing marks can join letters into others: only then is the text composed.
    let decomposed: String = UniCase::unicode(text.nfkd().collect::<String>()).to_folded_case();
    decomposed.nfkd().filter(is_kept).nfkc().collect()
}

/// A mark above or below a letter, which people leave out. Vowel signs of other scripts are letters to their readers, and are not among these.
fn is_accent(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_combining_mark(c)
}

/// Words of `text`, each with the `#` or `@` before it.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_of_word(c) && c != '#' && c != '@')
        .filter_map(|piece| {
            // "a#b" is the hashtag b: the token starts at the last sign.
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
    fn a_word_is_found_however_it_is_encoded() {
        for (word, text) in [
            ("Café", "un CAFE\u{301} noir"),
            ("cafe", "Un café, please"),
            ("straße", "in der STRASSE"),
            ("İstanbul", "istanbul'da yağmur"),
            ("istanbul", "İSTANBUL"),
            ("ΟΔΥΣΣΕΥΣ", "ο Οδυσσεύς"),
            ("ﬁne", "all FINE"),
            ("क्रिकेट", "आज क्रिकेट देखा"),
            ("ฟุตบอล", "ดู ฟุตบอล คืนนี้"),
            ("می\u{200c}خواهم", "چای می\u{200c}خواهم"),
            ("می\u{200c}خواهم", "چای میخواهم"),
            ("#Über", "so gut #uber"),
            ("ｔｅａ", "tea time"),
        ] {
            let tagger =
                SubjectTagger::new(&[(Slug::new("x").unwrap(), vec![word.to_owned()])].into()).unwrap();
            assert_eq!(tagger.tag(text, &[]).len(), 1, "{word} in {text}");
        }
    }

    #[test]
    fn a_vowel_sign_makes_another_word() {
        let tagger = SubjectTagger::new(&[(Slug::new("x").unwrap(), vec!["दिन".to_owned()])].into()).unwrap();
        assert_eq!(tagger.tag("दीन", &[]), []);
        assert_eq!(tagger.tag("शुभ दिन", &[]).len(), 1);
    }

    #[test]
    fn a_word_that_can_never_match_is_refused() {
        let subjects = [(Slug::new("x").unwrap(), vec!["two words".to_owned()])]
            .into_iter()
            .collect();
        assert!(SubjectTagger::new(&subjects).is_err());
    }

    #[test]
    fn changed_words_give_another_version() {
        let of = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect();
            let tagger = SubjectTagger::new(&[(Slug::new("tea").unwrap(), words)].into());
            tagger.unwrap().version().to_owned()
        };
        assert_eq!(of(&["tea", "cup"]), of(&["tea", "cup"]));
        assert_ne!(of(&["tea", "cup"]), of(&["tea"]));
        assert_ne!(of(&["tea"]), SubjectTagger::default().version());
    }
}
