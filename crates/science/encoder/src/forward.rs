//! The layers, on one path. A block of posts goes through all layers while its data is in the cache.

use std::ops::Range;

use crate::attention::{AttentionScratch, attend};
use crate::buffer::Buffer;
use crate::kernels::{COLUMNS, Path};
use crate::model::{Dense, Model, Norm, Sizes};
use crate::passes::{Rounding, dot, gelu, normalise, round_plain_row, round_row, tanh, units, units_mut};
use crate::quantise::Linear;

/// The rows of one post in the packed matrix.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// The layers of a model, ready to run.
pub(crate) trait Forward: Send + Sync {
    /// Normalises embeddings in place.
    fn embed(&self, x: &mut [f32], norm: &Norm);

    /// Runs posts through some layers. `x` has a row per token, and the posts' spans are consecutive.
    fn run(&self, layers: Range<usize>, x: &mut [f32], posts: &[Span], scratch: &mut LayerScratch);

    /// A small 32-bit product with any number of rows, used by the heads.
    fn dense(&self, dense: &Dense, rows: &[f32], out: &mut [f32]);

    /// The hyperbolic tangent of each element, in place.
    fn tanh(&self, x: &mut [f32]);
}

/// Buffers of the layers. They grow to the size of the largest batch and are reused.
pub(crate) struct LayerScratch {
    rounded: Buffer<u8>,
    roundings: Vec<Rounding>,
    products: Vec<[i32; COLUMNS]>,
    /// Queries, keys and values; later the inner layer.
    wide: Buffer<f32>,
    context: Buffer<f32>,
    attention: AttentionScratch,
}

impl LayerScratch {
    pub(crate) fn new() -> LayerScratch {
        LayerScratch {
            rounded: Buffer::new(),
            roundings: Vec::new(),
            products: Vec::new(),
            wide: Buffer::new(),
            context: Buffer::new(),
            attention: AttentionScratch::new(),
        }
    }
}

/// One packed layer.
struct Layer {
    qkv: Linear,
    context: Linear,
    context_norm: Norm,
    expand: Linear,
    contract: Linear,
    output_norm: Norm,
}

/// A model packed for a path.
pub(crate) struct Packed<P> {
    path: P,
    sizes: Sizes,
    layers: Vec<Layer>,
}

impl<P: Path> Packed<P> {
    pub(crate) fn new(path: P, model: &Model) -> Packed<P> {
        let mut before = &model.embeddings.norm;
        let mut layers = Vec::with_capacity(model.layers.len());
        for layer in &model.layers {
            let width = (model.sizes.hidden / model.sizes.heads) as f32;
            let qkv = joined(&layer.query, 1.0 / width.sqrt(), &layer.key, &layer.value);
            layers.push(Layer {
                qkv: Linear::pack(P::SCHEME, &qkv, Some(before)),
                context: Linear::pack(P::SCHEME, &layer.context, None),
                context_norm: layer.context_norm.clone(),
                expand: Linear::pack(P::SCHEME, &layer.expand, Some(&layer.context_norm)),
                contract: Linear::pack(P::SCHEME, &layer.contract, None),
                output_norm: layer.output_norm.clone(),
            });
            before = &layer.output_norm;
        }
        Packed {
            path,
            sizes: model.sizes,
            layers,
        }
    }
}

/// Queries (scaled), keys and values in one matrix.
pub(crate) fn joined(query: &Dense, scale: f32, key: &Dense, value: &Dense) -> Dense {
    let join = |query: &[f32], key: &[f32], value: &[f32]| -> Vec<f32> {
        query
            .iter()
            .map(|w| w * scale)
            .chain(key.iter().copied())
            .chain(value.iter().copied())
            .collect()
    };
    Dense {
        weight: join(&query.weight, &key.weight, &value.weight),
        bias: join(&query.bias, &key.bias, &value.bias),
    }
}

impl<P: Path> Forward for Packed<P> {
    fn embed(&self, x: &mut [f32], norm: &Norm) {
        let (p, sizes) = (self.path, self.sizes);
        p.vectorise(
            #[inline(always)]
            || {
                for row in x.chunks_exact_mut(sizes.hidden) {
                    normalise(p, row, norm, sizes.epsilon);
                }
            },
        );
    }

