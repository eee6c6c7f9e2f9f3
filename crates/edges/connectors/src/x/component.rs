//! X as a component.

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, TenantId};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::X;
use super::compliance::MOST_IDS;
use crate::Source;
use crate::http::checked_url;

/// The hours in which X demands that deletions are followed, as `terms.toml` says.
const DELETE_WITHIN_HOURS: u64 = 24;

/// `kind = "x"`: reads posts that match rules, and asks X which of them were deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct XSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The bearer token of the app, from the developer console. Never printed.
    pub token: Secret,
    /// What posts must match, in the language of X's rules, for instance `["football lang:en -is:retweet"]`. 1 to 1,000 rules.
    pub rules: Vec<String>,
    /// How posts are read: `stream` = as they are written (default), or `search` = by asking, for accounts without the stream.
    pub mode: XMode,
    /// The tag by which this connector knows its own rules in the app. Rules with other tags stay as they are, and their posts are left
    /// out. Default `limbic`.
    pub tag: String,
    /// How many minutes a new connection asks X to repeat, if the account has backfill: 0 to 5. Default 0 = the search finds what is
    /// missing.
    pub backfill_minutes: u8,
    /// How far before the last post a new connection or search begins, because posts can arrive late. 10s to 5m; default 1m.
    pub rewind: HumanDuration,
    /// How long before the present the first connection begins, up to 7 days. Default `0s`.
    pub catch_up: HumanDuration,
    /// How often the search is asked with `mode = "search"`, with up to a tenth more or less. 2s to 24h; default 1m.
    pub interval: HumanDuration,
    /// How long a stream may bring nothing, not even a sign of life, until it is opened again. X sends one every 20 seconds. 20s to 5m;
    /// default 20s.
    pub heartbeat_within: HumanDuration,
    /// After this time without a post, the stream is opened again, although it shows signs of life. At least 5s; default 15m.
    pub stall_after: HumanDuration,
    /// What X charges for a post that is read, in US dollars. Default 0.005.
    pub price_per_post: f64,
    /// What posts may cost in a day (UTC), in US dollars. When it is spent, nothing is read until the next day. Default 5.0 = 1,000 posts
    /// at the default price.
    pub budget_per_day: f64,
    /// How often X is asked which posts were deleted (batch compliance). 10s to 24h; default 6h.
    pub compliance_interval: HumanDuration,
    /// How many of the latest posts are watched for deletions, about 150 bytes each. Each time, up to 50,000 are asked about; all must have
    /// their turn within 24h. 0 = X is not asked. At most 1,000,000; default 100,000.
    pub remember: usize,
    /// Whether X tells of deletions, withheld posts and accounts that are gone as they happen (the compliance streams), for accounts whose
    /// agreement with X has them (Enterprise): `off` (default), `known` = of posts that are watched, or `every` = of all posts of X, which
    /// are millions a day. Needs `mode = "stream"`.
    pub compliance_stream: ComplianceStream,
    /// In which countries you show or use posts, as `["DE", "FR"]`. A post or an account that is withheld in one of them is deleted here.
    /// Empty (default) = in any country.
    pub withheld_in: Vec<String>,
    /// The API. Default `https://api.x.com`.
    pub url: ConnectionUrl,
}

/// How posts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum XMode {
    /// By the filtered stream.
    #[default]
    Stream,
    /// By recent search.
    Search,
}

/// Whether the compliance streams are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComplianceStream {
    /// They are not read.
    #[default]
    Off,
    /// Events of posts that are watched, and of their authors.
    Known,
    /// All events.
    Every,
}

impl Default for XSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            token: Secret::new(""),
            rules: Vec::new(),
            mode: XMode::default(),
            tag: "limbic".to_owned(),
            backfill_minutes: 0,
            rewind: HumanDuration::from_secs(60),
            catch_up: HumanDuration::from_secs(0),
            interval: HumanDuration::from_secs(60),
            heartbeat_within: HumanDuration::from_secs(20),
            stall_after: HumanDuration::from_secs(900),
            price_per_post: 0.005,
            budget_per_day: 5.0,
            compliance_interval: HumanDuration::from_secs(6 * 3_600),
            remember: 100_000,
            compliance_stream: ComplianceStream::default(),
            withheld_in: Vec::new(),
            url: ConnectionUrl::new("https://api.x.com"),
        }
    }
}

impl XSettings {
    /// How many posts the budget pays for in a day.
    pub(super) fn posts_per_day(&self) -> u64 {
        // A sum of tenths must not lose a post.
        (self.budget_per_day / self.price_per_post + 1e-6) as u64
    }
}

