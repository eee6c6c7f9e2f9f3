//! The log on Kafka as a component.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_component::{CallTimeout, Component, Error, Kind, Need, Place, Resources};
use limbic_domain::{ConnectionUrl, Secret};
use limbic_stream::Log;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{KafkaLog, KafkaOptions};

/// Kafka, if `log` names one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    /// Prefix of every topic and consumer group, and of the keys in Redis.
    pub prefix: String,
    /// Replicas of topics that this node creates; 0 = the brokers' default.
    pub replication: u16,
    /// Further settings of librdkafka, by its own names (`security.protocol`, `sasl.password`…). Their values are hidden.
    pub settings: BTreeMap<String, Secret>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            prefix: "limbic".into(),
            replication: 0,
            settings: BTreeMap::new(),
        }
    }
}

impl Component for KafkaLog {
    type Settings = KafkaSettings;
    type Product = Arc<dyn Log>;
    const KIND: Kind = Kind::Log;
    const NAME: &'static str = "kafka";
    const SUMMARY: &'static str = "Stores topics in a Kafka cluster, which many nodes share.";
    const PLACE: Place = Place::Url {
        setting: "log",
        form: "kafka://HOST:PORT[,HOST:PORT…]",
        schemes: &["kafka"],
        section: Some("kafka"),
    };
    const NEEDS: &'static [Need] = &[Need::Url, Need::Secrets];

    fn check(_: &KafkaSettings) -> Result<(), Error> {
        Ok(())
    }

    fn build(settings: &KafkaSettings, resources: &Resources) -> Result<Arc<dyn Log>, Error> {
        let url: ConnectionUrl = resources.get()?;
        let CallTimeout(call_timeout) = resources.get()?;
        let mut options = KafkaOptions::default().prefixed(settings.prefix.clone());
        options.call_timeout = call_timeout;
        options.replication = (settings.replication > 0).then_some(settings.replication);
        for (name, value) in &settings.settings {
            options = options.with(name.clone(), value.reveal());
        }
        let log = Self::connect(url.reveal(), options)
            .map_err(|error| format!("cannot use Kafka at {url}: {error}"))?;
        Ok(Arc::new(log))
    }
}
