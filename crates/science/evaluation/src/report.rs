//! What an evaluation found, as data and as an aligned table.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::estimator::Estimator;
use crate::intervals::Interval;
use crate::log::Rejections;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The policy that was evaluated.
    pub policy: String,
    /// How many rows it was evaluated on.
    pub rows: u64,
    /// How many of them brought a reward above 0.
    pub clicks: u64,
    /// The mean reward in the log: the value of the policy that wrote it.
    pub logged_value: f64,
    /// The probability with which each interval holds, on its own.
    pub confidence: f64,
    /// The estimates of the policy's value.
    pub estimates: Vec<Estimate>,
    /// (Σ w)² / Σ w²: as many rows of the policy's own would say as much.
    pub effective_sample_size: f64,
    /// The largest weight, after cutting.
    pub max_weight: f64,
    /// How the weights are spread.
    pub weights: Weights,
    /// Rows that could not be used.
    pub rejected: Rejections,
    /// What had to be assumed.
    pub assumptions: Vec<String>,
    /// What a reader must know before believing the numbers.
    pub warnings: Vec<String>,
}

/// One estimator's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Which estimator.
    pub estimator: Estimator,
    /// The policy's value by it; none where no row says anything (nothing accepted, no weight).
    pub value: Option<f64>,
    /// By the method's name: `bootstrap`, `empirical_bernstein`, `confidence_sequence`.
    pub intervals: BTreeMap<&'static str, Interval>,
    /// The estimator's settings; `null` is infinity, which makes it the plain doubly robust one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<&'static str, Option<f64>>,
}

/// How the weights are spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weights {
    /// Their mean: 1 when the logged propensities are right, up to chance.
    pub mean: f64,
    /// Quantiles of the weights, by name (`0.5`, `0.9`, ...).
    pub quantiles: BTreeMap<&'static str, f64>,
    /// Where they were cut, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// The share of the rows whose weight was cut.
    pub clipped_share: f64,
}

impl Report {
    /// The answer of one estimator, if it was asked.
    pub fn estimate(&self, estimator: Estimator) -> Option<&Estimate> {
        self.estimates
            .iter()
            .find(|estimate| estimate.estimator == estimator)
    }
}

/// `1 click`, `2 clicks`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"))
}

fn range(interval: Option<&Interval>) -> String {
    interval.map_or_else(
        || "-".to_owned(),
        |Interval { low, high }| format!("{low:.6} .. {high:.6}"),
    )
}

/// The table for a person.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.confidence;
        writeln!(
            f,
            "policy {}: {}, {}, logged value {:.6}",
            self.policy,
            counted(self.rows, "row"),
            counted(self.clicks, "click"),
            self.logged_value
        )?;
        writeln!(f)?;
        let heading = format!("bootstrap {percent}%");
        writeln!(
            f,
            "{:<10} {:>10}  {:<22}  {:<22}  confidence sequence",
            "estimator", "value", heading, "empirical Bernstein"
        )?;
        for estimate in &self.estimates {
            let interval = |name| range(estimate.intervals.get(name));
            let line = format!(
                "{:<10} {:>10}  {:<22}  {:<22}  {:<22}",
                estimate.estimator,
                cell(estimate.value),
                interval("bootstrap"),
                interval("empirical_bernstein"),
                interval("confidence_sequence"),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f)?;
        let quantiles: Vec<String> = self
            .weights
            .quantiles
            .iter()
            .map(|(name, value)| format!("{name}: {value:.3}"))
            .collect();
        writeln!(
            f,
            "effective sample size {:.1} ({:.1}% of the rows); weights: mean {:.4}, max {:.3}, {}",
            self.effective_sample_size,
            100.0 * self.effective_sample_size / self.rows as f64,
            self.weights.mean,
            self.max_weight,
            quantiles.join(", ")
        )?;
        if let Some(limit) = self.weights.limit {
            writeln!(
                f,
                "weights cut at {limit}: {:.3}% of the rows",
                100.0 * self.weights.clipped_share
            )?;
        }
        if self.rejected.rows > 0 {
            writeln!(f, "rejected: {}", counted(self.rejected.rows, "row"))?;
            for (reason, count) in &self.rejected.reasons {
                writeln!(f, "  {count} × {reason}")?;
            }
            for example in self.rejected.examples.iter().take(5) {
                writeln!(f, "  line {}: {}", example.line, example.reason)?;
            }
        }
        let biased = [Estimator::Dm, Estimator::SwitchDr, Estimator::DrOs];
        if biased.iter().any(|&estimator| self.estimate(estimator).is_some()) {
            writeln!(
                f,
                "the intervals of dm, switch-dr and dr-os do not cover the error of their model of rewards"
            )?;
        }
        for assumption in &self.assumptions {
            writeln!(f, "assumed: {assumption}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
