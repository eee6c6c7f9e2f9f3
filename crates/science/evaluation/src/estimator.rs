//! The estimators. Each is a function of a few sums over the rows.
//!
//! With *w* = π(a|x)/p(a|x), *r* the reward, *q̂* the reward model and *q̂(x, π)* its mean under the policy:
//!
//! | name | value | source |
//! |---|---|---|
//! | `replay` | mean *r* of the rows that rejection sampling accepts with probability *w*/max *w*; for a fixed choice on a uniform log, the rows with the same choice | Li et al. 2011 |
//! | `ipw` | mean of *w r* | Horvitz and Thompson 1952 |
//! | `snipw` | Σ *w r* / Σ *w* | Swaminathan and Joachims 2015 |
//! | `dm` | mean of *q̂(x, π)* | Beygelzimer and Langford 2009 |
//! | `dr` | mean of *q̂(x, π)* + *w (r − q̂(x, a))* | Dudík et al. 2011 |
//! | `sndr` | as `dr`, with the correction divided by the mean of *w* | Thomas and Brunskill 2016 |
//! | `switch-dr` | as `dr`, corrected only where *w* ≤ τ | Wang et al. 2017 |
//! | `stabilised-dr` | Σ *h s* / Σ *h* with the scores *s* of `dr`, whose model knows earlier rows only, and *h* = 1/√(mean *w²*) of the rows before | Hadad et al. 2021, Bibaut et al. 2021 |
//! | `dr-os` | as `dr`, with *λ w / (w² + λ)* instead of *w* | Su et al. 2020 |

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::parallel::{PIECE, run};

/// Estimates the value of a policy from the log of another policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// Rejection sampling.
    Replay,
    /// Inverse propensity weighting.
    Ipw,
    /// Self-normalised inverse propensity weighting.
    Snipw,
    /// Direct method.
    Dm,
    /// Doubly robust.
    Dr,
    /// Self-normalised doubly robust.
    Sndr,
    /// Doubly robust, with smaller shares for the times at which the logging policy made the weights large. For logs whose
    /// logging policy learns; it assumes that the value of the evaluated policy does not change along the log.
    StabilisedDr,
    /// Doubly robust where the weight is small, direct method elsewhere.
    SwitchDr,
    /// Doubly robust with optimistic shrinkage of the weights.
    DrOs,
}

