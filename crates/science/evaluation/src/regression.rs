//! The reward model of the direct method and the doubly robust estimators: logistic regression with an L2 penalty, as
//! in the reference implementation (`LogisticRegression`, C = 1: ½‖β‖² + Σ log-loss, without a penalty on the
//! intercept), fitted to convergence.
//!
//! The additive model above has one score for the context and one for the arm. With [`interact`], each arm also gets a
//! regression of its own on the context's features, with the same penalty, whose offset is the additive score. So an
//! arm with few rows stays near the additive model, and an arm with many rows gets what its context is worth to it.
//!
//! Rows with the same context and arm are one cell, so the cost of a pass depends on the number of cells, not of
//! rows. With few features, Newton's method uses the exact Hessian; with many, conjugate gradients. The objective is
//! strictly convex, so every convergent method finds the same optimum. If rewards are outside `[0, 1]`, the model is
//! a ridge regression.

use crate::log::Sparse;

/// All rows with one context and one arm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) context: u32,
    pub(super) arm: u32,
    pub(super) rows: f64,
    pub(super) reward: f64,
}

/// How a linear score becomes a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Logit,
    Identity,
}

impl Link {
    fn mean(self, score: f64) -> f64 {
        match self {
            Self::Logit => 1.0 / (1.0 + (-score).exp()),
            Self::Identity => score,
        }
    }
}

/// Features of contexts and arms.
#[derive(Clone, Copy)]
pub(super) struct Design<'a> {
    pub(super) contexts: &'a [Sparse],
    pub(super) arms: &'a [Sparse],
    pub(super) context_features: usize,
    pub(super) arm_features: usize,
}

/// A fitted model: `mean(intercept + context · β + arm · γ)`, and with interactions `+ context · δ_arm + ε_arm`.
#[derive(Debug, Clone)]
pub(super) struct Model {
    link: Link,
    coefficients: Vec<f64>,
    /// The score of each arm, without context and intercept.
    arm_scores: Vec<f64>,
    /// The prediction of every reward, if there was nothing to fit.
    constant: Option<f64>,
    /// The coefficients of each arm's own regression, the intercept last; empty for an arm without rows. No entry if the
    /// model is additive.
    interactions: Vec<Vec<f64>>,
}

impl Model {
    pub(super) const fn constant(value: f64) -> Self {
        Self {
            link: Link::Identity,
            coefficients: Vec::new(),
            arm_scores: Vec::new(),
            constant: Some(value),
            interactions: Vec::new(),
        }
    }

    pub(super) const fn is_constant(&self) -> bool {
        self.constant.is_some()
    }

    /// The part of the score that all arms share.
    pub(super) fn context_score(&self, context: &Sparse) -> f64 {
        match self.coefficients.last() {
            Some(intercept) => intercept + dot(context, &self.coefficients),
            None => 0.0,
        }
    }

    /// The expected reward of an arm in a context, whose score is `context_score`.
    pub(super) fn predict(&self, context: &Sparse, context_score: f64, arm: u32) -> f64 {
        if let Some(value) = self.constant {
            return value;
        }
        let own = match self.interactions.get(arm as usize).map(Vec::as_slice) {
            Some([coefficients @ .., intercept]) => intercept + dot(context, coefficients),
            _ => 0.0,
        };
        self.link
            .mean(context_score + self.arm_scores[arm as usize] + own)
    }
}

/// Strength of the penalty: 1/C of the reference implementation.
const PENALTY: f64 = 1.0;
/// With more features, the Hessian is not stored.
const DENSE: usize = 512;
const STEPS: usize = 100;

