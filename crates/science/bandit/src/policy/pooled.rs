//! Thompson sampling that pools across feelings. Its probabilities are exact, computed by quadrature.
//!
//! An arm in a feeling starts from its own record in other feelings, and from what its tone earns in this feeling. The
//! model is hierarchical, on the log-odds of a click:
//!
//! ```text
//! log-odds of an arm in a cell = campaign + tone + arm + Σ over levels (tone in the cell + arm in the cell)
//! ```
//!
//! Every term but the first is normal around 0 with a known variance. *Cells* are nested: each level refines the cells
//! of the level before by one namespace of the context. A level's own records are those outside the next level's cell,
//! so that each record counts once, at the finest level that it shares with the decision.
//!
//! Inference goes from coarse to fine, once for the arm's *siblings* (the other arms of its tone) and once for the arm.
//! Each step is a Beta posterior with the mean and the variance of the normal prior. Siblings move the tone, and the arm
//! follows as far as it depends on its tone: wholly before it has records of its own. The arm's own records are left out
//! of its siblings', so that no record counts twice.
//!
//! The probabilities are those of independent Beta draws with the resulting means and variances, see
//! [`crate::quadrature`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Feedback, Policy, PolicyError, check, within};
use crate::features::{join, namespace, scramble};
use crate::quadrature::{Beta, best_arm_probabilities};
use crate::{Arm, Features, exact};

/// Settings of [`Pooled`]. A variance of 1 means that a usual deviation changes the odds of a click by the factor 2.7,
/// 0.1 by the factor 1.4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PooledConfig {
    /// Context namespaces, from coarse to fine. Each one divides the cells of those before it. At most 8. Empty: the
    /// context is ignored.
    pub levels: Vec<String>,
    /// Variance of a tone's log-odds around the campaign's, in `[0, 100]`.
    pub tone: f64,
    /// Variance of an arm's log-odds around its tone's, in `[0, 100]`.
    pub creative: f64,
    /// Variance of a tone in a cell around the same tone in the cell of the level before, in `[0, 100]`.
    pub tone_in_cell: f64,
    /// Variance of an arm in a cell around the same arm in the cell of the level before, in `[0, 100]`.
    pub creative_in_cell: f64,
    /// Factor on the standard deviation of the draws, in `[0.01, 10]`. 1 is Thompson sampling; below 1 it explores less.
    pub scale: f64,
    /// Factor by which all counts shrink at each feedback, in `[0.01, 1]`; 1 forgets nothing.
    pub discount: f64,
}

impl Default for PooledConfig {
    fn default() -> Self {
        Self {
            levels: ["direction", "subject", "feeling"].map(str::to_owned).into(),
            tone: 1.0,
            creative: 0.1,
            tone_in_cell: 0.5,
            creative_in_cell: 0.05,
            scale: 0.4,
            discount: 1.0,
        }
    }
}

/// Successes and failures.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Counts {
    #[serde(with = "exact")]
    successes: f64,
    #[serde(with = "exact")]
    failures: f64,
}

impl Counts {
    fn scaled(self, factor: f64) -> Self {
        Self {
            successes: self.successes * factor,
            failures: self.failures * factor,
        }
    }

    /// What is left without `other`, which is a part of this.
    fn without(self, other: Self) -> Self {
        Self {
            successes: (self.successes - other.successes).max(0.0),
            failures: (self.failures - other.failures).max(0.0),
        }
    }

    fn add(&mut self, other: Self) {
        self.successes += other.successes;
        self.failures += other.failures;
    }

    fn total(self) -> f64 {
        self.successes + self.failures
    }
}

/// The records of one cell.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Cell {
    /// The policy's clock at which the counts were computed.
    at: u64,
    arms: BTreeMap<String, Counts>,
}

/// What the policy has learned.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Learned {
    /// Number of feedback items.
    clock: u64,
    /// The family of each arm.
    families: BTreeMap<String, String>,
    /// By hash of the cell. 0 is the cell of everything.
    cells: BTreeMap<u32, Cell>,
}

/// Thompson sampling that pools across feelings, with exact choice probabilities.
#[derive(Debug, Clone)]
pub struct Pooled {
    config: PooledConfig,
    levels: Vec<u32>,
    learned: Learned,
}

