//! Computes weights and predictions of rows, on all threads.

use std::ops::Range;

use crate::estimator::Scored;
use crate::folds;
use crate::log::{BanditLog, LogRow, MixMap, Sparse};
use crate::options::RewardModel;
use crate::parallel::{PIECE, on_pieces, run};
use crate::regression::{self, Cell, Design, Link, Model};
use crate::sequence::{Draw, Predictions, Sequence};
use crate::target::TargetPolicy;
use crate::{EvaluateError, EvaluationOptions};
use limbic_bandit::random::{derive, mix};

/// Largest number of probabilities that are computed beforehand for a policy that depends on the context.
const TABLE: usize = 8_000_000;

/// Where the policy's probabilities come from.
enum Source<'a> {
    /// Asked for each situation, with the last answer kept.
    OnDemand(&'a dyn TargetPolicy),
    /// A table of answers, and the index into it by situation.
    Table { answers: Vec<Vec<f64>>, of: Vec<u32> },
    /// One probability per candidate, row after row.
    Rows(Vec<f64>),
}

/// The policy's probabilities for every row.
pub(super) struct Probabilities<'a> {
    name: String,
    log: &'a BanditLog,
    source: Source<'a>,
    /// Number of candidates in all rows before each piece; empty if nothing is stored by row and candidate.
    before_piece: Vec<usize>,
}

impl<'a> Probabilities<'a> {
    pub(super) fn new(log: &'a BanditLog, policy: &'a dyn TargetPolicy, threads: usize) -> Self {
        let values: usize = log
            .situations
            .iter()
            .map(|situation| log.sets[situation.set as usize].len())
            .sum();
        let ask = |situation| {
            let mut probabilities = Vec::new();
            policy.probabilities(log, situation, &mut probabilities);
            probabilities
        };
        let source = if !policy.looks_at_context() {
            let mut known: MixMap<(u32, u32), u32> = MixMap::default();
            let mut answers = Vec::new();
            let of = log.situations.iter().map(|situation| {
                *known
                    .entry((situation.set, situation.position))
                    .or_insert_with(|| {
                        answers.push(ask(*situation));
                        answers.len() as u32 - 1
                    })
            });
            let of = of.collect();
            Source::Table { answers, of }
        } else if values <= TABLE {
            Source::Table {
                answers: run(log.situations.iter(), threads, |situation| ask(*situation)),
                of: (0..log.situations.len() as u32).collect(),
            }
        } else {
            Source::OnDemand(policy)
        };
        Self::with(log, policy.name(), source)
    }

    /// From one probability per candidate, row after row.
    pub(super) fn by_row(log: &'a BanditLog, name: &str, values: Vec<f64>) -> Self {
        Self::with(log, name, Source::Rows(values))
    }

    fn with(log: &'a BanditLog, name: &str, source: Source<'a>) -> Self {
        let by_candidate = matches!(source, Source::Rows(_)) || log.candidate_propensities().is_some();
        let mut before_piece = Vec::new();
        if by_candidate {
            let mut candidates = 0;
            for piece in log.rows.chunks(PIECE) {
                before_piece.push(candidates);
                candidates += piece
                    .iter()
                    .map(|row| candidates_of(log, row).len())
                    .sum::<usize>();
            }
        }
        Self {
            name: name.to_owned(),
            log,
            source,
            before_piece,
        }
    }