    fn run(&self, layers: Range<usize>, x: &mut [f32], posts: &[Span], scratch: &mut LayerScratch) {
        let mut posts = posts;
        while let Some(first) = posts.first() {
            // Whole posts, as many as fit a block. A post that is longer than a block is a separate block.
            let mut tokens = first.len;
            let mut count = 1;
            while count < posts.len() && tokens + posts[count].len <= P::BLOCK {
                tokens += posts[count].len;
                count += 1;
            }
            let (block, rest) = posts.split_at(count);
            let rows = first.start * self.sizes.hidden..(first.start + tokens) * self.sizes.hidden;
            for layer in &self.layers[layers.clone()] {
                self.layer(layer, &mut x[rows.clone()], block, scratch);
            }
            posts = rest;
        }
    }

    fn dense(&self, dense: &Dense, rows: &[f32], out: &mut [f32]) {
        let p = self.path;
        p.vectorise(
            #[inline(always)]
            || dense_rows(p, dense, rows, out),
        );
    }

    fn tanh(&self, x: &mut [f32]) {
        let p = self.path;
        p.vectorise(
            #[inline(always)]
            || tanh(p, x),
        );
    }
}

impl<P: Path> Packed<P> {
    /// Runs one block through one layer, in place.
    fn layer(&self, layer: &Layer, x: &mut [f32], posts: &[Span], scratch: &mut LayerScratch) {
        let (
            p,
            Sizes {
                hidden,
                heads,
                inner,
                epsilon,
                ..
            },
        ) = (self.path, self.sizes);
        let rows = x.len() / hidden;
        let first = posts.first().map_or(0, |post| post.start);
        let room = rows.next_multiple_of(P::ROWS);
        let rounded = scratch.rounded.room_for(room * inner.max(hidden));
        scratch
            .roundings
            .resize(rows.max(scratch.roundings.len()), Rounding::default());
        scratch
            .products
            .resize(room.max(scratch.products.len()), [0; COLUMNS]);
        let (roundings, products) = (&mut scratch.roundings[..rows], &mut scratch.products[..room]);
        let wide = scratch.wide.room_for(rows * inner.max(3 * hidden));
        let context = scratch.context.room_for(rows * hidden);
        let attention = &mut scratch.attention;

        // Attention.
        p.vectorise(
            #[inline(always)]
            || {
                round_rows(p, x, &layer.qkv, rounded, roundings);
                multiply(
                    p,
                    &layer.qkv,
                    rounded,
                    roundings,
                    products,
                    #[inline(always)]
                    |row, column, y| {
                        put(p, y, &mut wide[row * 3 * hidden + column..]);
                    },
                );
            },
        );
        for post in posts {
            let rows = post.start - first..post.start - first + post.len;
            let qkv = &wide[rows.start * 3 * hidden..rows.end * 3 * hidden];
            let context = &mut context[rows.start * hidden..rows.end * hidden];
            p.vectorise(
                #[inline(always)]
                || attend(p, qkv, heads, hidden, attention, context),
            );
        }
        p.vectorise(
            #[inline(always)]
            || {
                round_plain_rows(p, context, hidden, rounded, roundings);
                multiply(
                    p,
                    &layer.context,
                    rounded,
                    roundings,
                    products,
                    #[inline(always)]
                    |row, column, y| {
                        accumulate(p, y, &mut x[row * hidden + column..]);
                    },
                );
                for row in x.chunks_exact_mut(hidden) {
                    normalise(p, row, &layer.context_norm, epsilon);
                }
            },
        );

        // The two products, with GELU between them.
        p.vectorise(
            #[inline(always)]
            || {
                round_rows(p, x, &layer.expand, rounded, roundings);
                multiply(
                    p,
                    &layer.expand,
                    rounded,
                    roundings,
                    products,
                    #[inline(always)]
                    |row, column, y| {
                        put(
                            p,
                            [gelu(p, y[0]), gelu(p, y[1])],
                            &mut wide[row * inner + column..],
                        );
                    },
                );
            },
        );
        p.vectorise(
            #[inline(always)]
            || {
                round_plain_rows(p, &wide[..rows * inner], inner, rounded, roundings);
                multiply(
                    p,
                    &layer.contract,
                    rounded,
                    roundings,
                    products,
                    #[inline(always)]
                    |row, column, y| {
                        accumulate(p, y, &mut x[row * hidden + column..]);
                    },
                );
                for row in x.chunks_exact_mut(hidden) {
                    normalise(p, row, &layer.output_norm, epsilon);
                }
            },
        );
    }
}

