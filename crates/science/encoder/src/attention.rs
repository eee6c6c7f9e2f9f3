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
        for token in 0..tokens {
            let key = &qkv[token * stride + hidden + from..][..width];
            for (d, x) in key.iter().enumerate() {
                keys[d * room + token] = *x;
            }
        }
        let mut first = 0;
        while first < tokens {
            // The last block repeats its last query, so that every block has the same size.
            let query = |q: usize| (first + q).min(tokens - 1);
            score(
                p,
                std::array::from_fn(|q| &qkv[query(q) * stride + from..][..width]),
                keys,
                room,
                scores,
            );
            for row in scores.chunks_exact_mut(room) {
                softmax(p, row, tokens);
            }
            let values = &qkv[2 * hidden + from..];
            for pair in [0, 2] {
                let weights = [
                    &scores[pair * room..][..tokens],
                    &scores[(pair + 1) * room..][..tokens],
                ];
                let rows = [query(pair), query(pair + 1)];
                for unit in 0..width / 16 {
                    let sums = gather(p, weights, &values[unit * 16..], stride);
                    for (row, sum) in rows.into_iter().zip(sums) {
                        p.store(
                            sum,
                            &mut units_mut(&mut out[row * hidden + from..][..width])[unit],
                        );
                    }
                }
            }
            first += QUERIES;
        }
    }
}

/// The products of four queries with all keys.
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

/// Softmax over the first `tokens` scores of a row.
#[inline(always)]
fn softmax<P: Path>(p: P, row: &mut [f32], tokens: usize) {
    row[tokens..].fill(f32::NEG_INFINITY);
    let row = units_mut(row);
    let mut largest = p.load(&row[0]);
    for x in &row[1..] {
        largest = p.max(largest, p.load(x));
    }
    let largest = p.splat(p.largest(largest));
    let mut sum = p.splat(0.0);
    for x in row.iter_mut() {
        let e = exponential(p, p.sub(p.load(x), largest));
        sum = p.add(sum, e);
        p.store(e, x);
    }
    let inverse = p.splat(1.0 / p.sum(sum));
    for x in row.iter_mut() {
        p.store(p.mul(p.load(x), inverse), x);
    }
}

/// The mean of sixteen columns of the values, for two rows of weights.
#[inline(always)]
fn gather<P: Path>(p: P, weights: [&[f32]; 2], values: &[f32], stride: usize) -> [P::F; 2] {
    let mut sums = [p.splat(0.0); 2];
    for (token, (a, b)) in weights[0].iter().zip(weights[1]).enumerate() {
        let value = p.load(&units(&values[token * stride..][..16])[0]);
        sums[0] = p.mul_add(p.splat(*a), value, sums[0]);
        sums[1] = p.mul_add(p.splat(*b), value, sums[1]);
    }
    sums
}
