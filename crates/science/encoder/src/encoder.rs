//! The encoder: tokens of posts in, probabilities out.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::forward::{Forward, LayerScratch, Packed, Span};
use crate::heads;
use crate::kernels::portable::Portable;
use crate::kernels::{Kernels, KernelsError, Path};
use crate::model::{Embeddings, Heads, Model, Sizes, Task};
use crate::reference::Reference;

/// A model packed for one kind of kernels. Any number of threads can share it; each needs a [`Scratch`].
pub struct Encoder {
    kernels: Kernels,
    sizes: Sizes,
    embeddings: Arc<Embeddings>,
    heads: Arc<Vec<Heads>>,
    tasks: Arc<Vec<Task>>,
    /// Offset of each task's numbers in a row of results; the last entry is the end.
    starts: Vec<usize>,
    forward: Box<dyn Forward>,
}

/// A layer after which posts can leave the encoder early.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Exit {
    /// Number of layers before the exit. The model must have heads there ([`Model::exits`]).
    pub layer: usize,
    /// A post leaves if its confidence is at least this. The confidence is the minimum over the tasks of the exit:
    /// the largest probability (softmax), or the minimum over labels of max(p, 1 − p) (sigmoid). Regressions do not
    /// count.
    pub min_confidence: f32,
}

/// A batch that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A post has no tokens.
    #[error("post {post} has no tokens: even an empty text has [CLS] and [SEP]")]
    Empty {
        /// Index in the batch.
        post: usize,
    },
    /// A post has more tokens than the model has positions.
    #[error("post {post} has {tokens} tokens, but the model takes {most}: truncate it in the tokeniser")]
    TooLong {
        /// Index in the batch.
        post: usize,
        /// Number of tokens.
        tokens: usize,
        /// The model's `max_tokens`.
        most: usize,
    },
    /// A token is not in the vocabulary.
    #[error(
        "post {post} has the token {token}, but the model has {vocabulary} tokens: use the vocab.txt of this model"
    )]
    OutOfVocabulary {
        /// Index in the batch.
        post: usize,
        /// The token that is not smaller than `vocabulary`.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// An exit at a layer without heads.
    #[error(
        "the model has no heads after layer {layer}, so posts cannot leave there: choose one of the model's exits"
    )]
    NoExit {
        /// The layer of the exit.
        layer: usize,
    },
}

/// Buffers for one thread. They grow to the size of the largest batch and are reused.
pub struct Scratch {
    x: Buffer<f32>,
    spans: Vec<Span>,
    /// Indexes of the posts that are still in `x`, ascending.
    live: Vec<usize>,
    layers: LayerScratch,
    heads: heads::HeadScratch,
    /// A row of all tasks' numbers for each post.
    values: Vec<f32>,
    /// For each post, the index of the model's [`Heads`] that gave the result.
    answered: Vec<usize>,
    /// A row of 2·hidden for each post that went through all layers: see [`PostOutput::pooled`].
    pooled: Vec<f32>,
}

impl Scratch {
    /// Allocates nothing yet.
    #[must_use]
    pub fn new() -> Scratch {
        Scratch {
            x: Buffer::new(),
            spans: Vec::new(),
            live: Vec::new(),
            layers: LayerScratch::new(),
            heads: heads::HeadScratch::default(),
            values: Vec::new(),
            answered: Vec::new(),
            pooled: Vec::new(),
        }
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

/// The results of a batch, in the order of its posts.
pub struct BatchOutput<'a> {
    encoder: &'a Encoder,
    values: &'a [f32],
    answered: &'a [usize],
    pooled: &'a [f32],
}

/// The result of one post.
#[derive(Clone, Copy)]
pub struct PostOutput<'a> {
    encoder: &'a Encoder,
    values: &'a [f32],
    heads: &'a Heads,
    pooled: Option<&'a [f32]>,
}

impl<'a> BatchOutput<'a> {
    /// Number of posts.
    pub fn len(&self) -> usize {
        self.answered.len()
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }

    /// The result of one post.
    ///
    /// # Panics
    ///
    /// If `post` is not an index of the batch.
    pub fn post(&self, post: usize) -> PostOutput<'a> {
        let (width, both) = (self.encoder.width(), 2 * self.encoder.sizes.hidden);
        let answered = self.answered[post];
        let went_through = answered + 1 == self.encoder.heads.len();
        PostOutput {
            encoder: self.encoder,
            values: &self.values[post * width..][..width],
            heads: &self.encoder.heads[answered],
            pooled: went_through.then(|| &self.pooled[post * both..][..both]),
        }
    }

    /// All results, in order.
    pub fn posts(&self) -> impl Iterator<Item = PostOutput<'a>> + '_ {
        (0..self.len()).map(|post| self.post(post))
    }
}

