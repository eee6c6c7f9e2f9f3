//! Settings of the affect stage, and the engine that they select.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use limbic_domain::Slug;
use limbic_encoder::{Kernels, KernelsError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adapters::{AdapterChoice, Adapters, ChoiceError};
use crate::{
    AffectEngine, BuiltInModel, LexiconReader, ModelOptions, ModelReader, OpenError, Readers, ReadersOptions,
    SubjectTagger, SubjectsError,
};

/// The engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The same as [`Engine::Model`].
    #[default]
    Auto,
    /// The model. A missing or invalid one is an error, unless [`Settings::fallback`] is set.
    Model,
    /// The lexicon, also if there is a model.
    Lexicon,
}

/// Settings of `[affect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The engine: `model`, or `lexicon`, which reads faster and far worse. `auto` (default) is the model: without it, the
    /// node does not start.
    pub engine: Engine,
    /// Folder of the model, with `config.json`, `model.safetensors` and `vocab.txt`. Empty (default) = the model that the program
    /// contains.
    pub model: PathBuf,
    /// The kernels of the model: `auto` (the fastest that this machine supports), `amx`, `avx512-vnni`, `avx2`,
    /// `neon`, `portable`, `torch`, `reference`. They round differently, so each gives another version.
    pub kernels: String,
    /// Threads that read; 0 selects one per core.
    pub threads: usize,
    /// Whether confident posts leave the model early. This is faster, but such readings lack irony, offence and hate. No post leaves
    /// before the layer that reads distress, so the shipped model reads no faster with it.
    pub cascade: bool,
    /// Number of texts whose readings are cached (for reposts), about 500 bytes each; 0 disables the cache.
    pub cache: usize,
    /// Approximate number of tokens per batch.
    pub batch_tokens: usize,
    /// Largest number of texts that wait to be read.
    pub queue: usize,
    /// Whether the lexicon replaces a missing or invalid model. Otherwise this is an error.
    pub fallback: bool,
    /// Adapters: heads that `limbic train adapter` fitted to labelled posts, each with the posts that it reads. The first whose
    /// conditions a post meets reads the post's sentiment; the model reads all others. Each is a table `[[affect.adapters]]` with `file`,
    /// and with `networks`, `subjects` and `languages`, of which any can be absent. Default: none.
    pub adapters: Vec<AdapterChoice>,
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
            model: PathBuf::new(),
            kernels: "auto".to_owned(),
            threads: 0,
            cascade: false,
            cache: ModelOptions::default().cache,
            batch_tokens: readers.batch_tokens,
            queue: readers.queue,
            fallback: false,
            adapters: Vec::new(),
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
    /// There is no model.
    #[error(
        "there is no model: the program was built without one, and affect.model is empty: set affect.model to the folder of a model \
         (models/affect-l6 of the release), or set affect.engine = \"lexicon\", which reads far worse"
    )]
    NoModel,
    /// An adapter cannot be used.
    #[error(transparent)]
    Adapters(#[from] ChoiceError),
    /// Adapters need the model.
    #[error(
        "affect.adapters names adapters, and affect.engine = \"lexicon\" reads without a model: adapters need the model; remove one of \
         both settings"
    )]
    AdaptersWithoutModel,
    /// Adapters need all layers.
    #[error(
        "affect.adapters names adapters, and with affect.cascade posts leave the model before the layer that adapters read: remove one of \
         both settings"
    )]
    AdaptersWithCascade,
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
    /// The reason why `fallback` selected the lexicon instead of the model.
    pub remark: Option<String>,
    /// What reads, where it comes from, and what it runs on, in words for `limbic check`.
    pub description: String,
    /// The engine's adapters. None if the lexicon replaces the model.
    pub adapters: Adapters,
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
            description: "the lexica read, without a model".to_owned(),
            adapters: Adapters::default(),
        };
        let adapters = self.open_adapters()?;
        let kernels: Kernels = self.kernels.parse().map_err(|source| SettingsError::Kernels {
            name: self.kernels.clone(),
            source,
        })?;
        if self.engine == Engine::Lexicon {
            return Ok(lexicon(None));
        }
        let options = ModelOptions {
            kernels,
            cascade: self.cascade,
            cache: self.cache,
            brands: self.brands.clone(),
        };
        match self.open_model(&options) {
            Ok((reader, place)) => Ok(Opened {
                description: format!(
                    "model {} ({place}), kernels {}",
                    reader.model_version(),
                    reader.kernels()
                ),
                engine: Arc::new(reader.adapted_by(adapters.clone())?),
                remark: None,
                adapters,
            }),
            Err(error @ SettingsError::Kernels { .. }) => Err(error),
            Err(error) if self.fallback => Ok(lexicon(Some(format!(
                "{}; affect.fallback is set: the lexica read",
                chain(&error)
            )))),
            Err(error) => Err(error),
        }
    }

    /// The adapters that the settings name. Whether they fit the model is not checked here.
    pub fn open_adapters(&self) -> Result<Adapters, SettingsError> {
        if self.adapters.is_empty() {
            return Ok(Adapters::default());
        }
        if self.engine == Engine::Lexicon {
            return Err(SettingsError::AdaptersWithoutModel);
        }
        if self.cascade {
            return Err(SettingsError::AdaptersWithCascade);
        }
        Ok(Adapters::open(&self.adapters)?)
    }

    /// The model that the settings name, or that the program contains, without adapters, and where it is.
    pub fn open_model(&self, options: &ModelOptions) -> Result<(ModelReader, String), SettingsError> {
        let (opened, place) = if self.model.as_os_str().is_empty() {
            let model = BuiltInModel::provided().ok_or(SettingsError::NoModel)?;
            (
                ModelReader::from_files(&model, options),
                "in the program".to_owned(),
            )
        } else {
            let place = format!("in {}", self.model.display());
            (ModelReader::open(&self.model, options), place)
        };
        match opened {
            Ok(reader) => Ok((reader, place)),
            Err(OpenError::Kernels(source)) => Err(SettingsError::Kernels {
                name: options.kernels.to_string(),
                source,
            }),
            Err(source) => Err(SettingsError::Model {
                folder: self.model.clone(),
                source,
            }),
        }
    }

    /// The selected engine, with compute threads.
    pub fn start(&self) -> Result<Opened, SettingsError> {
        let Opened {
            engine,
            remark,
            description,
            adapters,
        } = self.open()?;
        let usual = ReadersOptions::default();
        let options = ReadersOptions {
            threads: if self.threads == 0 {
                usual.threads
            } else {
                self.threads
            },
            batch_tokens: self.batch_tokens,
            linger: usual.linger,
            queue: self.queue,
        };
        let readers = Readers::start(engine, options).map_err(|source| SettingsError::Threads {
            threads: self.threads,
            source,
        })?;
        Ok(Opened {
            engine: Arc::new(readers),
            remark,
            description,
            adapters,
        })
    }
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