impl Pooled {
    /// Builds the policy without any feedback. Returns an error for the first setting that is outside its range.
    pub fn new(config: PooledConfig) -> Result<Self, PolicyError> {
        within(
            "levels",
            config.levels.len() as f64,
            0.0..=8.0,
            "must name at most 8 namespaces",
        )?;
        for (name, variance) in [
            ("tone", config.tone),
            ("creative", config.creative),
            ("tone_in_cell", config.tone_in_cell),
            ("creative_in_cell", config.creative_in_cell),
        ] {
            within(name, variance, 0.0..=100.0, "must be in [0, 100]")?;
        }
        within("scale", config.scale, 0.01..=10.0, "must be in [0.01, 10]")?;
        within("discount", config.discount, 0.01..=1.0, "must be in [0.01, 1]")?;
        Ok(Self {
            levels: config.levels.iter().map(|name| namespace(name)).collect(),
            config,
            learned: Learned::default(),
        })
    }

    /// The hashes of the cells that contain the context, from everything to the finest.
    fn cells_of(&self, context: &Features) -> Vec<u32> {
        let mut cells = vec![0];
        let mut cell = 0;
        for (number, &name) in (1_u32..).zip(&self.levels) {
            cell = join(scramble(cell), number);
            for feature in context.in_namespace(name) {
                cell = join(scramble(join(scramble(cell), feature.0)), feature.1.to_bits());
            }
            cells.push(cell);
        }
        cells
    }

    fn kept(&self, at: u64) -> f64 {
        let age = self.learned.clock - at;
        if age == 0 || self.config.discount >= 1.0 {
            1.0
        } else {
            libm::pow(self.config.discount, age as f64)
        }
    }

    /// The distribution from which each arm is drawn in this context.
    pub fn posteriors(&self, context: &Features, arms: &[Arm]) -> Vec<Beta> {
        let cells = self.cells_of(context);
        let levels: Vec<Level<'_>> = cells.iter().map(|cell| self.level(*cell)).collect();
        arms.iter().map(|arm| self.posterior(arm, &levels)).collect()
    }

    fn level(&self, cell: u32) -> Level<'_> {
        let mut level = Level::default();
        let Some(known) = self.learned.cells.get(&cell) else {
            return level;
        };
        let kept = self.kept(known.at);
        for (arm, counts) in &known.arms {
            let counts = counts.scaled(kept);
            level.all.add(counts);
            if let Some(family) = self.learned.families.get(arm) {
                level.families.entry(family).or_default().add(counts);
            }
            level.arms.insert(arm, counts);
        }
        level
    }

    fn posterior(&self, arm: &Arm, levels: &[Level<'_>]) -> Beta {
        let config = &self.config;
        let records: Vec<Records> = levels.iter().map(|level| level.of(arm)).collect();
        let campaign = Belief::of(records[0].all.without(records[0].own));
        let mut tone = campaign.widened(config.tone);
        let mut own = Belief::default();
        // By how much the belief about the arm moves if the one about its tone does.
        let mut dependence = 1.0;
        for (number, records) in levels_only(&records).enumerate() {
            if number == 0 {
                tone = tone.learn(records.siblings);
                own = tone.widened(config.creative);
            } else {
                let before = tone;
                let prior = before.widened(config.tone_in_cell);
                tone = prior.learn(records.siblings);
                // The move belongs to the tone in this cell and to the tone elsewhere, in the ratio of their variances.
                // The arm follows the first part wholly, and the second as far as it depends on its tone.
                if prior.variance > 0.0 {
                    dependence = (dependence * before.variance + config.tone_in_cell) / prior.variance;
                }
                let learned = (prior.variance - tone.variance).max(0.0);
                let variance = own.variance + config.tone_in_cell - dependence * dependence * learned;
                own = Belief {
                    mean: own.mean + dependence * (tone.mean - before.mean),
                    variance: variance.max(0.0) + config.creative_in_cell,
                };
            }
            let prior = own.variance;
            own = own.learn(records.own);
            if prior > 0.0 {
                dependence *= (own.variance / prior).min(1.0);
            }
        }
        own.scaled(config.scale).beta()
    }
}

/// The records of each level outside the next one's cell.
fn levels_only(records: &[Records]) -> impl Iterator<Item = Records> + '_ {
    (0..records.len()).map(|number| {
        records.get(number + 1).map_or(records[number], |finer| Records {
            all: records[number].all.without(finer.all),
            siblings: records[number].siblings.without(finer.siblings),
            own: records[number].own.without(finer.own),
        })
    })
}