impl Estimator {
    /// All estimators, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::Replay,
        Self::Ipw,
        Self::Snipw,
        Self::Dm,
        Self::Dr,
        Self::Sndr,
        Self::StabilisedDr,
        Self::SwitchDr,
        Self::DrOs,
    ];

    /// Name on the command line and in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Ipw => "ipw",
            Self::Snipw => "snipw",
            Self::Dm => "dm",
            Self::Dr => "dr",
            Self::Sndr => "sndr",
            Self::StabilisedDr => "stabilised-dr",
            Self::SwitchDr => "switch-dr",
            Self::DrOs => "dr-os",
        }
    }

    /// Whether the estimator needs a reward model.
    pub const fn needs_model(self) -> bool {
        !matches!(self, Self::Replay | Self::Ipw | Self::Snipw)
    }

    /// The estimate, from the sums over all rows; `None` if no row has a weight, or none was accepted.
    pub(super) fn value(self, sums: &Sums) -> Option<f64> {
        let rows = sums.rows;
        let value = match self {
            Self::Replay => sums.accepted_reward / sums.accepted,
            Self::Ipw => sums.weighted_reward / rows,
            Self::Snipw => sums.weighted_reward / sums.weight,
            Self::Dm => sums.direct / rows,
            Self::Dr => (sums.direct + sums.correction) / rows,
            Self::Sndr => sums.direct / rows + sums.correction / sums.weight,
            Self::StabilisedDr => sums.stable / sums.stable_share,
            Self::SwitchDr => (sums.direct + sums.switched) / rows,
            Self::DrOs => (sums.direct + sums.shrunk) / rows,
        };
        value.is_finite().then_some(value)
    }

    /// What a block of rows adds to the error of the estimate `value`, times the number of rows: the terms of all blocks
    /// add up to 0. It is the derivative of the estimate by the block's share of the rows.
    pub(super) fn term(self, block: &Sums, sums: &Sums, value: f64) -> f64 {
        let rows = sums.rows;
        let mean_weight = sums.weight / rows;
        match self {
            Self::Replay => (block.accepted_reward - value * block.accepted) / (sums.accepted / rows),
            Self::Ipw => block.weighted_reward - value * block.rows,
            Self::Snipw => (block.weighted_reward - value * block.weight) / mean_weight,
            Self::Dm => block.direct - value * block.rows,
            Self::Dr => block.direct + block.correction - value * block.rows,
            Self::Sndr => {
                let (direct, correction) = (sums.direct / rows, sums.correction / sums.weight);
                block.direct - direct * block.rows
                    + (block.correction - correction * block.weight) / mean_weight
            }
            Self::StabilisedDr => (block.stable - value * block.stable_share) / (sums.stable_share / rows),
            Self::SwitchDr => block.direct + block.switched - value * block.rows,
            Self::DrOs => block.direct + block.shrunk - value * block.rows,
        }
    }

    /// Why the error of the estimator cannot be measured on the log; `None` if it can.
    pub(super) const fn unmeasured(self) -> Option<&'static str> {
        match self {
            Self::Dm => Some(
                "no interval: its error is the error of the reward model, which is not a mean of independent terms; \
                 dr corrects the same model and has an interval",
            ),
            Self::SwitchDr | Self::DrOs => Some(
                "no interval: it keeps a part of the reward model's error to lower its variance; dr corrects all of it \
                 and has an interval",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name does not belong to an estimator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an estimator: use replay, ipw, snipw, dm, dr, sndr, stabilised-dr, switch-dr or dr-os")]
pub struct UnknownEstimator(String);

impl FromStr for Estimator {
    type Err = UnknownEstimator;

    fn from_str(text: &str) -> Result<Self, UnknownEstimator> {
        Self::ALL
            .into_iter()
            .find(|estimator| estimator.name() == text)
            .ok_or_else(|| UnknownEstimator(text.to_owned()))
    }
}

/// One row with its weight and its predictions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    pub(super) weight: f64,
    pub(super) reward: f64,
    /// Mean prediction of the model under the policy.
    pub(super) direct: f64,
    /// Reward minus the model's prediction for the logged arm.
    pub(super) residual: f64,
    /// Whether rejection sampling accepted the row.
    pub(super) accepted: bool,
}

/// The two settings that trade bias for variance. Infinite values give the plain doubly robust estimator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tuning {
    pub(super) switch_threshold: f64,
    pub(super) shrinkage: f64,
}

/// The weight after optimistic shrinkage.
pub(super) fn shrink(weight: f64, shrinkage: f64) -> f64 {
    if shrinkage.is_infinite() {
        weight
    } else if shrinkage <= 0.0 {
        0.0
    } else {
        shrinkage * weight / (weight * weight + shrinkage)
    }
}

/// Sums over rows, sufficient for every estimator.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) rows: f64,
    pub(super) reward: f64,
    pub(super) weight: f64,
    pub(super) weighted_reward: f64,
    pub(super) direct: f64,
    pub(super) correction: f64,
    pub(super) switched: f64,
    pub(super) shrunk: f64,
    pub(super) accepted: f64,
    pub(super) accepted_reward: f64,
    /// Of a model that knows earlier rows only: Σ score, Σ h, and Σ h · score.
    pub(super) progressive: f64,
    pub(super) stable_share: f64,
    pub(super) stable: f64,
}

impl Sums {
    /// Adds the score of a row by a model of earlier rows, and its share.
    pub(super) fn add_stable(&mut self, score: f64, share: f64) {
        self.progressive += score;
        self.stable_share += share;
        self.stable += share * score;
    }

    pub(super) fn add_row(&mut self, row: &Scored, tuning: Tuning) {
        let correction = row.weight * row.residual;
        self.rows += 1.0;
        self.reward += row.reward;
        self.weight += row.weight;
        self.weighted_reward += row.weight * row.reward;
        self.direct += row.direct;
        self.correction += correction;
        if row.weight <= tuning.switch_threshold {
            self.switched += correction;
        }
        self.shrunk += shrink(row.weight, tuning.shrinkage) * row.residual;
        if row.accepted {
            self.accepted += 1.0;
            self.accepted_reward += row.reward;
        }
    }

