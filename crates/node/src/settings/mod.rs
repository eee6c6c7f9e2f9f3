//! The settings: defaults < file < environment < command line.
//!
//! The error for an unknown key suggests the nearest known one. Secrets are never printed. The node's own settings are
//! fields of [`Settings`]. The settings of a component are a section with its own type, which the registry knows.

mod layers;
mod problem;
mod secrets;
mod sections;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use limbic_component::{Component, Registration, Section};
use limbic_data_key::DataKeys;
use limbic_domain::{
    Brief, ByteSize, Campaign, ConnectionUrl, Declaration, Direction, HumanDuration, Micros, Platform,
    ReviewMode, Secret, Slug, TenantId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::registry;
pub(crate) use layers::nearest;
pub(crate) use sections::KIND;
pub use sections::{Entries, Entry, Sections};

/// The settings of a node and its components.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The folder of the embedded log and databases.
    pub data_dir: PathBuf,
    /// Address and port of the API and the page.
    pub listen: String,
    /// The log: `embedded` or `kafka://HOST:PORT[,HOST:PORT…]`.
    pub log: ConnectionUrl,
    /// Number of partitions of each topic, 1 to 64. It cannot change when the topics exist.
    pub partitions: u32,
    /// The stages that run in this node. Empty = all.
    pub stages: Vec<String>,
    /// The database of the view: `embedded` (SQLite) or `postgres://HOST:PORT/DATABASE`.
    pub view: ConnectionUrl,
    /// Ids of recently accepted posts: `embedded`, or `redis://HOST:PORT` to share them between nodes.
    pub seen: ConnectionUrl,
    /// The store of time series: `embedded` (SQLite), or `http://HOST:PORT` of an InfluxDB 2 with `[influxdb]`.
    pub series: ConnectionUrl,
    /// Keys with which personal data is encrypted before it is stored, each 32 random bytes as `limbic secret` prints them. The first one
    /// encrypts, all of them decrypt: to replace a key, put the new one before it. Every node that opens the view needs them. Empty
    /// (default) = nothing is encrypted. They are for the bodies of the view's rows; the log is not encrypted.
    pub data_keys: Vec<Secret>,
    /// How stages run.
    pub stream: Stream,
    /// How long records are kept.
    pub retention: Retention,
    /// The tenants. If there are none, every caller belongs to the tenant `default`.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// The campaigns of all tenants. A change of them in the file takes effect without a restart.
    pub campaigns: Vec<TenantCampaign>,
    /// The HTTP API.
    pub api: limbic_api::Settings,
    /// The gateway to language models: which providers (`[llm_providers.NAME]`, `[picture_providers.NAME]`, `[video_providers.NAME]`) answer for which model, limits, prices and cache.
    pub llm: limbic_llm::gateway::GatewaySettings,
    /// The settings of components, by section.
    #[serde(skip)]
    pub sections: Sections,
    /// Components that can have several instances, such as ad platforms, by table and name.
    #[serde(skip)]
    pub entries: Entries,
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
            series: ConnectionUrl::new(ConnectionUrl::EMBEDDED),
            data_keys: Vec::new(),
            stream: Stream::default(),
            retention: Retention::default(),
            tenants: BTreeMap::new(),
            campaigns: Vec::new(),
            api: limbic_api::Settings::default(),
            llm: limbic_llm::gateway::GatewaySettings::default(),
            sections: Sections::default(),
            entries: Entries::default(),
        }
    }
}

/// How stages run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// The name of this node's instances on Kafka: stable across restarts, and unique among running nodes. Empty (the
    /// default) = the node generates a name and stores it in the data folder.
    pub instance: String,
    /// Whether this is the only node on a Kafka log. Default `false`. Only then the view, the series and the secret of
    /// pseudonyms may stay in the data folder.
    pub single_node: bool,
    /// A partition without records of a tenant for this long no longer holds the tenant's event time back. At least 1ms; default 1s.
    pub idle_after: HumanDuration,
    /// Maximum time for stages to finish their batches when the process stops. Default 20s.
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
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Maximum age of a record. `0s` = no limit (default). The embedded log keeps records that a stage has not read up to four times
    /// as long.
    pub age: HumanDuration,
    /// Maximum size of each partition. `0B` = no limit (default). The embedded log keeps records that a stage has not read up to four
    /// times this size.
    pub size: ByteSize,
    /// Maximum age of a dead letter. `0s` = no limit (default).
    pub dead_age: HumanDuration,
    /// Maximum size of the dead letters of each partition of a topic. `0B` = no limit (default).
    pub dead_size: ByteSize,
}

