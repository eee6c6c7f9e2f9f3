//! Builds the report from weighted rows.

use std::collections::BTreeMap;

use crate::estimator::{self, Estimator, Scored, Sums, Tuning};
use crate::intervals::{self, Interval, LYAPUNOV, Linear, stretch};
use crate::log::BanditLog;
use crate::parallel::{PIECE, run};
use crate::report::{Difference, Estimate, EvaluationReport, Weights, counted};
use crate::score::{Overlap, Weighed};
use crate::sequence::Sequence;
use crate::stabilise::Stabilised;
use crate::{EvaluationOptions, MissingPropensity};

/// What the estimates are made of.
pub(super) struct Measured {
    pub(super) weighed: Weighed,
    pub(super) stabilised: Option<Stabilised>,
    pub(super) sequence: Sequence,
}

pub(super) fn assess(
    log: &BanditLog,
    policy: &str,
    measured: &Measured,
    model_warnings: Vec<String>,
    options: &EvaluationOptions,
) -> EvaluationReport {
    let Measured {
        weighed,
        stabilised,
        sequence,
    } = measured;
    let scored = &weighed.scored;
    let weights = weights_of(scored, weighed.cut, options.max_weight);
    let quantiles: Vec<f64> = weights.quantiles.values().copied().collect();
    let tuning = estimator::tune(
        scored,
        &quantiles,
        options.switch_threshold,
        options.shrinkage,
        options.threads,
    );
    let blocks = blocks_of(scored, stabilised.as_ref(), tuning, options.threads);
    let mut sums = Sums::default();
    for block in &blocks {
        sums.add(block);
    }
    let square: f64 = scored.iter().map(|row| row.weight * row.weight).sum();
    let logged_value = sums.reward / sums.rows;
    let caveats = caveats_of(log, weighed, &sums, square, options);
    let asymptotic = Asymptotic {
        reward_shape: shape_of(scored, options.threads, |row| row.reward - logged_value),
        residual_shape: shape_of(scored, options.threads, |row| row.residual),
        blocks: &blocks,
        sums: &sums,
        logged_value,
        overlap: &weighed.overlap,
        stable_lyapunov: stabilised.as_ref().map(|stabilised| stabilised.lyapunov),
        confidence: options.confidence,
        range: options.reward_range.1 - options.reward_range.0,
        refused: caveats.asymptotic.clone(),
    };
    let estimates = options
        .selected_estimators()
        .iter()
        .map(|&estimator| {
            let mut estimate = Estimate {
                estimator,
                value: estimator.value(&sums),
                intervals: BTreeMap::new(),
                difference: Difference {
                    value: estimator.value(&sums).map(|value| value - logged_value),
                    intervals: BTreeMap::new(),
                },
                settings: settings_of(estimator, tuning),
                caveats: Vec::new(),
            };
            asymptotic.add_to(&mut estimate);
            if estimator == Estimator::Ipw {
                add_guaranteed(&mut estimate, sequence, weighed, &caveats, options);
            }
            estimate
        })
        .collect();
    let mut report = EvaluationReport {
        policy: policy.to_owned(),
        rows: log.rows.len() as u64,
        clicks: log.rows.iter().filter(|row| row.reward > 0.0).count() as u64,
        logged_value,
        confidence: options.confidence,
        estimates,
        model_error: asymptotic.model_error(options),
        effective_sample_size: if square > 0.0 {
            sums.weight * sums.weight / square
        } else {
            0.0
        },
        max_weight: scored.iter().map(|row| row.weight).fold(0.0, f64::max),
        candidate_propensities: weighed.overlap.known,
        weights,
        rejected: log.rejections.clone(),
        assumptions: log.notes.clone(),
        warnings: model_warnings,
    };
    warn(&mut report, &weighed.overlap, square);
    report
}

/// Confidence of the interval that the difference between stabilised and even shares must be in.
const CHANGE: f64 = 0.8;

/// With fewer rows, nothing can be said of any policy.
const FEW_ROWS: u64 = 100;

/// With fewer clicks, a result is no evidence.
const FEW_CLICKS: u64 = 100;

