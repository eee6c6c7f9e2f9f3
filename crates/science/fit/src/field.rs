//! The limits of one field of a text, and how a text is made to fit.

use serde::Deserialize;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::Unit;
use crate::links::links;

/// A text may be shortened if at least this share of its graphemes remains.
const KEPT: (usize, usize) = (3, 5);

/// A maximum length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How many are allowed.
    pub max: usize,
}

/// What a field must not contain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forbidden {
    /// Whether emoji are forbidden.
    pub emoji: bool,
    /// How many exclamation marks are allowed. Absent = any number.
    pub exclamations: Option<usize>,
    /// Forbidden characters.
    pub characters: String,
}

/// The limits of one field, for instance of a headline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The maximum lengths, at least one. All hold.
    pub limits: Vec<Limit>,
    /// Whether a text may be shortened between words. A name or a headline may not: half of a name is another name.
    #[serde(default)]
    pub cut: bool,
    /// What the field must not contain.
    #[serde(default)]
    pub forbidden: Forbidden,
}

/// A text that fits, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// One line, within all limits.
    pub text: String,
    /// What was changed, in this order. Empty = nothing but white space.
    pub repairs: Vec<Repair>,
}

/// A change of a text that makes it fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Forbidden symbols were removed, or an exclamation mark became a full stop.
    Symbols,
    /// The text was shortened between words, with an ellipsis.
    Shortened,
}

/// How much a text is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The limit that it exceeds.
    pub limit: Limit,
    /// Its length in the unit of the limit.
    pub length: usize,
}

/// Why a text does not fit, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The format does not have such a field.
    #[error("{format} has no field `{field}`: use one of {known}")]
    NoSuchField {
        /// The format, as `PLATFORM/FORMAT`.
        format: String,
        /// The field that was asked for.
        field: String,
        /// The fields that it has, separated by commas.
        known: String,
    },
    /// Nothing is left of the text.
    #[error("the text is empty, or contains nothing but symbols that the platform forbids: write words")]
    Empty,
    /// The text is too long and must not be shortened, or too little would remain.
    #[error("the text has {length} {unit}, the limit is {max}: {}", if *cut { "too little would remain if it were cut between words, so write a shorter one" } else { "a headline or name is not cut, so write a shorter one" })]
    TooLong {
        /// Its length.
        length: usize,
        /// What is counted.
        unit: Unit,
        /// How many are allowed.
        max: usize,
        /// Whether the field allows a cut.
        cut: bool,
    },
}

impl Field {
    /// The limit that a text exceeds most, in proportion. `None` if it is within all limits.
    pub fn excess(&self, text: &str) -> Option<Excess> {
        let over = self.limits.iter().filter_map(|&limit| {
            let length = limit.unit.count(text);
            (length > limit.max).then_some(Excess { limit, length })
        });
        over.max_by_key(|over| over.length * 1_000 / over.limit.max.max(1))
    }

    /// Makes a text fit: white space becomes single spaces, forbidden symbols are removed, and a text that is too long is cut
    /// between words, with an ellipsis, if the field allows it and three fifths of the text remain.
    ///
    /// Fails with the reason if nothing is left, or if the text is too long.
    pub fn fit(&self, text: &str) -> Result<Fitted, Refusal> {
        let line = one_line(text);
        let allowed = self.without_forbidden(&line);
        let mut repairs = Vec::new();
        if allowed != line {
            repairs.push(Repair::Symbols);
        }
        if !allowed.chars().any(char::is_alphanumeric) && (allowed.is_empty() || !repairs.is_empty()) {
            return Err(Refusal::Empty);
        }
        let Some(excess) = self.excess(&allowed) else {
            return Ok(Fitted {
                text: allowed,
                repairs,
            });
        };
        let shortened = if self.cut { self.shorten(&allowed) } else { None };
        let Some(text) = shortened else {
            return Err(Refusal::TooLong {
                length: excess.length,
                unit: excess.limit.unit,
                max: excess.limit.max,
                cut: self.cut,
            });
        };
        repairs.push(Repair::Shortened);
        Ok(Fitted { text, repairs })
    }

    /// The longest beginning of `text` that ends with a word and fits together with an ellipsis.
    fn shorten(&self, text: &str) -> Option<String> {
        let whole = text.graphemes(true).count();
        let links = links(text);
        let ends = text
            .split_word_bound_indices()
            .map(|(start, word)| start + word.len())
            .filter(|&end| !links.iter().any(|link| link.start < end && end < link.end));
        let ends: Vec<usize> = ends.collect();
        // Lengths grow with the text, or nearly so: the search starts where they pass the limit, and looks at what it finds.
        let fitting = ends.partition_point(|&end| self.excess(&text[..end]).is_none());
        for &end in ends[..fitting].iter().rev() {
            let kept = text[..end].trim_end_matches(|c: char| {
                c.is_whitespace() || matches!(c, ',' | ';' | ':' | '-' | '–' | '—' | '(' | '[' | '"' | '“')
            });
            let (share, of) = KEPT;
            if kept.graphemes(true).count() * of < whole * share {
                return None;
            }
            let candidate = format!("{}…", kept.trim_end_matches(['.', '…']));
            if self.excess(&candidate).is_none() {
                return Some(candidate);
            }
        }
        None
    }

    fn without_forbidden(&self, line: &str) -> String {
        let Forbidden {
            emoji,
            exclamations,
            characters,
        } = &self.forbidden;
        if !emoji && exclamations.is_none() && characters.is_empty() {
            return line.to_owned();
        }
        let mut marks = 0;
        let mut kept = String::with_capacity(line.len());
        for cluster in line.graphemes(true) {
            if *emoji && is_emoji(cluster) {
                continue;
            }
            for c in cluster.chars() {
                if characters.contains(c) {
                    continue;
                }
                if matches!(c, '!' | '！' | '¡' | '‼' | '⁉' | '❗' | '❕') && exclamations.is_some() {
                    marks += 1;
                    if Some(marks) > *exclamations || !matches!(c, '!' | '！') {
                        marks -= 1;
                        kept.push_str(instead_of_exclamation(c, &kept));
                        continue;
                    }
                }
                kept.push(c);
            }
        }
        one_line(&kept)
    }
}

/// What is written where an exclamation mark is not allowed: a full stop, unless there is one already.
fn instead_of_exclamation(mark: char, before: &str) -> &'static str {
    match mark {
        _ if before.trim_end().is_empty() || before.ends_with(['.', '。', '?', '？', '!', '！', ' ']) => {
            ""
        }
        '！' => "。",
        '¡' => "",
        _ => ".",
    }
}

/// Whether a grapheme is an emoji, or a symbol that is shown as one.
fn is_emoji(cluster: &str) -> bool {
    // Digits, `#` and `*` are the bases of keycaps, and alone they are text.
    let alone = cluster.len() == 1;
    !alone && (emojis::get(cluster).is_some() || cluster.chars().any(is_pictograph))
}

/// Characters that only pictures contain: pictographs, flags, tags, skin tones, keycaps, and the variation selector that asks
/// for a picture.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{1F000}'..='\u{1FAFF}' | '\u{2600}'..='\u{27BF}' | '\u{FE0F}' | '\u{20E3}' | '\u{2B50}' | '\u{2B55}'
        | '\u{2B05}'..='\u{2B07}' | '\u{2B1B}' | '\u{2B1C}' | '\u{231A}' | '\u{231B}' | '\u{23E9}'..='\u{23FA}'
        | '\u{E0020}'..='\u{E007F}')
}

/// The text in one line: each run of white space becomes one space, and both ends are trimmed.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
