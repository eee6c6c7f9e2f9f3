//! The safety stage as a component.

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec};

use crate::{Rules, SafetyStage, Settings};

impl Component for SafetyStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "safety";
    const SUMMARY: &'static str = "Removes ads and people that the safety rules forbid.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn build(settings: &Settings, _: &Resources) -> Result<Box<dyn Stage>, Error> {
        Ok(Box::new(Self::new(Rules::new(settings)?)))
    }
}

impl StageComponent for SafetyStage {
    fn spec(_: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }
}
