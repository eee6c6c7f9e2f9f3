//! Attention within one post: every token attends to all tokens of its post, and to no other post.

use crate::buffer::Buffer;
use crate::kernels::Path;
use crate::passes::{exponential, units, units_mut};

/// Number of queries computed together.
const QUERIES: usize = 4;

/// Buffers of attention: the transposed keys of one head, and scores.
pub(crate) struct AttentionScratch {
    keys: Buffer<f32>,
    scores: Buffer<f32>,
}

impl AttentionScratch {
    pub(crate) fn new() -> AttentionScratch {
        AttentionScratch {
            keys: Buffer::new(),
            scores: Buffer::new(),
        }
    }
}

/// Computes the context of each token of one post. `qkv` has a row of queries, keys and values (`hidden` each) per
/// token; the queries are already divided by the root of the head's width. `out` has a row of `hidden` per token.
#[inline(always)]
pub(crate) fn attend<P: Path>(
    p: P,
    qkv: &[f32],
    heads: usize,
    hidden: usize,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let stride = 3 * hidden;
    let tokens = qkv.len() / stride;
    let width = hidden / heads;
    // Scores are computed for sixteen keys at a time. Keys past the end get the weight 0.
    let room = tokens.next_multiple_of(16);
    let keys = scratch.keys.room_for(width * room);
    let scores = scratch.scores.room_for(QUERIES * room);
    for head in 0..heads {
        let from = head * width;
        transpose(p, &qkv[hidden + from..], stride, tokens, width, keys);
        let mut first = 0;
        while first < tokens {
            // The last block repeats its last query, so that every block has the same size.
            let rows: [usize; QUERIES] = std::array::from_fn(|q| (first + q).min(tokens - 1));
            let queries = rows.map(|row| &qkv[row * stride + from..][..width]);
            score(p, queries, keys, room, scores);
            let inverses = exponentials(p, scores, room, tokens);
            let weights: [&[f32]; QUERIES] = std::array::from_fn(|q| &scores[q * room..][..tokens]);
            for unit in 0..width / 16 {
                let values = &qkv[2 * hidden + from + unit * 16..];
                let sums = gather(p, weights, values, stride);
                for q in 0..QUERIES {
                    let to = &mut units_mut(&mut out[rows[q] * hidden + from..][..width])[unit];
                    p.store(p.mul(sums[q], inverses[q]), to);
                }
            }
            first += QUERIES;
        }
    }
}

/// Writes the keys of one head as `width` rows of `room` tokens. The tokens past the end repeat the last one.
#[inline(always)]
fn transpose<P: Path>(p: P, from: &[f32], stride: usize, tokens: usize, width: usize, keys: &mut [f32]) {
    let room = tokens.next_multiple_of(16);
    for group in 0..room / 16 {
        for unit in 0..width / 16 {
            let mut rows = [p.splat(0.0); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                let token = (group * 16 + i).min(tokens - 1);
                *row = p.load(&units(&from[token * stride + unit * 16..][..16])[0]);
            }
            for (d, row) in p.transpose(rows).into_iter().enumerate() {
                let to = &mut keys[(unit * 16 + d) * room + group * 16..][..16];
                p.store(row, &mut units_mut(to)[0]);
            }
        }
    }
}

/// The products of some queries with all keys.
#[inline(always)]
fn score<P: Path>(p: P, queries: [&[f32]; QUERIES], keys: &[f32], room: usize, scores: &mut [f32]) {
    for unit in 0..room / 16 {
        let mut sums = [p.splat(0.0); QUERIES];
        for (d, keys) in keys.chunks_exact(room).enumerate() {
            let keys = p.load(&units(keys)[unit]);
            for q in 0..QUERIES {
                sums[q] = p.mul_add(p.splat(queries[q][d]), keys, sums[q]);
            }
        }
        for (row, sum) in scores.chunks_exact_mut(room).zip(sums) {
            p.store(sum, &mut units_mut(row)[unit]);
        }
    }
}

/// Replaces each row of scores by e to the power of its distance from the row's largest, and returns for each row the
/// inverse of the sum over the first `tokens`. The rows go together, because the steps of one row depend on each other.
#[inline(always)]
fn exponentials<P: Path>(p: P, scores: &mut [f32], room: usize, tokens: usize) -> [P::F; QUERIES] {
    for row in scores.chunks_exact_mut(room) {
        row[tokens..].fill(f32::NEG_INFINITY);
    }
    let scores = units_mut(scores);
    let (units, mut largest) = (room / 16, [p.splat(f32::NEG_INFINITY); QUERIES]);
    for unit in 0..units {
        for q in 0..QUERIES {
            largest[q] = p.max(largest[q], p.load(&scores[q * units + unit]));
        }
    }
    let mut sums = [p.splat(0.0); QUERIES];
    for largest in &mut largest {
        *largest = p.splat(p.largest(*largest));
    }
    for unit in 0..units {
        for q in 0..QUERIES {
            let score = &mut scores[q * units + unit];
            let e = exponential(p, p.sub(p.load(score), largest[q]));
            sums[q] = p.add(sums[q], e);
            p.store(e, score);
        }
    }
    for sum in &mut sums {
        *sum = p.splat(1.0 / p.sum(*sum));
    }
    sums
}

/// The sum of sixteen columns of the values, weighted by each row of weights.
#[inline(always)]
fn gather<P: Path>(p: P, weights: [&[f32]; QUERIES], values: &[f32], stride: usize) -> [P::F; QUERIES] {
    let mut sums = [p.splat(0.0); QUERIES];
    for token in 0..weights[0].len() {
        let value = p.load(&units(&values[token * stride..][..16])[0]);
        for q in 0..QUERIES {
            sums[q] = p.mul_add(p.splat(weights[q][token]), value, sums[q]);
        }
    }
    sums
}
