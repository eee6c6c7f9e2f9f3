//! Settings of the affect stage, and the engine that they select.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limbic_domain::{HumanDuration, Slug};
use limbic_encoder::{Kernels, KernelsError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AffectEngine, LexiconReader, ModelOptions, ModelReader, OpenError, Readers, ReadersOptions,
    SubjectTagger, SubjectsError,
};

/// The engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The model if its folder exists, otherwise the lexicon.
    #[default]
    Auto,
    /// The model. A missing or invalid folder is an error, unless [`Settings::fallback`] is set.
    Model,
    /// The lexicon, also if there is a model.
    Lexicon,
}

/// Settings of `[affect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The engine: `auto` (the model if its folder exists, otherwise the lexicon), `model`, `lexicon`. Default:
    /// `auto`.
    pub engine: Engine,
    /// Folder of the model, with `config.json`, `model.safetensors` and `vocab.txt`.
    pub model: PathBuf,
    /// The kernels of the model: `auto` (the fastest that this machine supports), `amx`, `avx512-vnni`, `avx2`,
    /// `neon`, `portable`, `torch`, `reference`. They round differently, so each gives another version.
    pub kernels: String,
    /// Threads that read; 0 selects one per core.
    pub threads: usize,
    /// Whether confident posts leave the model early. This is faster, but such readings lack irony, offence and hate.
    pub cascade: bool,
    /// Number of texts whose readings are cached (for reposts), about 500 bytes each; 0 disables the cache.
    pub cache: usize,
    /// Approximate number of tokens per batch.
    pub batch_tokens: usize,
    /// Time that a single text waits for others to be batched with. Default 2ms.
    pub linger: HumanDuration,
    /// Largest number of texts that wait to be read.
    pub queue: usize,
    /// Whether the lexicon replaces a missing or invalid model. Otherwise this is an error.
    pub fallback: bool,
    /// Brands to find in texts: for each name, the other ways to write it. A form with `!` before it counts only with
    /// a capital letter, because it is also a common word: `"Acme" = ["acme corp", "!Acme"]`.
    pub brands: BTreeMap<String, Vec<String>>,
    /// Subjects, each with the words that mention it: words, `#hashtags`, `@mentions`, in any case. A reading has the
    /// subjects found in this way, and those that the source of its post named. Default: none.
    pub subjects: BTreeMap<Slug, Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        let readers = ReadersOptions::default();
        Self {
            engine: Engine::Auto,
            model: "models/affect-l6".into(),
            kernels: "auto".to_owned(),
            threads: 0,
            cascade: false,
            cache: ModelOptions::default().cache,
            batch_tokens: readers.batch_tokens,
            linger: HumanDuration::from_millis(2),
            queue: readers.queue,
            fallback: false,
            brands: BTreeMap::new(),
            subjects: BTreeMap::new(),
        }
    }
}

/// The settings do not give an engine.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `affect.kernels` has an unknown value, or one that this machine does not support.
    #[error("affect.kernels = {name}")]
    Kernels {
        /// The value.
        name: String,
        /// The values that this machine supports.
        #[source]
        source: KernelsError,
    },
    /// The model cannot be used.
    #[error(
        "the model in {} cannot be used: repair it, set affect.model to another folder, or set affect.engine = \"lexicon\" (affect.fallback = true does this automatically)",
        folder.display()
    )]
    Model {
        /// The value of `affect.model`.
        folder: PathBuf,
        /// The invalid file and its error.
        #[source]
        source: OpenError,
    },
    /// The threads cannot be started.
    #[error(
        "cannot start the reader threads (affect.threads = {threads}): choose fewer threads, or raise the system's limit"
    )]
    Threads {
        /// The value of `affect.threads`.
        threads: usize,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
}

/// An engine, and a remark for the operator.
pub struct Opened {
    /// The selected engine.
    pub engine: Arc<dyn AffectEngine>,
    /// The reason why `auto` or `fallback` selected the lexicon instead of the model.
    pub remark: Option<String>,
}

impl Settings {
    /// The tagger over [`Settings::subjects`].
    pub fn tagger(&self) -> Result<SubjectTagger, SubjectsError> {
        SubjectTagger::new(&self.subjects)
    }

    /// The selected engine; it computes on the caller's thread.
    pub fn open(&self) -> Result<Opened, SettingsError> {
        let lexicon = |remark: Option<String>| Opened {
            engine: Arc::new(LexiconReader::with_brands(&self.brands)),
            remark,
        };
        let kernels: Kernels = self.kernels.parse().map_err(|source| SettingsError::Kernels {
            name: self.kernels.clone(),
            source,
        })?;
        if self.engine == Engine::Lexicon {
            return Ok(lexicon(None));
        }
        if self.engine == Engine::Auto && !has_model(&self.model) {
            return Ok(lexicon(Some(format!(
                "there is no model in {}: the lexica read",
                self.model.display()
            ))));
        }
        let options = ModelOptions {
            kernels,
            cascade: self.cascade,
            cache: self.cache,
            brands: self.brands.clone(),
        };
        match ModelReader::open(&self.model, &options) {
            Ok(reader) => Ok(Opened {
                engine: Arc::new(reader),
                remark: None,
            }),
            Err(OpenError::Kernels(source)) => Err(SettingsError::Kernels {
                name: self.kernels.clone(),
                source,
            }),
            Err(error) if self.fallback => Ok(lexicon(Some(format!(
                "{}; affect.fallback is set: the lexica read",
                chain(&error)
            )))),
            Err(source) => Err(SettingsError::Model {
                folder: self.model.clone(),
                source,
            }),
        }
    }

    /// The selected engine, with compute threads.
    pub fn start(&self) -> Result<Opened, SettingsError> {
        let Opened { engine, remark } = self.open()?;
        let usual = ReadersOptions::default();
        let options = ReadersOptions {
            threads: if self.threads == 0 {
                usual.threads
            } else {
                self.threads
            },
            batch_tokens: self.batch_tokens,
            linger: self.linger.get(),
            queue: self.queue,
        };
        let readers = Readers::start(engine, options).map_err(|source| SettingsError::Threads {
            threads: self.threads,
            source,
        })?;
        Ok(Opened {
            engine: Arc::new(readers),
            remark,
        })
    }
}

/// Whether the folder has any file of a model.
fn has_model(folder: &Path) -> bool {
    ["config.json", "model.safetensors"]
        .iter()
        .any(|file| folder.join(file).exists())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
