//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{Ollama, OllamaSettings};
use crate::Provider;

impl Component for Ollama {
    type Settings = OllamaSettings;
    type Product = Arc<dyn Provider>;
    const KIND: Kind = Kind::LlmProvider;
    const NAME: &'static str = "ollama";
    const SUMMARY: &'static str = "Asks an Ollama server (chat), usually on this machine.";
    const PLACE: Place = Place::Entries("llm_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &OllamaSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &OllamaSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &OllamaSettings, _: &Resources) -> Result<Arc<dyn Provider>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