impl<'a> PostOutput<'a> {
    /// Number of layers the post went through: all, unless it left early.
    pub fn layer(&self) -> usize {
        self.heads.layer
    }

    /// The mean of the hidden states of the post's tokens after the last layer, then the hidden state of its first token: what the
    /// heads see. `None` if the post left early.
    pub fn pooled(&self) -> Option<&'a [f32]> {
        self.pooled
    }

    /// The numbers of one of the model's tasks, one per label: calibrated probabilities, or the value of a regression
    /// within its range. `None` if the post left at an exit without this task.
    pub fn task(&self, task: usize) -> Option<&'a [f32]> {
        let there = self.heads.heads.iter().any(|head| head.task == task);
        there.then(|| &self.values[self.encoder.starts[task]..self.encoder.starts[task + 1]])
    }
}

/// The model packed for a path, if this machine supports it.
fn packed(path: Option<impl Path>, model: &Model) -> Option<Box<dyn Forward>> {
    path.map(|path| Box::new(Packed::new(path, model)) as Box<dyn Forward>)
}

impl Encoder {
    /// Quantises and packs the model's weights for these kernels. This happens once.
    pub fn new(model: &Model, kernels: Kernels) -> Result<Encoder, KernelsError> {
        let kernels = match kernels {
            Kernels::Auto => Kernels::best(),
            asked => asked,
        };
        kernels.check()?;
        let forward: Option<Box<dyn Forward>> = match kernels {
            Kernels::Reference => Some(Box::new(Reference::new(model))),
            Kernels::Portable => packed(Some(Portable), model),
            #[cfg(target_arch = "x86_64")]
            Kernels::Amx => packed(crate::kernels::avx512::Amx::detect(), model),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512Vnni => packed(crate::kernels::avx512::Avx512Vnni::detect(), model),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => packed(crate::kernels::avx2::Avx2::detect(), model),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kernels::Neon => packed(crate::kernels::neon::Neon::detect(), model),
            #[cfg(feature = "torch")]
            Kernels::Torch => Some(Box::new(crate::torch::Torch::new(model))),
            _ => None,
        };
        let mut starts = vec![0];
        for task in model.tasks() {
            starts.push(starts[starts.len() - 1] + task.width());
        }
        Ok(Encoder {
            kernels,
            sizes: model.sizes,
            embeddings: Arc::clone(&model.embeddings),
            heads: Arc::clone(&model.heads),
            tasks: Arc::clone(&model.tasks),
            starts,
            forward: forward.ok_or(KernelsError::Unavailable(kernels))?,
        })
    }

    /// The kernels in use; never [`Kernels::Auto`].
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// How many numbers [`PostOutput::pooled`] has.
    pub fn pooled_width(&self) -> usize {
        2 * self.sizes.hidden
    }

