//! Builds the report from weighted rows.

use std::collections::BTreeMap;

use crate::EvaluationOptions;
use crate::estimator::{self, Estimator, Scored, Sums, Tuning};
use crate::intervals::{self, ConfidenceSequence, Interval, Moments};
use crate::log::BanditLog;
use crate::report::{Estimate, EvaluationReport, Weights, counted};
use crate::score::Predictor;

/// Rows with their weights and predictions.
pub(super) struct WeightedRows {
    pub(super) scored: Vec<Scored>,
    /// Number of weights that were cut.
    pub(super) cut: u64,
    /// Upper bound of the policy's probabilities.
    pub(super) largest_probability: f64,
}

pub(super) fn assess(
    log: &BanditLog,
    policy: &str,
    weighted: &WeightedRows,
    predictor: Option<Predictor>,
    options: &EvaluationOptions,
) -> EvaluationReport {
    let scored = &weighted.scored;
    let estimators = options.selected_estimators();
    let weights = weights_of(scored, weighted.cut, options.max_weight);
    let quantiles: Vec<f64> = weights.quantiles.values().copied().collect();
    let tuning = estimator::tune(scored, &quantiles, options.switch_threshold, options.shrinkage);
    let blocks = blocks_of(scored, tuning);
    let mut sums = Sums::default();
    for block in &blocks {
        sums.add(block);
    }
    let guaranteed = Guaranteed::of(log, weighted, predictor.as_ref(), options);
    let bootstrapped = intervals::bootstrap(
        &blocks,
        estimators,
        options.bootstrap_samples,
        options.seed,
        options.confidence,
        options.threads,
    );
    let estimates = estimators
        .iter()
        .zip(bootstrapped)
        .map(|(&estimator, bootstrap)| {
            let mut intervals = guaranteed.of_estimator(estimator);
            intervals.extend(bootstrap.map(|interval| ("bootstrap", interval)));
            Estimate {
                estimator,
                value: estimator.value(&sums),
                intervals,
                settings: settings_of(estimator, tuning),
            }
        })
        .collect();
    let clicks = log.rows.iter().filter(|row| row.reward > 0.0).count() as u64;
    let square: f64 = scored.iter().map(|row| row.weight * row.weight).sum();
    let mut report = EvaluationReport {
        policy: policy.to_owned(),
        rows: log.rows.len() as u64,
        clicks,
        logged_value: log.rows.iter().map(|row| row.reward).sum::<f64>() / sums.rows,
        confidence: options.confidence,
        estimates,
        effective_sample_size: if square > 0.0 {
            sums.weight * sums.weight / square
        } else {
            0.0
        },
        max_weight: scored.iter().map(|row| row.weight).fold(0.0, f64::max),
        weights,
        rejected: log.rejections.clone(),
        assumptions: log.notes.clone(),
        warnings: predictor.map(|predictor| predictor.warnings).unwrap_or_default(),
    };
    warn(&mut report, square);
    report
}

/// With fewer clicks, a result is no evidence.
const FEW_CLICKS: u64 = 100;

fn warn(report: &mut EvaluationReport, weight_square: f64) {
    let rows = report.rows as f64;
    if report.clicks < FEW_CLICKS {
        let clicks = report.clicks;
        report.warnings.insert(
            0,
            format!(
                "{}: this is enough to check arithmetic, but not evidence of lift",
                counted(clicks, "click")
            ),
        );
    }
    if report.effective_sample_size < 100.0 {
        report.warnings.push(format!(
            "an effective sample of {:.1} rows: the policy differs too much from the logging policy",
            report.effective_sample_size
        ));
    }
    // The expected weight is 1. Five standard errors away from it, the logged propensities are probably wrong.
    let mean = report.weights.mean;
    let variance = (weight_square / rows - mean * mean).max(0.0);
    if report.weights.limit.is_none() && (mean - 1.0).abs() > 5.0 * (variance / rows).sqrt() + 1e-9 {
        report.warnings.push(format!(
            "the mean weight is {mean:.4} instead of 1: the logged propensities do not describe this log, \
             or arms that the policy chooses were never logged"
        ));
    }
}

const QUANTILES: [(&str, f64); 5] = [
    ("0.5", 0.5),
    ("0.9", 0.9),
    ("0.99", 0.99),
    ("0.999", 0.999),
    ("1", 1.0),
];

fn weights_of(scored: &[Scored], cut: u64, limit: Option<f64>) -> Weights {
    let mut sorted: Vec<f64> = scored.iter().map(|row| row.weight).collect();
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let mut quantiles = BTreeMap::new();
    let mut rest = sorted.as_mut_slice();
    let mut passed = 0;
    let last = scored.len() - 1;
    for (name, q) in QUANTILES {
        let at = ((q * last as f64).round() as usize).max(passed);
        let (_, value, above) = rest.select_nth_unstable_by(at - passed, f64::total_cmp);
        quantiles.insert(name, *value);
        if above.is_empty() {
            for (name, _) in QUANTILES {
                quantiles.entry(name).or_insert(*value);
            }
            break;
        }
        (rest, passed) = (above, at + 1);
    }
    Weights {
        mean,
        quantiles,
        limit,
        clipped_share: cut as f64 / scored.len() as f64,
    }
}

