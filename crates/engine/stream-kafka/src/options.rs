//! Options of the Kafka log, and the settings of its clients.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use limbic_stream::{Error, Result};

/// Options of the Kafka log.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Prefix of every topic, group and transactional id, followed by a dot. It lets several installations share a
    /// cluster. Empty = no prefix.
    pub prefix: String,
    /// Number of replicas of topics that this program creates. `None` = the brokers' default.
    pub replication: Option<u16>,
    /// How long one call waits for the brokers before it fails with [`Error::Unavailable`]. A commit that has started has
    /// no time limit.
    pub call_timeout: Duration,
    /// A worker that does not poll for this long is treated as dead: its partitions move to other members, and its
    /// commits are fenced. It must be longer than the processing time of any batch.
    pub max_poll_interval: Duration,
    /// Additional settings of librdkafka, by their own names: TLS, SASL, time-outs, buffers. Settings that exactly-once
    /// depends on are refused.
    pub settings: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            prefix: "limbic".into(),
            replication: None,
            call_timeout: Duration::from_mins(1),
            max_poll_interval: Duration::from_mins(5),
            settings: BTreeMap::new(),
        }
    }
}

impl KafkaOptions {
    /// Replaces the prefix.
    #[must_use]
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Adds a setting of librdkafka.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: BTreeMap<&str, &str> = self
            .settings
            .iter()
            .map(|(name, value)| (&**name, if is_secret(name) { "***" } else { &**value }))
            .collect();
        f.debug_struct("KafkaOptions")
            .field("prefix", &self.prefix)
            .field("replication", &self.replication)
            .field("timeout", &self.call_timeout)
            .field("max_poll_interval", &self.max_poll_interval)
            .field("settings", &settings)
            .finish()
    }
}

/// Whether the value of a librdkafka setting is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "password",
        "secret",
        "token",
        "pem",
        "assertion",
        "oauthbearer.config",
        "credential",
    ];
    SIGNS.iter().any(|sign| name.contains(sign))
}

/// Settings that exactly-once depends on, or that this crate sets from its own options.
const OURS: [&str; 12] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "transactional.id",
    "isolation.level",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "group.protocol",
];

/// Builds the settings of each kind of client.
#[derive(Clone)]
pub(super) struct Clients {
    servers: String,
    settings: BTreeMap<String, String>,
}

