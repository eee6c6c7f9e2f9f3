//! The deliver stage as a component.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_domain::Slug;
use limbic_stream::outbox::OutboxMeters;
use limbic_stream::{Stage, StageSpec};

use crate::{AdPlatform, DeliverStage, Settings};

/// Open ad platforms, by the name that campaigns use.
type Platforms = BTreeMap<Slug, Box<dyn AdPlatform>>;

/// Opens the ad platforms: the stage finds it in the shared resources, because platforms stand above stages.
#[derive(Clone)]
pub struct OpenPlatforms(Arc<dyn Fn() -> Result<Platforms, Error> + Send + Sync>);

impl OpenPlatforms {
    /// Wraps the function that opens the platforms.
    pub fn new(open: impl Fn() -> Result<Platforms, Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }
}

impl Component for DeliverStage {
    type Settings = Settings;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "deliver";
    const SUMMARY: &'static str = "Sends decisions to ad platforms and records their answers.";
    const NEEDS: &'static [Need] = &[
        Need::Log,
        Need::HttpClient,
        Need::Clock,
        Need::Secrets,
        Need::AsyncRuntime,
    ];

    fn check(settings: &Settings) -> Result<(), Error> {
        Ok(settings.check()?)
    }
}

impl StageComponent for DeliverStage {
    fn spec(settings: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec(settings))
    }

    fn build(settings: &Settings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let open: OpenPlatforms = resources.get()?;
        let meters: OutboxMeters = resources.get()?;
        Ok(Box::new(Self::new(settings, (open.0)()?)?.metered(meters)))
    }
}
