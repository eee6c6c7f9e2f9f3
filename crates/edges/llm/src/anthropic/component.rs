//! The provider as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_domain::ConnectionUrl;

use super::{Anthropic, AnthropicSettings};
use crate::Provider;

impl Component for Anthropic {
    type Settings = AnthropicSettings;
    type Product = Arc<dyn Provider>;
    const KIND: Kind = Kind::LlmProvider;
    const NAME: &'static str = "anthropic";
    const SUMMARY: &'static str = "Asks Anthropic's Messages API.";
    const PLACE: Place = Place::Entries("llm_providers");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &AnthropicSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &AnthropicSettings) -> Option<ConnectionUrl> {
        Some(settings.base_url.clone())
    }

    fn build(settings: &AnthropicSettings, _: &Resources) -> Result<Arc<dyn Provider>, Error> {
        Ok(Arc::new(Self::new(settings)?))
    }
}