fn warn(report: &mut EvaluationReport, overlap: &Overlap, weight_square: f64) {
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
    if report.rows < FEW_ROWS {
        report.warnings.push(format!(
            "{}: too few to tell policies apart; take a longer log",
            counted(report.rows, "row")
        ));
    } else if report.effective_sample_size < FEW_ROWS as f64 {
        report.warnings.push(format!(
            "an effective sample of {:.1} rows: the policy differs too much from the logging policy",
            report.effective_sample_size
        ));
    }
    let missing = overlap.missing / rows;
    if missing > 1e-6 {
        report.warnings.push(format!(
            "{:.3}% of the policy's choices had no probability in the log: nothing is known about them, and every \
             interval allows for any reward there",
            100.0 * missing
        ));
    }
    let deficit = Deficit::of(rows, report.weights.mean, weight_square, missing);
    if report.weights.limit.is_none() && deficit.deviations > 5.0 {
        report.warnings.push(format!(
            "the mean weight is {:.4} instead of {}: the logged propensities do not describe this log, \
             or arms that the policy chooses were never logged",
            report.weights.mean,
            1.0 - missing
        ));
    }
    if !report.candidate_propensities {
        report.assumptions.push(
            "the log has the propensity of the choice alone, not of every candidate: an arm that was never drawn cannot \
             be noticed, and only the guaranteed interval allows for it"
                .to_owned(),
        );
    }
}

/// How far the mean weight is from its expectation.
struct Deficit {
    /// In standard errors.
    deviations: f64,
}

impl Deficit {
    fn of(rows: f64, mean: f64, square: f64, missing: f64) -> Self {
        let variance = (square / rows - mean * mean).max(0.0);
        let distance = (mean - (1.0 - missing)).abs();
        Self {
            deviations: (distance - 1e-9).max(0.0) / (variance / rows).sqrt().max(1e-12),
        }
    }
}

/// Reasons against whole kinds of intervals.
struct Caveats {
    /// Against every asymptotic interval.
    asymptotic: Option<String>,
    /// Against the guaranteed interval.
    guaranteed: Option<String>,
}

fn caveats_of(
    log: &BanditLog,
    weighed: &Weighed,
    sums: &Sums,
    square: f64,
    options: &EvaluationOptions,
) -> Caveats {
    let estimated = log.without_propensity > 0 && options.missing_propensity == MissingPropensity::Estimate;
    let (least, most) = options.reward_range;
    let outside = log
        .rows
        .iter()
        .find(|row| !(least..=most).contains(&row.reward))
        .map(|row| row.reward);
    let guaranteed = if estimated {
        Some("no guaranteed interval: propensities were estimated".to_owned())
    } else {
        outside.map(|reward| {
            format!(
                "no guaranteed interval: a reward of {reward} is outside the reward range {least} to {most}"
            )
        })
    };
    let missing = weighed.overlap.missing / sums.rows;
    let deficit = Deficit::of(sums.rows, sums.weight / sums.rows, square, missing);
    // Without the candidates' propensities, nothing but the mean weight shows that an arm is missing.
    let most_deviations = if weighed.overlap.known { 5.0 } else { 2.0 };
    let asymptotic = if weighed.cut > 0 {
        Some(
            "no asymptotic interval: weights were cut, so the estimate is not of the policy's value"
                .to_owned(),
        )
    } else if deficit.deviations > most_deviations {
        Some(format!(
            "no asymptotic interval: the mean weight is {:.1} standard errors from what it should be",
            deficit.deviations
        ))
    } else {
        None
    };
    Caveats {
        asymptotic,
        guaranteed,
    }
}

