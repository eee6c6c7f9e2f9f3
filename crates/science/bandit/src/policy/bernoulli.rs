//! Thompson sampling with independent Beta arms. Its probabilities are exact, computed by quadrature.
//!
//! Forgetting is either a discount per feedback (discounted Thompson sampling, Raj and Kalyani 2017) or a sliding
//! window (Trovò et al. 2020). With a hierarchy, a new arm starts from the statistics of its family, and a new family
//! from those of the whole table. This is empirical Bayes: each level is shrunk towards the level above by a number
//! of pseudo-observations. With change detection (an EWMA control chart of the prediction error), the counts of an
//! arm are scaled down when its rate has moved, which widens its posterior.

use std::collections::{BTreeMap, VecDeque};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Feedback, Policy, PolicyError, check, within};
use crate::features::{join, namespace, scramble};
use crate::quadrature::{Beta, best_arm_probabilities};
use crate::{Arm, Features, exact};

/// Settings of [`BernoulliThompson`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BernoulliConfig {
    /// Pseudo-count of successes before any feedback, positive.
    pub prior_alpha: f64,
    /// Pseudo-count of failures before any feedback, positive.
    pub prior_beta: f64,
    /// Factor by which all counts of a table shrink at each feedback, in `[0.01, 1]`; 1 forgets nothing.
    pub discount: f64,
    /// Number of the latest feedback items that count, per table. Absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Context namespaces. Each combination of their features has its own table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stratify: Vec<String>,
    /// How a new arm takes its prior from its family. Absent: every arm starts from `prior_alpha` and `prior_beta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<HierarchyConfig>,
    /// Detection of arms whose rate has moved. Absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeConfig>,
}

impl Default for BernoulliConfig {
    fn default() -> Self {
        Self {
            prior_alpha: 1.0,
            prior_beta: 1.0,
            discount: 1.0,
            window: None,
            stratify: Vec::new(),
            hierarchy: None,
            change: None,
        }
    }
}

/// How strongly each level is shrunk towards the level above, in pseudo-observations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HierarchyConfig {
    /// Of an arm towards the rate of its family.
    pub creative: f64,
    /// Of a family towards the rate of the table.
    pub family: f64,
}

/// Settings of the control chart of each arm's prediction error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeConfig {
    /// Weight of the newest error in the moving average, in `(0, 1]`.
    pub rate: f64,
    /// Standard deviations of the moving average that raise an alarm.
    pub limit: f64,
    /// Fraction of an arm's counts that an alarm keeps, in `[0, 1]`.
    pub keep: f64,
}

/// Sufficient statistics of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ArmStatistics {
    family: String,
    #[serde(with = "exact")]
    successes: f64,
    #[serde(with = "exact")]
    failures: f64,
    /// The table's clock at which the two counts were computed.
    at: u64,
    /// Moving average of the prediction error.
    #[serde(with = "exact")]
    error: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Table {
    /// Number of feedback items so far.
    clock: u64,
    arms: BTreeMap<String, ArmStatistics>,
    /// If a window is set: the feedback items in it, each as an arm and the bits of its reward.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    window: VecDeque<(String, u64)>,
}

/// Thompson sampling with independent Beta arms and exact choice probabilities.
#[derive(Debug, Clone)]
pub struct BernoulliThompson {
    config: BernoulliConfig,
    strata: Vec<u32>,
    tables: BTreeMap<u32, Table>,
}