    /// The tasks, in the order of [`PostOutput::task`].
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Reads posts. Each post is a slice of tokens with `[CLS]` and `[SEP]`.
    ///
    /// The result of a post does not depend on the other posts of the batch, to the bit ([`Kernels::Torch`]: to about
    /// six digits).
    pub fn read<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        posts: &[&[u32]],
    ) -> Result<BatchOutput<'a>, ReadError> {
        self.read_early(scratch, posts, &[])
    }

    /// Reads posts, and lets those that are confident enough leave at one of the exits.
    ///
    /// The results of the other posts are the same as without exits, to the bit.
    pub fn read_early<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        posts: &[&[u32]],
        exits: &[Exit],
    ) -> Result<BatchOutput<'a>, ReadError> {
        self.check(posts, exits)?;
        self.embed(scratch, posts);
        scratch.values.resize(posts.len() * self.width(), 0.0);
        scratch.answered.clear();
        scratch.answered.resize(posts.len(), 0);
        scratch.pooled.resize(posts.len() * 2 * self.sizes.hidden, 0.0);
        let mut done = 0;
        let last = self.heads.len() - 1;
        for (index, heads) in self.heads.iter().enumerate() {
            let exit = exits.iter().find(|exit| exit.layer == heads.layer);
            let min_confidence = match exit {
                Some(exit) => exit.min_confidence,
                None if index == last => f32::NEG_INFINITY,
                None => continue,
            };
            let tokens = scratch.spans.last().map_or(0, |span| span.start + span.len);
            let x = scratch.x.room_for(tokens * self.sizes.hidden);
            self.forward
                .run(done..heads.layer, x, &scratch.spans, &mut scratch.layers);
            done = heads.layer;
            self.answer(index, min_confidence, scratch);
            if scratch.live.is_empty() {
                break;
            }
        }
        Ok(BatchOutput {
            encoder: self,
            values: &scratch.values,
            answered: &scratch.answered,
            pooled: &scratch.pooled,
        })
    }

    /// Numbers per post.
    fn width(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    fn check(&self, posts: &[&[u32]], exits: &[Exit]) -> Result<(), ReadError> {
        let (most, vocabulary) = (self.sizes.max_tokens, self.embeddings.vocabulary);
        for (post, tokens) in posts.iter().enumerate() {
            if tokens.is_empty() {
                return Err(ReadError::Empty { post });
            }
            if tokens.len() > most {
                return Err(ReadError::TooLong {
                    post,
                    tokens: tokens.len(),
                    most,
                });
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
                return Err(ReadError::OutOfVocabulary {
                    post,
                    token: *token,
                    vocabulary,
                });
            }
        }
        let early = &self.heads[..self.heads.len() - 1];
        match exits
            .iter()
            .find(|exit| early.iter().all(|heads| heads.layer != exit.layer))
        {
            Some(exit) => Err(ReadError::NoExit { layer: exit.layer }),
            None => Ok(()),
        }
    }

    /// Packs the posts' embeddings into one matrix, one post after another.
    fn embed(&self, scratch: &mut Scratch, posts: &[&[u32]]) {
        let hidden = self.sizes.hidden;
        scratch.spans.clear();
        scratch.live.clear();
        let mut start = 0;
        for (post, tokens) in posts.iter().enumerate() {
            let len = tokens.len();
            scratch.spans.push(Span { start, len });
            scratch.live.push(post);
            start += len;
        }
        let x = scratch.x.room_for(start * hidden);
        let mut rows = x.chunks_exact_mut(hidden);
        for tokens in posts {
            let positions = self.embeddings.positions.chunks_exact(hidden);
            for ((token, position), row) in tokens.iter().zip(positions).zip(&mut rows) {
                let word = &self.embeddings.words[*token as usize * hidden..][..hidden];
                for ((x, word), position) in row.iter_mut().zip(word).zip(position) {
                    *x = word + position;
                }
            }
        }
        self.forward.embed(x, &self.embeddings.norm);
    }

    /// Runs the heads after a layer, and removes the posts that are confident enough from the matrix.
    fn answer(&self, index: usize, min_confidence: f32, scratch: &mut Scratch) {
        let hidden = self.sizes.hidden;
        let width = self.width();
        scratch.heads.pool(scratch.x.get(), hidden, &scratch.spans);
        for head in &self.heads[index].heads {
            let start = self.starts[head.task];
            scratch.heads.ask(self.forward.as_ref(), head, |place, numbers| {
                scratch.values[scratch.live[place] * width + start..][..numbers.len()]
                    .copy_from_slice(numbers);
            });
        }
        if index + 1 == self.heads.len() {
            let rows = scratch.heads.pooled().chunks_exact(2 * hidden);
            for (row, post) in rows.zip(&scratch.live) {
                scratch.pooled[post * 2 * hidden..][..2 * hidden].copy_from_slice(row);
            }
        }
        // Moves the remaining rows together.
        let x = scratch
            .x
            .room_for(scratch.spans.last().map_or(0, |span| span.start + span.len) * hidden);
        let (mut kept, mut end) = (0, 0);
        for place in 0..scratch.live.len() {
            let (post, span) = (scratch.live[place], scratch.spans[place]);
            if scratch.heads.confidence[place] >= min_confidence {
                scratch.answered[post] = index;
                continue;
            }
            x.copy_within(
                span.start * hidden..(span.start + span.len) * hidden,
                end * hidden,
            );
            scratch.live[kept] = post;
            scratch.spans[kept] = Span {
                start: end,
                len: span.len,
            };
            (kept, end) = (kept + 1, end + span.len);
        }
        scratch.live.truncate(kept);
        scratch.spans.truncate(kept);
    }
}
