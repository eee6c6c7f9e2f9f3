//! From the hidden states of a post to calibrated numbers: pooling, task heads, temperature and bias.

use crate::forward::{Forward, Span};
use crate::model::{Head, TaskKind};

/// Buffers of the heads, reused between batches.
#[derive(Default)]
pub(crate) struct HeadScratch {
    /// A row of 2·hidden per post: the mean of its tokens, and its first token.
    pooled: Vec<f32>,
    inner: Vec<f32>,
    logits: Vec<f32>,
    /// For each post, the minimum confidence over the tasks so far; infinite before the first task.
    pub(crate) confidence: Vec<f32>,
}

impl HeadScratch {
    /// Pools the hidden states of each post.
    pub(crate) fn pool(&mut self, x: &[f32], hidden: usize, posts: &[Span]) {
        self.pooled.resize(posts.len() * 2 * hidden, 0.0);
        for (post, pooled) in posts.iter().zip(self.pooled.chunks_exact_mut(2 * hidden)) {
            let rows = &x[post.start * hidden..(post.start + post.len) * hidden];
            let (mean, first) = pooled.split_at_mut(hidden);
            first.copy_from_slice(&rows[..hidden]);
            mean.fill(0.0);
            for row in rows.chunks_exact(hidden) {
                mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let share = 1.0 / post.len as f32;
            for x in mean {
                *x *= share;
            }
        }
        self.confidence.clear();
        self.confidence.resize(posts.len(), f32::INFINITY);
    }

    /// The pooled hidden states of the posts.
    pub(crate) fn pooled(&self) -> &[f32] {
        &self.pooled
    }

    /// Runs one head on all pooled posts and passes on the numbers of each post.
    pub(crate) fn ask(&mut self, forward: &dyn Forward, head: &Head, mut hand_on: impl FnMut(usize, &[f32])) {
        let posts = self.confidence.len();
        let width = head.output.bias.len();
        let mut input = &self.pooled;
        if let Some(hidden) = &head.hidden {
            self.inner.resize(posts * hidden.bias.len(), 0.0);
            forward.dense(hidden, input, &mut self.inner);
            forward.tanh(&mut self.inner);
            input = &self.inner;
        }
        self.logits.resize(posts * width, 0.0);
        forward.dense(&head.output, input, &mut self.logits);
        let rows = self.logits.chunks_exact_mut(width);
        for (post, (numbers, confidence)) in rows.zip(&mut self.confidence).enumerate() {
            *confidence = confidence.min(calibrate(head, numbers));
            hand_on(post, numbers);
        }
    }
}

/// Converts logits to the task's numbers and returns the confidence.
fn calibrate(head: &Head, numbers: &mut [f32]) -> f32 {
    for ((x, slope), bias) in numbers.iter_mut().zip(&head.slopes).zip(&head.biases) {
        *x = *x * slope + bias;
    }
    match head.kind {
        TaskKind::Softmax => {
            let largest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for x in numbers.iter_mut() {
                *x = libm::expf(*x - largest);
            }
            let share = 1.0 / numbers.iter().sum::<f32>();
            for x in numbers {
                *x *= share;
            }
            // The largest was e⁰.
            share
        }
        TaskKind::Sigmoid => {
            for x in numbers.iter_mut() {
                *x = sigmoid(*x);
            }
            numbers.iter().fold(1.0, |least, p| p.max(1.0 - p).min(least))
        }
        TaskKind::Regression => {
            let [low, high] = head.range;
            for x in numbers {
                *x = low + (high - low) * sigmoid(*x);
            }
            f32::INFINITY
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}
