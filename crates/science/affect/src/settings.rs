//! The settings of the affect stage, and the engine they ask for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limbic_domain::{HumanDuration, Slug};
use limbic_encoder::{Kernels, KernelsError};
use serde::{Deserialize, Serialize};

use crate::{
    AffectEngine, LexiconReader, ModelOptions, ModelReader, OpenError, Readers, ReadersOptions,
    SubjectTagger, SubjectsError,
};

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The model, where there is one in its folder; otherwise the lexica.
    #[default]
    Auto,
    /// The model.
    Model,
    /// The lexica.
    Lexicon,
}

/// `[affect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who reads: `auto` (the model where there is one, otherwise the lexica), `model`, `lexicon`.
    pub engine: Engine,
    /// The model's folder, with `config.json`, `model.safetensors` and `vocab.txt`.
    pub model: PathBuf,
    /// Which code runs the model: `auto` (the fastest that this machine can), `amx`, `avx512-vnni`, `avx2`, `neon`,
    /// `portable`, `torch`, `reference`. Each is a version of its own: they round differently.
    pub kernels: String,
    /// Threads that read; 0 = one for each core.
    pub threads: usize,
    /// Whether posts that are sure early leave the model early. Faster; such readings lack irony, offence and hate.
    pub cascade: bool,
    /// How many texts are remembered with what was read of them (reposts); some 500 bytes each. 0 = none.
    pub cache: usize,
    /// About how many tokens are read at once.
    pub batch_tokens: usize,
    /// How long a lone text waits for others to be read with. Default 2ms.
    pub linger: HumanDuration,
    /// How many texts may wait to be read.
    pub queue: usize,
    /// Whether a model that is missing or broken is replaced by the lexica, instead of being an error.
    pub fallback: bool,
    /// Brands to be found in texts: by name, the further ways to write each. A way with `!` before it counts only with a
    /// capital letter, because it is a word too: `"Acme" = ["acme corp", "!Acme"]`.
    pub brands: BTreeMap<String, Vec<String>>,
    /// Subjects, each with the words that mention it: words, `#hashtags`, `@mentions`, in any case. A reading has the
    /// subjects found so, and those that the source of its post named. Default: none.
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

/// Why the settings give no engine.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `affect.kernels` names none, or none that this machine has.
    #[error("affect.kernels = {name}")]
    Kernels {
        /// What was given.
        name: String,
        /// What can be.
        #[source]
        source: KernelsError,
    },
    /// The model cannot be used.
    #[error(
        "the model in {} cannot be used: mend it, name another folder in affect.model, or set affect.engine = \"lexicon\" (affect.fallback = true does so by itself)",
        folder.display()
    )]
    Model {
        /// `affect.model`.
        folder: PathBuf,
        /// Which file, and what is wrong with it.
        #[source]
        source: OpenError,
    },
    /// The threads cannot be started.
    #[error("cannot start the threads that read (affect.threads = {threads})")]
    Threads {
        /// `affect.threads`.
        threads: usize,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
}

/// An engine, and what whoever asked for it should know.
pub struct Opened {
    /// The engine.
    pub engine: Arc<dyn AffectEngine>,
    /// Why it is not the model, where it might have been.
    pub remark: Option<String>,
}

impl Settings {
    /// The tagger over [`Settings::subjects`].
    pub fn tagger(&self) -> Result<SubjectTagger, SubjectsError> {
        SubjectTagger::new(&self.subjects)
    }

    /// The engine that is asked for, on the caller's thread.
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

    /// The engine that is asked for, with compute threads around it.
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

/// Whether somebody put a model there, whole or not.
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
