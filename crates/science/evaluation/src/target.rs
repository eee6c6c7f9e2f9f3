//! The policies that can be evaluated.

use crate::log::{BanditLog, MixMap, Situation};
use limbic_bandit::quadrature::{Beta, rank_probabilities};

/// A fixed policy to evaluate. It only has to give probabilities.
pub trait TargetPolicy: Sync {
    /// Name of the policy in the report.
    fn name(&self) -> &str;

    /// Appends the probability of each arm of the situation's candidate set to `out` (empty), in the order of the
    /// set.
    fn probabilities(&self, log: &BanditLog, situation: Situation, out: &mut Vec<f64>);

    /// Whether the probabilities depend on the context, and not only on candidates and position.
    fn looks_at_context(&self) -> bool;
}

/// The same probability for every candidate.
#[derive(Debug, Clone, Copy, Default)]
pub struct UniformPolicy;

impl TargetPolicy for UniformPolicy {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn probabilities(&self, log: &BanditLog, situation: Situation, out: &mut Vec<f64>) {
        let arms = log.sets[situation.set as usize].len();
        out.resize(arms, 1.0 / arms as f64);
    }

    fn looks_at_context(&self) -> bool {
        false
    }
}

/// A policy that does not depend on the context: a table of probabilities by candidate set and position.
#[derive(Debug)]
pub struct TablePolicy {
    name: String,
    rows: MixMap<(u32, u32), Vec<f64>>,
}

impl TablePolicy {
    /// `by_position[position][arm]`, over all arms of the log. Probabilities are renormalised over the candidates.
    pub fn new(name: &str, log: &BanditLog, by_position: &[Vec<f64>]) -> Self {
        let mut rows = MixMap::default();
        for (set, arms) in (0..).zip(&log.sets) {
            for (position, table) in (0..).zip(by_position) {
                let chosen: Vec<f64> = arms.iter().map(|&arm| table[arm as usize]).collect();
                let total: f64 = chosen.iter().sum();
                let row = chosen.iter().map(|p| p / total).collect();
                rows.insert((set, position), row);
            }
        }
        Self {
            name: name.to_owned(),
            rows,
        }
    }

    /// Thompson sampling with independent Beta arms: all candidates are drawn once, and position *k* gets the *k*-th
    /// best. The probabilities are exact. Those of the reference implementation come from 100,000 draws, so each has
    /// a standard error of `√(p (1 − p) / 100,000)`.
    pub fn bernoulli_thompson(log: &BanditLog, priors: &[Beta]) -> Self {
        let mut rows = MixMap::default();
        for (set, arms) in (0..).zip(&log.sets) {
            let priors: Vec<Beta> = arms.iter().map(|&arm| priors[arm as usize]).collect();
            let ranks = rank_probabilities(&priors, log.positions);
            for position in 0..log.positions.min(arms.len()) {
                let row = ranks.iter().map(|of_arm| of_arm[position]).collect();
                rows.insert((set, position as u32), row);
            }
        }
        Self {
            name: "bernoulli-ts".to_owned(),
            rows,
        }
    }

    /// A situation of the log without a row in the table; `None` if every situation has one.
    pub(super) fn missing(&self, log: &BanditLog) -> Option<Situation> {
        log.situations
            .iter()
            .find(|s| !self.rows.contains_key(&(s.set, s.position)))
            .copied()
    }
}

impl TargetPolicy for TablePolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn probabilities(&self, _: &BanditLog, situation: Situation, out: &mut Vec<f64>) {
        out.extend_from_slice(&self.rows[&(situation.set, situation.position)]);
    }

    fn looks_at_context(&self) -> bool {
        false
    }
}