/// Adds the guaranteed intervals, or the reason why there are none.
fn add_guaranteed(
    estimate: &mut Estimate,
    sequence: &Sequence,
    weighed: &Weighed,
    caveats: &Caveats,
    options: &EvaluationOptions,
) {
    if let Some(reason) = &caveats.guaranteed {
        estimate.caveats.push(reason.clone());
        return;
    }
    let known = weighed.overlap.known;
    let (least, most) = options.reward_range;
    let value = sequence.value(known, options.confidence);
    let difference = sequence.difference(known, options.confidence);
    let (Some(value), Some(difference)) = (value, difference) else {
        estimate.caveats.push(
            "no guaranteed interval: no value agrees with the log, so its propensities are wrong".to_owned(),
        );
        return;
    };
    let name = "confidence_sequence";
    estimate.intervals.insert(name, value.scaled(most - least, least));
    estimate
        .difference
        .intervals
        .insert(name, difference.scaled(most - least, 0.0));
    if !known {
        estimate.caveats.push(
            "the guaranteed interval is wider than it could be: the log does not have the propensity of every candidate"
                .to_owned(),
        );
    }
}

/// The asymptotic intervals of all estimators.
struct Asymptotic<'a> {
    /// See [`shape_of`]: of the rewards, and of the reward model's residuals.
    reward_shape: f64,
    residual_shape: f64,
    blocks: &'a [Sums],
    sums: &'a Sums,
    logged_value: f64,
    overlap: &'a Overlap,
    /// The Lyapunov ratio of the stabilised weights.
    stable_lyapunov: Option<f64>,
    confidence: f64,
    /// Largest minus smallest reward.
    range: f64,
    /// Why there are none, for any estimator.
    refused: Option<String>,
}

impl Asymptotic<'_> {
    fn add_to(&self, estimate: &mut Estimate) {
        let estimator = estimate.estimator;
        if estimator == Estimator::StabilisedDr && self.stable_lyapunov.is_none() {
            estimate.caveats.push(
                "no value: the weights are as variable at every time of the log, or it is too short; see dr"
                    .to_owned(),
            );
        }
        let (Some(value), Some(lift)) = (estimate.value, estimate.difference.value) else {
            return;
        };
        if let Some(reason) = estimator.unmeasured() {
            estimate.caveats.push(reason.to_owned());
            return;
        }
        if let Some(reason) = &self.refused {
            estimate.caveats.push(reason.clone());
            return;
        }
        if estimator == Estimator::StabilisedDr
            && let Some(reason) = self.changing(value)
        {
            estimate.caveats.push(reason);
            return;
        }
        let term = |block: &Sums| estimator.term(block, self.sums, value);
        let logged = |block: &Sums| block.reward - self.logged_value * block.rows;
        let own = Linear::of(self.blocks.iter().map(term));
        let paired = Linear::of(self.blocks.iter().map(|block| term(block) - logged(block)));
        let expected = self.expected_lyapunov(estimator);
        for (terms, centre, intervals) in [
            (own, value, &mut estimate.intervals),
            (paired, lift, &mut estimate.difference.intervals),
        ] {
            let ratio = terms.lyapunov().max(expected);
            if ratio > LYAPUNOV {
                let draws = (1.0 / (ratio * ratio)).round();
                let reason = format!(
                    "no asymptotic interval: as few as {draws} draws decide (a Lyapunov ratio of {ratio:.2}, at most \
                     {LYAPUNOV} is usable)"
                );
                if !estimate.caveats.contains(&reason) {
                    estimate.caveats.push(reason);
                }
            } else if let Some(interval) = self.interval(terms, ratio, centre) {
                intervals.insert("asymptotic", interval);
            }
        }
    }

    /// Why a mean with other shares is not the mean over the log: the two estimates differ by more than they would if
    /// the policy's value were the same at every time.
    fn changing(&self, value: f64) -> Option<String> {
        let plain = self.sums.progressive / self.sums.rows;
        let terms = Linear::of(self.blocks.iter().map(|block| {
            Estimator::StabilisedDr.term(block, self.sums, value) - (block.progressive - plain * block.rows)
        }));
        let allowed = terms.half_width(self.sums.rows, CHANGE)?;
        ((value - plain).abs() > allowed).then(|| {
            format!(
                "no interval: the policy's value seems to change along the log, and the shares of its times are not even \
                 (the estimate with even shares is {plain:.6})"
            )
        })
    }

    fn interval(&self, terms: Linear, lyapunov: f64, centre: f64) -> Option<Interval> {
        let half = stretch(lyapunov) * terms.half_width(self.sums.rows, self.confidence)?;
        let interval = Interval {
            low: centre - half,
            high: centre + half,
        };
        // Any reward is possible where the log could not draw what the policy chooses.
        Some(interval.widened(self.range * self.overlap.missing / self.sums.rows))
    }

    /// The Lyapunov ratio that weights and errors have if they are independent. The ratio of the terms themselves does
    /// not see an arm that was not drawn, and this one does.
    fn expected_lyapunov(&self, estimator: Estimator) -> f64 {
        let shape = match estimator {
            Estimator::Dr | Estimator::Sndr | Estimator::StabilisedDr => self.residual_shape,
            _ => self.reward_shape,
        };
        let overlap = match estimator {
            // The weights of replay are 0 and the largest.
            Estimator::Replay => (1.0 / self.sums.accepted.max(1.0)).sqrt(),
            Estimator::StabilisedDr => self.stable_lyapunov.unwrap_or(0.0),
            _ => self.overlap.lyapunov(),
        };
        shape * overlap
    }

    /// The mean error of the reward model under the policy.
    fn model_error(&self, options: &EvaluationOptions) -> Option<Difference> {
        let fitted = options
            .selected_estimators()
            .iter()
            .any(|estimator| estimator.needs_model());
        if !fitted {
            return None;
        }
        let value = -self.sums.correction / self.sums.rows;
        let terms = Linear::of(
            self.blocks
                .iter()
                .map(|block| -block.correction - value * block.rows),
        );
        let ratio = terms.lyapunov().max(self.expected_lyapunov(Estimator::Dr));
        let usable = self.refused.is_none() && ratio <= LYAPUNOV;
        let interval = usable.then(|| self.interval(terms, ratio, value)).flatten();
        Some(Difference {
            value: Some(value),
            intervals: interval
                .map(|interval| ("asymptotic", interval))
                .into_iter()
                .collect(),
        })
    }
}

