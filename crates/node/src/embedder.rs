//! The node's model of affect as an embedder of texts.

use std::sync::Arc;

use anyhow::Context as _;
use limbic_affect::{Engine, ModelOptions, ModelReader};
use limbic_affect_stage::AffectStage;
use limbic_creative::{AdIndexes, CreativeStage, Embedder, Embedders};
use limbic_qdrant::QdrantIndex;
use tokio::runtime::Handle;

use crate::settings::Settings;

/// The pooled states of the model of `[affect]`.
struct ModelEmbedder(ModelReader);

impl Embedder for ModelEmbedder {
    fn embed(&self, texts: &[&str]) -> Vec<Option<Vec<f32>>> {
        self.0.pooled(texts)
    }
}

/// The index of earlier ads that the settings name. `None` = the one of the process.
pub(crate) fn index(settings: &Settings, handle: &Handle) -> anyhow::Result<AdIndexes> {
    let generate = &settings.section::<CreativeStage>().generate;
    if generate.index.is_embedded() {
        return Ok(None);
    }
    let index = QdrantIndex::new(&generate.index, &generate.index_key, handle.clone())?;
    Ok(Some(Arc::new(index)))
}

/// The embedder that the settings need, if texts are ordered and earlier ads are looked for. With the lexicon as engine there is none.
pub(crate) fn open(settings: &Settings) -> anyhow::Result<Embedders> {
    let generate = &settings.section::<CreativeStage>().generate;
    let affect = settings.section::<AffectStage>();
    if generate.model.is_empty() || generate.past == 0 || affect.engine == Engine::Lexicon {
        return Ok(None);
    }
    let options = ModelOptions {
        kernels: affect.kernels.parse()?,
        cache: 0,
        ..ModelOptions::default()
    };
    match affect.open_model(&options) {
        Ok((reader, place)) => {
            tracing::info!("earlier ads are found with the model {place}");
            Ok(Some(Arc::new(ModelEmbedder(reader))))
        }
        Err(error) if affect.fallback => {
            tracing::warn!(%error, "earlier ads are not looked for");
            Ok(None)
        }
        Err(error) => Err(error).context("cannot open the model that finds earlier ads"),
    }
}
