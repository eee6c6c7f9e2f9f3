//! The texts stage as a component. It shares the section `[creative]`.

use limbic_component::{Component, Error, Kind, Need, Place, Resources, StageComponent};
use limbic_stream::outbox::OutboxMeters;
use limbic_stream::{Stage, StageSpec, StateSchema};

use super::{AdIndexes, Embedders, PictureModels, TEXTS_STAGE, TextModels, TextsStage};
use crate::{Campaigns, Settings};

impl Component for TextsStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = TEXTS_STAGE;
    const SUMMARY: &'static str = "Asks models for texts of ads, and for pictures behind them.";
    const PLACE: Place = Place::Section("creative");
    const NEEDS: &'static [Need] = &[Need::Log, Need::LanguageModels];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.check(&Campaigns::new())?)
    }

    fn build(settings: &Settings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let models: TextModels = resources.get().unwrap_or(None);
        if models.is_none() && !settings.generate.model.is_empty() {
            return Err(
                "creative.generate.model is set, and this node has no language models: add [llm_providers.NAME]".into(),
            );
        }
        let painters: PictureModels = resources.get().unwrap_or(None);
        if painters.is_none() && !settings.paint.model.is_empty() {
            return Err(
                "creative.paint.model is set, and this node has no models that paint: add [picture_providers.NAME]".into(),
            );
        }
        let meters: OutboxMeters = resources.get()?;
        let embedder: Embedders = resources.get().unwrap_or(None);
        let index: AdIndexes = resources.get().unwrap_or(None);
        let stage = Self::new(settings, models)?.painting(painters).metered(meters);
        Ok(Box::new(stage.embedding(embedder, index)))
    }
}

impl StageComponent for TextsStage {
    fn spec(settings: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec(&settings.generate))
    }

    fn state() -> StateSchema {
        Self::schema()
    }
}
