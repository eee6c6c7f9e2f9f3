//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::GeminiImages;
use crate::{GeminiSettings, Painter};

impl Component for GeminiImages {
    type Settings = GeminiSettings;
    type Product = Arc<dyn Painter>;
    const KIND: Kind = Kind::PictureProvider;
    const NAME: &'static str = "gemini";
    const SUMMARY: &'static str = "Asks Google's Gemini API for pictures (generateContent).";
    const PLACE: Place = Place::Entries("picture_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &GeminiSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &GeminiSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &GeminiSettings, _: &Resources) -> Result<Arc<dyn Painter>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
