//! A logged bandit in memory, stored by column.
//!
//! Contexts and candidate sets are stored once. A row has 24 bytes, so ten million rows have 240 MB.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use serde::Serialize;

use limbic_bandit::random::mix;

/// A fast hasher for small integers. Keys are indexes made by this module, so they need no protection against
/// attacks.
#[derive(Default)]
pub(super) struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0.rotate_left(23) ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15));
    }
}

pub(super) type MixMap<K, V> = HashMap<K, V, BuildHasherDefault<MixHasher>>;
pub(super) type MixSet<K> = HashSet<K, BuildHasherDefault<MixHasher>>;

/// Names come from a file, so they are hashed with a random seed.
type NameMap = HashMap<String, u32, foldhash::fast::RandomState>;

/// A sparse vector: feature index and value, ascending by feature.
pub type Sparse = Vec<(u32, f64)>;

/// Everything a policy may use for a choice. Rows with equal values share one situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// Index into [`BanditLog::contexts`].
    pub context: u32,
    /// Index into [`BanditLog::sets`].
    pub set: u32,
    /// The slot that was filled, counted from 0.
    pub position: u32,
}

/// The rows that could not be used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RejectedRows {
    /// Number of rejected rows.
    pub rows: u64,
    /// Number of rejected rows by kind of reason.
    pub reasons: BTreeMap<String, u64>,
    /// The first rejected rows, at most 20.
    pub examples: Vec<RejectedRow>,
}

/// One row that could not be used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectedRow {
    /// Line in the log, counted from 1.
    pub line: u64,
    /// What is wrong with the row.
    pub reason: String,
}

impl RejectedRows {
    const EXAMPLES: usize = 20;

    /// Counts a row under `kind`, and keeps `detail` if it is among the first.
    pub fn add(&mut self, line: u64, kind: &str, detail: &str) {
        self.rows += 1;
        *self.reasons.entry(kind.to_owned()).or_default() += 1;
        if self.examples.len() < Self::EXAMPLES {
            let reason = if detail.is_empty() {
                kind.to_owned()
            } else {
                format!("{kind}: {detail}")
            };
            self.examples.push(RejectedRow { line, reason });
        }
    }

    pub(super) fn absorb(&mut self, other: Self, lines_before: u64) {
        self.rows += other.rows;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.examples
            .extend(other.examples.into_iter().map(|example| RejectedRow {
                line: example.line + lines_before,
                ..example
            }));
        self.examples.truncate(Self::EXAMPLES);
    }
}

/// One row: the choice in a situation, its propensity and its reward.
#[derive(Debug, Clone, Copy)]
pub struct LogRow {
    /// Index into [`BanditLog::situations`].
    pub situation: u32,
    /// Index into [`BanditLog::arms`].
    pub arm: u32,
    /// The reward, within the reward range of the options.
    pub reward: f64,
    /// The probability of the choice, in `(0, 1]`; NaN if the log does not have it.
    pub propensity: f64,
}

/// A logged bandit.
#[derive(Debug, Default)]
pub struct BanditLog {
    /// Names of the arms.
    pub arms: Vec<String>,
    /// Features of each arm; empty if only its name is known.
    pub arm_features: Vec<Sparse>,
    /// Names of the arms' features.
    pub arm_feature_names: Vec<String>,
    /// The distinct contexts.
    pub contexts: Vec<Sparse>,
    /// Names of the contexts' features.
    pub feature_names: Vec<String>,
    /// The distinct candidate sets: arms, in the order in which a policy sees them.
    pub sets: Vec<Vec<u32>>,
    /// Number of slots.
    pub positions: usize,
    /// The distinct situations.
    pub situations: Vec<Situation>,
    /// The rows, in the order of the log.
    pub rows: Vec<LogRow>,
    /// The propensity of every candidate, row after row, in the order of the row's candidate set. Rows that were added
    /// without them are missing: see [`Self::candidate_propensities`].
    propensities: Vec<f32>,
    rows_with_propensities: usize,
    /// Keys of the rows' ids, if asked for: see [`supplied`](crate::supplied).
    pub(super) keys: Vec<u128>,
    /// The rows that could not be used.
    pub rejections: RejectedRows,
    /// Number of rows without a propensity.
    pub without_propensity: u64,
    /// Line of the first row without a propensity.
    pub first_without_propensity: u64,
    /// Other remarks of the reader, for instance counts of records that are neither rows nor errors.
    pub notes: Vec<String>,

    known_arms: NameMap,
    known_features: NameMap,
    known_contexts: MixMap<Vec<(u32, u64)>, u32>,
    known_sets: MixMap<Vec<u32>, u32>,
    known_situations: MixMap<Situation, u32>,
    /// Buffer for the key of a context.
    key: Vec<(u32, u64)>,
}

impl BanditLog {
    /// A log without rows.
    pub fn new() -> Self {
        Self {
            positions: 1,
            ..Self::default()
        }
    }

    /// Index of the arm with this name; added if it is new.
    pub fn arm(&mut self, name: &str) -> u32 {
        intern(&mut self.known_arms, &mut self.arms, name)
    }

