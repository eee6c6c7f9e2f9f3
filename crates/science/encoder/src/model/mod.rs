//! Reads and checks the folder of a model. Every error of a folder is reported here.

mod config;
mod tensors;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub(crate) use config::{Config, Numbers};
pub use config::{Task, TaskKind};
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

impl Model {
    /// Reads and checks the folder of a model.
    pub fn open(folder: &Path) -> Result<Model, ModelError> {
        let config_path = folder.join(CONFIG);
        let config = parse_config(&config_path, &read(&config_path)?)?;
        check(&config).map_err(|what| ModelError::Unsupported {
            path: config_path,
            what,
        })?;
        for (name, wanted) in config.sha256.iter().filter(|(name, _)| *name != TENSORS) {
            let path = folder.join(name);
            check_digest(&path, &read(&path)?, wanted)?;
        }
        let path = folder.join(TENSORS);
        let bytes = read(&path)?;
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

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::Read {
        path: path.to_owned(),
        source,
    })
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

/// Checks that the configuration is consistent and that the kernels support it.
fn check(config: &Config) -> Result<(), String> {
    debug_assert_eq!(config.format, FORMAT);
    let (hidden, heads) = (config.hidden_size, config.attention_heads);
    let multiple = |name: &str, n: usize, of: usize| match n {
        0 => Err(format!("{name} is zero")),
        n if n % of != 0 => Err(format!("{name} is {n}, but the kernels take multiples of {of}")),
        _ => Ok(()),
    };
    multiple("hidden_size", hidden, 64)?;
    multiple("intermediate_size", config.intermediate_size, 64)?;
    multiple("layers", config.layers, 1)?;
    multiple("attention_heads", heads, 1)?;
    if hidden % heads != 0 || hidden / heads % 16 != 0 {
        return Err(format!(
            "hidden_size {hidden} in {heads} attention heads: a head must be a multiple of 16 wide"
        ));
    }
    if config.max_tokens < 2 || config.max_tokens > 512 {
        return Err(format!(
            "max_tokens is {}, but must be within 2..=512",
            config.max_tokens
        ));
    }
    if config.layer_norm_eps.is_nan() || config.layer_norm_eps < 0.0 {
        return Err("layer_norm_eps is not a positive number".to_owned());
    }
    if config.tasks.is_empty() {
        return Err("there are no tasks".to_owned());
    }
    for task in &config.tasks {
        let width = task.width();
        fits(task, "temperatures", task.temperatures.as_deref())?;
        fits(task, "biases", task.biases.as_deref())?;
        fits(task, "thresholds", task.thresholds.as_deref())?;
        warm(
            task,
            task.temperature.iter().chain(task.temperatures.iter().flatten()),
        )?;
        if task.kind == TaskKind::Regression && width != 1 {
            return Err(format!(
                "task {} is a regression and has {width} labels",
                task.name
            ));
        }
        if config
            .tasks
            .iter()
            .filter(|other| other.name == task.name)
            .count()
            > 1
        {
            return Err(format!("task {} is there twice", task.name));
        }
    }
    let mut last = 0;
    for exits in &config.exits {
        if exits.layer <= last || exits.layer >= config.layers {
            return Err(format!(
                "an exit after layer {}: exits come in order, after layers 1..={}",
                exits.layer,
                config.layers - 1
            ));
        }
        last = exits.layer;
        if exits.tasks.is_empty() {
            return Err(format!("the exit after layer {last} has no tasks"));
        }
        for name in &exits.tasks {
            let Some(task) = config.tasks.iter().find(|task| task.name == *name) else {
                return Err(format!(
                    "the exit after layer {last} is for {name}, but there is no task {name}"
                ));
            };
            fits(task, "biases", exits.biases.get(name).map(Vec::as_slice))?;
            match exits.temperatures.get(name) {
                Some(Numbers::Each(each)) => {
                    fits(task, "temperatures", Some(each))?;
                    warm(task, each.iter())?;
                }
                Some(Numbers::One(one)) => warm(task, [one].into_iter())?,
                None => {}
            }
        }
    }
    Ok(())
}

/// Checks that there is one number per label, if there are any.
fn fits(task: &Task, what: &str, numbers: Option<&[f32]>) -> Result<(), String> {
    match numbers {
        Some(numbers) if numbers.len() != task.width() => Err(format!(
            "task {} has {} labels, but {} {what}",
            task.name,
            task.width(),
            numbers.len()
        )),
        _ => Ok(()),
    }
}

/// Checks that all temperatures are positive and finite.
fn warm<'a>(task: &Task, mut temperatures: impl Iterator<Item = &'a f32>) -> Result<(), String> {
    match temperatures.find(|t| !(t.is_finite() && **t > 0.0)) {
        Some(t) => Err(format!(
            "task {} has the temperature {t}: it must be above zero",
            task.name
        )),
        None => Ok(()),
    }
}

