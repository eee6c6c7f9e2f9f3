//! The metrics stage as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec};
use tokio::runtime::Handle;

use crate::{MetricsSettings, MetricsStage, SeriesStore};

impl Component for MetricsStage {
    type Settings = MetricsSettings;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "metrics";
    const SUMMARY: &'static str =
        "Adds up windows of readings, moments, decisions and outcomes as time series.";
    const NEEDS: &'static [Need] = &[Need::Log, Need::SeriesStore, Need::AsyncRuntime];

    fn check(settings: &MetricsSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }
}

impl StageComponent for MetricsStage {
    fn spec(settings: &MetricsSettings) -> Result<StageSpec, Error> {
        Ok(Self::spec(settings))
    }

    fn build(settings: &MetricsSettings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let store: Arc<dyn SeriesStore> = resources.get()?;
        let handle: Handle = resources.get()?;
        Ok(Box::new(Self::new(store, handle, settings)?))
    }
}