/// Sums over at most [`intervals::BLOCKS`] blocks of consecutive rows.
fn blocks_of(scored: &[Scored], tuning: Tuning) -> Vec<Sums> {
    let count = scored.len().min(intervals::BLOCKS);
    (0..count)
        .map(|block| {
            let mut sums = Sums::default();
            for row in &scored[block * scored.len() / count..(block + 1) * scored.len() / count] {
                sums.add_row(row, tuning);
            }
            sums
        })
        .collect()
}

fn settings_of(estimator: Estimator, tuning: Tuning) -> BTreeMap<&'static str, Option<f64>> {
    let finite = |value: f64| value.is_finite().then_some(value);
    match estimator {
        Estimator::SwitchDr => BTreeMap::from([("threshold", finite(tuning.switch_threshold))]),
        Estimator::DrOs => BTreeMap::from([("shrinkage", finite(tuning.shrinkage))]),
        _ => BTreeMap::new(),
    }
}

/// Intervals that are valid for every number of rows, for the estimators that are unbiased and bounded.
struct Guaranteed {
    by_estimator: Vec<(Estimator, &'static str, Interval)>,
}

impl Guaranteed {
    fn of(
        log: &BanditLog,
        weighted: &WeightedRows,
        predictor: Option<&Predictor>,
        options: &EvaluationOptions,
    ) -> Self {
        let scored = &weighted.scored;
        let delta = 1.0 - options.confidence;
        let (least, most) = options.reward_range;
        let whole = Interval {
            low: least,
            high: most,
        };
        let least_propensity = log.rows.iter().map(|row| row.propensity).fold(1.0, f64::min);
        // Upper bound of any weight, for every logged arm. If weights are cut, it bounds the mean of the cut
        // estimator.
        let bound = (weighted.largest_probability / least_propensity)
            .min(options.max_weight.unwrap_or(f64::INFINITY));
        let mut by_estimator = Vec::new();
        let mut add = |estimator, method, interval: Option<Interval>| {
            by_estimator.extend(interval.map(|found| (estimator, method, found.intersect(whole))));
        };

        let (low, high) = (least.min(0.0) * bound, most.max(0.0) * bound);
        let mut products = Moments::default();
        let mut accepted = Moments::default();
        let mut product_sequence = ConfidenceSequence::new(low, high, delta);
        let mut accepted_sequence = ConfidenceSequence::new(least, most, delta);
        for row in scored {
            let value = row.weight * row.reward;
            products.add(value);
            product_sequence.push(value);
            if row.accepted {
                accepted.add(row.reward);
                accepted_sequence.push(row.reward);
            }
        }
        let bernstein = intervals::empirical_bernstein;
        add(
            Estimator::Ipw,
            "empirical_bernstein",
            bernstein(&products, high - low, delta),
        );
        add(
            Estimator::Ipw,
            "confidence_sequence",
            Some(product_sequence.interval()),
        );
        add(
            Estimator::Replay,
            "empirical_bernstein",
            bernstein(&accepted, most - least, delta),
        );
        if accepted.count > 0.0 {
            add(
                Estimator::Replay,
                "confidence_sequence",
                Some(accepted_sequence.interval()),
            );
        }
        if let Some(predictor) = predictor.filter(|predictor| predictor.folds() > 1 && predictor.is_bounded())
        {
            // Given its model, the scores of a fold are independent and lie in [least, most] ± bound · (most −
            // least).
            let width = (most - least) * (1.0 + 2.0 * bound);
            add(
                Estimator::Dr,
                "empirical_bernstein",
                across_folds(scored, predictor, width, delta),
            );
        }
        Self { by_estimator }
    }

    fn of_estimator(&self, estimator: Estimator) -> BTreeMap<&'static str, Interval> {
        self.by_estimator
            .iter()
            .filter(|(of, ..)| *of == estimator)
            .map(|&(_, method, interval)| (method, interval))
            .collect()
    }
}

/// The average of one Bernstein interval per fold, all of which are valid together.
fn across_folds(scored: &[Scored], predictor: &Predictor, width: f64, delta: f64) -> Option<Interval> {
    let mut folds = vec![Moments::default(); predictor.folds()];
    for (index, row) in scored.iter().enumerate() {
        folds[predictor.fold_of(index)].add(row.direct + row.weight * row.residual);
    }
    let share = delta / folds.len() as f64;
    let mut whole = Interval { low: 0.0, high: 0.0 };
    for moments in &folds {
        let part = intervals::empirical_bernstein(moments, width, share)?;
        let weight = moments.count / scored.len() as f64;
        whole.low += weight * part.low;
        whole.high += weight * part.high;
    }
    Some(whole)
}
