//! Whether a text says that its author is a minor.
//!
//! A phrase of `data/minors.tsv` is compared with the text, both in their normal form, so that spelling tricks and encodings do not matter.
//! This is not a part of [`crate::cues`]: those phrases are words between spaces, and Japanese, Chinese and Thai have none.
//!
//! The result is a suspicion. It is wrong for quotes, jokes and song lines, and it misses everything that is not in the list.

use std::sync::LazyLock;

use foldhash::HashMap;

use crate::normalise;

/// Ages that count.
const AGES: std::ops::RangeInclusive<u32> = 6..=17;
/// Classes of a school for minors that count.
const CLASSES: std::ops::RangeInclusive<u32> = 1..=12;

/// A phrase around a number.
#[derive(Debug, PartialEq, Eq)]
struct Phrase {
    before: String,
    number: Number,
    after: String,
    is_english: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Age,
    Class,
}

#[derive(Debug, Default)]
struct Lists {
    /// The phrases around a number.
    phrases: Vec<Phrase>,
    /// The phrases without one, by their first character, so that a text is searched once for all of them.
    without_number: HashMap<char, Vec<String>>,
    numbers: HashMap<String, u32>,
    not_before: Vec<String>,
    not_after: Vec<String>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists::read(include_str!("../data/minors.tsv")));

/// Whether a text says that its author is younger than 18.
pub fn suspects_minor(text: &str) -> bool {
    let lists = &*LISTS;
    let folded = fold(text);
    let says_it = folded.char_indices().any(|(at, first)| {
        let phrases = lists.without_number.get(&first).into_iter().flatten();
        let mut phrases = phrases.filter(|phrase| folded[at..].starts_with(phrase.as_str()));
        phrases.any(|phrase| is_bounded(&folded, at, at + phrase.len()))
    });
    says_it
        || numbers(&folded, lists).iter().any(|number| {
            let mut phrases = lists.phrases.iter();
            phrases.any(|phrase| phrase.is_around(number, &folded, lists))
        })
}

/// The normal form without apostrophes, with one kind of digits.
fn fold(text: &str) -> String {
    let plain: String = normalise(text)
        .chars()
        .filter(|&c| c != '\'')
        .map(digit)
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The ASCII digit for one of another script.
fn digit(c: char) -> char {
    let zero = match u32::from(c) {
        0x660..=0x669 => 0x660,
        0x6f0..=0x6f9 => 0x6f0,
        0x966..=0x96f => 0x966,
        0xe50..=0xe59 => 0xe50,
        _ => return c,
    };
    char::from_u32(u32::from('0') + u32::from(c) - zero).unwrap_or(c)
}

/// A number in a text, and its place in bytes. The end of an ordinal number is behind its ending.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    value: u32,
    start: usize,
    end: usize,
}

fn numbers(folded: &str, lists: &Lists) -> Vec<Found> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = folded[rest..]
        .find(|c: char| c.is_ascii_digit())
        .map(|at| rest + at)
    {
        let digits = folded[start..].find(|c: char| !c.is_ascii_digit());
        let end = digits.map_or(folded.len(), |length| start + length);
        let mut before = folded[..start].chars().rev();
        let after: Vec<char> = folded[end..].chars().take(2).collect();
        // 1.13, 13:30, 13-0, 13%, $13 and #13 are no ages.
        let is_behind = match before.next() {
            Some('$' | '#' | '€' | '£' | '+' | '@') => true,
            Some('.' | ',' | ':' | '-' | '/') => before.next().is_some_and(|c| c.is_ascii_digit()),
            _ => false,
        };
        let is_part = is_behind
            || matches!(
                after[..],
                ['%' | '€' | '$', ..] | [',' | ':' | '.' | '-' | '/', '0'..='9']
            );
        if !is_part && let Ok(value) = folded[start..end].parse() {
            found.push(Found { value, start, end });
        }
        rest = end;
    }
    for (start, word) in words(folded) {
        if let Some(&value) = lists.numbers.get(word) {
            let end = start + word.len();
            found.push(Found { value, start, end });
        }
    }
    found
}

