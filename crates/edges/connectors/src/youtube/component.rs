//! YouTube as a component.

use std::sync::Arc;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, TenantId, random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::push::{Push, YouTubePushSettings};
use super::{ASKED_ABOUT, YouTube};
use crate::Source;
use crate::http::checked_url;
use crate::spent::DayBegins;
use crate::wanted::Wanted;
use crate::watch::{Asking, Watch};

/// The day of the quota begins at midnight in California, which is 08:00 UTC in winter. In summer it begins an hour earlier.
pub(super) const DAY: DayBegins = DayBegins(8);
/// The days after which data must be refreshed, as `terms.toml` says.
const REFRESH_WITHIN_DAYS: u64 = 30;

/// `kind = "youtube"`: reads comments of channels and videos, and finds edited and deleted ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct YouTubeSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The key of the API, from console.cloud.google.com. Never printed.
    pub key: Secret,
    /// The ids of channels whose comments are read, on all their videos. They begin with `UC`. At most 100, with `videos`.
    pub channels: Vec<String>,
    /// The ids of videos whose comments are read.
    pub videos: Vec<String>,
    /// How often they are asked, with up to a tenth more or less, if the quota is enough for that. 15s to 24h; default 5m.
    pub interval: HumanDuration,
    /// The quota units of a day. Each request costs one. Requests are spread so that the units last. Default 10,000.
    pub units_per_day: u64,
    /// Words of which a comment must have one: letters of any case, without accents. Empty (default) = every comment.
    pub want: Vec<String>,
    /// How many of the latest comments are watched for edits and deletions, about 150 bytes each. Every `interval`, 50 of them are asked
    /// about; all must have their turn within 30 days. 0 to 1,000,000; default 50,000.
    pub remember: usize,
    /// Push notifications of new videos, whose comments are then asked for at once. Absent (default) = new comments are found every
    /// `interval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<YouTubePushSettings>,
    /// The API. Default `https://www.googleapis.com`.
    pub url: ConnectionUrl,
}

impl Default for YouTubeSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            key: Secret::new(""),
            channels: Vec::new(),
            videos: Vec::new(),
            interval: HumanDuration::from_secs(300),
            units_per_day: 10_000,
            want: Vec::new(),
            remember: 50_000,
            push: None,
            url: ConnectionUrl::new("https://www.googleapis.com"),
        }
    }
}

fn is_id(id: &str) -> bool {
    (5..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

impl Component for YouTube {
    type Settings = YouTubeSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "youtube";
    const SUMMARY: &'static str =
        "Reads comments of channels and videos of YouTube, with edits and deletions.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets];

    fn check(settings: &YouTubeSettings) -> Result<(), Error> {
        checked_url("url", &settings.url)?;
        if settings.key.is_empty() {
            return Err(
                "key: is missing: create a key for the YouTube Data API at console.cloud.google.com".into(),
            );
        }
        let places = settings.channels.len() + settings.videos.len();
        if !(1..=100).contains(&places) {
            return Err(
                "channels, videos: give 1 to 100 ids in all, for instance channels = [\"UC_x5XG1OV2P6uZZ5FSM9Ttw\"]".into(),
            );
        }
        if let Some(wrong) = settings
            .channels
            .iter()
            .find(|id| !is_id(id) || !id.starts_with("UC"))
        {
            return Err(format!(
                "channels: `{wrong}` is not the id of a channel: it begins with UC, and is in the advanced settings of the channel"
            )
            .into());
        }
        if let Some(wrong) = settings.videos.iter().find(|id| !is_id(id)) {
            return Err(format!(
                "videos: `{wrong}` is not the id of a video: give what follows v= in its address"
            )
            .into());
        }
        let seconds = settings.interval.get().as_secs();
        if !(15..=86_400).contains(&seconds) {
            return Err(format!("interval = {}: must be from 15s to 24h", settings.interval).into());
        }
        if settings.units_per_day < places as u64 + 2 {
            return Err(format!(
                "units_per_day = {}: must be enough for one turn, which costs at least {}",
                settings.units_per_day,
                places + 2
            )
            .into());
        }
        if settings.remember > 1_000_000 {
            return Err(format!("remember = {}: must be at most 1,000,000", settings.remember).into());
        }
        let sweep = settings.remember.div_ceil(ASKED_ABOUT) as u64 * seconds;
        if sweep > REFRESH_WITHIN_DAYS * 86_400 {
            return Err(format!(
                "remember = {}, interval = {}: it takes {} days to ask about all of them, and YouTube demands that data are refreshed \
                 within {REFRESH_WITHIN_DAYS} days: reduce one of the two",
                settings.remember,
                settings.interval,
                sweep.div_ceil(86_400)
            )
            .into());
        }
        if let Some(push) = &settings.push {
            Push::new(push, &settings.channels)?;
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &YouTubeSettings) -> Option<ConnectionUrl> {
        Some(settings.url.clone())
    }

    fn build(settings: &YouTubeSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let places = [settings.channels.clone(), settings.videos.clone()].concat();
        let asking = Asking {
            interval: settings.interval.get(),
            seed: random::hash(places.join("+").as_bytes()),
            remember: settings.remember,
            sweep: ASKED_ABOUT,
            budget: settings.units_per_day,
            day: DAY,
            wanted: Wanted::new(&settings.want)?,
        };
        let push = settings.push.as_ref();
        let push = push.map(|push| Push::new(push, &settings.channels).map(Arc::new));
        let push = push.transpose()?;
        let source = Self::new(settings, checked_url("url", &settings.url)?, push.clone());
        let watch = Watch::new(source, asking);
        Ok(match push {
            Some(push) => Source::notified(settings.tenant.clone(), watch, push),
            None => Source::pulled(settings.tenant.clone(), watch),
        })
    }
}

impl ConnectorComponent for YouTube {
    const TERMS: &'static str = include_str!("terms.toml");
}
