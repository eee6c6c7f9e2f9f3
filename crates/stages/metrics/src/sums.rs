//! The state of a window: sums by group and field, in whole millionths, so that they do not depend on the order of
//! addition.

use limbic_stream::window::Aggregate;
use limbic_stream::{DecodeProblem, Decoder, Encoder, StateValue};

use crate::names::{Name, name};

/// Millionths in a whole.
pub(crate) const MILLION: f64 = 1_000_000.0;
/// Maximum number of fields of one group. Emotions and rules come from models and settings, which have few.
const MOST_FIELDS: usize = 96;
/// The name under which groups and fields above the limit are counted together.
const OTHER: &str = "other";
/// The group of all records, where a measurement has one. A slug cannot have this name.
pub(crate) const ALL: &str = "*";

/// What one record adds to each of its groups: fields sorted by name, without duplicates, in whole millionths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(Name, i64)>);

impl Fields {
    pub(crate) fn new(fields: impl IntoIterator<Item = (Name, f64)>) -> Self {
        // The cast saturates, and converts NaN to 0.
        let millionths = |(name, value): (Name, f64)| (name, (value * MILLION).round() as i64);
        let mut fields: Vec<(Name, i64)> = fields.into_iter().map(millionths).collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                earlier.1 = earlier.1.saturating_add(later.1);
            }
            is_same
        });
        Self(fields)
    }

    /// Names with their amounts in millionths, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Name, i64)> {
        self.0.iter()
    }
}

/// The contribution of one record to a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The subjects, the audience or the campaign. The record counts for each of them.
    pub(crate) groups: Vec<Name>,
    /// What to add to each.
    pub(crate) fields: Fields,
    /// The maximum number of groups.
    pub(crate) most: usize,
}

/// The sums of one group, sorted by name.
type Sum = Vec<(Name, i64)>;

/// Sums by group and field, sorted by group. Which groups came before the limit depends only on the order of records
/// *within a partition*, which is the same in every replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums(Vec<(Name, Sum)>);

/// Version 1 wrote every name as text. Since version 2, a name is a number: 0 and the text follows, or the place of a known name
/// plus 1.
impl StateValue for Sums {
    const VERSION: u8 = 2;

    fn size_hint(&self) -> usize {
        let fields: usize = self.0.iter().map(|(_, sums)| sums.len()).sum();
        4 + 16 * self.0.len() + 5 * fields
    }

