//! A feed as a component.

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Slug, TenantId};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Feed;
use crate::Source;
use crate::wanted::Wanted;

/// `kind = "feed"`: reads a feed in the form of RSS, Atom or JSON Feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeedSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The address of the feed. Only its scheme and host are printed, because it can contain a key.
    pub url: ConnectionUrl,
    /// The name of the social network in posts. Default `feed`.
    #[schemars(with = "String")]
    pub network: Slug,
    /// How often the feed is asked, with up to a tenth more or less. If the feed wants to be asked less often, it is. 1m to 24h; default
    /// 15m.
    pub interval: HumanDuration,
    /// Words of which a post must have one: letters of any case, without accents. Empty (default) = every post.
    pub want: Vec<String>,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            url: ConnectionUrl::new(""),
            network: Slug::new("feed").expect("it is a slug"),
            interval: HumanDuration::from_secs(900),
            want: Vec::new(),
        }
    }
}

impl FeedSettings {
    fn address(&self) -> Result<Url, Error> {
        let shown = &self.url;
        let example = "give the address of a feed, for instance url = \"https://www.example.com/feed.xml\"";
        let url: Url = self
            .url
            .reveal()
            .parse()
            .map_err(|error| format!("url: `{shown}` is not an address ({error}): {example}"))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(format!("url: {shown} does not begin with https:// and a host: {example}").into());
        }
        Ok(url)
    }
}

impl Component for Feed {
    type Settings = FeedSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "feed";
    const SUMMARY: &'static str = "Reads a feed in the form of RSS, Atom or JSON Feed.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient];

    fn check(settings: &FeedSettings) -> Result<(), Error> {
        settings.address()?;
        let seconds = settings.interval.get().as_secs();
        if !(60..=86_400).contains(&seconds) {
            return Err(format!("interval = {}: must be from 1m to 24h", settings.interval).into());
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &FeedSettings) -> Option<ConnectionUrl> {
        settings
            .address()
            .ok()
            .map(|url| ConnectionUrl::new(url.as_str()))
    }

    fn build(settings: &FeedSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let (url, wanted) = (settings.address()?, Wanted::new(&settings.want)?);
        Ok(Source::pulled(
            settings.tenant.clone(),
            Self::new(settings.clone(), url, wanted),
        ))
    }
}

impl ConnectorComponent for Feed {
    const TERMS: &'static str = include_str!("terms.toml");
}
