//! Reddit as a component.

use std::time::Duration;

use limbic_component::{Component, ConnectorComponent, Error, Kind as ComponentKind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, TenantId};
use reqwest::Url;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, PAGE, Reddit};
use crate::Source;
use crate::http::checked_url;
use crate::wanted::Wanted;

/// The time in which Reddit demands that deletions are followed, as `terms.toml` says.
const DELETE_WITHIN: Duration = Duration::from_hours(48);

/// `kind = "reddit"`: reads new posts and comments of subreddits, and finds deleted ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedditSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The names of the subreddits, without `r/`, at most 100.
    pub subreddits: Vec<String>,
    /// The id of the app, from reddit.com/prefs/apps.
    pub client_id: String,
    /// The secret of the app. Never printed.
    pub client_secret: Secret,
    /// How the program names itself, as Reddit demands: `PLATFORM:APP:VERSION (by /u/NAME)`.
    pub user_agent: String,
    /// Whether posts are read. Default `true`.
    pub posts: bool,
    /// Whether comments are read. Default `true`.
    pub comments: bool,
    /// How often the subreddits are asked, with up to a tenth more or less. Each time costs up to three requests, of 100 a minute. 3s to 1h;
    /// default 15s.
    pub interval: HumanDuration,
    /// Words of which a post must have one: letters of any case, without accents. Empty (default) = every post.
    pub want: Vec<String>,
    /// How many of the latest posts and comments are watched for edits and deletions, about 150 bytes each. Every `interval`, 100 of them
    /// are asked about; all must have their turn within 48h. 0 to 1,000,000; default 50,000.
    pub remember: usize,
    /// The API. Default `https://oauth.reddit.com`.
    pub url: ConnectionUrl,
    /// Where tokens are given. Default `https://www.reddit.com/api/v1/access_token`.
    pub token_url: ConnectionUrl,
}

impl Default for RedditSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            subreddits: Vec::new(),
            client_id: String::new(),
            client_secret: Secret::new(""),
            user_agent: String::new(),
            posts: true,
            comments: true,
            interval: HumanDuration::from_secs(15),
            want: Vec::new(),
            remember: 50_000,
            url: ConnectionUrl::new("https://oauth.reddit.com"),
            token_url: ConnectionUrl::new("https://www.reddit.com/api/v1/access_token"),
        }
    }
}

impl RedditSettings {
    /// The kinds that are read.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let wanted = [(self.posts, Kind::Post), (self.comments, Kind::Comment)];
        wanted
            .into_iter()
            .filter_map(|(is_wanted, kind)| is_wanted.then_some(kind))
            .collect()
    }

    fn address(&self) -> Result<Url, Error> {
        checked_url("token_url", &self.token_url)?;
        checked_url("url", &self.url)
    }
}

impl Component for Reddit {
    type Settings = RedditSettings;
    type Product = Source;
    const KIND: ComponentKind = ComponentKind::Connector;
    const NAME: &'static str = "reddit";
    const SUMMARY: &'static str = "Reads new posts and comments of subreddits, with edits and deletions.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets];

    fn check(settings: &RedditSettings) -> Result<(), Error> {
        settings.address()?;
        let is_name = |name: &String| {
            (2..=21).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if settings.subreddits.is_empty() || settings.subreddits.len() > 100 {
            return Err("subreddits: give 1 to 100 names, for instance [\"football\"]".into());
        }
        if let Some(wrong) = settings.subreddits.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "subreddits: `{wrong}` is not a name: give it without r/, for instance football"
            )
            .into());
        }
        if settings.client_id.is_empty() || settings.client_secret.is_empty() {
            return Err("client_id, client_secret: are missing: create an app at reddit.com/prefs/apps, and copy both".into());
        }
        if settings.user_agent.trim().is_empty() || HeaderValue::from_str(&settings.user_agent).is_err() {
            return Err(
                "user_agent: is missing or not plain text: Reddit demands a name, for instance \"linux:limbic:1.0 (by /u/NAME)\"".into(),
            );
        }
        if settings.kinds().is_empty() {
            return Err("posts, comments: both are false: set one to true".into());
        }
        let seconds = settings.interval.get().as_secs();
        if !(3..=3_600).contains(&seconds) {
            return Err(format!("interval = {}: must be from 3s to 1h", settings.interval).into());
        }
        if settings.remember > 1_000_000 {
            return Err(format!("remember = {}: must be at most 1,000,000", settings.remember).into());
        }
        let sweep = settings.remember.div_ceil(PAGE) as u64 * seconds;
        if sweep > DELETE_WITHIN.as_secs() {
            return Err(format!(
                "remember = {}, interval = {}: it takes {} h to ask about all of them, and Reddit demands that deletions are \
                 followed within 48 h: reduce one of the two",
                settings.remember,
                settings.interval,
                sweep.div_ceil(3_600)
            )
            .into());
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &RedditSettings) -> Option<ConnectionUrl> {
        Some(settings.url.clone())
    }

    fn build(settings: &RedditSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let (url, wanted) = (settings.address()?, Wanted::new(&settings.want)?);
        let connector = Self::new(settings.clone(), url, wanted);
        Ok(Source::pulled(settings.tenant.clone(), connector))
    }
}

impl ConnectorComponent for Reddit {
    const TERMS: &'static str = include_str!("terms.toml");
}
