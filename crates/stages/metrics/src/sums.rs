//! The state of a window: sums by group and field, in whole millionths, so that the order of adding cannot change them.

use std::collections::BTreeMap;

use limbic_stream::window::Aggregate;
use limbic_stream::{DecodeProblem, Decoder, Encoder, StateValue};

/// Millionths in a whole.
const MILLION: f64 = 1_000_000.0;
/// Most fields of one group: emotions and rules come from models and settings, and both are few.
const MOST_FIELDS: usize = 96;
/// The group, or field, of what was too much.
pub(crate) const OTHER: &str = "other";

/// One record's part in a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The subjects, audience or campaign; each is counted.
    pub(crate) groups: Vec<String>,
    /// What to add to each.
    pub(crate) fields: Vec<(String, f64)>,
    /// Most groups there may be.
    pub(crate) most: usize,
}

/// Sums by group and field. Which groups came before there were too many depends on the order of records *within a
/// partition* alone, which is the log's and the same in every replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<String, BTreeMap<String, i64>>);

impl StateValue for Sums {
    const VERSION: u8 = 1;

    fn size_hint(&self) -> usize {
        let fields: usize = self.0.values().map(BTreeMap::len).sum();
        4 + 16 * self.0.len() + 24 * fields
    }

    fn encode(&self, to: &mut Encoder) {
        to.length(self.0.len());
        for (group, sums) in &self.0 {
            to.text(group);
            to.length(sums.len());
            for (field, millionths) in sums {
                to.text(field);
                to.signed(*millionths);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut groups = BTreeMap::new();
        for _ in 0..from.length()? {
            let group = from.text()?.to_owned();
            let mut sums = BTreeMap::new();
            for _ in 0..from.length()? {
                sums.insert(from.text()?.to_owned(), from.signed()?);
            }
            groups.insert(group, sums);
        }
        Ok(Self(groups))
    }
}

impl Sums {
    fn add_to(&mut self, group: &str, most: usize, fields: impl IntoIterator<Item = (String, i64)>) {
        let known = self.0.contains_key(group);
        let name = if known || self.0.len() < most {
            group
        } else {
            OTHER
        };
        let sums = self.0.entry(name.to_owned()).or_default();
        if name != group {
            *sums.entry("folded".to_owned()).or_default() += MILLION as i64;
        }
        for (field, millionths) in fields {
            if sums.contains_key(&field) || sums.len() < MOST_FIELDS {
                let sum = sums.entry(field).or_default();
                *sum = sum.saturating_add(millionths);
            } else {
                *sums.entry("fields_folded".to_owned()).or_default() += MILLION as i64;
            }
        }
    }

    /// Groups and their sums.
    pub(crate) fn into_groups(self) -> impl Iterator<Item = (String, BTreeMap<String, f64>)> {
        self.0.into_iter().map(|(group, sums)| {
            let whole = |(field, millionths): (String, i64)| (field, millionths as f64 / MILLION);
            (group, sums.into_iter().map(whole).collect())
        })
    }
}

impl Aggregate for Sums {
    type Item = Entry;

    fn add(&mut self, entry: &Entry) {
        for group in &entry.groups {
            // A cast saturates, and makes nothing of what is not a number.
            let fields = entry
                .fields
                .iter()
                .map(|(field, value)| (field.clone(), (value * MILLION).round() as i64));
            self.add_to(group, entry.most, fields);
        }
    }

    fn merge(&mut self, other: Self) {
        for (group, sums) in other.0 {
            self.add_to(&group, usize::MAX, sums);
        }
    }
}