/// A tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// The secret from which pseudonyms are derived: 32 random bytes, as `limbic secret` prints them; no tenant has the secret of
    /// another. It must be the same on every node. A new one gives every person a new pseudonym, and so forgets their
    /// consent and distress. Empty = generated at the first start and stored in the data folder (embedded log only).
    pub pseudonym_secret: Secret,
    /// API keys of this tenant, each 32 random bytes as `limbic secret` prints them. To replace a key, add the new one, let callers
    /// change to it, and remove the old one.
    pub api_keys: Vec<Secret>,
    /// API keys of the people who decide about ads that wait for review, made like `api_keys`, which they are too. If there are some,
    /// no other key can decide. Default: none.
    pub reviewer_keys: Vec<Secret>,
}

/// A campaign and its tenant. In the file both are one table: the campaign's fields, and `tenant`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TenantCampaign {
    /// The tenant; `default` if the table does not name one.
    #[schemars(default)]
    pub tenant: TenantId,
    /// The campaign.
    #[serde(flatten)]
    pub campaign: Campaign,
}

/// The table of a [`TenantCampaign`]. With `#[serde(flatten)]`, unknown keys would be accepted, and the path of a wrong key
/// would be lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignTable {
    #[serde(default)]
    tenant: TenantId,
    id: Slug,
    brief: Brief,
    #[serde(default)]
    subjects: Vec<Slug>,
    #[serde(default)]
    brands: Vec<Slug>,
    #[serde(default)]
    direction: Option<Direction>,
    platforms: Vec<Platform>,
    #[serde(default)]
    bid: Micros,
    #[serde(default)]
    declared: Declaration,
    #[serde(default)]
    review: Option<ReviewMode>,
}

impl<'de> Deserialize<'de> for TenantCampaign {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = CampaignTable::deserialize(deserializer)?;
        Ok(Self {
            tenant: table.tenant,
            campaign: Campaign {
                id: table.id,
                brief: table.brief,
                subjects: table.subjects,
                brands: table.brands,
                direction: table.direction,
                platforms: table.platforms,
                bid: table.bid,
                declared: table.declared,
                review: table.review,
            },
        })
    }
}

/// Sources of settings besides the environment: the options of every command.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The settings file. `None` = the one that `LIMBIC_CONFIG` names, otherwise `config/limbic.toml`, if it exists.
    pub config: Option<PathBuf>,
    /// Replaces `data_dir`.
    pub data: Option<PathBuf>,
    /// Replaces `log`.
    pub log: Option<String>,
    /// `KEY=VALUE` pairs, in the order given.
    pub set: Vec<String>,
}

impl Overrides {
    /// The settings file to read: the named one, otherwise the one that `LIMBIC_CONFIG` names, otherwise the default one if it
    /// exists.
    pub fn file(&self) -> Option<PathBuf> {
        let usual = Path::new("config/limbic.toml");
        let from_environment = || std::env::var_os("LIMBIC_CONFIG").filter(|name| !name.is_empty());
        match &self.config {
            Some(file) => Some(file.clone()),
            None => match from_environment() {
                Some(file) => Some(file.into()),
                None => usual.is_file().then(|| usual.to_owned()),
            },
        }
    }
}

impl Settings {
    /// Reads all layers. `flags` are further settings as `key=value`, from the options of one command.
    pub fn load(overrides: &Overrides, flags: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut layers = layers::Layers::default();
        if let Some(file) = overrides.file() {
            layers.file(&file)?;
        }
        layers.environment(std::env::vars())?;
        if let Some(folder) = &overrides.data {
            layers.set("data_dir", folder.to_string_lossy().into_owned().into());
        }
        if let Some(log) = &overrides.log {
            layers.set("log", log.clone().into());
        }
        for (key, value) in flags {
            layers.set_text(key, value);
        }
        for pair in &overrides.set {
            let (key, value) = pair
                .split_once('=')
                .filter(|(key, _)| !key.trim().is_empty())
                .context("--set: expected KEY=VALUE, for instance --set partitions=6")?;
            layers.set_text(key.trim(), value.trim());
        }
        let mut settings = layers.finish()?;
        settings.complete_addresses();
        settings.check()?;
        Ok(settings)
    }

