//! The optimize stage as a component.

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec, StateSchema};

use crate::{OptimizeMeters, OptimizeSettings, OptimizeStage};

impl Component for OptimizeStage {
    type Settings = OptimizeSettings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "optimize";
    const SUMMARY: &'static str = "Chooses one ad, or none, and learns from outcomes.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &OptimizeSettings) -> Result<(), Error> {
        Self::new(settings.clone())?;
        Ok(())
    }

    fn build(settings: &OptimizeSettings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let meters = resources.get().unwrap_or_else(|_| OptimizeMeters::unregistered());
        Ok(Box::new(Self::new(settings.clone())?.metered(meters)))
    }
}

impl StageComponent for OptimizeStage {
    fn spec(settings: &OptimizeSettings) -> Result<StageSpec, Error> {
        let stage = Self::new(settings.clone())?;
        Ok(Self::spec(&stage))
    }

    fn state() -> StateSchema {
        crate::state::schema()
    }
}
