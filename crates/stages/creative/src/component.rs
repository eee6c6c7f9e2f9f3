//! The creative stage as a component.

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec};

use crate::{Campaigns, CreativeStage, Settings};

impl Component for CreativeStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "creative";
    const SUMMARY: &'static str = "Writes ads for the campaigns that want a moment.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.check(&Campaigns::new())?)
    }

    fn build(settings: &Settings, _: &Resources) -> Result<Box<dyn Stage>, Error> {
        Ok(Box::new(Self::new(settings)?))
    }
}

impl StageComponent for CreativeStage {
    fn spec(_: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }
}