    /// Gives each address without a scheme the one that its setting has: `log = "localhost:9092"` is a Kafka.
    fn complete_addresses(&mut self) {
        let all = [
            ("log", &mut self.log),
            ("view", &mut self.view),
            ("series", &mut self.series),
            ("seen", &mut self.seen),
        ];
        for (setting, url) in all {
            if let Some(scheme) = registry::usual_scheme(setting) {
                *url = url.clone().or_scheme(scheme);
            }
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(1..=64).contains(&self.partitions) {
            bail!("partitions = {}: choose 1 to 64", self.partitions);
        }
        if self.data_dir.as_os_str().is_empty() {
            bail!("data_dir: is empty: name a folder, for instance .limbic");
        }
        check_address("listen", &self.listen)?;
        for (setting, url) in self.urls() {
            registry::chosen(setting, url)?;
        }
        for name in &self.stages {
            registry::stage(name)?;
        }
        for one in &self.campaigns {
            self.check_campaign(one)?;
        }
        self.api.check()?;
        crate::models::check(self)?;
        let has_models = self.entries.of("llm_providers").next().is_some();
        if has_models && self.llm.deadline >= self.api.timeout {
            bail!(
                "llm.deadline = {}: must be below api.timeout = {}, so that callers get the answer of the gateway",
                self.llm.deadline,
                self.api.timeout
            );
        }
        if !self.api.operator_keys.is_empty() && !self.has_api_keys() {
            bail!(
                "api.operator_keys are set, but no tenant has api_keys, so every caller sees everything: set tenants.default.api_keys"
            );
        }
        DataKeys::new(&self.data_keys)?;
        secrets::check(self)
    }

    fn check_campaign(&self, TenantCampaign { tenant, campaign }: &TenantCampaign) -> anyhow::Result<()> {
        let name = format!("campaign {tenant}/{}", campaign.id);
        let bid = campaign.bid.0;
        if !(1..=LARGEST_BID).contains(&bid) {
            bail!(
                "{name}: bid = {bid}: choose 1 to {LARGEST_BID}; it is the most that one delivery may cost, in millionths of \
                 the currency"
            );
        }
        let tenants = self.tenant_ids();
        if !tenants.contains(tenant) {
            let known: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
            bail!(
                "{name}: there is no tenant `{tenant}`{} Correct `tenant`, or add [tenants.{tenant}]. The tenants are: {}",
                hint(tenant.as_str(), &known),
                known.join(", ")
            );
        }
        let platforms: Vec<&str> = self
            .entries
            .of("ad_platforms")
            .map(|(name, _)| name.as_str())
            .collect();
        if campaign.platforms.is_empty() {
            bail!(
                "{name}: platforms is empty, so none of its ads could run: write for instance platforms = [{{ name = \"file\", \
                 headline = 60, body = 180 }}]"
            );
        }
        for platform in &campaign.platforms {
            if !platforms.contains(&platform.name.as_str()) {
                let known = if platforms.is_empty() {
                    "There are no ad platforms".to_owned()
                } else {
                    format!("The ad platforms are: {}", platforms.join(", "))
                };
                bail!(
                    "{name}: there is no ad platform `{platform}`{} Correct its name, or add [ad_platforms.{platform}]. {known}",
                    hint(platform.name.as_str(), &platforms),
                    platform = platform.name
                );
            }
        }
        Ok(())
    }

    /// Whether callers of the API need a key.
    pub(crate) fn has_api_keys(&self) -> bool {
        self.tenants
            .values()
            .any(|tenant| !tenant.api_keys.is_empty() || !tenant.reviewer_keys.is_empty())
    }

    /// The settings whose URL selects a component, with their values.
    pub(crate) fn urls(&self) -> [(&'static str, &ConnectionUrl); 4] {
        [
            ("log", &self.log),
            ("view", &self.view),
            ("series", &self.series),
            ("seen", &self.seen),
        ]
    }

    /// The tenants: `default`, unless the settings name others.
    pub fn tenant_ids(&self) -> Vec<TenantId> {
        if self.tenants.is_empty() {
            return vec![TenantId::default()];
        }
        self.tenants.keys().cloned().collect()
    }

    /// The secret of the tenant's pseudonyms. Empty = not set.
    pub(crate) fn pseudonym_secret(&self, tenant: &TenantId) -> &str {
        let tenant = self.tenants.get(tenant);
        tenant.map_or("", |tenant| tenant.pseudonym_secret.reveal())
    }

    /// The settings of a component.
    ///
    /// # Panics
    ///
    /// If the component has no section in the registry.
    pub fn section<C: Component>(&self) -> &C::Settings {
        let name = C::PLACE.section();
        let section = name
            .and_then(|name| self.sections.0.get(name))
            .and_then(Section::get);
        section.expect("a component with a section is in the registry, which gives its settings")
    }

    /// The settings of a component, for changes.
    ///
    /// # Panics
    ///
    /// If the component has no section in the registry.
    pub fn section_mut<C: Component>(&mut self) -> &mut C::Settings {
        let name = C::PLACE.section();
        let section = name
            .and_then(|name| self.sections.0.get_mut(name))
            .and_then(Section::get_mut);
        section.expect("a component with a section is in the registry, which gives its settings")
    }

    /// The settings of a registered component, without their type. Without a section they are its defaults.
    pub(crate) fn section_of(&self, component: &Registration) -> Section {
        let name = component.place.section();
        let section = name.and_then(|name| self.sections.0.get(name));
        section.map_or_else(|| component.default_settings(), Section::clone)
    }

    /// All settings as a table of the settings file. Secrets are hidden.
    pub fn to_table(&self) -> anyhow::Result<toml::Table> {
        let mut table = toml::Table::try_from(self).context("cannot print the settings")?;
        for (name, section) in &self.sections.0 {
            let value = section
                .to_value()
                .with_context(|| format!("cannot print [{name}]"))?;
            table.insert((*name).to_owned(), value);
        }
        table.extend(self.entries.to_table().context("cannot print the entries")?);
        Ok(table)
    }

    /// Whether the log is embedded.
    pub fn is_embedded(&self) -> bool {
        self.log.is_embedded()
    }
}

/// The largest bid, in millionths of the currency: a million of it for one delivery is a slip of the finger.
const LARGEST_BID: i64 = 1_000_000_000_000;

/// `; did you mean …?` or a full stop.
fn hint(given: &str, known: &[&str]) -> String {
    nearest(given, known.iter().copied())
        .map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"))
}

/// Returns an error if this is not an address to listen at: `HOST:PORT`.
fn check_address(setting: &str, address: &str) -> anyhow::Result<()> {
    let is_valid = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && !host.contains("//") && port.parse::<u16>().is_ok());
    if !is_valid {
        bail!("{setting} = {address:?}: is not an address: write HOST:PORT, for instance 127.0.0.1:8080");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use limbic_llm::{OpenAiCompatible, OpenAiSettings};
    use limbic_stream_kafka::KafkaLog;

    use super::*;

    #[test]
    fn no_secret_is_ever_shown() {
        let mut settings = Settings::default();
        settings
            .section_mut::<KafkaLog>()
            .settings
            .insert("sasl.password".into(), Secret::new("hunter2"));
        let provider = OpenAiSettings {
            base_url: "http://127.0.0.1:1/v1".into(),
            api_key: Secret::new("hunter2"),
            ..OpenAiSettings::default()
        };
        settings
            .entries
            .insert::<OpenAiCompatible>(Slug::new("local").unwrap(), provider);
        let tenant = Tenant {
            pseudonym_secret: Secret::new("hunter2hunter2xx"),
            api_keys: vec![Secret::new("hunter2")],
            reviewer_keys: vec![Secret::new("hunter2")],
        };
        settings.tenants.insert(TenantId::default(), tenant);
        for shown in [
            format!("{settings:?}"),
            toml::to_string(&settings.to_table().unwrap()).unwrap(),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
