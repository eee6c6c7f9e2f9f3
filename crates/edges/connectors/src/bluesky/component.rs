//! Bluesky as a component.

use std::path::PathBuf;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bluesky, Decompressor, POSTS};
use crate::Source;
use crate::socket::LONGEST;
use crate::wanted::Wanted;

/// The most collections and authors that the server takes.
const MOST_COLLECTIONS: usize = 100;
const MOST_AUTHORS: usize = 10_000;

/// `kind = "bluesky"`: reads Bluesky's Jetstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlueskySettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The servers. If one does not answer, the next one is asked; a position is valid on all of them.
    pub urls: Vec<ConnectionUrl>,
    /// The collections that the server sends, at most 100. Only posts are read; other collections are counted and left out.
    pub collections: Vec<String>,
    /// The DIDs of the only authors that are read, at most 10,000. Empty (default) = all.
    pub authors: Vec<String>,
    /// Words of which a post must have one: letters of any case, without accents. The connector looks for them, because the server
    /// cannot. Empty (default) = every post.
    pub want: Vec<String>,
    /// The file `zstd_dictionary` of Jetstream, with which events need less than half of the bytes. Without it (default), events are
    /// plain JSON. It is in `pkg/models` of github.com/bluesky-social/jetstream.
    pub dictionary: Option<PathBuf>,
    /// How far before the last event a new connection begins, so that nothing is lost at the cut. What comes twice is removed. 1s to
    /// 1h; default 5s.
    pub rewind: HumanDuration,
    /// How long before the present the first connection begins. Servers keep about a day. `0s` (default) = at the present.
    pub catch_up: HumanDuration,
    /// After this time without an event, the connection is opened again, although it seems to be open. At least 5s; default 30s.
    pub stall_after: HumanDuration,
}

impl Default for BlueskySettings {
    fn default() -> Self {
        let server = |name: &str| ConnectionUrl::new(format!("wss://{name}.bsky.network/subscribe"));
        Self {
            tenant: TenantId::default(),
            urls: vec![server("jetstream2.us-east"), server("jetstream1.us-west")],
            collections: vec![POSTS.to_owned()],
            authors: Vec::new(),
            want: Vec::new(),
            dictionary: None,
            rewind: HumanDuration::from_secs(5),
            catch_up: HumanDuration::from_secs(0),
            stall_after: HumanDuration::from_secs(30),
        }
    }
}

impl Component for Bluesky {
    type Settings = BlueskySettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "bluesky";
    const SUMMARY: &'static str = "Reads posts, edits and deletions from Bluesky's Jetstream.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[];

    fn check(settings: &BlueskySettings) -> Result<(), Error> {
        if settings.urls.is_empty() {
            return Err(
                "urls: is empty: name a server, for instance wss://jetstream2.us-east.bsky.network/subscribe"
                    .into(),
            );
        }
        for url in &settings.urls {
            if !["ws", "wss"].contains(&url.scheme()) {
                return Err(format!("urls: {url} is not the URL of a WebSocket: begin with wss://").into());
            }
        }
        let count = |what: &str, given: usize, most: usize| match given {
            given if given > most => Err(format!(
                "{what}: {given} of them, the server takes at most {most}"
            )),
            _ => Ok(()),
        };
        count("collections", settings.collections.len(), MOST_COLLECTIONS)?;
        count("authors", settings.authors.len(), MOST_AUTHORS)?;
        if let Some(author) = settings.authors.iter().find(|author| !author.starts_with("did:")) {
            return Err(format!(
                "authors: `{author}` is not a DID: give for instance did:plc:…; a handle can change"
            )
            .into());
        }
        let rewind = settings.rewind.get().as_secs();
        if !(1..=3_600).contains(&rewind) {
            return Err(format!("rewind = {}: must be from 1s to 1h", settings.rewind).into());
        }
        if settings.stall_after.get().as_secs() < 5 {
            return Err(format!("stall_after = {}: must be at least 5s", settings.stall_after).into());
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &BlueskySettings) -> Option<ConnectionUrl> {
        settings.urls.first().cloned()
    }

    fn build(settings: &BlueskySettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let decompressor = match &settings.dictionary {
            None => None,
            Some(file) => {
                let dictionary = std::fs::read(file)
                    .map_err(|error| format!("dictionary: {} cannot be read: {error}", file.display()))?;
                let inner = zstd::bulk::Decompressor::with_dictionary(&dictionary)
                    .map_err(|error| format!("dictionary: {} is not one: {error}", file.display()))?;
                let event = Vec::with_capacity(LONGEST);
                Some(Decompressor { inner, event })
            }
        };
        let connector = Self {
            wanted: Wanted::new(&settings.want)?,
            settings: settings.clone(),
            decompressor,
            connection: None,
            failed: None,
            server: 0,
        };
        Ok(Source::pulled(settings.tenant.clone(), connector))
    }
}

impl ConnectorComponent for Bluesky {
    const TERMS: &'static str = include_str!("terms.toml");
}
