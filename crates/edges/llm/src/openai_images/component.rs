//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{OpenAiImages, OpenAiImagesSettings};
use crate::Painter;

impl Component for OpenAiImages {
    type Settings = OpenAiImagesSettings;
    type Product = Arc<dyn Painter>;
    const KIND: Kind = Kind::PictureProvider;
    const NAME: &'static str = "openai";
    const SUMMARY: &'static str = "Asks a server with OpenAI's Images API (GPT image models).";
    const PLACE: Place = Place::Entries("picture_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &OpenAiImagesSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &OpenAiImagesSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &OpenAiImagesSettings, _: &Resources) -> Result<Arc<dyn Painter>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
