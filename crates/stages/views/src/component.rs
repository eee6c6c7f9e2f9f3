//! The views stage as a component.

use limbic_component::{Component, Error, Kind, Need, NoSettings, Resources, StageComponent};
use limbic_stream::{Stage, StageSpec};
use tokio::runtime::Handle;

use crate::{Store, ViewsStage};

impl Component for ViewsStage {
    type Settings = NoSettings;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "views";
    const SUMMARY: &'static str = "Keeps every event as a row that the API can find.";
    const NEEDS: &'static [Need] = &[Need::Log, Need::ViewDatabase, Need::AsyncRuntime];

    fn check(_: &NoSettings) -> Result<(), Error> {
        Ok(())
    }
}

impl StageComponent for ViewsStage {
    fn spec(_: &NoSettings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }

    fn build(_: &NoSettings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let store: Store = resources.get()?;
        let handle: Handle = resources.get()?;
        Ok(Box::new(Self::new(store, handle, &resources.log_name)))
    }
}
