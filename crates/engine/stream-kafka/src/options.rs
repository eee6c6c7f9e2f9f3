//! Where the cluster is and how to talk to it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use limbic_stream::{Error, Result};

/// How to use a Kafka cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Put before every topic, group and transactional id, with a dot: several installations share a cluster.
    /// Empty = the bare names.
    pub prefix: String,
    /// How many replicas a topic gets that is created here; `None` = what the brokers have as their default.
    pub replication: Option<u16>,
    /// How long one call waits for the brokers before it answers [`Error::Unavailable`]. A commit that has begun is
    /// never given up.
    pub patience: Duration,
    /// How long a worker may go without a poll. After that it is taken for dead: its partitions go to others, and
    /// what it still tries to commit is fenced. Longer than the longest batch takes.
    pub max_poll_interval: Duration,
    /// Any setting of librdkafka, by its own name: TLS, SASL, time-outs, buffers. Those that exactly-once depends on
    /// are refused.
    pub settings: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            prefix: "limbic".into(),
            replication: None,
            patience: Duration::from_mins(1),
            max_poll_interval: Duration::from_mins(5),
            settings: BTreeMap::new(),
        }
    }
}

impl KafkaOptions {
    /// With another prefix.
    #[must_use]
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// With a setting of librdkafka.
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
            .field("patience", &self.patience)
            .field("max_poll_interval", &self.max_poll_interval)
            .field("settings", &settings)
            .finish()
    }
}

/// Whether the value of a setting of librdkafka must never be shown.
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

/// What exactly-once depends on, or what this backend says itself.
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

/// Makes the settings of librdkafka for each kind of client.
#[derive(Clone)]
pub(super) struct Clients {
    servers: String,
    settings: BTreeMap<String, String>,
}

impl Clients {
    pub(super) fn new(url: &str, options: &KafkaOptions) -> Result<Self> {
        if let Some(name) = OURS.iter().find(|name| options.settings.contains_key(**name)) {
            return Err(Error::Settings(format!(
                "the Kafka setting `{name}` is not free to choose: what is never lost or doubled depends on it; remove it"
            )));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !options.prefix.chars().all(legal) {
            return Err(Error::Settings(format!(
                "the Kafka prefix `{}` may hold only letters, digits, `.`, `_` and `-`",
                options.prefix
            )));
        }
        Ok(Self {
            servers: servers(url)?,
            settings: options.settings.clone(),
        })
    }

    /// The cluster's first servers, as in the URL.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// The largest record that a producer takes.
    pub(super) fn largest_record(&self) -> usize {
        self.settings
            .get("message.max.bytes")
            .and_then(|value| value.parse().ok())
            .unwrap_or(1_000_000)
    }

    /// The defaults of this backend, overridden by the user's settings, overridden by what must be so.
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

    /// Looks at the cluster from outside: metadata, the true end of a partition.
    pub(super) fn observer(&self) -> ClientConfig {
        self.config(
            &[],
            &[
                ("isolation.level", "read_uncommitted"),
                ("allow.auto.create.topics", "false"),
            ],
        )
    }

    /// Looks at what a group has committed, without joining it. `decided` = an offset that a transaction is about to
    /// commit or abort is waited for; otherwise the one before it is the answer.
    pub(super) fn group_observer(&self, group: &str, decided: bool) -> ClientConfig {
        let mut config = self.observer();
        config.set("group.id", group).set("enable.auto.commit", "false");
        if decided {
            config.set("isolation.level", "read_committed");
        }
        config
    }

    /// Reads committed records of chosen partitions; `group` names nobody and is never joined.
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

    /// One member of a group. `strategy` is how the group shares partitions.
    pub(super) fn member(&self, group: &str, strategy: &str) -> ClientConfig {
        self.config(
            &[
                // How long the partitions of a killed process stand still; 6 s is the least that brokers allow.
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "2000"),
                // The end of a partition is noticed when a fetch comes back empty: at most this much later.
                ("fetch.wait.max.ms", "100"),
                // Per partition. The default of 64 MiB would be the memory of the whole loop.
                ("queued.max.messages.kbytes", "4096"),
                ("queued.min.messages", "10000"),
                // The default waits a second whenever the queue was full for a moment.
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

    /// The producer of a stage instance.
    pub(super) fn transactional(&self, id: &str) -> ClientConfig {
        self.config(
            &[
                // How long a killed process may hold up the readers of what it was writing.
                ("transaction.timeout.ms", "30000"),
                ("linger.ms", "1"),
                ("queue.buffering.max.kbytes", "65536"),
            ],
            &[
                ("transactional.id", id),
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // Only failures are reported: a commit waits until nothing is outstanding.
                ("delivery.report.only.error", "true"),
            ],
        )
    }

    /// The producer of the edge.
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

/// `kafka://host:port[,host:port…]` as librdkafka wants it.
fn servers(url: &str) -> Result<String> {
    let wrong = |what: &str| {
        Err(Error::Settings(format!(
            "{what}: give the log as kafka://HOST:PORT[,HOST:PORT…]"
        )))
    };
    let Some(rest) = url.strip_prefix("kafka://") else {
        return wrong("the address of the Kafka cluster does not begin with kafka://");
    };
    if rest.contains('@') {
        return wrong(
            "user and password do not belong into the address but into the settings sasl.username and sasl.password",
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
    fn an_address_is_a_list_of_servers() {
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
    fn what_exactly_once_depends_on_cannot_be_set() {
        let options = KafkaOptions::default().with("isolation.level", "read_uncommitted");
        let error = Clients::new("kafka://a:1", &options).err().unwrap().to_string();
        assert!(error.contains("isolation.level"), "{error}");
    }
}
