//! Known names and their look-up.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt as _};
use limbic_domain::EntityKind;

use super::capitals::{Style, is_capitalised, is_model_number};
use super::pieces::{Piece, PieceKind};

/// Largest number of words of a form.
const MOST_WORDS: usize = 5;

/// Suffixes that accounts of brands add to the brand's name.
const ACCOUNT_SUFFIXES: [&str; 14] = [
    "help", "helps", "support", "cares", "care", "service", "uk", "us", "usa", "official", "hq", "news",
    "india", "ie",
];

/// A known name: its kind and its proper spelling.
#[derive(Debug, Clone)]
struct Known {
    kind: EntityKind,
    name: String,
}

/// One form of a name, without its first word.
#[derive(Debug, Clone)]
struct Form {
    rest: Vec<String>,
    known: usize,
    needs_capital: bool,
}

/// The names that an engine knows: a built-in list, and brands from the settings.
#[derive(Debug, Clone)]
pub struct Names {
    known: Vec<Known>,
    by_first: HashMap<String, Vec<Form>>,
    /// Forms without spaces, for hashtags and accounts, and whether the form needs a capital.
    run_together: HashMap<String, (usize, bool)>,
}

static BUILT_IN: LazyLock<Names> = LazyLock::new(Names::built_in);

/// A known name that was found.
pub(super) struct Match<'a> {
    pub(super) kind: EntityKind,
    pub(super) name: &'a str,
    pub(super) pieces: usize,
}

impl Default for Names {
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

impl Names {
    /// The built-in names, and brands: for each name, the other ways to write it. A form with `!` before it counts
    /// only with a capital letter, because it is also a common word (`!Target`).
    pub fn with_brands(brands: &BTreeMap<String, Vec<String>>) -> Self {
        let mut names = Self::default();
        for (name, forms) in brands {
            let forms = forms.iter().map(String::as_str);
            names.add(EntityKind::Brand, name, forms.chain([name.as_str()]));
        }
        names
    }

    fn built_in() -> Self {
        let mut names = Self {
            known: Vec::new(),
            by_first: HashMap::new(),
            run_together: HashMap::new(),
        };
        let lines = include_str!("../../data/names.tsv").lines();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let kind = match columns.next().unwrap_or_default() {
                "brand" => EntityKind::Brand,
                "product" => EntityKind::Product,
                "organisation" => EntityKind::Organisation,
                "place" => EntityKind::Place,
                other => panic!("`{other}` is not a kind of name"),
            };
            let name = columns.next().expect("a line has a name");
            let forms: Vec<&str> = columns
                .next()
                .map(|forms| forms.split('|').collect())
                .unwrap_or_default();
            // A name that is listed with `!` needs its capital, so its plain form is not added.
            let plain = forms.iter().any(|form| form.strip_prefix('!') == Some(name));
            names.add(kind, name, forms.into_iter().chain((!plain).then_some(name)));
        }
        names
    }

    fn add<'a>(&mut self, kind: EntityKind, name: &str, forms: impl Iterator<Item = &'a str>) {
        let known = self.known.len();
        self.known.push(Known {
            kind,
            name: name.to_owned(),
        });
        for form in forms {
            let needs_capital = form.starts_with('!');
            let mut words = form
                .trim_start_matches(['!', '#', '@'])
                .split(|c: char| c.is_whitespace() || c == '-')
                .map(plain)
                .filter(|word| !word.is_empty())
                .take(MOST_WORDS);
            let Some(first) = words.next() else { continue };
            let rest: Vec<String> = words.collect();
            let run_together = std::iter::once(first.as_str())
                .chain(rest.iter().map(String::as_str))
                .collect();
            self.run_together.insert(run_together, (known, needs_capital));
            let same_first = self.by_first.entry(first).or_default();
            // A form from the settings replaces a built-in one.
            same_first.retain(|other| other.rest != rest);
            same_first.push(Form {
                rest,
                known,
                needs_capital,
            });
        }
    }

    /// The longest known name at the beginning of `pieces`.
    pub(super) fn longest(&self, text: &str, pieces: &[Piece], style: Style) -> Option<Match<'_>> {
        let word = |at: usize| {
            pieces
                .get(at)
                .filter(|piece| piece.kind == PieceKind::Word && (at == 0 || piece.adjoins))
                .map(|piece| plain(&text[piece.start..piece.end]))
        };
        let written = &text[pieces[0].start..pieces[0].end];
        let first = word(0)?;
        let mut best: Option<(&Form, usize)> = None;
        let alone = without_possessive(written);
        for (spelling, is_possessive) in [(Some(first), false), (alone, true)] {
            let Some(forms) = spelling.and_then(|spelling| self.by_first.get(&spelling)) else {
                continue;
            };
            for form in forms {
                let length = 1 + form.rest.len();
                let is_there = !(is_possessive && length > 1)
                    && form.rest.iter().enumerate().all(|(n, expected)| {
                        word(n + 1).is_some_and(|word| {
                            word == *expected
                                || (n + 2 == length
                                    && without_possessive(&text[pieces[n + 1].start..pieces[n + 1].end])
                                        .is_some_and(|alone| alone == *expected))
                        })
                    });
                let kind = self.known[form.known].kind;
                let has_capital = is_capitalised(written)
                    && style != Style::Shouting
                    && (style == Style::Sentences || length > 1)
                    && (!pieces[0].begins || length > 1 || kind == EntityKind::Place || is_possessive);
                if is_there && (!form.needs_capital || has_capital) && best.is_none_or(|(_, l)| l < length) {
                    best = Some((form, length));
                }
            }
        }
        let (form, mut length) = best?;
        let known = &self.known[form.known];
        if known.kind == EntityKind::Product {
            let is_model = |piece: &Piece| piece.adjoins && is_model_number(&text[piece.start..piece.end]);
            length += pieces[length..]
                .iter()
                .take(2)
                .take_while(|piece| is_model(piece))
                .count();
        }
        Some(Match {
            kind: known.kind,
            name: &known.name,
            pieces: length,
        })
    }

    /// The known name that a hashtag or an account spells.
    pub(super) fn spelled_by(&self, tag: &str, is_account: bool) -> Option<&str> {
        let whole = plain(tag);
        let name = |spelling: &str| {
            let &(known, needs_capital) = self.run_together.get(spelling)?;
            (!needs_capital || is_capitalised(tag)).then(|| self.known[known].name.as_str())
        };
        let model = whole.trim_end_matches(|c: char| c.is_ascii_digit());
        name(&whole)
            .or_else(|| (model.len() > 2).then(|| name(model)).flatten())
            .or_else(|| {
                ACCOUNT_SUFFIXES
                    .iter()
                    .filter(|_| is_account)
                    .find_map(|suffix| name(whole.strip_suffix(suffix)?.trim_end_matches('_')))
            })
    }
}

/// A word for comparison: lower case, without apostrophes and combining marks.
fn plain(word: &str) -> String {
    if word.is_ascii() {
        return word
            .bytes()
            .filter(|b| *b != b'\'')
            .map(|b| char::from(b.to_ascii_lowercase()))
            .collect();
    }
    crate::normalise(word).chars().filter(|c| *c != '\'').collect()
}

/// `apple` from `Apple's`.
fn without_possessive(written: &str) -> Option<String> {
    written
        .strip_suffix("'s")
        .or_else(|| written.strip_suffix("’s"))
        .or_else(|| written.strip_suffix("'S"))
        .map(plain)
}
