//! The encoder: a small transformer (`BERT`'s shape, `MiniLM`'s size) that reads posts on the processor, with kernels of its
//! own for each kind of processor.
//!
//! It knows tokens and probabilities, nothing of texts, posts' records or streams: the reader in `limbic-affect` stands on
//! it.
//!
//! ```no_run
//! use limbic_encoder::{Encoder, Exit, Kernels, Model, Scratch};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::open("models/affect-l6".as_ref())?;
//! let encoder = Encoder::new(&model, Kernels::Auto)?;
//!
//! // One for each thread that reads.
//! let mut scratch = Scratch::new();
//! let posts: [&[u32]; 2] = [&[101, 2054, 1037, 3125, 999, 102], &[101, 2053, 102]];
//! let output = encoder.read(&mut scratch, &posts)?;
//! for answer in output.posts() {
//!     for (index, task) in model.tasks().iter().enumerate() {
//!         let numbers = answer.task(index).unwrap_or(&[]); // one for each of task.labels
//!         assert_eq!(numbers.len(), task.width());
//!     }
//! }
//!
//! // The sure ones leave after the second layer.
//! let output = encoder.read_early(&mut scratch, &posts, &[Exit { layer: 2, min_confidence: 0.9 }])?;
//! let early = output.posts().filter(|answer| answer.layer() == 2).count();
//! # let _ = early;
//! # Ok(())
//! # }
//! ```

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

pub use encoder::{Answer, Encoder, Exit, Output, ReadError, Scratch};
pub use kernels::{Kernels, KernelsError};
pub use model::{Kind, Model, ModelError, Task};