impl BernoulliThompson {
    /// Builds the policy without any feedback. Returns an error for the first setting that is outside its range.
    pub fn new(config: BernoulliConfig) -> Result<Self, PolicyError> {
        let positive = f64::MIN_POSITIVE..=1e12;
        within(
            "prior_alpha",
            config.prior_alpha,
            positive.clone(),
            "must be positive",
        )?;
        within(
            "prior_beta",
            config.prior_beta,
            positive.clone(),
            "must be positive",
        )?;
        within("discount", config.discount, 0.01..=1.0, "must be in [0.01, 1]")?;
        if let Some(window) = config.window {
            within("window", window as f64, 1.0..=1e6, "must be in 1..=1000000")?;
        }
        if let Some(hierarchy) = config.hierarchy {
            within(
                "hierarchy.creative",
                hierarchy.creative,
                positive.clone(),
                "must be positive",
            )?;
            within("hierarchy.family", hierarchy.family, positive, "must be positive")?;
        }
        if let Some(change) = config.change {
            within("change.rate", change.rate, 1e-6..=1.0, "must be in (0, 1]")?;
            within("change.limit", change.limit, 0.0..=1e6, "must not be negative")?;
            within("change.keep", change.keep, 0.0..=1.0, "must be in [0, 1]")?;
        }
        let strata = config.stratify.iter().map(|name| namespace(name)).collect();
        Ok(Self {
            config,
            strata,
            tables: BTreeMap::new(),
        })
    }

    /// The posterior of each arm's success probability in this context.
    pub fn posteriors(&self, context: &Features, arms: &[Arm]) -> Vec<Beta> {
        let empty = Table::default();
        let table = self.tables.get(&self.stratum(context)).unwrap_or(&empty);
        let levels = self
            .config
            .hierarchy
            .map(|strength| Levels::of(self, table, strength));
        arms.iter()
            .map(|arm| {
                let known = table.arms.get(&arm.id);
                let (successes, failures) =
                    known.map_or((0.0, 0.0), |statistics| self.current(table, statistics));
                let (alpha, beta) = levels
                    .as_ref()
                    .map_or((self.config.prior_alpha, self.config.prior_beta), |levels| {
                        levels.prior(&arm.family, known.map(|_| (successes, failures)))
                    });
                Beta {
                    alpha: alpha + successes,
                    beta: beta + failures,
                }
            })
            .collect()
    }

    fn stratum(&self, context: &Features) -> u32 {
        let features = self.strata.iter().flat_map(|&name| context.in_namespace(name));
        features.fold(0, |stratum, feature| {
            join(scramble(join(scramble(stratum), feature.0)), feature.1.to_bits())
        })
    }

    /// The successes and failures of an arm, discounted to the table's clock.
    fn current(&self, table: &Table, statistics: &ArmStatistics) -> (f64, f64) {
        let age = table.clock - statistics.at;
        let kept = if age == 0 || self.config.discount >= 1.0 {
            1.0
        } else {
            libm::pow(self.config.discount, age as f64)
        };
        (statistics.successes * kept, statistics.failures * kept)
    }
}

/// Sums over a table and its families, from which the counts of one arm can be subtracted.
struct Levels<'a> {
    prior: (f64, f64),
    strength: HierarchyConfig,
    all: (f64, f64),
    families: BTreeMap<&'a str, (f64, f64)>,
}

impl<'a> Levels<'a> {
    fn of(policy: &BernoulliThompson, table: &'a Table, strength: HierarchyConfig) -> Self {
        let mut all = (0.0, 0.0);
        let mut families: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for statistics in table.arms.values() {
            let (successes, failures) = policy.current(table, statistics);
            let family = families.entry(&statistics.family).or_default();
            for sums in [&mut all, family] {
                sums.0 += successes;
                sums.1 += failures;
            }
        }
        Self {
            prior: (policy.config.prior_alpha, policy.config.prior_beta),
            strength,
            all,
            families,
        }
    }

    /// Prior of an arm of `family`, from the counts of all arms except its own.
    fn prior(&self, family: &str, own: Option<(f64, f64)>) -> (f64, f64) {
        let own = own.unwrap_or_default();
        let others = |sums: (f64, f64)| ((sums.0 - own.0).max(0.0), (sums.1 - own.1).max(0.0));
        let all = others(self.all);
        let siblings = others(self.families.get(family).copied().unwrap_or(own));
        let table_rate = (self.prior.0 + all.0) / (self.prior.0 + self.prior.1 + all.0 + all.1);
        let family_rate = (self.strength.family * table_rate + siblings.0)
            / (self.strength.family + siblings.0 + siblings.1);
        let alpha = self.strength.creative * family_rate;
        (alpha.max(1e-9), (self.strength.creative - alpha).max(1e-9))
    }
}

