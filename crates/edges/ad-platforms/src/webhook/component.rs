//! The webhook as a component.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use limbic_deliver::AdPlatform;
use limbic_domain::ConnectionUrl;
use tokio::runtime::Handle;

use super::{WebhookPlatform, WebhookSettings};

impl Component for WebhookPlatform {
    type Settings = WebhookSettings;
    type Product = Arc<dyn AdPlatform>;
    const KIND: Kind = Kind::AdPlatform;
    const NAME: &'static str = "webhook";
    const SUMMARY: &'static str = "Posts each delivery to a URL, signed as Standard Webhooks says.";
    const PLACE: Place = Place::Entries("ad_platforms");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &WebhookSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn address(settings: &WebhookSettings) -> Option<ConnectionUrl> {
        settings
            .address()
            .ok()
            .map(|url| ConnectionUrl::new(url.as_str()))
    }

    fn build(settings: &WebhookSettings, resources: &Resources) -> Result<Arc<dyn AdPlatform>, Error> {
        let handle: Handle = resources.get()?;
        Ok(Arc::new(Self::new(settings, handle)?))
    }
}
