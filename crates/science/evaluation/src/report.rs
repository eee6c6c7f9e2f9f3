//! The report of an evaluation, as data and as an aligned table.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::estimator::Estimator;
use crate::intervals::Interval;
use crate::log::RejectedRows;

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// Name of the evaluated policy.
    pub policy: String,
    /// Number of rows.
    pub rows: u64,
    /// Number of rows with a reward above 0.
    pub clicks: u64,
    /// Mean reward in the log: the value of the logging policy.
    pub logged_value: f64,
    /// Probability with which each single interval is correct.
    pub confidence: f64,
    /// Estimates of the policy's value.
    pub estimates: Vec<Estimate>,
    /// (Σ w)² / Σ w²: the number of rows of the policy's own log with as much information.
    pub effective_sample_size: f64,
    /// Largest weight, after cutting.
    pub max_weight: f64,
    /// Distribution of the weights.
    pub weights: Weights,
    /// The rows that could not be used.
    pub rejected: RejectedRows,
    /// Assumptions of the evaluation.
    pub assumptions: Vec<String>,
    /// Reasons not to rely on the numbers.
    pub warnings: Vec<String>,
}

/// The result of one estimator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimator.
    pub estimator: Estimator,
    /// The estimated value; `None` if no row was accepted, or none has a weight.
    pub value: Option<f64>,
    /// Intervals by method: `bootstrap`, `empirical_bernstein`, `confidence_sequence`.
    pub intervals: BTreeMap<&'static str, Interval>,
    /// Settings of the estimator; `null` is infinity, which gives the plain doubly robust estimator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<&'static str, Option<f64>>,
}

/// Distribution of the weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weights {
    /// Mean weight: about 1 if the logged propensities are right.
    pub mean: f64,
    /// Quantiles of the weights, by name (`0.5`, `0.9`, ...).
    pub quantiles: BTreeMap<&'static str, f64>,
    /// Largest allowed weight; absent if weights were not cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Fraction of the rows whose weight was cut.
    pub clipped_share: f64,
}

impl EvaluationReport {
    /// The result of one estimator; `None` if it was not selected.
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

/// The report as a table with aligned columns.
impl fmt::Display for EvaluationReport {
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
                "the intervals of dm, switch-dr and dr-os do not cover the error of their reward model"
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
