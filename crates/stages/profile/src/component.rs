//! The profile and moments stages as components. They share the section `[profile]`.

use limbic_component::{Component, Error, Kind, Need, Place, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec, StateSchema, progress};

use crate::{MomentMeters, MomentStage, ProfileStage, Settings};

impl Component for ProfileStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "profile";
    const SUMMARY: &'static str = "Keeps the mood, distress and consent of every person.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.validate()?)
    }

    fn build(settings: &Settings, _: &Resources) -> Result<Box<dyn Stage>, Error> {
        Ok(Box::new(Self::new(settings)?))
    }
}

impl StageComponent for ProfileStage {
    fn spec(settings: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec(settings))
    }

    fn state() -> StateSchema {
        let schema = crate::expiry::described_in(StateSchema::new());
        let schema = crate::withdrawals::described_in(schema);
        progress::described_in(schema.table(&crate::PEOPLE))
    }
}

impl Component for MomentStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "moments";
    const SUMMARY: &'static str = "Keeps the mood of every audience and finds the moments when it changes.";
    const PLACE: Place = Place::Section("profile");
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.validate()?)
    }

    fn build(settings: &Settings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let meters = resources.get().unwrap_or_else(|_| MomentMeters::unregistered());
        Ok(Box::new(Self::new(settings)?.metered(meters)))
    }
}

impl StageComponent for MomentStage {
    fn spec(_: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }

    fn state() -> StateSchema {
        crate::moments::schema()
    }
}
