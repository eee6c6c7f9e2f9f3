//! Computes weights and predictions of rows, on all threads.

use crate::estimator::Scored;
use crate::folds;
use crate::log::{BanditLog, LogRow, MixMap, Sparse};
use crate::regression::{self, Cell, Design, Link, Model};
use crate::target::TargetPolicy;
use crate::{EvaluateError, EvaluationOptions};
use limbic_bandit::random::{derive, mix};

/// Caches the probabilities of the last situation, for consecutive rows that share it.
struct Memo<'a> {
    log: &'a BanditLog,
    policy: &'a dyn TargetPolicy,
    key: Option<(u32, u32, u32)>,
    probabilities: Vec<f64>,
}

impl<'a> Memo<'a> {
    fn new(log: &'a BanditLog, policy: &'a dyn TargetPolicy) -> Self {
        Self {
            log,
            policy,
            key: None,
            probabilities: Vec::new(),
        }
    }

    fn of(&mut self, situation: u32) -> &[f64] {
        let asked = self.log.situations[situation as usize];
        let context = if self.policy.looks_at_context() {
            asked.context
        } else {
            0
        };
        let key = (context, asked.set, asked.position);
        if self.key != Some(key) {
            self.key = Some(key);
            self.probabilities.clear();
            self.policy
                .probabilities(self.log, asked, &mut self.probabilities);
        }
        &self.probabilities
    }
}

/// The probabilities of all situations if the policy does not depend on the context; otherwise computed on demand.
pub(super) struct Probabilities<'a> {
    log: &'a BanditLog,
    policy: &'a dyn TargetPolicy,
    /// Index into `table` by (set, position).
    rows: MixMap<(u32, u32), u32>,
    table: Vec<Vec<f64>>,
    /// Index into `table` by situation.
    row_of: Vec<u32>,
}

impl<'a> Probabilities<'a> {
    pub(super) fn new(log: &'a BanditLog, policy: &'a dyn TargetPolicy) -> Self {
        let mut result = Self {
            log,
            policy,
            rows: MixMap::default(),
            table: Vec::new(),
            row_of: Vec::new(),
        };
        if policy.looks_at_context() {
            return result;
        }
        for situation in &log.situations {
            let key = (situation.set, situation.position);
            let table = &mut result.table;
            let row = *result.rows.entry(key).or_insert_with(|| {
                let mut probabilities = Vec::new();
                policy.probabilities(log, *situation, &mut probabilities);
                table.push(probabilities);
                table.len() as u32 - 1
            });
            result.row_of.push(row);
        }
        result
    }

    /// Calls `with` with the probabilities of each item and the item.
    fn for_each<T>(&self, items: impl Iterator<Item = (u32, T)>, mut with: impl FnMut(&[f64], T)) {
        if self.row_of.is_empty() {
            let mut memo = Memo::new(self.log, self.policy);
            for (situation, item) in items {
                with(memo.of(situation), item);
            }
        } else {
            for (situation, item) in items {
                with(&self.table[self.row_of[situation as usize] as usize], item);
            }
        }
    }

    /// The largest probability of the policy, which bounds every weight; 1 if the policy depends on the context.
    pub(super) fn largest(&self) -> f64 {
        if self.row_of.is_empty() {
            return 1.0;
        }
        self.table.iter().flatten().copied().fold(0.0, f64::max)
    }
}

/// Index of `arm` in `set`.
pub(super) fn index_in(set: &[u32], arm: u32) -> Option<usize> {
    if set.get(arm as usize) == Some(&arm) {
        Some(arm as usize)
    } else {
        set.iter().position(|&candidate| candidate == arm)
    }
}

/// Splits `items` into one contiguous slice per thread.
fn for_each_chunk<T: Send>(items: &mut [T], threads: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (index, piece) in items.chunks_mut(share).enumerate() {
            let work = &work;
            scope.spawn(move || work(index * share, piece));
        }
    });
}

