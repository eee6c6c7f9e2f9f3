//! A topic of a Kafka cluster as a component.

use std::collections::BTreeMap;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, Secret, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KafkaTopic;
use crate::Source;
use crate::mapping::{JsonMapping, JsonMappingSettings};

/// `kind = "kafka_topic"`: reads JSON messages of a topic of an external Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTopicSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The brokers: `HOST:PORT[,HOST:PORT…]`.
    pub brokers: String,
    /// The topic. Its messages are JSON.
    pub topic: String,
    /// Where the first connection begins: `oldest` = at the oldest message (default), `newest` = behind the newest one.
    pub begin: Begin,
    /// How a message becomes posts.
    pub map: JsonMappingSettings,
    /// Further settings of librdkafka, by its own names (`security.protocol`, `sasl.password`…). Their values are hidden.
    pub settings: BTreeMap<String, Secret>,
}

/// Where the first connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// At the oldest message.
    #[default]
    Oldest,
    /// Behind the newest message.
    Newest,
}

/// Settings of librdkafka that the connector sets, or whose default it needs.
const RESERVED: [&str; 9] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "enable.auto.commit",
    "auto.offset.reset",
    "isolation.level",
    "client.id",
    "queued.max.messages.kbytes",
    "enable.partition.eof",
];

impl Component for KafkaTopic {
    type Settings = KafkaTopicSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "kafka_topic";
    const SUMMARY: &'static str =
        "Reads JSON messages of a topic of an external Kafka cluster, by a mapping.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::Secrets];

    fn check(settings: &KafkaTopicSettings) -> Result<(), Error> {
        let is_address = |address: &str| {
            let (host, port) = address.rsplit_once(':').unwrap_or_default();
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        };
        if !settings.brokers.split(',').all(is_address) {
            return Err(format!(
                "brokers: `{}` is not HOST:PORT[,HOST:PORT…]: give for instance broker.example:9092",
                settings.brokers
            )
            .into());
        }
        if settings.topic.is_empty() {
            return Err("topic: is empty: give the name of a topic".into());
        }
        if let Some(name) = RESERVED
            .iter()
            .find(|name| settings.settings.contains_key(**name))
        {
            return Err(format!("settings: `{name}` is set by the connector: remove it").into());
        }
        JsonMapping::new(&settings.map)?;
        Ok(())
    }

    fn address(settings: &KafkaTopicSettings) -> Option<ConnectionUrl> {
        let first = settings.brokers.split(',').next()?;
        Some(ConnectionUrl::new(format!("kafka://{first}")))
    }

    fn build(settings: &KafkaTopicSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let mapping = JsonMapping::new(&settings.map)?;
        Ok(Source::pulled(
            settings.tenant.clone(),
            Self::new(settings.clone(), mapping),
        ))
    }
}

impl ConnectorComponent for KafkaTopic {
    const TERMS: &'static str = include_str!("terms.toml");
}