/// The words of a text with their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

impl Phrase {
    fn is_around(&self, number: &Found, text: &str, lists: &Lists) -> bool {
        let is_possible = match self.number {
            Number::Age => AGES.contains(&number.value),
            Number::Class => CLASSES.contains(&number.value),
        };
        if !is_possible {
            return false;
        }
        let before = text[..number.start].trim_end();
        let Some(earlier) = before.strip_suffix(self.before.as_str()) else {
            return false;
        };
        let after = &text[number.end..];
        // `13yo` and `13 yo`, `5. Klasse`.
        let after = after.strip_prefix('.').unwrap_or(after).trim_start();
        let starts =
            self.before.is_empty() || is_edge(earlier.chars().next_back(), self.before.chars().next());
        if !starts || !after.starts_with(self.after.as_str()) {
            return false;
        }
        if self.is_english
            && words(earlier)
                .last()
                .is_some_and(|(_, word)| lists.not_before.iter().any(|no| no == word))
        {
            return false;
        }
        let later = &after[self.after.len()..];
        if self.after.is_empty() {
            self.ends_with_number(&text[number.end..], lists)
        } else {
            is_edge(self.after.chars().next_back(), later.chars().next())
        }
    }

    /// Whether a phrase that ends with its number ends there: nothing follows that says what the number counts.
    fn ends_with_number(&self, after: &str, lists: &Lists) -> bool {
        if after.starts_with(char::is_alphabetic) {
            return false;
        }
        let next = after.trim_start();
        if !next.starts_with(char::is_alphanumeric) {
            return true;
        }
        let word = words(next).next().map_or("", |(_, word)| word);
        if self.is_english {
            !word.starts_with(|c: char| c.is_ascii_digit()) && !lists.not_after.iter().any(|no| no == word)
        } else {
            AND.contains(&word)
        }
    }
}

/// Words after which a sentence goes on.
const AND: [&str; 17] = [
    "and", "y", "et", "und", "e", "en", "och", "i", "и", "і", "та", "και", "но", "aber", "pero", "mais",
    "maar",
];

/// Whether a word begins between two characters. Scripts without spaces have no such places, so each place counts.
fn is_edge(before: Option<char>, after: Option<char>) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_without_spaces(c));
    !(joins(before) && joins(after))
}

/// Japanese, Chinese, Thai; and Korean, whose words take endings.
fn is_without_spaces(c: char) -> bool {
    matches!(u32::from(c), 0xe00..=0xe7f | 0x1100..=0x11ff | 0x3040..=0x30ff | 0x4e00..=0x9fff | 0xac00..=0xd7a3)
}

fn is_bounded(text: &str, start: usize, end: usize) -> bool {
    let part = &text[start..end];
    is_edge(text[..start].chars().next_back(), part.chars().next())
        && is_edge(part.chars().next_back(), text[end..].chars().next())
}

impl Lists {
    fn read(text: &str) -> Self {
        let mut lists = Self::default();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let columns: Vec<&str> = line.split('\t').collect();
            let folded = |words: &str| words.split('|').map(fold).collect::<Vec<_>>();
            match columns[..] {
                ["number", value, words] => {
                    let value = value.parse().expect("a number has a value");
                    lists
                        .numbers
                        .extend(folded(words).into_iter().map(|word| (word, value)));
                }
                ["before", _, words] => lists.not_before = folded(words),
                ["after", _, words] => lists.not_after = folded(words),
                [_, phrase] if !phrase.contains(['#', '%']) => {
                    let phrase = fold(phrase);
                    let first = phrase.chars().next().expect("a phrase has words");
                    lists.without_number.entry(first).or_default().push(phrase);
                }
                [language, phrase] => lists.phrases.extend(Phrase::read(language, phrase)),
                _ => panic!("a line of minors.tsv is a language and a phrase: {line}"),
            }
        }
        lists
    }
}

