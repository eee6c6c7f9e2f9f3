//! Why the folder of a model cannot be used.

use std::path::PathBuf;

use super::{CONFIG, FORMAT};

/// The folder of a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}: check the path, or fetch the model again", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// `config.json` is not valid.
    #[error("{} is not a model's configuration: fetch the model again", path.display())]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// Error of the parser.
        #[source]
        source: serde_json::Error,
    },
    /// The folder has another version of the layout.
    #[error("{} has format {found}, but this program reads format {FORMAT}: take the model and the program from the same release", path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Version of the file.
        found: u32,
    },
    /// Sizes, tasks or exits contradict each other, or the kernels do not support them.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// The contradiction.
        what: String,
    },
    /// The file is not a safetensors file, or is truncated.
    #[error("{} is damaged or cut short: fetch the model again", path.display())]
    Tensors {
        /// Path of the file.
        path: PathBuf,
        /// Error of the parser.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing.
    #[error("{} lacks the tensor {tensor}: it is not the model that {CONFIG} describes", path.display())]
    Missing {
        /// Path of the file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
    },
    /// A tensor has other sizes than the configuration.
    #[error("{}: {tensor} is {found:?}, but {CONFIG} makes it {wanted:?}: the files belong to different models", path.display())]
    Shape {
        /// Path of the file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Its sizes.
        found: Vec<usize>,
        /// The expected sizes.
        wanted: Vec<usize>,
    },
    /// A tensor has another type than F16 or F32.
    #[error("{}: {tensor} is {found}, but only F16 and F32 are read: convert the model to one of them", path.display())]
    Type {
        /// Path of the file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A tensor contains NaN or an infinite number.
    #[error("{}: {tensor} holds NaN or infinity: the training that wrote it failed, take another checkpoint", path.display())]
    NotFinite {
        /// Path of the file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
    },
    /// The digest of a file differs from the published one.
    #[error("{} has SHA-256 {found}, but {CONFIG} says {wanted}: fetch the model again", path.display())]
    Digest {
        /// Path of the file.
        path: PathBuf,
        /// Digest of the file.
        found: String,
        /// The published digest.
        wanted: String,
    },
}
