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
    /// The mean error of the reward model's predictions under the policy: `dm` minus `dr`, with its interval. `None` if
    /// no estimator used a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_error: Option<Difference>,
    /// (Σ w)² / Σ w²: the number of rows of the policy's own log with as much information.
    pub effective_sample_size: f64,
    /// Largest weight, after cutting.
    pub max_weight: f64,
    /// Whether the log has the propensity of every candidate of every row.
    pub candidate_propensities: bool,
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
    /// Intervals by method: `asymptotic` and, for `ipw`, the guaranteed `confidence_sequence`. An interval whose
    /// coverage cannot be relied on is absent, and a caveat says why.
    pub intervals: BTreeMap<&'static str, Interval>,
    /// Difference to the logged value, on the same rows.
    pub difference: Difference,
    /// Settings of the estimator; `null` is infinity, which gives the plain doubly robust estimator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<&'static str, Option<f64>>,
    /// Why intervals are missing, and what those that are given assume.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
}

/// A difference with its intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The difference; `None` if the estimate has no value.
    pub value: Option<f64>,
    /// Intervals by method, as for the value.
    pub intervals: BTreeMap<&'static str, Interval>,
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

impl EvaluationReport {
    /// Each caveat once, with the estimators that it is about, in the order of the report.
    fn caveats(&self) -> Vec<(&str, Vec<&'static str>)> {
        let mut found: Vec<(&str, Vec<&'static str>)> = Vec::new();
        for estimate in &self.estimates {
            for caveat in &estimate.caveats {
                let name = estimate.estimator.name();
                match found.iter_mut().find(|(known, _)| known == caveat) {
                    Some((_, estimators)) => estimators.push(name),
                    None => found.push((caveat, vec![name])),
                }
            }
        }
        found
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
        let heading = format!("asymptotic {percent}%");
        writeln!(
            f,
            "{:<13} {:>10}  {:<22}  {:>10}  {:<22}",
            "estimator", "value", heading, "- logged", heading
        )?;
        for estimate in &self.estimates {
            let line = format!(
                "{:<13} {:>10}  {:<22}  {:>10}  {:<22}",
                estimate.estimator,
                cell(estimate.value),
                range(estimate.intervals.get("asymptotic")),
                cell(estimate.difference.value),
                range(estimate.difference.intervals.get("asymptotic")),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        for estimate in &self.estimates {
            let of_value = estimate.intervals.get("confidence_sequence");
            let of_difference = estimate.difference.intervals.get("confidence_sequence");
            if of_value.is_some() || of_difference.is_some() {
                writeln!(
                    f,
                    "guaranteed {percent}% for any number of rows: value {}, - logged {}",
                    range(of_value),
                    range(of_difference)
                )?;
            }
        }
        if let Some(error) = &self.model_error {
            writeln!(
                f,
                "reward model: error {} under the policy, {percent}% {}",
                cell(error.value),
                range(error.intervals.get("asymptotic"))
            )?;
        }
        for (caveat, estimators) in self.caveats() {
            writeln!(f, "{}: {caveat}", estimators.join(", "))?;
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
        for assumption in &self.assumptions {
            writeln!(f, "assumed: {assumption}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