/// Mean |error|³ / (mean error²)^1.5: 1 for errors of one size, more if few errors are large.
fn shape_of(scored: &[Scored], threads: usize, error: impl Fn(&Scored) -> f64 + Sync) -> f64 {
    let parts = run(scored.chunks(PIECE), threads, |piece| {
        piece.iter().fold((0.0, 0.0), |(square, cube), row| {
            let error = error(row);
            (square + error * error, cube + error * error * error.abs())
        })
    });
    let (square, cube) = parts
        .iter()
        .fold((0.0, 0.0), |sums, part| (sums.0 + part.0, sums.1 + part.1));
    let count = scored.len() as f64;
    if square > 0.0 {
        cube / count / (square / count).powf(1.5)
    } else {
        0.0
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
fn blocks_of(
    scored: &[Scored],
    stabilised: Option<&Stabilised>,
    tuning: Tuning,
    threads: usize,
) -> Vec<Sums> {
    let count = scored.len().min(intervals::BLOCKS);
    let sums_of = |block: usize| {
        let mut sums = Sums::default();
        let rows = block * scored.len() / count..(block + 1) * scored.len() / count;
        for row in &scored[rows.clone()] {
            sums.add_row(row, tuning);
        }
        if let Some(stabilised) = stabilised {
            for row in rows {
                sums.add_stable(stabilised.scores[row], stabilised.share(row));
            }
        }
        sums
    };
    let parts = run((0..count).step_by(256), threads, |first| {
        (first..(first + 256).min(count)).map(sums_of).collect::<Vec<_>>()
    });
    parts.concat()
}

fn settings_of(estimator: Estimator, tuning: Tuning) -> BTreeMap<&'static str, Option<f64>> {
    let finite = |value: f64| value.is_finite().then_some(value);
    match estimator {
        Estimator::SwitchDr => BTreeMap::from([("threshold", finite(tuning.switch_threshold))]),
        Estimator::DrOs => BTreeMap::from([("shrinkage", finite(tuning.shrinkage))]),
        _ => BTreeMap::new(),
    }
}