impl Phrase {
    /// A phrase; several if its number is an ordinal, one for each ending.
    fn read(language: &str, text: &str) -> Vec<Self> {
        let is_english = language == "en";
        let phrase = |before: &str, number, after: &str| Self {
            before: fold(before),
            number,
            after: fold(after),
            is_english,
        };
        let (before, rest) = text.split_once(['#', '%']).expect("a phrase around a number");
        let kind = if text.contains('%') {
            Number::Class
        } else {
            Number::Age
        };
        match rest.strip_prefix("th ") {
            Some(after) => ["th", "st", "nd", "rd"]
                .map(|ending| phrase(before, kind, &format!("{ending} {after}")))
                .into(),
            None => vec![phrase(before, kind, rest)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LANGUAGES;

    #[test]
    fn every_language_that_can_be_named_has_phrases() {
        let text = include_str!("../data/minors.tsv");
        for language in LANGUAGES {
            let of = text
                .lines()
                .filter(|line| line.starts_with(&format!("{language}\t")))
                .count();
            assert!(of >= 5, "{language}: {of}");
        }
    }

    #[test]
    fn each_phrase_is_found_in_its_own_text() {
        for line in include_str!("../data/minors.tsv").lines() {
            let Some((language, phrase)) = line.split_once('\t').filter(|(tag, _)| LANGUAGES.contains(tag))
            else {
                continue;
            };
            let said = phrase
                .replace("#th", "13th")
                .replace("%th", "7th")
                .replace('#', "13")
                .replace('%', "7");
            assert!(suspects_minor(&said), "{language}: {said}");
            if phrase.contains('#') {
                let adult = phrase.replace("#th", "30th").replace('#', "30");
                assert!(!suspects_minor(&adult), "{language}: {adult}");
            }
        }
    }

    #[test]
    fn people_who_say_that_they_are_minors_are_suspected() {
        for text in [
            "im 13 and i hate school",
            "I'm 13!!",
            "I’m 13",
            "omg i am 12 lol",
            "Im fifteen and nobody listens",
            "ＩＭ １３",
            "i\u{200b}m 1\u{200b}3",
            "I just turned 14 🎉",
            "i'll be 16 next week",
            "as a 16 year old I can tell",
            "16yo here, any tips?",
            "14 year old girl here",
            "it's my 15th birthday is tomorrow, so my 15th birthday is soon",
            "my 3rd grade teacher is the best",
            "im in 8th grade so",
            "sorry I'm a minor",
            "Tengo 15 años y me gusta el fútbol",
            "Tengo trece años",
            "J'ai 14 ans et demi",
            "Ich bin 15 und gehe zur Schule",
            "ich gehe in die 7. Klasse",
            "tenho 16 anos",
            "Ho 14 anni",
            "ik ben 12",
            "14 yaşındayım abi",
            "umurku 15 tahun",
            "jag är 13 år",
            "Mam 15 lat i",
            "mình mới 14 tuổi",
            "私は14歳です",
            "我今年13岁了",
            "저 15살이에요",
            "หนูอายุ ๑๔ ปี",
            "είμαι 16 χρονών",
            "אני בת 14",
            "मैं १४ साल का हूँ",
            "عمري ١٥ سنة",
            "من ۱۴ سالمه",
            "мне 14 лет",
            "Мне тринадцать лет",
            "мені 15 років",
        ] {
            assert!(suspects_minor(text), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_no_age_raises_no_suspicion() {
        for text in [
            "",
            "im 31",
            "I'm 18",
            "im 130",
            "I'm 13 minutes late",
            "im 10 points behind",
            "I am 7 beers in",
            "I'm 12 weeks pregnant",
            "im 13.5 miles from home",
            "I'm 13:30 at the gate",
            "im 13% done",
            "im 13th in line",
            "when im 13 again",
            "feels like im 13",
            "he is 13",
            "my son is 13 years old",
            "swim 13",
            "the team has 14 players",
            "ich bin 13 Minuten zu spät",
            "tengo 13 gatos",
            "мне 13 минут осталось",
            "j'ai 13 chats",
            "25歳です",
            "我今年23岁了",
            "the minor key here",
            "A minor herein is",
        ] {
            assert!(!suspects_minor(text), "{text}");
        }
    }
}