    /// Index of the context feature with this name; added if it is new.
    pub fn feature(&mut self, name: &str) -> u32 {
        intern(&mut self.known_features, &mut self.feature_names, name)
    }

    /// Index of the context with these features. Sorts `features`; a feature that is listed twice gets the sum of its
    /// values.
    pub fn context(&mut self, features: &mut Sparse) -> u32 {
        features.sort_unstable_by_key(|&(feature, _)| feature);
        features.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
        self.key.clear();
        self.key
            .extend(features.iter().map(|&(f, value)| (f, value.to_bits())));
        if let Some(&known) = self.known_contexts.get(self.key.as_slice()) {
            return known;
        }
        let new = self.contexts.len() as u32;
        self.contexts.push(features.clone());
        self.known_contexts.insert(self.key.clone(), new);
        new
    }

    /// Index of the candidate set with these arms, in this order.
    pub fn set(&mut self, arms: &[u32]) -> u32 {
        if let Some(&known) = self.known_sets.get(arms) {
            return known;
        }
        let new = self.sets.len() as u32;
        self.sets.push(arms.to_vec());
        self.known_sets.insert(arms.to_vec(), new);
        new
    }

    /// Index of the situation; added if it is new.
    pub fn situation(&mut self, situation: Situation) -> u32 {
        let situations = &mut self.situations;
        self.positions = self.positions.max(situation.position as usize + 1);
        *self.known_situations.entry(situation).or_insert_with(|| {
            situations.push(situation);
            situations.len() as u32 - 1
        })
    }

    /// Appends a row. `line` is its line in the log.
    pub fn push(&mut self, row: LogRow, line: u64) {
        if row.propensity.is_nan() {
            if self.without_propensity == 0 {
                self.first_without_propensity = line;
            }
            self.without_propensity += 1;
        }
        self.rows.push(row);
    }

    /// Appends a row with the propensity of every candidate, in the order of its candidate set.
    pub fn push_with_candidates(
        &mut self,
        row: LogRow,
        propensities: impl IntoIterator<Item = f64>,
        line: u64,
    ) {
        let before = self.propensities.len();
        self.propensities
            .extend(propensities.into_iter().map(|p| p as f32));
        debug_assert_eq!(
            self.propensities.len() - before,
            self.sets[self.situations[row.situation as usize].set as usize].len()
        );
        self.rows_with_propensities += 1;
        self.push(row, line);
    }

    /// The propensity of every candidate of every row, row after row, in the order of the row's candidate set. `None` if
    /// some row does not have them.
    pub fn candidate_propensities(&self) -> Option<&[f32]> {
        let complete = self.rows_with_propensities == self.rows.len();
        complete.then_some(self.propensities.as_slice())
    }

    /// Keeps the rows for which `keep` returns true, given the index of the row.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let complete = self.candidate_propensities().is_some();
        let (mut from, mut to, mut index) = (0, 0, 0);
        let Self {
            rows,
            situations,
            sets,
            propensities,
            keys,
            ..
        } = self;
        let mut row = 0;
        keys.retain(|_| {
            row += 1;
            keep(row - 1)
        });
        rows.retain(|row| {
            let kept = keep(index);
            index += 1;
            if complete {
                let count = sets[situations[row.situation as usize].set as usize].len();
                if kept && from != to {
                    propensities.copy_within(from..from + count, to);
                }
                from += count;
                to += if kept { count } else { 0 };
            }
            kept
        });
        if complete {
            self.propensities.truncate(to);
            self.rows_with_propensities = self.rows.len();
        } else {
            self.propensities.clear();
            self.rows_with_propensities = 0;
        }
    }

    /// Appends what another thread read after the first `lines_before` lines.
    pub(super) fn absorb(&mut self, part: Self, lines_before: u64) {
        let arms: Vec<u32> = part.arms.iter().map(|name| self.arm(name)).collect();
        let features: Vec<u32> = part.feature_names.iter().map(|name| self.feature(name)).collect();
        let contexts: Vec<u32> = part
            .contexts
            .into_iter()
            .map(|context| {
                let renamed = context
                    .into_iter()
                    .map(|(f, value)| (features[f as usize], value));
                self.context(&mut renamed.collect())
            })
            .collect();
        let sets: Vec<u32> = part
            .sets
            .into_iter()
            .map(|set| {
                let renamed: Vec<u32> = set.into_iter().map(|arm| arms[arm as usize]).collect();
                self.set(&renamed)
            })
            .collect();
        let situations: Vec<u32> = part
            .situations
            .into_iter()
            .map(|situation| {
                self.situation(Situation {
                    context: contexts[situation.context as usize],
                    set: sets[situation.set as usize],
                    position: situation.position,
                })
            })
            .collect();
        self.rows.extend(part.rows.into_iter().map(|row| LogRow {
            situation: situations[row.situation as usize],
            arm: arms[row.arm as usize],
            ..row
        }));
        self.keys.extend(part.keys);
        self.propensities.extend(part.propensities);
        self.rows_with_propensities += part.rows_with_propensities;
        if self.without_propensity == 0 && part.without_propensity > 0 {
            self.first_without_propensity = part.first_without_propensity + lines_before;
        }
        self.without_propensity += part.without_propensity;
        self.rejections.absorb(part.rejections, lines_before);
    }

    /// Drops the look-up tables that only reading needs.
    pub(super) fn seal(&mut self) {
        self.known_arms = NameMap::default();
        self.known_features = NameMap::default();
        self.known_contexts = MixMap::default();
        self.known_sets = MixMap::default();
        self.known_situations = MixMap::default();
    }

    /// The situation of a row.
    pub fn situation_of(&self, row: &LogRow) -> Situation {
        self.situations[row.situation as usize]
    }

    /// Gives every row without a propensity the frequency of its arm among all rows with the same candidate set and
    /// position. Returns a description of the assumption.
    pub(super) fn estimate_propensities(&mut self) -> String {
        let mut chosen: MixMap<(u32, u32, u32), f64> = MixMap::default();
        let mut offered: MixMap<(u32, u32), f64> = MixMap::default();
        for row in &self.rows {
            let Situation { set, position, .. } = self.situations[row.situation as usize];
            *chosen.entry((set, position, row.arm)).or_default() += 1.0;
            *offered.entry((set, position)).or_default() += 1.0;
        }
        let situations = &self.situations;
        for row in self.rows.iter_mut().filter(|row| row.propensity.is_nan()) {
            let Situation { set, position, .. } = situations[row.situation as usize];
            row.propensity = chosen[&(set, position, row.arm)] / offered[&(set, position)];
        }
        format!(
            "{} of {} rows had no propensity: it was estimated as the frequency of the chosen arm among the rows with the \
             same candidates and position, which assumes that the logging policy depended on nothing else and never changed",
            self.without_propensity,
            self.rows.len()
        )
    }
}

