//! Phrases: sequences of words with alternatives, optional words, and short gaps.

use super::WordId;
use super::words::Spoken;

/// Largest number of words in a gap.
const GAP: usize = 2;

#[derive(Debug)]
enum Element {
    /// One of these words.
    OneOf(Vec<WordId>),
    /// One of these words, or none.
    Maybe(Vec<WordId>),
    /// Up to [`GAP`] words of the same clause.
    Gap,
}

#[derive(Debug)]
struct Phrase {
    kind: &'static str,
    weight: f64,
    elements: Vec<Element>,
}

/// Position of a phrase in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) weight: f64,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A list of phrases, indexed by their first word.
#[derive(Debug)]
pub(super) struct Phrases {
    phrases: Vec<Phrase>,
    by_first: Vec<Vec<usize>>,
}

impl Phrases {
    /// Builds the list from lines `kind TAB weight TAB phrase`, or only `phrase`. The README of the data folder
    /// explains how a phrase is written.
    pub(super) fn build(lines: &'static str, id_of: &mut dyn FnMut(&'static str) -> WordId) -> Self {
        let mut built = Self {
            phrases: Vec::new(),
            by_first: Vec::new(),
        };
        for line in lines
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let mut columns = line.rsplitn(3, '\t');
            let words = columns.next().unwrap_or_default();
            let weight = columns.next().map_or(1.0, |weight| {
                weight.parse().expect("a phrase's weight is a number")
            });
            let kind = columns.next().unwrap_or_default();
            let elements = words
                .split(' ')
                .map(|element| Element::parse(element, id_of))
                .collect();
            built.add(Phrase {
                kind,
                weight,
                elements,
            });
        }
        built
    }

    fn add(&mut self, phrase: Phrase) {
        let Some(Element::OneOf(first)) = phrase.elements.first() else {
            panic!("a phrase begins with a word: {phrase:?}");
        };
        for &word in first {
            let word = usize::from(word);
            if self.by_first.len() <= word {
                self.by_first.resize_with(word + 1, Vec::new);
            }
            self.by_first[word].push(self.phrases.len());
        }
        self.phrases.push(phrase);
    }

    /// All positions of phrases, each at its longest.
    pub(super) fn find<'a>(&'a self, words: &'a [Spoken]) -> impl Iterator<Item = Found> + 'a {
        words.iter().enumerate().flat_map(move |(start, word)| {
            let candidates = self
                .by_first
                .get(usize::from(word.id))
                .map_or(&[][..], Vec::as_slice);
            candidates.iter().filter_map(move |&index| {
                let phrase = &self.phrases[index];
                let end = end_of(&phrase.elements, words, start)?;
                Some(Found {
                    kind: phrase.kind,
                    weight: phrase.weight,
                    start,
                    end,
                })
            })
        })
    }
}

impl Element {
    fn parse(element: &'static str, id_of: &mut dyn FnMut(&'static str) -> WordId) -> Self {
        let mut words = |alternatives: &'static str| alternatives.split('|').map(&mut *id_of).collect();
        if element == "~" {
            Self::Gap
        } else if let Some(alternatives) = element.strip_prefix('?') {
            Self::Maybe(words(alternatives))
        } else {
            Self::OneOf(words(element))
        }
    }
}

/// The end of `elements` if they begin at the word `at`; `None` if they do not.
fn end_of(elements: &[Element], words: &[Spoken], at: usize) -> Option<usize> {
    let Some((element, rest)) = elements.split_first() else {
        return Some(at);
    };
    let is_one_of = |ids: &[WordId]| words.get(at).is_some_and(|word| ids.contains(&word.id));
    match element {
        Element::OneOf(ids) => is_one_of(ids).then(|| end_of(rest, words, at + 1))?,
        Element::Maybe(ids) => is_one_of(ids)
            .then(|| end_of(rest, words, at + 1))
            .flatten()
            .or_else(|| end_of(rest, words, at)),
        Element::Gap => {
            let clause = words.get(at.checked_sub(1)?)?.clause;
            (0..=GAP)
                .take_while(|&skipped| {
                    skipped == 0
                        || words
                            .get(at + skipped - 1)
                            .is_some_and(|word| word.clause == clause)
                })
                .find_map(|skipped| end_of(rest, words, at + skipped))
        }
    }
}