impl Policy for BernoulliThompson {
    fn probabilities(&self, context: &Features, arms: &[Arm], _: u64) -> Vec<f64> {
        best_arm_probabilities(&self.posteriors(context, arms))
    }

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, 1.0)?;
        let stratum = self.stratum(feedback.context);
        let expected = self.posteriors(feedback.context, std::slice::from_ref(feedback.arm))[0].mean();
        let mut table = self.tables.remove(&stratum).unwrap_or_default();
        if feedback.previous_reward.is_none() {
            table.clock += 1;
        }
        let fresh = ArmStatistics {
            family: feedback.arm.family.clone(),
            successes: 0.0,
            failures: 0.0,
            at: table.clock,
            error: 0.0,
        };
        let mut statistics = table.arms.remove(&feedback.arm.id).unwrap_or(fresh);
        (statistics.successes, statistics.failures) = self.current(&table, &statistics);
        statistics.at = table.clock;
        if let Some(before) = feedback.previous_reward {
            let change = feedback.reward - before;
            statistics.successes = (statistics.successes + change).max(0.0);
            statistics.failures = (statistics.failures - change).max(0.0);
        } else {
            if let Some(change) = self.config.change {
                statistics.update_chart(change, feedback.reward, expected);
            }
            statistics.successes += feedback.reward;
            statistics.failures += 1.0 - feedback.reward;
        }
        table.arms.insert(feedback.arm.id.clone(), statistics);
        if let Some(window) = self.config.window {
            table.slide_window(window, feedback);
        }
        self.tables.insert(stratum, table);
        Ok(())
    }

    fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, 1.0)?;
        let stratum = self.stratum(feedback.context);
        let Some(table) = self.tables.get_mut(&stratum) else {
            return Ok(());
        };
        if self.config.window.is_some() && !table.leave_window(feedback) {
            // It slid out of the window: it does not count any more.
            return Ok(());
        }
        if let Some(statistics) = table.arms.get_mut(&feedback.arm.id) {
            statistics.take(feedback.reward);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.tables).expect("tables have string and number keys")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        self.tables = serde_json::from_slice(snapshot)?;
        Ok(())
    }
}

impl ArmStatistics {
    /// Takes back an observation.
    fn take(&mut self, reward: f64) {
        self.successes = (self.successes - reward).max(0.0);
        self.failures = (self.failures - (1.0 - reward)).max(0.0);
    }

    fn update_chart(&mut self, change: ChangeConfig, reward: f64, expected: f64) {
        self.error += change.rate * (reward - expected - self.error);
        let deviation = (expected * (1.0 - expected) * change.rate / (2.0 - change.rate)).sqrt();
        if self.error.abs() > change.limit * deviation.max(1e-3) {
            self.successes *= change.keep;
            self.failures *= change.keep;
            self.error = 0.0;
        }
    }
}

impl Table {
    /// Adds the feedback to the window and subtracts the items that leave it.
    fn slide_window(&mut self, window: usize, feedback: &Feedback<'_>) {
        let bits = feedback.reward.to_bits();
        if let Some(before) = feedback.previous_reward {
            let known =
                |entry: &&mut (String, u64)| entry.0 == feedback.arm.id && entry.1 == before.to_bits();
            if let Some(entry) = self.window.iter_mut().find(known) {
                entry.1 = bits;
            }
            return;
        }
        self.window.push_back((feedback.arm.id.clone(), bits));
        while self.window.len() > window {
            let Some((arm, bits)) = self.window.pop_front() else {
                return;
            };
            if let Some(statistics) = self.arms.get_mut(&arm) {
                statistics.take(f64::from_bits(bits));
            }
        }
    }

    /// Removes an item with the feedback's arm and reward; false if there is none.
    fn leave_window(&mut self, feedback: &Feedback<'_>) -> bool {
        let bits = feedback.reward.to_bits();
        let place = self
            .window
            .iter()
            .position(|(arm, reward)| *arm == feedback.arm.id && *reward == bits);
        place.and_then(|place| self.window.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests;