/// The records in one cell, summed up.
#[derive(Default)]
struct Level<'a> {
    all: Counts,
    families: BTreeMap<&'a str, Counts>,
    arms: BTreeMap<&'a str, Counts>,
}

/// The records in one cell as one arm sees them.
#[derive(Debug, Clone, Copy)]
struct Records {
    all: Counts,
    /// Of the other arms of its family.
    siblings: Counts,
    own: Counts,
}

impl Level<'_> {
    fn of(&self, arm: &Arm) -> Records {
        let own = self.arms.get(arm.id.as_str()).copied().unwrap_or_default();
        let family = self
            .families
            .get(arm.family.as_str())
            .copied()
            .unwrap_or_default();
        Records {
            all: self.all,
            siblings: family.without(own),
            own,
        }
    }
}

/// Log-odds of a click: mean and variance.
#[derive(Debug, Clone, Copy, Default)]
struct Belief {
    mean: f64,
    variance: f64,
}

/// Probabilities closer to 0 or 1 are not believed.
const LEAST: f64 = 1e-9;

impl Belief {
    /// The rate of a campaign with these records: a Beta posterior after a uniform prior.
    fn of(counts: Counts) -> Self {
        Self::of_beta(1.0 + counts.successes, 1.0 + counts.failures)
    }

    fn of_beta(alpha: f64, beta: f64) -> Self {
        Self {
            mean: libm::log(alpha / beta),
            variance: 1.0 / alpha + 1.0 / beta,
        }
    }

    fn widened(self, variance: f64) -> Self {
        Self {
            variance: self.variance + variance,
            ..self
        }
    }

    fn scaled(self, scale: f64) -> Self {
        Self {
            variance: self.variance * scale * scale,
            ..self
        }
    }

    /// The Beta distribution with this mean, whose log-odds have about this variance.
    fn beta(self) -> Beta {
        let mean = (1.0 / (1.0 + libm::exp(-self.mean))).clamp(LEAST, 1.0 - LEAST);
        let variance = self.variance.clamp(LEAST, 1e6);
        Beta {
            alpha: 1.0 / (variance * (1.0 - mean)),
            beta: 1.0 / (variance * mean),
        }
    }

    fn learn(self, counts: Counts) -> Self {
        if counts.total() <= 0.0 {
            return self;
        }
        let prior = self.beta();
        Self::of_beta(prior.alpha + counts.successes, prior.beta + counts.failures)
    }
}

impl Policy for Pooled {
    fn probabilities(&self, context: &Features, arms: &[Arm], _: u64) -> Vec<f64> {
        best_arm_probabilities(&self.posteriors(context, arms))
    }

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, 1.0)?;
        let (before, weight) = match feedback.previous_reward {
            Some(before) => (before, 0.0),
            None => (0.0, 1.0),
        };
        let change = feedback.reward - before;
        let (arm, family) = (&feedback.arm.id, &feedback.arm.family);
        if weight > 0.0 {
            self.learned.clock += 1;
        }
        if self.learned.families.get(arm) != Some(family) {
            self.learned.families.insert(arm.clone(), family.clone());
        }
        for cell in self.cells_of(feedback.context) {
            let at = self.learned.cells.get(&cell).map_or(0, |cell| cell.at);
            let kept = self.kept(at);
            let cell = self.learned.cells.entry(cell).or_default();
            if kept < 1.0 {
                for counts in cell.arms.values_mut() {
                    *counts = counts.scaled(kept);
                }
            }
            cell.at = self.learned.clock;
            let counts = cell.arms.entry(arm.clone()).or_default();
            counts.successes = (counts.successes + change).max(0.0);
            counts.failures = (counts.failures + weight - change).max(0.0);
        }
        Ok(())
    }

    fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, 1.0)?;
        for cell in self.cells_of(feedback.context) {
            let counts = self.learned.cells.get_mut(&cell);
            if let Some(counts) = counts.and_then(|cell| cell.arms.get_mut(&feedback.arm.id)) {
                counts.successes = (counts.successes - feedback.reward).max(0.0);
                counts.failures = (counts.failures - (1.0 - feedback.reward)).max(0.0);
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.learned).expect("the maps have string and number keys")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        self.learned = serde_json::from_slice(snapshot)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