    #[cfg(test)]
    fn scaled(&self, factor: f64) -> Self {
        Self {
            rows: self.rows * factor,
            reward: self.reward * factor,
            weight: self.weight * factor,
            weighted_reward: self.weighted_reward * factor,
            direct: self.direct * factor,
            correction: self.correction * factor,
            switched: self.switched * factor,
            shrunk: self.shrunk * factor,
            accepted: self.accepted * factor,
            accepted_reward: self.accepted_reward * factor,
            progressive: self.progressive * factor,
            stable_share: self.stable_share * factor,
            stable: self.stable * factor,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.reward += other.reward;
        self.weight += other.weight;
        self.weighted_reward += other.weighted_reward;
        self.direct += other.direct;
        self.correction += other.correction;
        self.switched += other.switched;
        self.shrunk += other.shrunk;
        self.accepted += other.accepted;
        self.accepted_reward += other.accepted_reward;
        self.progressive += other.progressive;
        self.stable_share += other.stable_share;
        self.stable += other.stable;
    }
}

/// Chooses the settings that were not given, among the quantiles of the weights. It minimises the estimated mean
/// squared error: the variance of the mean plus the squared mean difference from the unbiased estimator (Su et al.
/// 2020, section 5; their high-probability bound of the bias is never smaller than the variance it would save).
pub(super) fn tune(
    rows: &[Scored],
    quantiles: &[f64],
    switch_threshold: Option<f64>,
    shrinkage: Option<f64>,
    threads: usize,
) -> Tuning {
    let unbounded = std::iter::once(f64::INFINITY);
    let thresholds: Vec<f64> = quantiles.iter().copied().chain(unbounded.clone()).collect();
    let shrinkages: Vec<f64> = quantiles.iter().map(|q| q * q).chain(unbounded).collect();
    let empty = vec![Errors::default(); thresholds.len() + shrinkages.len()];
    let parts = run(rows.chunks(PIECE), threads, |piece| {
        let mut errors = empty.clone();
        for row in piece {
            let (by_threshold, by_shrinkage) = errors.split_at_mut(thresholds.len());
            for (errors, &threshold) in by_threshold.iter_mut().zip(&thresholds) {
                errors.add(row, if row.weight <= threshold { row.weight } else { 0.0 });
            }
            for (errors, &shrinkage) in by_shrinkage.iter_mut().zip(&shrinkages) {
                errors.add(row, shrink(row.weight, shrinkage));
            }
        }
        errors
    });
    let mut errors = empty;
    for part in parts {
        for (whole, part) in errors.iter_mut().zip(part) {
            whole.sum += part.sum;
            whole.square += part.square;
            whole.bias += part.bias;
        }
    }
    let least = |candidates: &[f64], errors: &[Errors]| {
        let mut best = (f64::INFINITY, f64::INFINITY);
        for (&candidate, errors) in candidates.iter().zip(errors) {
            let error = errors.mean_square(rows.len() as f64);
            if error < best.0 {
                best = (error, candidate);
            }
        }
        best.1
    };
    let (by_threshold, by_shrinkage) = errors.split_at(thresholds.len());
    Tuning {
        switch_threshold: switch_threshold.unwrap_or_else(|| least(&thresholds, by_threshold)),
        shrinkage: shrinkage.unwrap_or_else(|| least(&shrinkages, by_shrinkage)),
    }
}

/// Sums of the scores with changed weights, and of what the change takes away.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    sum: f64,
    square: f64,
    bias: f64,
}

impl Errors {
    fn add(&mut self, row: &Scored, weight: f64) {
        let score = row.direct + weight * row.residual;
        self.sum += score;
        self.square += score * score;
        self.bias += (row.weight - weight) * row.residual;
    }

    fn mean_square(&self, n: f64) -> f64 {
        let variance = (self.square / n - (self.sum / n) * (self.sum / n)).max(0.0);
        variance / n + (self.bias / n) * (self.bias / n)
    }
}

#[cfg(test)]
mod tests;