/// Fits the cells, which must be sorted by context. No cells, or cells with only one kind of reward, give a constant.
pub(super) fn fit(design: Design<'_>, cells: &[Cell], link: Link) -> Model {
    let rows: f64 = cells.iter().map(|cell| cell.rows).sum();
    let reward: f64 = cells.iter().map(|cell| cell.reward).sum();
    if rows <= 0.0 {
        return Model::constant(0.0);
    }
    if link == Link::Logit && (reward <= 0.0 || reward >= rows) {
        return Model::constant(reward / rows);
    }
    let size = design.context_features + design.arm_features + 1;
    let mut begin = vec![0.0; size];
    if link == Link::Logit {
        begin[size - 1] = (reward / (rows - reward)).ln();
    }
    let fit = Fit::new(design, cells, link);
    let at = fit.optimum(begin);
    let arm_coefficients = &at[design.context_features..size - 1];
    let arm_scores = design
        .arms
        .iter()
        .map(|features| dot(features, arm_coefficients))
        .collect();
    Model {
        link,
        coefficients: at,
        arm_scores,
        constant: None,
        interactions: Vec::new(),
    }
}

/// Largest number of coefficients of one model's interactions. A model that needs more stays additive.
pub(super) const MOST_INTERACTIONS: usize = 4_000_000;

/// Adds a regression for each arm to an additive model of the same cells.
pub(super) fn interact(model: &mut Model, design: Design<'_>, cells: &[Cell]) {
    let size = design.context_features + 1;
    if model.is_constant() || size * design.arms.len() > MOST_INTERACTIONS {
        return;
    }
    let mut by_arm: Vec<Vec<Cell>> = vec![Vec::new(); design.arms.len()];
    // Cells are sorted by context, and stay so for each arm.
    for cell in cells {
        by_arm[cell.arm as usize].push(Cell { arm: 0, ..*cell });
    }
    let alone = [Sparse::new()];
    let interactions = by_arm.into_iter().enumerate().map(|(arm, cells)| {
        if cells.is_empty() {
            return Vec::new();
        }
        let own = Design {
            contexts: design.contexts,
            arms: &alone,
            context_features: design.context_features,
            arm_features: 0,
        };
        let offsets = cells
            .iter()
            .map(|cell| model.context_score(&design.contexts[cell.context as usize]) + model.arm_scores[arm])
            .collect();
        let mut fit = Fit::new(own, &cells, model.link);
        fit.offsets = offsets;
        fit.free_intercept = false;
        fit.optimum(vec![0.0; size])
    });
    model.interactions = interactions.collect();
}

fn dot(features: &Sparse, coefficients: &[f64]) -> f64 {
    features
        .iter()
        .map(|&(feature, value)| coefficients[feature as usize] * value)
        .sum()
}

struct Fit<'a> {
    design: Design<'a>,
    cells: &'a [Cell],
    link: Link,
    size: usize,
    /// A known part of each cell's score; empty if there is none.
    offsets: Vec<f64>,
    /// Whether the intercept has no penalty.
    free_intercept: bool,
    /// Second derivative of each cell's loss by its score, at the last evaluation.
    curvature: Vec<f64>,
    /// First derivative.
    slopes: Vec<f64>,
}

impl<'a> Fit<'a> {
    fn new(design: Design<'a>, cells: &'a [Cell], link: Link) -> Self {
        Self {
            design,
            cells,
            link,
            size: design.context_features + design.arm_features + 1,
            offsets: Vec::new(),
            free_intercept: true,
            curvature: vec![0.0; cells.len()],
            slopes: vec![0.0; cells.len()],
        }
    }

    /// Number of coefficients with a penalty.
    fn penalised(&self) -> usize {
        self.size - usize::from(self.free_intercept)
    }

