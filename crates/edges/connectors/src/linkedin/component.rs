//! LinkedIn as a component.

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, TenantId, random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LinkedIn;
use crate::Source;
use crate::http::checked_url;
use crate::owned::Owned;
use crate::spent::DayBegins;
use crate::wanted::Wanted;
use crate::watch::{Asking, Watch};

/// `kind = "linkedin"`: reads posts of organisations and their comments, and finds edited and deleted ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkedInSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The access token of a member who administers the organisations, with the permissions `r_organization_social` and
    /// `r_organization_social_feed`. It ends
    /// after 60 days. Never printed.
    pub token: Secret,
    /// The version of the API, as `YYYYMM`. LinkedIn ends each version after about a year. Default `202611`.
    pub version: String,
    /// The numbers of the organisations, for instance `["2414183"]`. At most 20.
    pub organizations: Vec<String>,
    /// Whether the organisations' own posts are read. Default `true`.
    pub posts: bool,
    /// Whether comments are read. Default `true`.
    pub comments: bool,
    /// How many of the latest posts of each organisation are watched for comments, edits and deletions. Each costs a request in every turn.
    /// 1 to 100; default 10.
    pub watch_posts: usize,
    /// How often LinkedIn is asked, with up to a tenth more or less, if the requests of the day are enough for that. 15s to 24h; default 15m.
    pub interval: HumanDuration,
    /// How many requests may be sent in a day (UTC). Requests are spread so that they last. LinkedIn shows the limit in the app's
    /// analytics only. Default 500.
    pub requests_per_day: u64,
    /// Words of which a text must have one: letters of any case, without accents. Empty (default) = every text.
    pub want: Vec<String>,
    /// How many of the latest posts and comments are remembered, about 150 bytes each. Edits and deletions of others are not seen. 0 to
    /// 1,000,000; default 50,000.
    pub remember: usize,
    /// The API. Default `https://api.linkedin.com`.
    pub url: ConnectionUrl,
}

impl Default for LinkedInSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            token: Secret::new(""),
            version: "202611".to_owned(),
            organizations: Vec::new(),
            posts: true,
            comments: true,
            watch_posts: 10,
            interval: HumanDuration::from_secs(900),
            requests_per_day: 500,
            want: Vec::new(),
            remember: 50_000,
            url: ConnectionUrl::new("https://api.linkedin.com"),
        }
    }
}

impl Component for LinkedIn {
    type Settings = LinkedInSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "linkedin";
    const SUMMARY: &'static str =
        "Reads posts of your organisations on LinkedIn and their comments, with edits and deletions.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets];

    fn check(settings: &LinkedInSettings) -> Result<(), Error> {
        checked_url("url", &settings.url)?;
        if settings.token.is_empty() {
            return Err("token: is missing: create one for your app at linkedin.com/developers, with the permission to read posts of \
                        organisations"
                .into());
        }
        let is_version = settings.version.len() == 6 && settings.version.bytes().all(|b| b.is_ascii_digit());
        if !is_version {
            return Err(format!(
                "version: `{}` is not a year and a month: give six digits, for instance \"202611\"",
                settings.version
            )
            .into());
        }
        if !(1..=20).contains(&settings.organizations.len()) {
            return Err("organizations: give 1 to 20 numbers, for instance [\"2414183\"]".into());
        }
        let is_number = |id: &String| (1..=19).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
        if let Some(wrong) = settings.organizations.iter().find(|id| !is_number(id)) {
            return Err(format!(
                "organizations: `{wrong}` is not a number: give what follows linkedin.com/company/ in the page's admin view"
            )
            .into());
        }
        if !settings.posts && !settings.comments {
            return Err("posts, comments: both are false: set one to true".into());
        }
        if !(1..=100).contains(&settings.watch_posts) {
            return Err(format!("watch_posts = {}: must be from 1 to 100", settings.watch_posts).into());
        }
        if !(15..=86_400).contains(&settings.interval.get().as_secs()) {
            return Err(format!("interval = {}: must be from 15s to 24h", settings.interval).into());
        }
        let turn = (settings.organizations.len() * (1 + settings.watch_posts)) as u64;
        if settings.requests_per_day < turn {
            return Err(format!(
                "requests_per_day = {}: must be enough for one turn, which costs up to {turn}: reduce watch_posts, or the number of \
                 organisations",
                settings.requests_per_day
            )
            .into());
        }
        if settings.remember > 1_000_000 {
            return Err(format!("remember = {}: must be at most 1,000,000", settings.remember).into());
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &LinkedInSettings) -> Option<ConnectionUrl> {
        Some(settings.url.clone())
    }

    fn build(settings: &LinkedInSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let asking = Asking {
            interval: settings.interval.get(),
            seed: random::hash(settings.organizations.join("+").as_bytes()),
            remember: settings.remember,
            sweep: 0,
            budget: settings.requests_per_day,
            day: DayBegins(0),
            wanted: Wanted::new(&settings.want)?,
        };
        let forum = Self::new(settings.clone(), checked_url("url", &settings.url)?);
        let source = Owned::new(forum, settings.watch_posts);
        Ok(Source::pulled(
            settings.tenant.clone(),
            Watch::new(source, asking),
        ))
    }
}

impl ConnectorComponent for LinkedIn {
    const TERMS: &'static str = include_str!("terms.toml");
}