#[inline(always)]
fn load<P: Path>(p: P, from: &[[f32; 16]; 2]) -> [P::F; 2] {
    [p.load(&from[0]), p.load(&from[1])]
}

#[inline(always)]
fn put<P: Path>(p: P, y: [P::F; 2], to: &mut [f32]) {
    let to = units_mut(&mut to[..COLUMNS]);
    p.store(y[0], &mut to[0]);
    p.store(y[1], &mut to[1]);
}

#[inline(always)]
fn accumulate<P: Path>(p: P, y: [P::F; 2], to: &mut [f32]) {
    let to = units_mut(&mut to[..COLUMNS]);
    p.store(p.add(p.load(&to[0]), y[0]), &mut to[0]);
    p.store(p.add(p.load(&to[1]), y[1]), &mut to[1]);
}

/// Quantises each row for the next product.
#[inline(always)]
fn round_rows<P: Path>(p: P, x: &[f32], next: &Linear, rounded: &mut [u8], roundings: &mut [Rounding]) {
    let n = next.inputs;
    for ((row, to), rounding) in x.chunks_exact(n).zip(rounded.chunks_exact_mut(n)).zip(roundings) {
        *rounding = round_row(p, row, &next.shifts, &next.factors, to);
    }
}

#[inline(always)]
fn round_plain_rows<P: Path>(p: P, x: &[f32], n: usize, rounded: &mut [u8], roundings: &mut [Rounding]) {
    for ((row, to), rounding) in x.chunks_exact(n).zip(rounded.chunks_exact_mut(n)).zip(roundings) {
        *rounding = round_plain_row(p, row, to);
    }
}

/// The product of quantised rows with a matrix, converted back to floats and passed on, 32 columns of a row at a
/// time.
#[inline(always)]
fn multiply<P: Path>(
    p: P,
    linear: &Linear,
    rounded: &[u8],
    roundings: &[Rounding],
    products: &mut [[i32; COLUMNS]],
    mut hand_on: impl FnMut(usize, usize, [P::F; 2]),
) {
    let mut multiplier = p.multiplier();
    let numbers = units(&linear.scales).as_chunks::<2>().0.iter();
    let numbers = numbers.zip(units(&linear.offsets).as_chunks::<2>().0);
    let numbers = numbers.zip(units(&linear.biases).as_chunks::<2>().0);
    for (pair, (weights, ((scales, offsets), biases))) in linear.pairs().zip(numbers).enumerate() {
        p.products(
            &mut multiplier,
            rounded,
            roundings.len(),
            linear.inputs,
            weights,
            products,
        );
        let (scales, offsets, biases) = (load(p, scales), load(p, offsets), load(p, biases));
        for (row, (rounding, products)) in roundings.iter().zip(products.iter()).enumerate() {
            let (scale, least) = (p.splat(rounding.scale), p.splat(rounding.least));
            let products = products.as_chunks::<16>().0;
            // Not a closure: a closure that is not inlined is compiled without the path's instructions.
            let mut y = [least; 2];
            for c in 0..2 {
                let constant = p.mul_add(least, offsets[c], biases[c]);
                y[c] = p.mul_add(p.load_i32(&products[c]), p.mul(scale, scales[c]), constant);
            }
            hand_on(row, pair * COLUMNS, y);
        }
    }
    debug_assert_eq!(linear.outputs % COLUMNS, 0);
}

/// A 32-bit product. Each row of weights is used for all rows while it is in the cache.
#[inline(always)]
fn dense_rows<P: Path>(p: P, dense: &Dense, rows: &[f32], out: &mut [f32]) {
    let outputs = dense.bias.len();
    let inputs = dense.weight.len() / outputs;
    for (o, (weights, bias)) in dense.weight.chunks_exact(inputs).zip(&dense.bias).enumerate() {
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
            out[o] = dot(p, row, weights) + bias;
        }
    }
}
