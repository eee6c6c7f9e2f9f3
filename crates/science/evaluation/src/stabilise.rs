//! Scores for logs whose logging policy learns: doubly robust, with a model of earlier rows, and with a share of each row
//! that makes its variance even.
//!
//! A policy that learns makes some arms rare, so the weights of late rows are larger than those of early ones, or the
//! other way round. The mean of the scores is then decided by few rows at random times, and is not nearly normal. With
//! shares in inverse proportion to the standard deviation of the scores, every time counts the same (Hadad, Hirshberg,
//! Zhan, Wager and Athey 2021; Bibaut, Dimakopoulou, Kallus, Chambaz and van der Laan 2021). A share is a function of
//! earlier rows: of the mean square of the weights in the block of rows before. The first row's own probabilities give
//! the shares of the first block, because they are known before its choice.

use crate::EvaluationOptions;
use crate::log::BanditLog;
use crate::parallel::{PIECE, run};
use crate::score::{Overlap, Predictor, Probabilities, Weighed};

/// Largest number of blocks, and the least number of rows of a block.
const BLOCKS: usize = 100;
const SHORTEST: usize = 50;

/// With a smaller ratio of the largest to the smallest share, the shares change nothing.
const EVEN: f64 = 1.5;

/// The scores of all rows, and their shares.
pub(super) struct Stabilised {
    /// The score of each row.
    pub(super) scores: Vec<f64>,
    /// The share of each row of a block.
    shares: Vec<f64>,
    rows_in_block: usize,
    /// The Lyapunov ratio of the weights times their shares, before anything was drawn.
    pub(super) lyapunov: f64,
}

impl Stabilised {
    /// `None` if the log is too short for blocks, or its weights are as variable at every time.
    pub(super) fn of(
        log: &BanditLog,
        probabilities: &Probabilities<'_>,
        weighed: &Weighed,
        options: &EvaluationOptions,
    ) -> Option<Self> {
        let rows = log.rows.len();
        let rows_in_block = rows.div_ceil(BLOCKS).max(SHORTEST);
        let blocks = overlaps(log, probabilities, weighed, rows_in_block, options.threads);
        let share = |overlap: &Overlap, rows: usize| {
            let share = (rows as f64 / overlap.square).sqrt();
            // The policy chooses nothing that the block could draw.
            if share.is_finite() { share } else { 1.0 }
        };
        let mut first = Overlap::default();
        probabilities.for_rows(0..1, |index, _, policy, logged| {
            first.add(weighed.scored[index].weight, policy, logged);
        });
        let mut shares = vec![share(&first, 1)];
        shares.extend(blocks.iter().map(|overlap| share(overlap, rows_in_block)));
        shares.truncate(blocks.len());
        let largest = shares.iter().copied().fold(0.0, f64::max);
        let smallest = shares.iter().copied().fold(f64::INFINITY, f64::min);
        if shares.len() < 4 || largest <= EVEN * smallest {
            return None;
        }
        let (mut square, mut cube) = (0.0, 0.0);
        for (overlap, share) in blocks.iter().zip(&shares) {
            square += overlap.square * share * share;
            cube += overlap.cube * share * share * share;
        }
        let predictor = Predictor::fit_progressively(log, options);
        let mut scores = vec![0.0; rows];
        predictor.predict_into(
            log,
            probabilities,
            &mut scores,
            options.threads,
            |score, index, direct, residual| *score = direct + weighed.scored[index].weight * residual,
        );
        Some(Self {
            scores,
            shares,
            rows_in_block,
            lyapunov: cube / square.powf(1.5),
        })
    }

    pub(super) fn share(&self, row: usize) -> f64 {
        self.shares[row / self.rows_in_block]
    }
}

/// The moments of the weights that each block of rows could have had.
fn overlaps(
    log: &BanditLog,
    probabilities: &Probabilities<'_>,
    weighed: &Weighed,
    rows_in_block: usize,
    threads: usize,
) -> Vec<Overlap> {
    let rows = log.rows.len();
    let parts = run((0..rows).step_by(PIECE), threads, |first| {
        let range = first..(first + PIECE).min(rows);
        let first_block = range.start / rows_in_block;
        let mut blocks = vec![Overlap::default(); (range.end - 1) / rows_in_block - first_block + 1];
        probabilities.for_rows(range, |index, _, policy, logged| {
            blocks[index / rows_in_block - first_block].add(weighed.scored[index].weight, policy, logged);
        });
        (first_block, blocks)
    });
    let mut blocks = vec![Overlap::default(); rows.div_ceil(rows_in_block)];
    for (first, part) in &parts {
        for (block, overlap) in blocks[*first..].iter_mut().zip(part) {
            block.absorb(overlap);
        }
    }
    blocks
}
