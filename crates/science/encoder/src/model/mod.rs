//! Reads and checks the folder of a model. Every error of a folder is reported here.

mod assemble;
mod check;
mod config;
mod error;
mod tensors;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use assemble::assemble;
use check::check;
pub(crate) use config::{Config, Numbers};
pub use config::{Task, TaskKind};
pub use error::ModelError;
use tensors::Tensors;

/// The version of the folder's layout that this crate reads.
const FORMAT: u32 = 1;
const CONFIG: &str = "config.json";
const TENSORS: &str = "model.safetensors";

/// A trained encoder with its heads, in 32 bits.
///
/// The folder has `config.json` (sizes, tasks, calibration, exits) and `model.safetensors` (names of `BERT` without
/// the `bert.` prefix, `heads.{task}.*`, `exits.{layer}.{task}.*`; 16 or 32 bits). `vocab.txt` belongs to the
/// tokeniser; only its digest is checked here.
pub struct Model {
    pub(crate) version: String,
    pub(crate) sizes: Sizes,
    pub(crate) embeddings: Arc<Embeddings>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) heads: Arc<Vec<Heads>>,
    pub(crate) tasks: Arc<Vec<Task>>,
}

/// The sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) max_tokens: usize,
    pub(crate) epsilon: f32,
}

/// A matrix `[outputs][inputs]` and its bias.
#[derive(Clone)]
pub(crate) struct Dense {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// Scale and shift of a layer normalisation.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

pub(crate) struct Embeddings {
    pub(crate) words: Vec<f32>,
    /// The embeddings of the position and of token type 0, added.
    pub(crate) positions: Vec<f32>,
    pub(crate) norm: Norm,
    pub(crate) vocabulary: usize,
}

#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) query: Dense,
    pub(crate) key: Dense,
    pub(crate) value: Dense,
    pub(crate) context: Dense,
    pub(crate) context_norm: Norm,
    pub(crate) expand: Dense,
    pub(crate) contract: Dense,
    pub(crate) output_norm: Norm,
}

/// The heads after one layer. The last heads of a model are those of all tasks.
pub(crate) struct Heads {
    /// Number of layers before these heads.
    pub(crate) layer: usize,
    pub(crate) heads: Vec<Head>,
}

/// The head of one task.
pub(crate) struct Head {
    /// Index of the task.
    pub(crate) task: usize,
    pub(crate) kind: TaskKind,
    pub(crate) range: [f32; 2],
    /// A hidden layer with tanh.
    pub(crate) hidden: Option<Dense>,
    pub(crate) output: Dense,
    /// One per label: the factor of the logits, and the number added after it.
    pub(crate) slopes: Vec<f32>,
    pub(crate) biases: Vec<f32>,
    /// The confidence from which a post may leave here, if the model defines it.
    pub(crate) confidence: Option<f32>,
}

impl Model {
    /// Reads and checks the folder of a model.
    pub fn open(folder: &Path) -> Result<Model, ModelError> {
        Self::from_files(folder)
    }

    /// Reads and checks the files of a model.
    pub fn from_files<F: ModelFiles + ?Sized>(files: &F) -> Result<Model, ModelError> {
        let read = |name: &str| {
            files.read(name).map_err(|source| ModelError::Read {
                path: files.path(name),
                source,
            })
        };
        let config_path = files.path(CONFIG);
        let config = parse_config(&config_path, &read(CONFIG)?)?;
        check(&config).map_err(|what| ModelError::Unsupported {
            path: config_path,
            what,
        })?;
        for (name, wanted) in config.sha256.iter().filter(|(name, _)| *name != TENSORS) {
            check_digest(&files.path(name), &read(name)?, wanted)?;
        }
        let path = files.path(TENSORS);
        let bytes = read(TENSORS)?;
        if let Some(wanted) = config.sha256.get(TENSORS) {
            check_digest(&path, &bytes, wanted)?;
        }
        assemble(&config, &Tensors::parse(&path, &bytes)?)
    }

    /// Name and version of the model, as readings record it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The tasks, in the order of the results.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Length of the longest post in tokens, with `[CLS]` and `[SEP]`.
    pub fn max_tokens(&self) -> usize {
        self.sizes.max_tokens
    }

    /// Size of the vocabulary: every token is smaller.
    pub fn vocabulary(&self) -> usize {
        self.embeddings.vocabulary
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Number of weights that each token is multiplied with: those of all layers' matrices.
    pub fn weights(&self) -> usize {
        let Sizes { hidden, inner, .. } = self.sizes;
        self.layers.len() * hidden * (4 * hidden + 2 * inner)
    }

    /// The layers after which a post may leave, ascending, with the confidence that the model proposes (the largest
    /// of its tasks).
    pub fn exits(&self) -> impl Iterator<Item = (usize, Option<f32>)> + '_ {
        let early = self.heads.len() - 1;
        self.heads[..early].iter().map(|heads| {
            let confidence = heads.heads.iter().filter_map(|head| head.confidence);
            (heads.layer, confidence.reduce(f32::max))
        })
    }
}

/// The files of a model: a folder, or data of the program.
pub trait ModelFiles {
    /// The content of the file `name`, for instance `config.json`.
    fn read(&self, name: &str) -> std::io::Result<Cow<'_, [u8]>>;

    /// How errors name the file.
    fn path(&self, name: &str) -> PathBuf;
}

impl ModelFiles for Path {
    fn read(&self, name: &str) -> std::io::Result<Cow<'_, [u8]>> {
        std::fs::read(self.join(name)).map(Cow::Owned)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.join(name)
    }
}

fn parse_config(path: &Path, bytes: &[u8]) -> Result<Config, ModelError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let wrap = |source| ModelError::Config {
        path: path.to_owned(),
        source,
    };
    // The format is checked first, because a file of another format may lack fields.
    let Version { format: found } = serde_json::from_slice(bytes).map_err(wrap)?;
    if found != FORMAT {
        return Err(ModelError::Format {
            path: path.to_owned(),
            found,
        });
    }
    serde_json::from_slice(bytes).map_err(wrap)
}

fn check_digest(path: &Path, bytes: &[u8], wanted: &str) -> Result<(), ModelError> {
    use std::fmt::Write;
    let mut found = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(found, "{byte:02x}");
    }
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(ModelError::Digest {
        path: path.to_owned(),
        found,
        wanted: wanted.to_owned(),
    })
}