fn intern(known: &mut NameMap, names: &mut Vec<String>, name: &str) -> u32 {
    if let Some(&index) = known.get(name) {
        return index;
    }
    let index = names.len() as u32;
    names.push(name.to_owned());
    known.insert(name.to_owned(), index);
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(arm: &str, feature: &str, propensity: f64) -> BanditLog {
        let mut log = BanditLog::new();
        let arm = log.arm(arm);
        let feature = log.feature(feature);
        let context = log.context(&mut vec![(feature, 1.0)]);
        let set = log.set(&[arm]);
        let situation = log.situation(Situation {
            context,
            set,
            position: 0,
        });
        let row = LogRow {
            situation,
            arm,
            reward: 1.0,
            propensity,
        };
        log.push(row, 3);
        log.rejections.add(4, "odd", "");
        log
    }

    #[test]
    fn parts_of_a_log_join_by_name_and_keep_their_lines() {
        let mut log = BanditLog::new();
        log.absorb(part("a", "x", 0.5), 0);
        log.absorb(part("b", "x", f64::NAN), 10);
        log.absorb(part("a", "x", 0.5), 20);
        assert_eq!(log.arms, ["a", "b"]);
        assert_eq!(
            (log.contexts.len(), log.situations.len(), log.rows.len()),
            (1, 2, 3)
        );
        assert_eq!(log.first_without_propensity, 13);
        let lines: Vec<u64> = log.rejections.examples.iter().map(|e| e.line).collect();
        assert_eq!(lines, [4, 14, 24]);
        assert_eq!(log.rejections.reasons["odd"], 3);
    }

    #[test]
    fn a_missing_propensity_is_estimated_from_its_peers_only() {
        let mut log = BanditLog::new();
        log.absorb(part("a", "x", 0.25), 0);
        log.absorb(part("a", "y", f64::NAN), 0);
        assert!(log.estimate_propensities().contains("1 of 2 rows"));
        assert!((log.rows[0].propensity - 0.25).abs() < 1e-15);
        assert!((log.rows[1].propensity - 1.0).abs() < 1e-15);
    }

    #[test]
    fn rows_leave_with_the_propensities_of_their_candidates() {
        let mut log = BanditLog::new();
        let arms = [log.arm("a"), log.arm("b"), log.arm("c")];
        let context = log.context(&mut vec![]);
        let sets = [log.set(&arms[..1]), log.set(&arms[..2]), log.set(&arms)];
        for (index, propensities) in [&[1.0][..], &[0.25, 0.75], &[0.5, 0.25, 0.25]]
            .into_iter()
            .enumerate()
        {
            let situation = log.situation(Situation {
                context,
                set: sets[index],
                position: 0,
            });
            let row = LogRow {
                situation,
                arm: arms[0],
                reward: 0.0,
                propensity: propensities[0],
            };
            log.push_with_candidates(row, propensities.iter().copied(), index as u64);
            log.keys.push(index as u128);
        }
        log.retain(|row| row != 1);
        assert_eq!(log.candidate_propensities(), Some(&[1.0, 0.5, 0.25, 0.25][..]));
        assert_eq!((log.rows.len(), log.keys.clone()), (2, vec![0, 2]));
        log.push(log.rows[0], 9);
        assert_eq!(log.candidate_propensities(), None);
    }
}