    fn encode(&self, to: &mut Encoder) {
        to.length(self.0.len());
        for (group, sums) in &self.0 {
            encode_name(group, to);
            to.length(sums.len());
            for (field, millionths) in sums {
                encode_name(field, to);
                to.signed(*millionths);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut groups = Vec::new();
        for _ in 0..from.length()? {
            let group = decode_name(from)?;
            let mut sums = Vec::new();
            for _ in 0..from.length()? {
                sums.push((decode_name(from)?, from.signed()?));
            }
            groups.push((group, sums));
        }
        Ok(Self(groups))
    }
}

fn encode_name(name: &Name, to: &mut Encoder) {
    if let Some(number) = name.number() {
        to.unsigned(u64::from(number) + 1);
    } else {
        to.unsigned(0);
        to.text(name.as_str());
    }
}

fn decode_name(from: &mut Decoder<'_>) -> Result<Name, DecodeProblem> {
    if from.version() < 2 {
        return Ok(name(from.text()?));
    }
    match from.unsigned()?.checked_sub(1) {
        None => Ok(name(from.text()?)),
        Some(number) => Name::known(number).ok_or(DecodeProblem::Damaged),
    }
}

impl Sums {
    fn add_to(&mut self, group: &Name, most: usize, fields: &[(Name, i64)]) {
        let found = self.0.binary_search_by(|(known, _)| known.cmp(group));
        let (place, is_folded) = match found {
            Ok(place) => (place, false),
            Err(place) if self.0.len() < most => {
                self.0
                    .insert(place, (group.clone(), Vec::with_capacity(fields.len())));
                (place, false)
            }
            Err(_) => {
                let found = self.0.binary_search_by(|(known, _)| known.as_str().cmp(OTHER));
                let place = found.unwrap_or_else(|place| {
                    self.0.insert(place, (name(OTHER), Vec::new()));
                    place
                });
                (place, true)
            }
        };
        let sums = &mut self.0[place].1;
        if is_folded {
            add(sums, &name("folded"), MILLION as i64, usize::MAX);
        }
        let mut at = 0;
        for (field, millionths) in fields {
            // Both are sorted and mostly have the same fields, so try the next one first. `at` may be at the field before.
            while sums
                .get(at)
                .is_some_and(|(known, _)| known != field && known < field)
            {
                at += 1;
            }
            let has_room = sums.len() < MOST_FIELDS;
            match sums.get_mut(at) {
                Some((known, sum)) if known == field => {
                    *sum = sum.saturating_add(*millionths);
                    at += 1;
                }
                _ if has_room => {
                    sums.insert(at, (field.clone(), *millionths));
                    at += 1;
                }
                _ => {
                    add(sums, &name("fields_folded"), MILLION as i64, usize::MAX);
                    at = 0;
                }
            }
        }
    }

    /// These sums under the name [`ALL`], if they are those of one group.
    pub(crate) fn of_all(mut self) -> Self {
        for (group, _) in &mut self.0 {
            *group = name(ALL);
        }
        self
    }

    /// The groups and their sums.
    pub(crate) fn into_groups(self) -> impl Iterator<Item = (Name, Vec<(Name, f64)>)> {
        self.0.into_iter().map(|(group, sums)| {
            let whole = |(field, millionths): (Name, i64)| (field, millionths as f64 / MILLION);
            (group, sums.into_iter().map(whole).collect())
        })
    }
}

/// Adds to one field. Creates the field, unless there are already `most` fields.
fn add(sums: &mut Sum, field: &Name, millionths: i64, most: usize) {
    match sums.binary_search_by(|(known, _)| known.cmp(field)) {
        Ok(place) => sums[place].1 = sums[place].1.saturating_add(millionths),
        Err(place) if sums.len() < most => sums.insert(place, (field.clone(), millionths)),
        Err(_) => {}
    }
}

impl Aggregate for Sums {
    type Item = Entry;

    fn add(&mut self, entry: &Entry) {
        for group in &entry.groups {
            self.add_to(group, entry.most, &entry.fields.0);
        }
    }

    fn merge(&mut self, other: Self) {
        for (group, sums) in other.0 {
            self.add_to(&group, usize::MAX, &sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[(&str, f64)]) -> Fields {
        Fields::new(of.iter().map(|(field, value)| (name(field), *value)))
    }

    fn entry(group: &str, of: &[(&str, f64)], most: usize) -> Entry {
        Entry {
            groups: vec![name(group)],
            fields: fields(of),
            most,
        }
    }

    fn shown(sums: Sums) -> Vec<String> {
        sums.into_groups()
            .flat_map(|(group, sums)| {
                sums.into_iter()
                    .map(move |(field, value)| format!("{group}.{field}={value}"))
            })
            .collect()
    }

    #[test]
    fn sums_do_not_depend_on_the_order_of_the_fields() {
        let mut sums = Sums::default();
        sums.add(&entry("tea", &[("b", 1.0), ("a", 0.5), ("b", 2.0)], 9));
        sums.add(&entry("tea", &[("c", 1.0), ("a", 0.25)], 9));
        sums.add(&entry("rain", &[("a", -1.0)], 9));
        assert_eq!(shown(sums), ["rain.a=-1", "tea.a=0.75", "tea.b=3", "tea.c=1"]);
    }

    #[test]
    fn groups_and_fields_above_the_limit_are_counted_together() {
        let mut sums = Sums::default();
        for group in ["a", "b", "c"] {
            sums.add(&entry(group, &[("count", 1.0)], 2));
        }
        assert_eq!(
            shown(sums),
            ["a.count=1", "b.count=1", "other.count=1", "other.folded=1"]
        );
        let names: Vec<String> = (0..MOST_FIELDS + 3).map(|n| format!("f{n:03}")).collect();
        let many: Vec<(&str, f64)> = names.iter().map(|field| (field.as_str(), 1.0)).collect();
        let mut sums = Sums::default();
        sums.add(&entry("a", &many, 9));
        let of_a = shown(sums);
        assert_eq!(of_a.len(), MOST_FIELDS + 1);
        assert!(of_a.contains(&"a.fields_folded=3".to_owned()), "{of_a:?}");
    }

    #[test]
    fn sums_are_unchanged_after_encoding_and_decoding() {
        let mut sums = Sums::default();
        sums.add(&entry("tea", &[("a", 0.1), ("b", -3.0)], 9));
        sums.add(&entry("*", &[("count", 1.0), ("emotion.joy_sum", 0.5)], 9));
        let bytes = sums.to_bytes();
        assert_eq!(Sums::from_bytes(&bytes).unwrap(), sums);
    }

    #[test]
    fn sums_with_names_as_text_are_still_read() {
        // One group `tea` with `count` = 2 and `x` = -0.5, as version 1 wrote it.
        let mut bytes = vec![1, 1, 3];
        bytes.extend_from_slice(b"tea\x02\x05count");
        bytes.extend_from_slice(&[0x80, 0x92, 0xf4, 0x1]);
        bytes.extend_from_slice(b"\x01x");
        bytes.extend_from_slice(&[0xbf, 0x84, 0x3d]);
        let sums = Sums::from_bytes(&bytes).unwrap();
        assert_eq!(shown(sums.clone()), ["tea.count=2", "tea.x=-0.5"]);
        assert!(sums.to_bytes().len() < bytes.len());
    }

    #[test]
    fn a_number_of_no_known_name_is_damage() {
        assert!(matches!(
            Sums::from_bytes(&[2, 1, 250, 1, 0]),
            Err(DecodeProblem::Damaged)
        ));
    }
}