    /// Name of the policy.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Calls `with` for each row of a range that begins with a piece: its index, the policy's probability of each
    /// candidate, and the logged propensity of each candidate (none if the log does not have them).
    pub(super) fn for_rows(&self, range: Range<usize>, mut with: impl FnMut(usize, &LogRow, &[f64], &[f32])) {
        debug_assert!(range.start.is_multiple_of(PIECE));
        let propensities = self.log.candidate_propensities().unwrap_or(&[]);
        let mut place = self.before_piece.get(range.start / PIECE).copied().unwrap_or(0);
        let mut asked = None;
        let mut answer = Vec::new();
        for index in range {
            let row = &self.log.rows[index];
            let places = place..place + candidates_of(self.log, row).len();
            place = places.end;
            let probabilities = match &self.source {
                Source::Rows(values) => &values[places.clone()],
                Source::Table { answers, of } => answers[of[row.situation as usize] as usize].as_slice(),
                Source::OnDemand(policy) => {
                    if asked != Some(row.situation) {
                        asked = Some(row.situation);
                        answer.clear();
                        policy.probabilities(self.log, self.log.situation_of(row), &mut answer);
                    }
                    answer.as_slice()
                }
            };
            let propensities = propensities.get(places).unwrap_or(&[]);
            with(index, row, probabilities, propensities);
        }
    }
}

fn candidates_of<'a>(log: &'a BanditLog, row: &LogRow) -> &'a [u32] {
    &log.sets[log.situation_of(row).set as usize]
}

/// Index of `arm` in `set`.
pub(super) fn index_in(set: &[u32], arm: u32) -> Option<usize> {
    if set.get(arm as usize) == Some(&arm) {
        Some(arm as usize)
    } else {
        set.iter().position(|&candidate| candidate == arm)
    }
}

/// What the weights could have been: expectations over the logging policy's choice. If the log does not have the
/// propensities of all candidates, they are means over the choices that were made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Overlap {
    /// Whether the log has the propensities of all candidates.
    pub(super) known: bool,
    /// Sum of the expected squares of the weights.
    pub(super) square: f64,
    /// Sum of the expected cubes.
    pub(super) cube: f64,
    /// Sum of the policy's probabilities of candidates that had none in the log.
    pub(super) missing: f64,
    /// The largest weight that a row could have had.
    pub(super) largest: f64,
}

impl Overlap {
    pub(super) fn add(&mut self, weight: f64, probabilities: &[f64], propensities: &[f32]) {
        self.largest = self.largest.max(weight);
        if propensities.is_empty() {
            self.square += weight * weight;
            self.cube += weight * weight * weight;
            return;
        }
        for (p, q) in probabilities.iter().zip(propensities) {
            let q = f64::from(*q);
            if q > 0.0 {
                let ratio = p / q;
                self.square += p * ratio;
                self.cube += p * ratio * ratio;
                self.largest = self.largest.max(ratio);
            } else {
                self.missing += p;
            }
        }
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.square += other.square;
        self.cube += other.cube;
        self.missing += other.missing;
        self.largest = self.largest.max(other.largest);
    }

    /// Σ E w³ / (Σ E w²)^1.5: the Lyapunov ratio of the weights, before anything was drawn.
    pub(super) fn lyapunov(&self) -> f64 {
        if self.square > 0.0 {
            self.cube / self.square.powf(1.5)
        } else {
            0.0
        }
    }
}

/// The rows with their weights.
pub(super) struct Weighed {
    pub(super) scored: Vec<Scored>,
    /// Number of weights that were cut at the limit.
    pub(super) cut: u64,
    pub(super) overlap: Overlap,
}

/// The weight of every row, cut at the limit, and which rows `replay` accepts.
pub(super) fn weigh(
    log: &BanditLog,
    probabilities: &Probabilities<'_>,
    options: &EvaluationOptions,
) -> Result<Weighed, EvaluateError> {
    let empty = Scored {
        weight: 0.0,
        reward: 0.0,
        direct: 0.0,
        residual: 0.0,
        accepted: false,
    };
    let mut scored = vec![empty; log.rows.len()];
    let parts = on_pieces(&mut scored, options.threads, |first, piece| {
        let mut overlap = Overlap::default();
        probabilities.for_rows(first..first + piece.len(), |index, row, policy, logged| {
            let place = index_in(candidates_of(log, row), row.arm);
            // NaN marks an arm outside its own candidate set: an error below.
            let probability = place.and_then(|place| policy.get(place)).map_or(f64::NAN, |p| *p);
            let score = &mut piece[index - first];
            score.weight = probability / row.propensity;
            score.reward = row.reward;
            overlap.add(score.weight, policy, logged);
        });
        overlap
    });
    let mut overlap = Overlap {
        known: log.candidate_propensities().is_some(),
        ..Overlap::default()
    };
    for part in &parts {
        overlap.absorb(part);
    }
    let cut = settle(log, probabilities.name(), &mut scored, overlap.largest, options)?;
    Ok(Weighed { scored, cut, overlap })
}

