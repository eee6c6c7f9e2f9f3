//! Mastodon as a component.

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, TenantId};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mastodon;
use crate::Source;
use crate::wanted::Wanted;

/// `kind = "mastodon"`: reads public posts of one instance. For several instances, write an entry for each; a post that two of them have
/// is kept once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MastodonSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The address of the instance, for instance `https://mastodon.social`.
    pub url: ConnectionUrl,
    /// The access token of an app that is registered on the instance, with the scope `read:statuses`. Most instances demand one for
    /// streams. Create it in the instance's settings, under "Development". Never printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Which public posts are read: `local` = those of the instance's own people (default), `all` = also those that it knows of other
    /// instances, `remote` = only the latter.
    pub timeline: Timeline,
    /// Only posts with this tag, without `#`. Not together with `timeline = "remote"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// How events arrive: `websocket` (default) or `server_sent_events`.
    pub transport: Transport,
    /// Words of which a post must have one: letters of any case, without accents. Empty (default) = every post.
    pub want: Vec<String>,
    /// How far before the last post a new connection begins, because posts of other instances arrive late. What comes twice is
    /// removed. 10s to 24h; default 5m.
    pub rewind: HumanDuration,
    /// How long before the instance's newest post the first connection begins. `0s` (default) = at the newest post.
    pub catch_up: HumanDuration,
    /// After this time without a post, the connection is opened again and the timeline is read, although the connection seems to be
    /// open. At least 5s; default 2m.
    pub stall_after: HumanDuration,
    /// How many of the latest posts the connector remembers, because a deletion names only the instance's id. About 200 bytes each. 0 to
    /// 10,000,000; default 100,000.
    pub remember: usize,
}

/// A part of the public posts that an instance knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timeline {
    /// Of the instance's own people.
    #[default]
    Local,
    /// Of all people that the instance knows.
    All,
    /// Of people of other instances.
    Remote,
}

/// How events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// By WebSocket.
    #[default]
    Websocket,
    /// By server-sent events, for networks that do not let `WebSockets` pass.
    ServerSentEvents,
}

impl Timeline {
    /// The parameter of the timeline that asks for this part.
    pub(super) const fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Local => Some("local"),
            Self::All => None,
            Self::Remote => Some("remote"),
        }
    }

    /// The name of the stream.
    pub(super) const fn stream(self, has_tag: bool) -> &'static str {
        match (self, has_tag) {
            (Self::Local, false) => "public:local",
            (Self::All, false) => "public",
            (Self::Remote, _) => "public:remote",
            (Self::Local, true) => "hashtag:local",
            (Self::All, true) => "hashtag",
        }
    }

    /// The path of the stream as server-sent events.
    pub(super) const fn path(self, has_tag: bool) -> &'static str {
        match (self, has_tag) {
            (Self::Local, false) => "/api/v1/streaming/public/local",
            (Self::All, false) => "/api/v1/streaming/public",
            (Self::Remote, _) => "/api/v1/streaming/public/remote",
            (Self::Local, true) => "/api/v1/streaming/hashtag/local",
            (Self::All, true) => "/api/v1/streaming/hashtag",
        }
    }
}

impl Default for MastodonSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            url: ConnectionUrl::new(""),
            token: None,
            timeline: Timeline::default(),
            tag: None,
            transport: Transport::default(),
            want: Vec::new(),
            rewind: HumanDuration::from_secs(300),
            catch_up: HumanDuration::from_secs(0),
            stall_after: HumanDuration::from_secs(120),
            remember: 100_000,
        }
    }
}

impl MastodonSettings {
    fn base(&self) -> Result<Url, Error> {
        let example = "give the address of an instance, for instance url = \"https://mastodon.social\"";
        let shown = &self.url;
        let base: Url = self
            .url
            .reveal()
            .parse()
            .map_err(|error| format!("url: `{shown}` is not an address ({error}): {example}"))?;
        if !["http", "https"].contains(&base.scheme()) || !base.has_host() {
            return Err(format!("url: {shown} does not begin with https:// and a host: {example}").into());
        }
        let is_local = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if base.scheme() == "http" && self.token.is_some() && !is_local {
            return Err(format!(
                "url: {shown} is not encrypted, and a token would be sent: begin with https://"
            )
            .into());
        }
        Ok(base)
    }
}

impl Component for Mastodon {
    type Settings = MastodonSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "mastodon";
    const SUMMARY: &'static str = "Reads public posts, edits and deletions of a Mastodon instance.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets];

    fn check(settings: &MastodonSettings) -> Result<(), Error> {
        settings.base()?;
        if let Some(tag) = &settings.tag {
            let is_tag = !tag.is_empty() && tag.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !is_tag {
                return Err(format!("tag: `{tag}` is not a tag: give letters and digits, without #").into());
            }
            if settings.timeline == Timeline::Remote {
                return Err(
                    "tag: there is no stream of a tag for `timeline = \"remote\"`: choose `all` or `local`"
                        .into(),
                );
            }
        }
        let rewind = settings.rewind.get().as_secs();
        if !(10..=86_400).contains(&rewind) {
            return Err(format!("rewind = {}: must be from 10s to 24h", settings.rewind).into());
        }
        if settings.stall_after.get().as_secs() < 5 {
            return Err(format!("stall_after = {}: must be at least 5s", settings.stall_after).into());
        }
        if settings.remember > 10_000_000 {
            return Err(format!("remember = {}: must be at most 10,000,000", settings.remember).into());
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &MastodonSettings) -> Option<ConnectionUrl> {
        settings.base().ok().map(|base| ConnectionUrl::new(base.as_str()))
    }

    fn build(settings: &MastodonSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let (base, wanted) = (settings.base()?, Wanted::new(&settings.want)?);
        Ok(Source::pulled(
            settings.tenant.clone(),
            Self::new(settings.clone(), base, wanted),
        ))
    }
}

impl ConnectorComponent for Mastodon {
    const TERMS: &'static str = include_str!("terms.toml");
}