/// Refuses a duration outside limits, in seconds.
fn between(name: &str, value: HumanDuration, least: u64, most: u64, said: &str) -> Result<(), Error> {
    if (least..=most).contains(&value.get().as_secs()) {
        return Ok(());
    }
    Err(format!("{name} = {value}: must be {said}").into())
}

impl Component for X {
    type Settings = XSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "x";
    const SUMMARY: &'static str =
        "Reads posts of X that match rules, with edits and deletions, within a budget.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::HttpClient, Need::Secrets];

    fn check(settings: &XSettings) -> Result<(), Error> {
        checked_url("url", &settings.url)?;
        if settings.token.is_empty() {
            return Err(
                "token: is missing: copy the bearer token of the app from the developer console of X".into(),
            );
        }
        if settings.rules.is_empty() || settings.rules.len() > 1_000 {
            return Err(
                "rules: give 1 to 1,000 rules, for instance [\"football lang:en -is:retweet\"]".into(),
            );
        }
        let is_rule = |rule: &String| !rule.trim().is_empty() && rule.len() <= 2_048 && rule.trim() == rule;
        if let Some(wrong) = settings.rules.iter().find(|rule| !is_rule(rule)) {
            return Err(format!(
                "rules: `{wrong}` is empty, has spaces around it, or has more than 2,048 bytes"
            )
            .into());
        }
        if settings.tag.is_empty() {
            return Err("tag: is empty: give a word, for instance \"limbic\"".into());
        }
        if settings.backfill_minutes > 5 {
            return Err(format!(
                "backfill_minutes = {}: must be from 0 to 5",
                settings.backfill_minutes
            )
            .into());
        }
        between("rewind", settings.rewind, 10, 300, "from 10s to 5m")?;
        between("catch_up", settings.catch_up, 0, 7 * 86_400, "at most 7 days")?;
        between("interval", settings.interval, 2, 86_400, "from 2s to 24h")?;
        between(
            "heartbeat_within",
            settings.heartbeat_within,
            20,
            300,
            "from 20s to 5m",
        )?;
        between("stall_after", settings.stall_after, 5, u64::MAX, "at least 5s")?;
        between(
            "compliance_interval",
            settings.compliance_interval,
            10,
            86_400,
            "from 10s to 24h",
        )?;
        let (price, budget) = (settings.price_per_post, settings.budget_per_day);
        if !(price.is_finite() && price > 0.0 && budget.is_finite() && budget >= price) {
            return Err(format!(
                "price_per_post = {price}, budget_per_day = {budget}: both are US dollars above 0, and the budget must pay for a post"
            )
            .into());
        }
        if settings.remember > 1_000_000 {
            return Err(format!("remember = {}: must be at most 1,000,000", settings.remember).into());
        }
        if settings.compliance_stream != ComplianceStream::Off && settings.mode != XMode::Stream {
            return Err(
                "compliance_stream: needs mode = \"stream\": set it to \"off\", or read the stream".into(),
            );
        }
        if settings.compliance_stream == ComplianceStream::Known && settings.remember == 0 {
            return Err(
                "compliance_stream = \"known\", remember = 0: no post is watched: set remember, for instance to 100000".into(),
            );
        }
        let is_country = |code: &&String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
        if let Some(wrong) = settings.withheld_in.iter().find(|code| !is_country(code)) {
            return Err(format!(
                "withheld_in: `{wrong}` is not a country: give two letters, for instance \"DE\""
            )
            .into());
        }
        let turns = settings.remember.div_ceil(MOST_IDS) as u64;
        let sweep = turns * settings.compliance_interval.get().as_secs();
        if sweep > DELETE_WITHIN_HOURS * 3_600 {
            return Err(format!(
                "remember = {}, compliance_interval = {}: it takes {} h to ask about all of them, and X demands that deletions are \
                 followed within {DELETE_WITHIN_HOURS} h: reduce one of the two",
                settings.remember,
                settings.compliance_interval,
                sweep.div_ceil(3_600)
            )
            .into());
        }
        Ok(())
    }

    fn address(settings: &XSettings) -> Option<ConnectionUrl> {
        Some(settings.url.clone())
    }

    fn build(settings: &XSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let url: Url = checked_url("url", &settings.url)?;
        Ok(Source::pulled(
            settings.tenant.clone(),
            Self::new(settings.clone(), url),
        ))
    }
}

impl ConnectorComponent for X {
    const TERMS: &'static str = include_str!("terms.toml");
}
