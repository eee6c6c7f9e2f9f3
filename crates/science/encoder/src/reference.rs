//! The forward pass as the papers define it, in 32 bits, one post at a time. Every path is tested against it. It
//! shares no code with the paths except the heads.

use std::ops::Range;

use crate::forward::{Forward, LayerScratch, Span};
use crate::model::{Dense, Layer, Model, Norm, Sizes};

/// A model in 32 bits.
pub(crate) struct Reference {
    sizes: Sizes,
    layers: Vec<Layer>,
}

impl Reference {
    pub(crate) fn new(model: &Model) -> Reference {
        Reference {
            sizes: model.sizes,
            layers: model.layers.clone(),
        }
    }

    /// Runs one post through one layer.
    fn layer(&self, layer: &Layer, x: &mut [f32]) {
        let Sizes {
            hidden,
            heads,
            epsilon,
            ..
        } = self.sizes;
        let (query, key, value) = (
            product(&layer.query, x),
            product(&layer.key, x),
            product(&layer.value, x),
        );
        let tokens = x.len() / hidden;
        let width = hidden / heads;
        let mut context = vec![0.0; x.len()];
        for from in (0..hidden).step_by(width) {
            let of = |matrix: &[f32], token: usize| matrix[token * hidden + from..][..width].to_vec();
            for token in 0..tokens {
                let query = of(&query, token);
                let scores: Vec<f32> = (0..tokens)
                    .map(|other| dot(&query, &of(&key, other)) / (width as f32).sqrt())
                    .collect();
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f32> = scores.iter().map(|s| libm::expf(s - largest)).collect();
                let sum: f32 = weights.iter().sum();
                let out = &mut context[token * hidden + from..][..width];
                for (other, weight) in weights.iter().enumerate() {
                    let value = of(&value, other);
                    out.iter_mut()
                        .zip(value)
                        .for_each(|(out, v)| *out += weight / sum * v);
                }
            }
        }
        add(x, &product(&layer.context, &context));
        normalise(x, &layer.context_norm, epsilon);
        let mut inner = product(&layer.expand, x);
        for y in &mut inner {
            *y *= 0.5 * (1.0 + libm::erff(*y * std::f32::consts::FRAC_1_SQRT_2));
        }
        add(x, &product(&layer.contract, &inner));
        normalise(x, &layer.output_norm, epsilon);
    }
}

impl Forward for Reference {
    fn embed(&self, x: &mut [f32], norm: &Norm) {
        normalise(x, norm, self.sizes.epsilon);
    }

    fn run(&self, layers: Range<usize>, x: &mut [f32], posts: &[Span], _scratch: &mut LayerScratch) {
        let hidden = self.sizes.hidden;
        for post in posts {
            for layer in &self.layers[layers.clone()] {
                self.layer(
                    layer,
                    &mut x[post.start * hidden..(post.start + post.len) * hidden],
                );
            }
        }
    }

    fn dense(&self, dense: &Dense, rows: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&product(dense, rows));
    }

    fn tanh(&self, x: &mut [f32]) {
        for x in x {
            *x = libm::tanhf(*x);
        }
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

pub(crate) fn normalise(x: &mut [f32], norm: &Norm, epsilon: f32) {
    let n = norm.scale.len();
    for row in x.chunks_exact_mut(n) {
        let mean = row.iter().sum::<f32>() / n as f32;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n as f32;
        let inverse = 1.0 / (variance + epsilon).sqrt();
        for ((x, scale), shift) in row.iter_mut().zip(&norm.scale).zip(&norm.shift) {
            *x = (*x - mean) * inverse * scale + shift;
        }
    }
}

/// Each row of `x` times each row of the matrix.
pub(crate) fn product(dense: &Dense, x: &[f32]) -> Vec<f32> {
    let outputs = dense.bias.len();
    let inputs = dense.weight.len() / outputs;
    let mut out = vec![0.0; x.len() / inputs * outputs];
    for (row, out) in x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
        for ((out, weights), bias) in out
            .iter_mut()
            .zip(dense.weight.chunks_exact(inputs))
            .zip(&dense.bias)
        {
            *out = dot(row, weights) + bias;
        }
    }
    out
}

/// A scalar product in sixteen sums, which the compiler can keep in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}
