//! Settings: defaults < file < environment < flags. Unknown keys are refused with the nearest known one; secrets are never
//! printed.

mod layers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use limbic_domain::{ByteSize, Campaign, ConnectionUrl, HumanDuration, Secret, Slug, TenantId};
use serde::{Deserialize, Serialize};

/// Every stage, upstream first.
pub const STAGES: [&str; 10] = [
    "ingest", "affect", "profile", "moments", "creative", "safety", "optimize", "deliver", "metrics", "views",
];

/// Every setting of the house.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the embedded log and databases live.
    pub data_dir: PathBuf,
    /// Where the API and the page listen.
    pub listen: String,
    /// Where the log is: `embedded` or `kafka://…`.
    pub log: ConnectionUrl,
    /// How many partitions each topic has. Fixed once the topics exist.
    pub partitions: u32,
    /// The stages to run; empty = all.
    pub stages: Vec<String>,
    /// The view: `embedded` (`SQLite`) or `postgres://…`.
    pub view: ConnectionUrl,
    /// Ids accepted lately, shared between edges: `embedded` or `redis://…`.
    pub seen: ConnectionUrl,
    /// Time series: `embedded`, or `http://HOST:PORT` of an `InfluxDB` 2 described by `[influxdb]`.
    pub series: String,
    /// `InfluxDB`, where `series` names one.
    pub influxdb: Influx,
    /// Kafka, where `log` names one.
    pub kafka: Kafka,
    /// How stages run.
    pub stream: Stream,
    /// How long records are kept.
    pub retention: Retention,
    /// Tenants; without any there is `default`, and whoever can connect speaks for it.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// What advertisers want.
    pub campaigns: Vec<TenantCampaign>,
    /// The edge.
    pub ingest: limbic_ingest::Settings,
    /// What reads the posts.
    pub affect: limbic_affect::Settings,
    /// People and audiences.
    pub profile: limbic_profile::Settings,
    /// Templates.
    pub creative: limbic_creative::Settings,
    /// The safety gate. Can only be made stricter.
    pub safety: limbic_safety::Settings,
    /// The bandit.
    pub optimize: limbic_optimize::OptimizeSettings,
    /// The deliver stage.
    pub deliver: limbic_deliver::Settings,
    /// Ad platforms, by the name that campaigns use.
    pub ad_platforms: BTreeMap<Slug, limbic_ad_platforms::PlatformSettings>,
    /// The API.
    pub api: limbic_api::Settings,
    /// Windows and series.
    pub metrics: limbic_metrics::MetricsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: ".limbic".into(),
            listen: "127.0.0.1:8080".into(),
            log: ConnectionUrl::new(ConnectionUrl::EMBEDDED),
            partitions: 3,
            stages: Vec::new(),
            view: ConnectionUrl::new(ConnectionUrl::EMBEDDED),
            seen: ConnectionUrl::new(ConnectionUrl::EMBEDDED),
            series: "embedded".into(),
            influxdb: Influx::default(),
            kafka: Kafka::default(),
            stream: Stream::default(),
            retention: Retention::default(),
            tenants: BTreeMap::new(),
            campaigns: Vec::new(),
            ingest: limbic_ingest::Settings::default(),
            affect: limbic_affect::Settings::default(),
            profile: limbic_profile::Settings::default(),
            creative: limbic_creative::Settings::default(),
            safety: limbic_safety::Settings::default(),
            optimize: limbic_optimize::OptimizeSettings::default(),
            deliver: limbic_deliver::Settings::default(),
            ad_platforms: BTreeMap::new(),
            api: limbic_api::Settings::default(),
            metrics: limbic_metrics::MetricsSettings::default(),
        }
    }
}

/// `InfluxDB`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Influx {
    /// The organisation.
    pub org: String,
    /// The bucket.
    pub bucket: String,
    /// The token.
    pub token: Secret,
}

/// Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Put before every topic and group.
    pub prefix: String,
    /// Replicas of a topic that is created here; 0 = the brokers' default.
    pub replication: u16,
    /// Any setting of librdkafka, by its own name (`security.protocol`, `sasl.password`…).
    pub settings: BTreeMap<String, Secret>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            prefix: "limbic".into(),
            replication: 0,
            settings: BTreeMap::new(),
        }
    }
}

/// How stages run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// The name of this node's instances on Kafka: stable over restarts, unique among running nodes.
    /// Empty (the default) = the node makes one and keeps it in the data folder.
    pub instance: String,
    /// Whether this is the only node on a Kafka log. Default `false`. Only then may the view, the series and the secret
    /// of pseudonyms stay in the data folder.
    pub single_node: bool,
    /// Time without records after which event time stops waiting for a partition. At least 1ms; default 1s.
    pub idle_after: HumanDuration,
    /// Longest time that stages may take to finish their batches when the process stops. Default 20s.
    pub drain: HumanDuration,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            instance: String::new(),
            single_node: false,
            idle_after: HumanDuration::from_secs(1),
            drain: HumanDuration::from_secs(20),
        }
    }
}

/// How long records are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Oldest age of a record; `0s` keeps records of any age (default).
    pub age: HumanDuration,
    /// Largest size of each partition; `0B` sets no limit (default).
    pub size: ByteSize,
}

