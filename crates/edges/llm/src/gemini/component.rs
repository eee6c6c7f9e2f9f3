//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{Gemini, GeminiSettings};
use crate::Provider;

impl Component for Gemini {
    type Settings = GeminiSettings;
    type Product = Arc<dyn Provider>;
    const KIND: Kind = Kind::LlmProvider;
    const NAME: &'static str = "gemini";
    const SUMMARY: &'static str = "Asks Google's Gemini API (generateContent).";
    const PLACE: Place = Place::Entries("llm_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &GeminiSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &GeminiSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &GeminiSettings, _: &Resources) -> Result<Arc<dyn Provider>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
