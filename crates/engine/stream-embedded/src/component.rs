//! The embedded log as a component.

use std::sync::Arc;

use limbic_component::{Component, DataFolder, Error, Kind, Need, NoSettings, Place, Resources};
use limbic_stream::Log;

use crate::{EmbeddedLog, EmbeddedOptions};

impl Component for EmbeddedLog {
    type Settings = NoSettings;
    type Product = Arc<dyn Log>;
    const KIND: Kind = Kind::Log;
    const NAME: &'static str = "embedded";
    const SUMMARY: &'static str = "Stores topics in the data folder of one node, without a server.";
    const PLACE: Place = Place::Url {
        setting: "log",
        form: "embedded",
        schemes: &[],
        section: None,
    };
    const NEEDS: &'static [Need] = &[Need::DataFolder];

    fn check(_: &NoSettings) -> Result<(), Error> {
        Ok(())
    }

    fn build(_: &NoSettings, resources: &Resources) -> Result<Arc<dyn Log>, Error> {
        let DataFolder(folder) = resources.get()?;
        Ok(Arc::new(Self::open(
            folder.join("log"),
            EmbeddedOptions::default(),
        )?))
    }
}
