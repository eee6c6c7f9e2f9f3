//! The ad platforms as components. Each entry `[ad_platforms.NAME]` of the settings file is one of them, by its `kind`.

use limbic_component::{Component, Error, Kind, Need};

use crate::settings::check_webhook;
use crate::{FilePlatform, FileSettings, WebhookPlatform, WebhookSettings};

impl Component for WebhookPlatform {
    type Settings = WebhookSettings;
    const KIND: Kind = Kind::AdPlatform;
    const NAME: &'static str = "webhook";
    const SUMMARY: &'static str = "Posts each delivery to a URL, signed as Standard Webhooks says.";
    const SECTION: &'static str = "ad_platforms.NAME";
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets, Need::AsyncRuntime];

    fn check(settings: &WebhookSettings) -> Result<(), Error> {
        if settings.url.is_empty() {
            return Err("url: give the URL that deliveries are posted to".into());
        }
        check_webhook(settings).map_err(|(field, value, least, most)| {
            format!("{field} = {value}: choose {least} to {most}").into()
        })
    }
}

impl Component for FilePlatform {
    type Settings = FileSettings;
    const KIND: Kind = Kind::AdPlatform;
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "Appends each delivery to a file of JSON Lines, once.";
    const SECTION: &'static str = "ad_platforms.NAME";
    const NEEDS: &'static [Need] = &[];

    fn check(settings: &FileSettings) -> Result<(), Error> {
        if settings.path.as_os_str().is_empty() {
            return Err("path: give the file that deliveries are appended to".into());
        }
        Ok(())
    }
}
