//! The layers on libtorch (`--features torch`), in 32 bits: for a GPU, and for large batches.
//!
//! Posts of similar length are padded to the longest of them and go through the layers together. Unlike the other
//! kernels, libtorch may add in an order that depends on the batch: a result is the same to about six digits, not to
//! the bit. libtorch reports errors (above all, a GPU without memory) as panics.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Tensor};

use crate::forward::{Forward, LayerScratch, Span, joined};
use crate::model::{Dense, Model, Norm, Sizes};
use crate::reference;

/// Tokens per batch, with padding: as many as fit the caches of a processor, or keep a GPU busy.
const CPU_TOKENS: usize = 2_048;
const GPU_TOKENS: usize = 65_536;

/// A model on one device of libtorch.
pub(crate) struct Torch {
    device: Device,
    sizes: Sizes,
    /// A tensor can move to another thread, but cannot be shared: each run clones the references.
    layers: Mutex<Vec<Layer>>,
}

/// Weight and bias, or scale and shift.
struct Pair(Tensor, Tensor);

struct Layer {
    qkv: Pair,
    context: Pair,
    context_norm: Pair,
    expand: Pair,
    contract: Pair,
    output_norm: Pair,
}

impl Pair {
    fn dense(dense: &Dense, device: Device) -> Pair {
        let weight = Tensor::from_slice(&dense.weight).view([dense.bias.len() as i64, -1]);
        Pair(
            weight.to_device(device),
            Tensor::from_slice(&dense.bias).to_device(device),
        )
    }

    fn norm(norm: &Norm, device: Device) -> Pair {
        Pair(
            Tensor::from_slice(&norm.scale).to_device(device),
            Tensor::from_slice(&norm.shift).to_device(device),
        )
    }

    fn share(&self) -> Pair {
        Pair(self.0.shallow_clone(), self.1.shallow_clone())
    }

    fn project(&self, x: &Tensor) -> Tensor {
        x.linear(&self.0, Some(&self.1))
    }

    fn normalise(&self, x: &Tensor, epsilon: f64) -> Tensor {
        x.layer_norm(self.1.size(), Some(&self.0), Some(&self.1), epsilon, true)
    }
}

impl Layer {
    fn share(&self) -> Layer {
        Layer {
            qkv: self.qkv.share(),
            context: self.context.share(),
            context_norm: self.context_norm.share(),
            expand: self.expand.share(),
            contract: self.contract.share(),
            output_norm: self.output_norm.share(),
        }
    }

    /// `x` is `[posts, tokens, hidden]`. The mask, `[posts, 1, 1, tokens]`, is added to the attention scores.
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>, heads: i64, epsilon: f64) -> Tensor {
        let (posts, tokens, hidden) = x.size3().expect("three dimensions");
        let qkv = self
            .qkv
            .project(x)
            .view([posts, tokens, 3, heads, hidden / heads])
            .permute([2, 0, 3, 1, 4]);
        let [query, key, value] = [0, 1, 2].map(|part| qkv.select(0, part));
        let attended =
            Tensor::scaled_dot_product_attention(&query, &key, &value, mask, 0.0, false, None, false)
                .transpose(1, 2)
                .reshape([posts, tokens, hidden]);
        let x = self
            .context_norm
            .normalise(&(x + self.context.project(&attended)), epsilon);
        let inner = self.expand.project(&x).gelu("none");
        self.output_norm
            .normalise(&(&x + self.contract.project(&inner)), epsilon)
    }
}

impl Torch {
    pub(crate) fn new(model: &Model) -> Torch {
        let device = Device::cuda_if_available();
        if device == Device::Cpu {
            // The callers already use one thread per processor.
            tch::set_num_threads(1);
        }
        let layers = model.layers.iter().map(|layer| Layer {
            qkv: Pair::dense(&joined(&layer.query, 1.0, &layer.key, &layer.value), device),
            context: Pair::dense(&layer.context, device),
            context_norm: Pair::norm(&layer.context_norm, device),
            expand: Pair::dense(&layer.expand, device),
            contract: Pair::dense(&layer.contract, device),
            output_norm: Pair::norm(&layer.output_norm, device),
        });
        Torch {
            device,
            sizes: model.sizes,
            layers: Mutex::new(layers.collect()),
        }
    }

