//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{Imagen, ImagenSettings};
use crate::Painter;

impl Component for Imagen {
    type Settings = ImagenSettings;
    type Product = Arc<dyn Painter>;
    const KIND: Kind = Kind::PictureProvider;
    const NAME: &'static str = "imagen";
    const SUMMARY: &'static str = "Asks a server with Imagen's method of the Gemini API (predict).";
    const PLACE: Place = Place::Entries("picture_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &ImagenSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &ImagenSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &ImagenSettings, _: &Resources) -> Result<Arc<dyn Painter>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