impl Clients {
    pub(super) fn new(url: &str, options: &KafkaOptions) -> Result<Self> {
        if let Some(name) = OURS.iter().find(|name| options.settings.contains_key(**name)) {
            return Err(Error::Settings(format!(
                "the Kafka setting `{name}` cannot be changed, because exactly-once processing depends on it: remove it"
            )));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !options.prefix.chars().all(legal) {
            return Err(Error::Settings(format!(
                "the Kafka prefix `{}` may contain only letters, digits, `.`, `_` and `-`",
                options.prefix
            )));
        }
        Ok(Self {
            servers: servers(url)?,
            settings: options.settings.clone(),
        })
    }

    /// The bootstrap servers from the URL.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// The maximum bytes of a record that a producer accepts.
    pub(super) fn largest_record(&self) -> usize {
        self.settings
            .get("message.max.bytes")
            .and_then(|value| value.parse().ok())
            .unwrap_or(1_000_000)
    }

    /// Joins the settings. Later ones override earlier ones: the defaults of this crate, the user's settings, the fixed
    /// settings.
    fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "limbic")
            .set("log.connection.close", "false")
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.servers);
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }

    /// Settings of a client that reads metadata and partition offsets.
    pub(super) fn observer(&self) -> ClientConfig {
        self.config(
            &[],
            &[
                ("isolation.level", "read_uncommitted"),
                ("allow.auto.create.topics", "false"),
            ],
        )
    }

    /// Settings of a client that reads the committed offsets of a group without joining it. `decided` = wait for the
    /// outcome of open transactions; otherwise return the last offset before them.
    pub(super) fn group_observer(&self, group: &str, decided: bool) -> ClientConfig {
        let mut config = self.observer();
        config.set("group.id", group).set("enable.auto.commit", "false");
        if decided {
            config.set("isolation.level", "read_committed");
        }
        config
    }

    /// Settings of a client that reads committed records of given partitions. `group` is never joined.
    pub(super) fn reader(&self, group: &str) -> ClientConfig {
        self.config(
            &[
                ("fetch.wait.max.ms", "20"),
                ("queued.max.messages.kbytes", "8192"),
                ("fetch.queue.backoff.ms", "5"),
            ],
            &[
                ("group.id", group),
                ("isolation.level", "read_committed"),
                ("enable.auto.commit", "false"),
                ("enable.partition.eof", "true"),
                ("auto.offset.reset", "earliest"),
                ("allow.auto.create.topics", "false"),
            ],
        )
    }

    /// Settings of a group member. `strategy` is the partition assignor.
    pub(super) fn member(&self, group: &str, strategy: &str) -> ClientConfig {
        self.config(
            &[
                // The partitions of a killed process are not read for this long. Brokers allow 6 s at least.
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "2000"),
                // The end of a partition is detected when a fetch returns nothing: at most this much later.
                ("fetch.wait.max.ms", "100"),
                // Per partition. With the default of 64 MiB, one partition could fill the memory of the whole process.
                ("queued.max.messages.kbytes", "4096"),
                ("queued.min.messages", "10000"),
                // With the default, librdkafka waits for a second when the queue was full for a moment.
                ("fetch.queue.backoff.ms", "5"),
            ],
            &[
                ("group.id", group),
                ("partition.assignment.strategy", strategy),
                ("isolation.level", "read_committed"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("enable.partition.eof", "true"),
                ("auto.offset.reset", "earliest"),
                ("allow.auto.create.topics", "false"),
            ],
        )
    }

    /// Settings of the producer of a stage instance.
    pub(super) fn transactional(&self, id: &str) -> ClientConfig {
        self.config(
            &[
                // A killed process can block the readers of its output topics for this long.
                ("transaction.timeout.ms", "30000"),
                ("linger.ms", "1"),
                ("queue.buffering.max.kbytes", "65536"),
            ],
            &[
                ("transactional.id", id),
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // Only failures are reported. A commit waits until no record is outstanding.
                ("delivery.report.only.error", "true"),
            ],
        )
    }

    /// Settings of the edge's producer.
    pub(super) fn publisher(&self) -> ClientConfig {
        self.config(
            &[
                ("message.timeout.ms", "30000"),
                ("linger.ms", "1"),
                ("queue.buffering.max.kbytes", "65536"),
            ],
            &[("enable.idempotence", "true"), ("acks", "all")],
        )
    }
}

/// Converts `kafka://host:port[,host:port…]` to librdkafka's list of servers.
fn servers(url: &str) -> Result<String> {
    let wrong = |what: &str| {
        Err(Error::Settings(format!(
            "{what}: write it as kafka://HOST:PORT[,HOST:PORT…]"
        )))
    };
    let Some(rest) = url.strip_prefix("kafka://") else {
        return wrong("the address of the Kafka cluster does not begin with kafka://");
    };
    if rest.contains('@') {
        return wrong(
            "the address must not contain a user or a password: use the settings sasl.username and sasl.password",
        );
    }
    let servers = rest.trim_end_matches('/');
    if servers.contains(['/', '?', '#']) || servers.split(',').any(|server| server.trim().is_empty()) {
        return wrong("the address of the Kafka cluster cannot be read");
    }
    Ok(servers.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_a_list_of_servers() {
        assert_eq!(servers("kafka://a:9092,b:9093/").unwrap(), "a:9092,b:9093");
        for wrong in [
            "localhost:9092",
            "kafka://",
            "kafka://a,,b",
            "kafka://a/topic",
            "kafka://me:word@a:1",
        ] {
            let error = servers(wrong).unwrap_err().to_string();
            assert!(error.contains("kafka://HOST:PORT"), "{error}");
            assert!(!error.contains("word@"), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = KafkaOptions::default()
            .with("sasl.password", "hush")
            .with("ssl.key.pem", "hush")
            .with("sasl.username", "me");
        let shown = format!("{options:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("me"), "{shown}");
    }

    #[test]
    fn settings_that_exactly_once_depends_on_are_refused() {
        let options = KafkaOptions::default().with("isolation.level", "read_uncommitted");
        let error = Clients::new("kafka://a:1", &options).err().unwrap().to_string();
        assert!(error.contains("isolation.level"), "{error}");
    }
}
