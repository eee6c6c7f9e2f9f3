//! Meta's Graph API as a component.

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, TenantId, random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MetaGraph;
use crate::Source;
use crate::http::checked_url;
use crate::owned::Owned;
use crate::spent::DayBegins;
use crate::wanted::Wanted;
use crate::watch::{Asking, Watch};

/// `kind = "meta_graph"`: reads comments on the operator's own pages of Facebook and accounts of Instagram, and finds edited and deleted
/// ones. For comments as they are written, use `meta` too; what both bring is kept once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetaGraphSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The access token of a page, or of a system user who may read all pages and accounts. Never printed.
    pub token: Secret,
    /// The numbers of pages of Facebook. At most 20, with `accounts`.
    pub pages: Vec<String>,
    /// The numbers of professional accounts of Instagram.
    pub accounts: Vec<String>,
    /// The version of the API. Default `v24.0`.
    pub version: String,
    /// How many of the latest posts of each page and account are watched. Each costs a request in every turn. 1 to 100; default 10.
    pub watch_posts: usize,
    /// How often Meta is asked, with up to a tenth more or less, if its limits allow that. 15s to 24h; default 5m.
    pub interval: HumanDuration,
    /// How many requests may be sent in a day (UTC), besides the limits that Meta states. Default 10,000.
    pub requests_per_day: u64,
    /// Words of which a comment must have one: letters of any case, without accents. Empty (default) = every comment.
    pub want: Vec<String>,
    /// How many of the latest comments are remembered, about 200 bytes each. Edits and deletions of others are not seen. 0 to 1,000,000;
    /// default 50,000.
    pub remember: usize,
    /// The API. Default `https://graph.facebook.com`.
    pub url: ConnectionUrl,
}

impl Default for MetaGraphSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            token: Secret::new(""),
            pages: Vec::new(),
            accounts: Vec::new(),
            version: "v24.0".to_owned(),
            watch_posts: 10,
            interval: HumanDuration::from_secs(300),
            requests_per_day: 10_000,
            want: Vec::new(),
            remember: 50_000,
            url: ConnectionUrl::new("https://graph.facebook.com"),
        }
    }
}

fn is_number(id: &str) -> bool {
    (1..=25).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit())
}

impl Component for MetaGraph {
    type Settings = MetaGraphSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "meta_graph";
    const SUMMARY: &'static str =
        "Reads comments on your own pages of Facebook and accounts of Instagram, with edits and deletions.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets];

    fn check(settings: &MetaGraphSettings) -> Result<(), Error> {
        checked_url("url", &settings.url)?;
        if settings.token.is_empty() {
            return Err(
                "token: is missing: create a token for a page or a system user at developers.facebook.com"
                    .into(),
            );
        }
        let owners = settings.pages.len() + settings.accounts.len();
        if !(1..=20).contains(&owners) {
            return Err(
                "pages, accounts: give 1 to 20 numbers in all, for instance pages = [\"104952\"]".into(),
            );
        }
        for (setting, ids) in [("pages", &settings.pages), ("accounts", &settings.accounts)] {
            if let Some(wrong) = ids.iter().find(|id| !is_number(id)) {
                return Err(format!(
                    "{setting}: `{wrong}` is not a number: give the id from the settings of the page or account at business.facebook.com"
                )
                .into());
            }
        }
        let is_version = settings
            .version
            .strip_prefix('v')
            .and_then(|version| version.split_once('.'))
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor));
        if !is_version {
            return Err(format!(
                "version: `{}` is not a version: give one as \"v24.0\"",
                settings.version
            )
            .into());
        }
        if !(1..=100).contains(&settings.watch_posts) {
            return Err(format!("watch_posts = {}: must be from 1 to 100", settings.watch_posts).into());
        }
        if !(15..=86_400).contains(&settings.interval.get().as_secs()) {
            return Err(format!("interval = {}: must be from 15s to 24h", settings.interval).into());
        }
        let turn = (owners * (1 + settings.watch_posts)) as u64;
        if settings.requests_per_day < turn {
            return Err(format!(
                "requests_per_day = {}: must be enough for one turn, which costs at least {turn}: reduce watch_posts",
                settings.requests_per_day
            )
            .into());
        }
        if settings.remember > 1_000_000 {
            return Err(format!("remember = {}: must be at most 1,000,000", settings.remember).into());
        }
        Wanted::new(&settings.want).map(drop)
    }

    fn address(settings: &MetaGraphSettings) -> Option<ConnectionUrl> {
        Some(settings.url.clone())
    }

    fn build(settings: &MetaGraphSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let owners = [settings.pages.clone(), settings.accounts.clone()].concat();
        let asking = Asking {
            interval: settings.interval.get(),
            seed: random::hash(owners.join("+").as_bytes()),
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

impl ConnectorComponent for MetaGraph {
    const TERMS: &'static str = include_str!("terms.toml");
}