    /// The coefficients with the least objective, found from `at`.
    fn optimum(mut self, mut at: Vec<f64>) -> Vec<f64> {
        let fit = &mut self;
        let size = fit.size;
        let mut value = fit.evaluate(&at);
        for _ in 0..STEPS {
            let gradient = fit.gradient(&at);
            let direction = if size <= DENSE {
                fit.newton_direction(&gradient)
            } else {
                fit.conjugate_direction(&gradient)
            };
            let descent: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            // The Newton decrement is twice the distance to the value of the optimum.
            if descent.abs() <= 1e-15 * (1.0 + value.abs()) {
                break;
            }
            let mut step = 1.0;
            let mut improved = false;
            while step > 1e-10 {
                let there: Vec<f64> = at.iter().zip(&direction).map(|(a, d)| a + step * d).collect();
                let found = fit.evaluate(&there);
                if found <= value + 1e-4 * step * descent {
                    improved = found < value;
                    (at, value) = (there, found);
                    break;
                }
                step *= 0.5;
            }
            if !improved {
                break;
            }
        }
        at
    }
}

impl Fit<'_> {
    /// For every cell, `intercept + context · v + arm · v`.
    fn scores<'b>(&'b self, v: &'b [f64]) -> impl Iterator<Item = f64> + 'b {
        let arm_part = &v[self.design.context_features..self.size - 1];
        let arm_scores: Vec<f64> = self
            .design
            .arms
            .iter()
            .map(|features| dot(features, arm_part))
            .collect();
        let mut last = (u32::MAX, 0.0);
        self.cells.iter().map(move |cell| {
            if cell.context != last.0 {
                let context = &self.design.contexts[cell.context as usize];
                last = (cell.context, v[self.size - 1] + dot(context, v));
            }
            last.1 + arm_scores[cell.arm as usize]
        })
    }

    /// The objective; also updates slopes and curvatures.
    fn evaluate(&mut self, at: &[f64]) -> f64 {
        let mut slopes = std::mem::take(&mut self.slopes);
        let mut curvature = std::mem::take(&mut self.curvature);
        let penalty: f64 = at[..self.penalised()].iter().map(|b| b * b).sum();
        let mut value = 0.5 * PENALTY * penalty;
        for (index, (score, cell)) in self.scores(at).zip(self.cells).enumerate() {
            let score = score + self.offsets.get(index).copied().unwrap_or(0.0);
            match self.link {
                Link::Logit => {
                    let mean = Link::Logit.mean(score);
                    let softplus = score.max(0.0) + (-score.abs()).exp().ln_1p();
                    value += cell.rows * softplus - cell.reward * score;
                    slopes[index] = cell.rows * mean - cell.reward;
                    curvature[index] = cell.rows * mean * (1.0 - mean);
                }
                Link::Identity => {
                    value += (0.5 * cell.rows * score - cell.reward) * score;
                    slopes[index] = cell.rows * score - cell.reward;
                    curvature[index] = cell.rows;
                }
            }
        }
        (self.slopes, self.curvature) = (slopes, curvature);
        value
    }

    fn gradient(&self, at: &[f64]) -> Vec<f64> {
        let mut gradient = self.gather(self.slopes.iter().copied());
        for (g, b) in gradient.iter_mut().zip(&at[..self.penalised()]) {
            *g += PENALTY * b;
        }
        gradient
    }

    /// Xᵀ times one number per cell.
    fn gather(&self, per_cell: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut result = vec![0.0; self.size];
        let mut by_arm = vec![0.0; self.design.arms.len()];
        let mut numbers = per_cell;
        for run in self.cells.chunk_by(|a, b| a.context == b.context) {
            let mut sum = 0.0;
            for (cell, number) in run.iter().zip(&mut numbers) {
                sum += number;
                by_arm[cell.arm as usize] += number;
            }
            for &(feature, value) in &self.design.contexts[run[0].context as usize] {
                result[feature as usize] += sum * value;
            }
            result[self.size - 1] += sum;
        }
        for (features, sum) in self.design.arms.iter().zip(by_arm) {
            for &(feature, value) in features {
                result[self.design.context_features + feature as usize] += sum * value;
            }
        }
        result
    }

    fn hessian(&self) -> Vec<f64> {
        let (size, offset) = (self.size, self.design.context_features);
        let intercept = size - 1;
        let mut h = vec![0.0; size * size];
        let mut by_arm = vec![0.0; self.design.arms.len()];
        let mut across = vec![0.0; self.design.arm_features];
        let mut numbers = self.curvature.iter();
        for run in self.cells.chunk_by(|a, b| a.context == b.context) {
            let mut sum = 0.0;
            across.fill(0.0);
            for (cell, &number) in run.iter().zip(&mut numbers) {
                sum += number;
                by_arm[cell.arm as usize] += number;
                for &(feature, value) in &self.design.arms[cell.arm as usize] {
                    across[feature as usize] += number * value;
                }
            }
            let ones = [(intercept as u32, 1.0)];
            let context = &self.design.contexts[run[0].context as usize];
            for &(row, left) in context.iter().chain(&ones) {
                let row = row as usize;
                for &(column, right) in context.iter().chain(&ones) {
                    h[row * size + column as usize] += sum * left * right;
                }
                for (column, &sum) in across.iter().enumerate() {
                    h[row * size + offset + column] += left * sum;
                    h[(offset + column) * size + row] += left * sum;
                }
            }
        }
        for (features, sum) in self.design.arms.iter().zip(by_arm) {
            for &(row, left) in features {
                for &(column, right) in features {
                    h[(offset + row as usize) * size + offset + column as usize] += sum * left * right;
                }
            }
        }
        for feature in 0..self.penalised() {
            h[feature * size + feature] += PENALTY;
        }
        h
    }

    /// Solves Hd = −g by Cholesky decomposition.
    fn newton_direction(&self, gradient: &[f64]) -> Vec<f64> {
        let size = self.size;
        let mut l = self.hessian();
        for column in 0..size {
            for row in column..size {
                let (upper, lower) = (column * size, row * size);
                let part: f64 = (0..column).map(|k| l[lower + k] * l[upper + k]).sum();
                let rest = l[lower + column] - part;
                l[lower + column] = if row == column {
                    rest.max(f64::MIN_POSITIVE).sqrt()
                } else {
                    rest / l[upper + column]
                };
            }
        }
        let mut x: Vec<f64> = gradient.iter().map(|g| -g).collect();
        for row in 0..size {
            let part: f64 = (0..row).map(|k| l[row * size + k] * x[k]).sum();
            x[row] = (x[row] - part) / l[row * size + row];
        }
        for row in (0..size).rev() {
            let part: f64 = (row + 1..size).map(|k| l[k * size + row] * x[k]).sum();
            x[row] = (x[row] - part) / l[row * size + row];
        }
        x
    }

    /// Solves Hd = −g by conjugate gradients, to a tolerance that depends on the gradient.
    fn conjugate_direction(&self, gradient: &[f64]) -> Vec<f64> {
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
        let mut x = vec![0.0; self.size];
        let mut residual: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut direction = residual.clone();
        let mut square = norm(&residual);
        let enough = square * square.sqrt().clamp(1e-16, 1e-4);
        for _ in 0..4 * self.size.min(1000) {
            if square <= enough || square == 0.0 {
                break;
            }
            let scores = self.scores(&direction).zip(&self.curvature);
            let mut image = self.gather(scores.map(|(score, curvature)| score * curvature));
            for (i, d) in image.iter_mut().zip(&direction[..self.penalised()]) {
                *i += PENALTY * d;
            }
            let curvature: f64 = direction.iter().zip(&image).map(|(d, i)| d * i).sum();
            if curvature <= 0.0 {
                break;
            }
            let step = square / curvature;
            for index in 0..self.size {
                x[index] += step * direction[index];
                residual[index] -= step * image[index];
            }
            let next = norm(&residual);
            for index in 0..self.size {
                direction[index] = residual[index] + next / square * direction[index];
            }
            square = next;
        }
        x
    }
}

#[cfg(test)]
mod tests;
