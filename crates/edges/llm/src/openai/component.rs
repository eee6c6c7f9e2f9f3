//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{OpenAiCompatible, OpenAiSettings};
use crate::Provider;

impl Component for OpenAiCompatible {
    type Settings = OpenAiSettings;
    type Product = Arc<dyn Provider>;
    const KIND: Kind = Kind::LlmProvider;
    const NAME: &'static str = "openai";
    const SUMMARY: &'static str = "Asks a server with OpenAI's chat completions API, hosted or local.";
    const PLACE: Place = Place::Entries("llm_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &OpenAiSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &OpenAiSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &OpenAiSettings, _: &Resources) -> Result<Arc<dyn Provider>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