/// A tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// The secret that pseudonyms are made with: at least 16 characters. Must be the same in every process, for ever.
    /// Empty = made at the first start and kept in the data folder (embedded only).
    pub pseudonym_secret: Secret,
    /// API keys that speak for it.
    pub api_keys: Vec<Secret>,
}

/// A campaign and the tenant it belongs to. In the file both are one table: the campaign's fields, and `tenant`.
#[derive(Debug, Clone, Serialize)]
pub struct TenantCampaign {
    /// The tenant; `default` if the table does not name one.
    pub tenant: TenantId,
    /// The campaign.
    #[serde(flatten)]
    pub campaign: Campaign,
}

impl<'de> Deserialize<'de> for TenantCampaign {
    /// Not derived: `#[serde(flatten)]` would accept unknown keys.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        let tenant = match table.remove("tenant") {
            None => TenantId::default(),
            Some(tenant) => TenantId::deserialize(tenant).map_err(inner_error)?,
        };
        let campaign = Campaign::deserialize(table).map_err(inner_error)?;
        Ok(Self { tenant, campaign })
    }
}

/// Passes the error of an inner value on, without the position that means nothing outside of it.
fn inner_error<E: serde::de::Error>(error: toml::de::Error) -> E {
    E::custom(error.message())
}

/// Where settings come from besides the environment: the options that every command takes.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The settings file. `None` = `config/limbic.toml`, if it is there.
    pub config: Option<PathBuf>,
    /// Replaces `data_dir`.
    pub data: Option<PathBuf>,
    /// Replaces `log`.
    pub log: Option<String>,
    /// `KEY=VALUE` pairs, in the order given.
    pub set: Vec<String>,
}

impl Settings {
    /// Reads all layers. `flags` are further settings as `key=value`, from the command's own flags.
    pub fn load(overrides: &Overrides, flags: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut layers = layers::Layers::default();
        let usual = Path::new("config/limbic.toml");
        match &overrides.config {
            Some(file) => layers.file(file)?,
            None if usual.is_file() => layers.file(usual)?,
            None => {}
        }
        layers.environment(std::env::vars())?;
        if let Some(folder) = &overrides.data {
            layers.set("data_dir", folder.to_string_lossy().into_owned().into());
        }
        if let Some(log) = &overrides.log {
            layers.set("log", log.clone().into());
        }
        for (key, value) in flags {
            layers.set(key, layers::value(value));
        }
        for pair in &overrides.set {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("--set {pair}: expected KEY=VALUE, for instance partitions=6"))?;
            layers.set(key.trim(), layers::value(value.trim()));
        }
        let settings: Self = layers.finish()?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(1..=64).contains(&self.partitions) {
            bail!("partitions = {}: choose 1 to 64", self.partitions);
        }
        if !(self.is_embedded() || self.log.scheme() == "kafka") {
            bail!("log = {}: write `embedded` or kafka://HOST:PORT", self.log);
        }
        for name in &self.stages {
            if !STAGES.contains(&name.as_str()) {
                let nearest = layers::nearest(name, STAGES.iter().copied());
                let stages = STAGES.join(", ");
                bail!(
                    "no stage `{name}`{}; there are {stages}",
                    nearest.map_or(String::new(), |n| format!(", did you mean `{n}`?"))
                );
            }
        }
        for TenantCampaign { tenant, campaign } in &self.campaigns {
            if campaign.bid.0 <= 0 {
                bail!(
                    "campaign {tenant}/{}: bid = {}: must be above 0; it is the most that one delivery may cost, in \
                     millionths of the currency",
                    campaign.id,
                    campaign.bid.0
                );
            }
        }
        for (name, tenant) in &self.tenants {
            let secret = tenant.pseudonym_secret.reveal();
            if !secret.is_empty() && secret.len() < 16 {
                bail!(
                    "tenants.{name}.pseudonym_secret: give at least 16 characters, for instance of `openssl rand -hex 32`"
                );
            }
            if tenant.api_keys.iter().any(|key| key.reveal().len() < 16) {
                bail!("tenants.{name}.api_keys: a key should have at least 16 characters");
            }
        }
        Ok(())
    }

    /// The tenants that there are: `default`, unless the settings name others.
    pub fn tenant_ids(&self) -> Vec<TenantId> {
        if self.tenants.is_empty() {
            return vec![TenantId::default()];
        }
        self.tenants.keys().cloned().collect()
    }

    /// What the tenant's pseudonyms are made with. Empty = not set.
    pub(crate) fn pseudonym_secret(&self, tenant: &TenantId) -> &str {
        let tenant = self.tenants.get(tenant);
        tenant.map_or("", |tenant| tenant.pseudonym_secret.reveal())
    }

    /// Whether the log is in this process.
    pub fn is_embedded(&self) -> bool {
        self.log.is_embedded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_ever_shown() {
        let mut settings = Settings::default();
        settings
            .kafka
            .settings
            .insert("sasl.password".into(), Secret::new("hunter2"));
        let tenant = Tenant {
            pseudonym_secret: Secret::new("hunter2hunter2xx"),
            api_keys: vec![Secret::new("hunter2")],
        };
        settings.tenants.insert(TenantId::default(), tenant);
        for shown in [format!("{settings:?}"), toml::to_string(&settings).unwrap()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
