//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{Veo, VeoSettings};
use crate::Filmer;

impl Component for Veo {
    type Settings = VeoSettings;
    type Product = Arc<dyn Filmer>;
    const KIND: Kind = Kind::VideoProvider;
    const NAME: &'static str = "veo";
    const SUMMARY: &'static str =
        "Asks a server with Veo's method of the Gemini API for clips (predictLongRunning).";
    const PLACE: Place = Place::Entries("video_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &VeoSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &VeoSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &VeoSettings, _: &Resources) -> Result<Arc<dyn Filmer>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
