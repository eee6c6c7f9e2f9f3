//! The encoder: a small transformer (the shape of `BERT`, the size of `MiniLM`) that runs on the processor, with
//! kernels for each kind of processor.
//!
//! ```text
//! model folder ─▶ Model (32 bits, checked) ─▶ Encoder (8-bit weights, packed for one kind of kernels)
//!                                                │
//! tokens of posts ─▶ embeddings ─▶ layers ─▶ heads ─▶ one number per label
//!                                    └─▶ early exit, if confident ─┘
//! ```
//!
//! The crate knows tokens and probabilities. It does not know texts, records or streams: `limbic-affect` tokenises
//! texts and interprets the numbers. It cannot train a model.
//!
//! # Example
//!
//! ```
//! use limbic_encoder::{Encoder, Exit, Kernels, Model, Scratch};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/affect-l6");
//! let model = Model::open(folder.as_ref())?;
//! let encoder = Encoder::new(&model, Kernels::Auto)?;
//!
//! // One scratch per thread.
//! let mut scratch = Scratch::new();
//! let posts: [&[u32]; 2] = [&[101, 2054, 1037, 3125, 999, 102], &[101, 2053, 102]];
//! let output = encoder.read(&mut scratch, &posts)?;
//! for post in output.posts() {
//!     for (index, task) in model.tasks().iter().enumerate() {
//!         let numbers = post.task(index).unwrap_or(&[]);
//!         assert_eq!(numbers.len(), task.width());
//!     }
//! }
//!
//! // Posts that are confident enough leave after the second layer.
//! let output = encoder.read_early(&mut scratch, &posts, &[Exit { layer: 2, min_confidence: 0.9 }])?;
//! assert_eq!(output.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Laws
//!
//! * The result of a post does not depend on the other posts of its batch, to the bit, with every kind of kernels but
//!   libtorch.
//! * An early exit changes only the results of the posts that leave.
//! * Everything that is wrong with a model folder is reported by [`Model::open`].
//! * `unsafe` code is in `kernels` only.

mod attention;
mod buffer;
mod encoder;
mod forward;
mod heads;
mod kernels;
mod model;
mod passes;
mod quantise;
mod reference;
#[cfg(feature = "torch")]
mod torch;

pub use encoder::{BatchOutput, Encoder, Exit, PostOutput, ReadError, Scratch};
pub use kernels::{Kernels, KernelsError};
pub use model::{Model, ModelError, ModelFiles, Task, TaskKind};
