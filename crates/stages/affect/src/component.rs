//! The affect stage as a component.

use limbic_affect::{Opened, Settings};
use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec};

use crate::{AffectMeters, AffectStage};

impl Component for AffectStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "affect";
    const SUMMARY: &'static str = "Reads sentiment, emotions, distress, intent and names in every post.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        settings.open()?;
        settings.tagger()?;
        Ok(())
    }

    fn build(settings: &Settings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let Opened {
            engine,
            remark,
            description,
            adapters,
        } = settings.start()?;
        if let Some(remark) = remark {
            tracing::warn!("{remark}");
        }
        tracing::info!(version = engine.version(), "affect engine opened: {description}");
        for adapter in adapters.descriptions() {
            tracing::info!("adapter {adapter}");
        }
        let meters = resources.get().unwrap_or_else(|_| AffectMeters::unregistered());
        let stage = Self::new(engine, settings.tagger()?);
        Ok(Box::new(stage.adapted_by(adapters).metered(meters)))
    }
}

impl StageComponent for AffectStage {
    fn spec(_: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }
}
