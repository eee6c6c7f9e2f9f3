//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{Mistral, MistralSettings};
use crate::Provider;

impl Component for Mistral {
    type Settings = MistralSettings;
    type Product = Arc<dyn Provider>;
    const KIND: Kind = Kind::LlmProvider;
    const NAME: &'static str = "mistral";
    const SUMMARY: &'static str = "Asks Mistral's chat completions API.";
    const PLACE: Place = Place::Entries("llm_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &MistralSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &MistralSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &MistralSettings, _: &Resources) -> Result<Arc<dyn Provider>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
