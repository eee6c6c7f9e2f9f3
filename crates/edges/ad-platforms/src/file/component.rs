//! The file platform as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_deliver::AdPlatform;

use super::{FilePlatform, FileSettings};

impl Component for FilePlatform {
    type Settings = FileSettings;
    type Product = Arc<dyn AdPlatform>;
    const KIND: Kind = Kind::AdPlatform;
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "Appends each delivery to a file of JSON Lines, once.";
    const PLACE: Place = Place::Entries("ad_platforms");
    const NEEDS: &'static [Need] = &[];

    fn check(settings: &FileSettings) -> Result<(), Error> {
        if settings.path.as_os_str().is_empty() {
            return Err("path: is empty: give the file that deliveries are appended to".into());
        }
        Ok(())
    }

    fn build(settings: &FileSettings, _: &Resources) -> Result<Arc<dyn AdPlatform>, Error> {
        Self::check(settings)?;
        Ok(Arc::new(Self::open(&settings.path)?.sending(settings.send)))
    }
}