/// Reads the tensors that the configuration needs.
fn assemble(config: &Config, tensors: &Tensors<'_>) -> Result<Model, ModelError> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let dense = |name: &str, outputs: usize, inputs: usize| -> Result<Dense, ModelError> {
        Ok(Dense {
            weight: tensors.numbers(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: tensors.numbers(&format!("{name}.bias"), &[outputs])?,
        })
    };
    let norm = |name: &str| -> Result<Norm, ModelError> {
        Ok(Norm {
            scale: tensors.numbers(&format!("{name}.weight"), &[hidden])?,
            shift: tensors.numbers(&format!("{name}.bias"), &[hidden])?,
        })
    };
    let embeddings = embeddings(config, tensors, norm("embeddings.LayerNorm")?)?;
    let layers = (0..config.layers)
        .map(|i| {
            let name = |part: &str| format!("encoder.layer.{i}.{part}");
            Ok(Layer {
                query: dense(&name("attention.self.query"), hidden, hidden)?,
                key: dense(&name("attention.self.key"), hidden, hidden)?,
                value: dense(&name("attention.self.value"), hidden, hidden)?,
                context: dense(&name("attention.output.dense"), hidden, hidden)?,
                context_norm: norm(&name("attention.output.LayerNorm"))?,
                expand: dense(&name("intermediate.dense"), inner, hidden)?,
                contract: dense(&name("output.dense"), hidden, inner)?,
                output_norm: norm(&name("output.LayerNorm"))?,
            })
        })
        .collect::<Result<Vec<Layer>, ModelError>>()?;

    let head = |prefix: &str, index: usize, task: &Task| -> Result<Head, ModelError> {
        let name = format!("{prefix}.{}", task.name);
        let hidden_name = format!("{name}.dense");
        let hidden_layer = if tensors.has(&format!("{hidden_name}.weight")) {
            Some(dense(&hidden_name, hidden, 2 * hidden)?)
        } else {
            None
        };
        let inputs = if hidden_layer.is_some() {
            hidden
        } else {
            2 * hidden
        };
        let width = task.width();
        Ok(Head {
            task: index,
            kind: task.kind,
            range: task.range.unwrap_or([0.0, 1.0]),
            hidden: hidden_layer,
            output: dense(&name, width, inputs)?,
            slopes: match &task.temperatures {
                Some(each) => each.iter().map(|t| 1.0 / t).collect(),
                None => vec![1.0 / task.temperature.unwrap_or(1.0); width],
            },
            biases: task.biases.clone().unwrap_or_else(|| vec![0.0; width]),
            confidence: None,
        })
    };
    let mut heads = Vec::new();
    for exits in &config.exits {
        let mut at_exit = Vec::new();
        for name in &exits.tasks {
            let found = config
                .tasks
                .iter()
                .enumerate()
                .find(|(_, task)| task.name == *name);
            let (index, task) = found.ok_or_else(|| ModelError::Missing {
                path: PathBuf::from(CONFIG),
                tensor: format!("tasks.{name}"),
            })?;
            let mut head = head(&format!("exits.{}", exits.layer), index, task)?;
            // An exit has its own calibration, or none.
            head.slopes = match exits.temperatures.get(name) {
                Some(Numbers::One(t)) => vec![1.0 / t; task.width()],
                Some(Numbers::Each(each)) => each.iter().map(|t| 1.0 / t).collect(),
                None => vec![1.0; task.width()],
            };
            head.biases = exits
                .biases
                .get(name)
                .cloned()
                .unwrap_or_else(|| vec![0.0; task.width()]);
            head.confidence = exits.confidence.get(name).copied();
            at_exit.push(head);
        }
        heads.push(Heads {
            layer: exits.layer,
            heads: at_exit,
        });
    }
    let last = config
        .tasks
        .iter()
        .enumerate()
        .map(|(index, task)| head("heads", index, task));
    heads.push(Heads {
        layer: config.layers,
        heads: last.collect::<Result<_, _>>()?,
    });
    Ok(Model {
        version: config.version.clone(),
        sizes: Sizes {
            hidden,
            heads: config.attention_heads,
            inner,
            max_tokens: config.max_tokens,
            epsilon: config.layer_norm_eps,
        },
        embeddings: Arc::new(embeddings),
        layers,
        heads: Arc::new(heads),
        tasks: Arc::new(config.tasks.clone()),
    })
}

fn embeddings(config: &Config, tensors: &Tensors<'_>, norm: Norm) -> Result<Embeddings, ModelError> {
    let hidden = config.hidden_size;
    let rows = |name: &str| {
        tensors
            .shape(name)
            .map(|shape| shape.first().copied().unwrap_or(0))
    };
    let words = "embeddings.word_embeddings.weight";
    let positions = "embeddings.position_embeddings.weight";
    let types = "embeddings.token_type_embeddings.weight";
    let vocabulary = rows(words)?;
    // The file may have more positions than are used.
    let there = rows(positions)?.max(config.max_tokens);
    let mut position_rows = tensors.numbers(positions, &[there, hidden])?;
    position_rows.truncate(config.max_tokens * hidden);
    let type_rows = tensors.numbers(types, &[rows(types)?.max(1), hidden])?;
    for row in position_rows.chunks_exact_mut(hidden) {
        for (x, kind) in row.iter_mut().zip(&type_rows) {
            *x += kind;
        }
    }
    Ok(Embeddings {
        words: tensors.numbers(words, &[vocabulary, hidden])?,
        positions: position_rows,
        norm,
        vocabulary,
    })
}
