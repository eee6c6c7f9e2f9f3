//! A model whose files are part of the program, so that a copied program reads with it from any folder.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::OnceLock;

use limbic_encoder::ModelFiles;

/// The files of a model as data of the program: names, as in a model's folder, and contents.
#[derive(Clone, Copy)]
pub struct BuiltInModel {
    /// How errors and `limbic check` call it.
    pub name: &'static str,
    /// `config.json`, `model.safetensors`, `vocab.txt`, and, if the model has them, `sensitive-events.bin` and `familiarity.bin`.
    pub files: &'static [(&'static str, &'static [u8])],
}

impl std::fmt::Debug for BuiltInModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltInModel")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

static PROVIDED: OnceLock<BuiltInModel> = OnceLock::new();

impl BuiltInModel {
    /// Makes this the model of a program whose settings name none. The first call counts. A library has no model: only the
    /// program that contains the files calls this, when it starts.
    pub fn provide(self) {
        let _ = PROVIDED.set(self);
    }

    /// The model that this program contains.
    pub fn provided() -> Option<Self> {
        PROVIDED.get().copied()
    }
}

impl ModelFiles for BuiltInModel {
    fn read(&self, name: &str) -> std::io::Result<Cow<'_, [u8]>> {
        let found = self.files.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, bytes)| Cow::Borrowed(*bytes))
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{name} of the built-in {}", self.name))
    }
}