/// Returns an error for an invalid weight, cuts weights beyond the limit and counts them, and draws which rows
/// `replay` accepts: with the probability weight / `largest`.
fn settle(
    log: &BanditLog,
    policy: &str,
    scored: &mut [Scored],
    largest: f64,
    options: &EvaluationOptions,
) -> Result<u64, EvaluateError> {
    let mut cut = 0;
    let limit = options.max_weight.unwrap_or(f64::INFINITY);
    let largest = largest.min(limit);
    let seed = derive(options.seed, ACCEPTANCE);
    for (index, score) in scored.iter_mut().enumerate() {
        if !score.weight.is_finite() || score.weight < 0.0 {
            let arm = &log.arms[log.rows[index].arm as usize];
            let reason = format!(
                "row {}: the logged arm `{arm}` has no probability under it",
                index + 1
            );
            return Err(EvaluateError::policy(policy, reason));
        }
        if score.weight > limit {
            score.weight = limit;
            cut += 1;
        }
        let unit = (mix(seed ^ mix(index as u64)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0);
        score.accepted = unit * largest < score.weight;
    }
    Ok(cut)
}

/// The sums of the guaranteed interval. Weights are never cut here.
pub(super) fn sequence(
    log: &BanditLog,
    probabilities: &Probabilities<'_>,
    scored: &[Scored],
    options: &EvaluationOptions,
) -> Sequence {
    let (least, most) = options.reward_range;
    let scale = |reward: f64| (reward - least) / (most - least);
    let predictions = Predictions::new(scored.iter().map(|row| (row.weight, scale(row.reward))));
    let starts = (0..log.rows.len()).step_by(PIECE);
    let parts = run(starts, options.threads, |first| {
        let mut part = Sequence::default();
        let range = first..(first + PIECE).min(log.rows.len());
        probabilities.for_rows(range, |index, row, policy, logged| {
            let place = index_in(candidates_of(log, row), row.arm);
            let probability = place.and_then(|place| policy.get(place)).map_or(0.0, |p| *p);
            part.add(&Draw {
                weight: probability / row.propensity,
                reward: scale(row.reward),
                probabilities: policy,
                propensities: logged,
                predicted: predictions.of(index),
            });
        });
        part
    });
    let mut whole = Sequence::default();
    for part in &parts {
        whole.absorb(part);
    }
    whole
}

/// The stream of the seed that decides which rows `replay` accepts.
const ACCEPTANCE: u64 = 0x7265_706c_6179;

/// The reward model: one regression per part and position. Each part is predicted by a model of other parts.
pub(super) struct Predictor {
    part_of: Vec<u8>,
    parts: usize,
    /// `[position * parts + part]`.
    models: Vec<Model>,
    /// Warnings about the models, for the report.
    pub(super) warnings: Vec<String>,
}

/// Rows of the first stage of a progressive model. Each following stage is as long as all before it.
const FIRST_STAGE: usize = 128;

impl Predictor {
    /// Cross-fitted: the rows of a fold are predicted by a model of the other folds.
    pub(super) fn fit(log: &BanditLog, options: &EvaluationOptions) -> Self {
        let folds = if options.folds < 2 || log.rows.len() < options.folds {
            1
        } else {
            options.folds
        };
        let part_of = folds::shuffled(log.rows.len(), folds, options.seed as u32);
        let mut predictor = Self::fit_parts(log, options, part_of, folds, |other, fold| {
            other != fold || folds == 1
        });
        let models = &predictor.models;
        let constant = models.iter().filter(|model| model.is_constant()).count();
        if constant > 0 {
            predictor.warnings.push(format!(
                "{constant} of {} reward models were fitted on a single kind of outcome and always predict it",
                models.len()
            ));
        }
        if folds == 1 {
            predictor.warnings.push(
                "the reward model was fitted on the rows that it predicts (no cross-fitting)".to_owned(),
            );
        }
        predictor
    }

    /// Fitted along the log: each row is predicted by a model of earlier rows. Nothing is known for the first rows.
    pub(super) fn fit_progressively(log: &BanditLog, options: &EvaluationOptions) -> Self {
        let part_of: Vec<u8> = (0..log.rows.len())
            .map(|row| {
                (row / FIRST_STAGE)
                    .checked_ilog2()
                    .map_or(0, |stage| stage as u8 + 1)
            })
            .collect();
        let stages = usize::from(part_of.last().copied().unwrap_or(0)) + 1;
        Self::fit_parts(log, options, part_of, stages, |other, stage| other < stage)
    }

    fn fit_parts(
        log: &BanditLog,
        options: &EvaluationOptions,
        part_of: Vec<u8>,
        parts: usize,
        trains: impl Fn(usize, usize) -> bool + Sync,
    ) -> Self {
        let link = if log.rows.iter().all(|row| (0.0..=1.0).contains(&row.reward)) {
            Link::Logit
        } else {
            Link::Identity
        };
        let (arms, arm_features) = arm_features(log);
        let design = Design {
            contexts: &log.contexts,
            arms: &arms,
            context_features: log.feature_names.len(),
            arm_features,
        };
        let cells = Cells::gather(log, &part_of, parts);
        let interactions = options.reward_model == RewardModel::Interactions;
        let models = run(0..log.positions * parts, options.threads, |index| {
            let (position, part) = (index / parts, index % parts);
            let cells = cells.training(position as u32, |other| trains(other, part));
            let mut model = regression::fit(design, &cells, link);
            if interactions {
                regression::interact(&mut model, design, &cells);
            }
            model
        });
        let mut warnings = Vec::new();
        if interactions && (design.context_features + 1) * arms.len() > regression::MOST_INTERACTIONS {
            warnings.push(format!(
                "the reward model has no interactions: {} arms times {} features of the context are too many",
                arms.len(),
                design.context_features
            ));
        }
        Self {
            part_of,
            parts,
            models,
            warnings,
        }
    }

    fn part_of(&self, row: usize) -> usize {
        usize::from(self.part_of[row])
    }

    /// Adds predictions to rows: the mean under the policy, and the residual of the logged arm.
    pub(super) fn predict(
        &self,
        log: &BanditLog,
        probabilities: &Probabilities<'_>,
        scored: &mut [Scored],
        threads: usize,
    ) {
        self.predict_into(
            log,
            probabilities,
            scored,
            threads,
            |score, _, direct, residual| {
                score.direct = direct;
                score.residual = residual;
            },
        );
    }

    /// Gives `write` the mean under the policy and the residual of the logged arm, for each row.
    pub(super) fn predict_into<T: Send>(
        &self,
        log: &BanditLog,
        probabilities: &Probabilities<'_>,
        items: &mut [T],
        threads: usize,
        write: impl Fn(&mut T, usize, f64, f64) + Sync,
    ) {
        let model_of = |situation: u32, part: usize| {
            let position = log.situations[situation as usize].position as usize;
            &self.models[position * self.parts + part]
        };
        let context_of = |situation: u32| &log.contexts[log.situations[situation as usize].context as usize];
        let mean_of = |situation: u32, part: usize, probabilities: &[f64]| -> f64 {
            let (model, context) = (model_of(situation, part), context_of(situation));
            let score = model.context_score(context);
            let set = &log.sets[log.situations[situation as usize].set as usize];
            set.iter()
                .zip(probabilities)
                .map(|(&arm, probability)| probability * model.predict(context, score, arm))
                .sum()
        };
        // The mean under the policy, once for each combination of situation and part, if it depends on nothing else.
        let mut means = Vec::new();
        if let Source::Table { answers, of } = &probabilities.source {
            means = vec![f64::NAN; log.situations.len() * self.parts];
            for (row, &part) in log.rows.iter().zip(&self.part_of) {
                means[row.situation as usize * self.parts + usize::from(part)] = 0.0;
            }
            on_pieces(&mut means, threads, |first, piece| {
                for (index, mean) in (first..).zip(piece).filter(|(_, mean)| !mean.is_nan()) {
                    let (situation, part) = ((index / self.parts) as u32, index % self.parts);
                    *mean = mean_of(situation, part, &answers[of[situation as usize] as usize]);
                }
            });
        }
        on_pieces(items, threads, |first, piece| {
            probabilities.for_rows(first..first + piece.len(), |index, row, policy, _| {
                let part = self.part_of(index);
                let (model, context) = (model_of(row.situation, part), context_of(row.situation));
                let fitted = model.predict(context, model.context_score(context), row.arm);
                let direct = means
                    .get(row.situation as usize * self.parts + part)
                    .copied()
                    .unwrap_or_else(|| mean_of(row.situation, part, policy));
                write(&mut piece[index - first], index, direct, row.reward - fitted);
            });
        });
    }
}

/// The features of each arm or, without features, an indicator of the arm.
fn arm_features(log: &BanditLog) -> (Vec<Sparse>, usize) {
    if log.arm_feature_names.is_empty() {
        let one_hot = (0..log.arms.len() as u32).map(|arm| vec![(arm, 1.0)]);
        (one_hot.collect(), log.arms.len())
    } else {
        (log.arm_features.clone(), log.arm_feature_names.len())
    }
}

/// Rows grouped by position, context and arm, with a count and a sum of rewards for each part.
struct Cells {
    parts: usize,
    /// Position, context, arm; sorted.
    keys: Vec<(u32, u32, u32)>,
    /// Number of rows and sum of rewards, per key and part.
    sums: Vec<(f64, f64)>,
}

impl Cells {
    fn gather(log: &BanditLog, part_of: &[u8], parts: usize) -> Self {
        let mut known: MixMap<(u32, u32), u32> = MixMap::default();
        let mut keys = Vec::new();
        let mut sums: Vec<(f64, f64)> = Vec::new();
        // Situations also differ by candidate set, so two of them may have the same key. `training` accepts this.
        for (row, &part) in log.rows.iter().zip(part_of) {
            let cell = *known.entry((row.situation, row.arm)).or_insert_with(|| {
                let situation = log.situations[row.situation as usize];
                keys.push((situation.position, situation.context, row.arm));
                sums.resize(keys.len() * parts, (0.0, 0.0));
                keys.len() as u32 - 1
            });
            let sum = &mut sums[cell as usize * parts + usize::from(part)];
            sum.0 += 1.0;
            sum.1 += row.reward;
        }
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by_key(|&cell| keys[cell as usize]);
        Self {
            parts,
            sums: order
                .iter()
                .flat_map(|&cell| &sums[cell as usize * parts..(cell as usize + 1) * parts])
                .copied()
                .collect(),
            keys: order.iter().map(|&cell| keys[cell as usize]).collect(),
        }
    }

    /// The cells of a position, with the rows of the parts for which `trains` is true.
    fn training(&self, position: u32, trains: impl Fn(usize) -> bool) -> Vec<Cell> {
        let begin = self.keys.partition_point(|key| key.0 < position);
        let end = self.keys.partition_point(|key| key.0 <= position);
        (begin..end)
            .filter_map(|index| {
                let (_, context, arm) = self.keys[index];
                let mut cell = Cell {
                    context,
                    arm,
                    rows: 0.0,
                    reward: 0.0,
                };
                for other in (0..self.parts).filter(|&other| trains(other)) {
                    let (rows, reward) = self.sums[index * self.parts + other];
                    cell.rows += rows;
                    cell.reward += reward;
                }
                (cell.rows > 0.0).then_some(cell)
            })
            .collect()
    }
}