/// The weight of every row, cut at the limit; and the number of weights that were cut.
pub(super) fn weigh(
    log: &BanditLog,
    probabilities: &Probabilities<'_>,
    options: &EvaluationOptions,
) -> Result<(Vec<Scored>, u64), EvaluateError> {
    let empty = Scored {
        weight: 0.0,
        reward: 0.0,
        direct: 0.0,
        residual: 0.0,
        accepted: false,
    };
    let mut scored = vec![empty; log.rows.len()];
    for_each_chunk(&mut scored, options.threads, |first, piece| {
        let rows = log.rows[first..].iter().zip(piece.iter_mut());
        let items = rows.map(|(row, score)| (row.situation, (row, score)));
        probabilities.for_each(items, |probabilities, (row, score)| {
            let set = &log.sets[log.situation_of(row).set as usize];
            let place = index_in(set, row.arm);
            // NaN marks an arm outside its own candidate set: an error below.
            let probability = place
                .and_then(|place| probabilities.get(place))
                .map_or(f64::NAN, |p| *p);
            score.weight = probability / row.propensity;
            score.reward = row.reward;
        });
    });
    let cut = settle(log, probabilities.policy.name(), &mut scored, options)?;
    Ok((scored, cut))
}

/// Returns an error for an invalid weight, cuts weights beyond the limit and counts them, and draws which rows
/// `replay` accepts.
pub(super) fn settle(
    log: &BanditLog,
    policy: &str,
    scored: &mut [Scored],
    options: &EvaluationOptions,
) -> Result<u64, EvaluateError> {
    let mut cut = 0;
    let limit = options.max_weight.unwrap_or(f64::INFINITY);
    let mut largest = 0.0_f64;
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
        largest = largest.max(score.weight);
    }
    let seed = derive(options.seed, ACCEPTANCE);
    for (index, score) in (0_u64..).zip(scored) {
        let unit = (mix(seed ^ mix(index)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0);
        score.accepted = unit * largest < score.weight;
    }
    Ok(cut)
}

/// The stream of the seed that decides which rows `replay` accepts.
const ACCEPTANCE: u64 = 0x7265_706c_6179;

/// The cross-fitted reward model: one regression per fold and position.
pub(super) struct Predictor {
    fold_of: Vec<u8>,
    folds: usize,
    /// `[position * folds + fold]`.
    models: Vec<Model>,
    /// Warnings about the models, for the report.
    pub(super) warnings: Vec<String>,
}

impl Predictor {
    pub(super) fn fold_of(&self, row: usize) -> usize {
        usize::from(self.fold_of[row])
    }

    /// Whether the predictions are in `[0, 1]`, as the rewards are.
    pub(super) fn is_bounded(&self) -> bool {
        self.models.iter().all(Model::is_bounded)
    }

    pub(super) const fn folds(&self) -> usize {
        self.folds
    }

    pub(super) fn fit(log: &BanditLog, options: &EvaluationOptions) -> Self {
        let folds = if options.folds < 2 || log.rows.len() < options.folds {
            1
        } else {
            options.folds
        };
        let fold_of = folds::shuffled(log.rows.len(), folds, options.seed as u32);
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
        let cells = Cells::gather(log, &fold_of, folds);
        let mut models: Vec<Model> = vec![Model::constant(0.0); log.positions * folds];
        for_each_chunk(&mut models, options.threads, |first, piece| {
            for (index, model) in (first..).zip(piece) {
                let (position, fold) = (index / folds, index % folds);
                *model = regression::fit(design, &cells.training(position as u32, fold), link);
            }
        });
        let mut warnings = Vec::new();
        let constant = models.iter().filter(|model| model.is_constant()).count();
        if constant > 0 {
            warnings.push(format!(
                "{constant} of {} reward models were fitted on a single kind of outcome and always predict it",
                models.len()
            ));
        }
        if folds == 1 {
            warnings.push(
                "the reward model was fitted on the rows that it predicts (no cross-fitting)".to_owned(),
            );
        }
        Self {
            fold_of,
            folds,
            models,
            warnings,
        }
    }

    /// The mean prediction of one row under `probabilities`, and the residual of its logged arm.
    pub(super) fn one(&self, log: &BanditLog, index: usize, probabilities: &[f64]) -> (f64, f64) {
        let row = &log.rows[index];
        let situation = log.situation_of(row);
        let model = &self.models[situation.position as usize * self.folds + self.fold_of(index)];
        let score = model.context_score(&log.contexts[situation.context as usize]);
        let arms = log.sets[situation.set as usize].iter().zip(probabilities);
        let mean = arms.map(|(&arm, p)| p * model.predict(score, arm)).sum();
        (mean, row.reward - model.predict(score, row.arm))
    }

