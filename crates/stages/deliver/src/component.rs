//! The deliver stage as a component.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_domain::Slug;
use limbic_stream::outbox::OutboxMeters;
use limbic_stream::{Stage, StageSpec, StateSchema};

use crate::{AdPlatform, DeliverMeters, DeliverStage, Pictures, Settings};

/// The open ad platforms, by the name that campaigns use. The stage gets them from the shared resources.
pub type AdPlatforms = BTreeMap<Slug, Arc<dyn AdPlatform>>;

/// What draws the pictures of ads. The stage gets it from the shared resources; without it, an ad that has a picture waits.
pub type DeliveryPictures = Arc<dyn Pictures>;

impl Component for DeliverStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "deliver";
    const SUMMARY: &'static str = "Sends decisions to ad platforms and records their answers.";
    const NEEDS: &'static [Need] = &[Need::Log, Need::AdPlatforms, Need::Clock];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn build(settings: &Settings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let platforms: AdPlatforms = resources.get()?;
        let meters: OutboxMeters = resources.get()?;
        let waiting = resources.get().unwrap_or_else(|_| DeliverMeters::unregistered());
        let platforms = platforms.into_iter().map(|(name, platform)| {
            let platform: Box<dyn AdPlatform> = Box::new(platform);
            (name, platform)
        });
        let pictures: DeliveryPictures = resources.get().unwrap_or_else(|_| Arc::new(()));
        Ok(Box::new(
            Self::drawing(settings, platforms.collect(), &pictures)?
                .metered(meters)
                .showing(waiting),
        ))
    }
}

impl StageComponent for DeliverStage {
    fn spec(settings: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec(settings))
    }

    fn state() -> StateSchema {
        crate::stage::schema()
    }
}
