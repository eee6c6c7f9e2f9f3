//! The ingest stage as a component.

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec};

use crate::{IngestStage, Settings};

impl Component for IngestStage {
    type Settings = Settings;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "ingest";
    const SUMMARY: &'static str = "Removes duplicates of the posts and outcomes that the API accepted.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        if settings.remember.as_secs() == 0 {
            return Err(format!("ingest.remember = {}: must be at least 1s", settings.remember).into());
        }
        Ok(())
    }
}

impl StageComponent for IngestStage {
    fn spec(_: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }

    fn build(settings: &Settings, _: &Resources) -> Result<Box<dyn Stage>, Error> {
        Self::check(settings)?;
        Ok(Box::new(Self::new(settings)))
    }
}