    /// Adds predictions to rows: the mean under the policy, and the residual of the logged arm.
    pub(super) fn predict(
        &self,
        log: &BanditLog,
        probabilities: &Probabilities<'_>,
        scored: &mut [Scored],
        threads: usize,
    ) {
        let model_of = |situation: u32, fold: usize| {
            let position = log.situations[situation as usize].position as usize;
            &self.models[position * self.folds + fold]
        };
        let context_of = |situation: u32| &log.contexts[log.situations[situation as usize].context as usize];
        // The mean under the policy, once for each combination of situation and fold.
        let mut means = vec![f64::NAN; log.situations.len() * self.folds];
        for (row, &fold) in log.rows.iter().zip(&self.fold_of) {
            means[row.situation as usize * self.folds + usize::from(fold)] = 0.0;
        }
        for_each_chunk(&mut means, threads, |first, piece| {
            let items = (first..)
                .zip(piece)
                .filter(|(_, mean)| !mean.is_nan())
                .map(|(index, mean)| ((index / self.folds) as u32, (index, mean)));
            probabilities.for_each(items, |probabilities, (index, mean)| {
                let situation = (index / self.folds) as u32;
                let model = model_of(situation, index % self.folds);
                let score = model.context_score(context_of(situation));
                let set = &log.sets[log.situations[situation as usize].set as usize];
                *mean = set
                    .iter()
                    .zip(probabilities)
                    .map(|(&arm, probability)| probability * model.predict(score, arm))
                    .sum();
            });
        });
        for_each_chunk(scored, threads, |first, piece| {
            for (index, score) in (first..).zip(piece) {
                let LogRow {
                    situation,
                    arm,
                    reward,
                    ..
                } = log.rows[index];
                let fold = self.fold_of(index);
                let model = model_of(situation, fold);
                let fitted = model.predict(model.context_score(context_of(situation)), arm);
                score.direct = means[situation as usize * self.folds + fold];
                score.residual = reward - fitted;
            }
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

/// Rows grouped by position, context and arm, with a count and a sum of rewards for each fold.
struct Cells {
    folds: usize,
    /// Position, context, arm; sorted.
    keys: Vec<(u32, u32, u32)>,
    /// Number of rows and sum of rewards, per key and fold.
    sums: Vec<(f64, f64)>,
}

impl Cells {
    fn gather(log: &BanditLog, fold_of: &[u8], folds: usize) -> Self {
        let mut known: MixMap<(u32, u32), u32> = MixMap::default();
        let mut keys = Vec::new();
        let mut sums: Vec<(f64, f64)> = Vec::new();
        // Situations also differ by candidate set, so two of them may have the same key. `training` accepts this.
        for (row, &fold) in log.rows.iter().zip(fold_of) {
            let cell = *known.entry((row.situation, row.arm)).or_insert_with(|| {
                let situation = log.situations[row.situation as usize];
                keys.push((situation.position, situation.context, row.arm));
                sums.resize(keys.len() * folds, (0.0, 0.0));
                keys.len() as u32 - 1
            });
            let sum = &mut sums[cell as usize * folds + usize::from(fold)];
            sum.0 += 1.0;
            sum.1 += row.reward;
        }
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by_key(|&cell| keys[cell as usize]);
        Self {
            folds,
            sums: order
                .iter()
                .flat_map(|&cell| &sums[cell as usize * folds..(cell as usize + 1) * folds])
                .copied()
                .collect(),
            keys: order.iter().map(|&cell| keys[cell as usize]).collect(),
        }
    }

    /// The cells of a position without the rows of `fold`; with all rows if there is only one fold.
    fn training(&self, position: u32, fold: usize) -> Vec<Cell> {
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
                for other in (0..self.folds).filter(|&other| other != fold || self.folds == 1) {
                    let (rows, reward) = self.sums[index * self.folds + other];
                    cell.rows += rows;
                    cell.reward += reward;
                }
                (cell.rows > 0.0).then_some(cell)
            })
            .collect()
    }
}