    /// Runs posts through some layers, padded to the first of them, which is the longest.
    fn batch(&self, layers: &[Layer], x: &mut [f32], posts: &[Span]) {
        let (hidden, longest) = (self.sizes.hidden, posts[0].len);
        let mut padded = vec![0.0; posts.len() * longest * hidden];
        let mut mask = vec![f32::NEG_INFINITY; posts.len() * longest];
        for ((post, rows), mask) in posts
            .iter()
            .zip(padded.chunks_exact_mut(longest * hidden))
            .zip(mask.chunks_exact_mut(longest))
        {
            rows[..post.len * hidden].copy_from_slice(&x[post.start * hidden..][..post.len * hidden]);
            mask[..post.len].fill(0.0);
        }
        let (count, longest) = (posts.len() as i64, longest as i64);
        let is_padded = posts.iter().any(|post| post.len < posts[0].len);
        let mask = is_padded.then(|| {
            Tensor::from_slice(&mask)
                .view([count, 1, 1, longest])
                .to_device(self.device)
        });
        let mut states = Tensor::from_slice(&padded)
            .view([count, longest, hidden as i64])
            .to_device(self.device);
        for layer in layers {
            states = layer.forward(
                &states,
                mask.as_ref(),
                self.sizes.heads as i64,
                self.sizes.epsilon.into(),
            );
        }
        let states = states.to_device(Device::Cpu).contiguous();
        states.copy_data(&mut padded, states.numel());
        for (post, rows) in posts.iter().zip(padded.chunks_exact(posts[0].len * hidden)) {
            x[post.start * hidden..][..post.len * hidden].copy_from_slice(&rows[..post.len * hidden]);
        }
    }
}

/// Sorts the posts by falling length and groups them into batches with little padding and a limited number of tokens.
fn batches(posts: &[Span], most: usize) -> Vec<Vec<Span>> {
    let mut sorted = posts.to_vec();
    sorted.sort_by_key(|post| std::cmp::Reverse(post.len));
    let mut batches: Vec<Vec<Span>> = Vec::new();
    for post in sorted {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * batch[0].len <= most && post.len * 4 >= batch[0].len * 3 => {
                batch.push(post);
            }
            _ => batches.push(vec![post]),
        }
    }
    batches
}

impl Forward for Torch {
    fn embed(&self, x: &mut [f32], norm: &Norm) {
        reference::normalise(x, norm, self.sizes.epsilon);
    }

    fn run(&self, layers: Range<usize>, x: &mut [f32], posts: &[Span], _scratch: &mut LayerScratch) {
        let layers: Vec<Layer> = {
            // Nothing is changed under the lock, so a panic of another thread leaves the layers intact.
            let all = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
            all[layers].iter().map(Layer::share).collect()
        };
        let most = if self.device == Device::Cpu {
            CPU_TOKENS
        } else {
            GPU_TOKENS
        };
        tch::no_grad(|| {
            for batch in batches(posts, most) {
                self.batch(&layers, x, &batch);
            }
        });
    }

    fn dense(&self, dense: &Dense, rows: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&reference::product(dense, rows));
    }

    fn tanh(&self, x: &mut [f32]) {
        for x in x {
            *x = libm::tanhf(*x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_post_once_with_little_padding() {
        let mut start = 0;
        let posts: Vec<Span> = [5, 128, 9, 9, 2, 40, 41, 7, 128, 10]
            .into_iter()
            .map(|len| {
                start += len;
                Span {
                    start: start - len,
                    len,
                }
            })
            .collect();
        let made = batches(&posts, 200);
        for batch in &made {
            assert!(batch.len() == 1 || batch.len() * batch[0].len <= 200);
            assert!(batch.iter().all(|post| post.len * 4 >= batch[0].len * 3));
        }
        let mut starts: Vec<usize> = made.iter().flatten().map(|post| post.start).collect();
        starts.sort_unstable();
        assert_eq!(starts, posts.iter().map(|post| post.start).collect::<Vec<_>>());
    }
}
