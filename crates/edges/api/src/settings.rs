//! The settings of the API.

use limbic_domain::{ByteSize, HumanDuration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TlsSettings;

/// The settings of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Maximum size of a request body, compressed and decompressed. Default 8MiB.
    pub max_body: ByteSize,
    /// Maximum bytes of all request bodies in memory. A tenant has at most half of them, so it must be at least twice
    /// `max_body`. Further requests are answered with 503 and `Retry-After`. Default 32MiB.
    pub bodies: ByteSize,
    /// Maximum bytes of all answers that clients have not read yet. A tenant has at most half of them. Further requests are answered
    /// with 503 and `Retry-After`. At least 32MiB, which is the default.
    pub answers: ByteSize,
    /// Maximum number of concurrent requests that write to the log. A tenant has at most half of them. Further requests are answered
    /// with 503 and `Retry-After`. Default 256.
    pub writers: usize,
    /// Maximum number of concurrent requests that read from the view, the series or the log. A tenant has at most half of them;
    /// further requests wait. Default 6.
    pub readers: usize,
    /// Maximum number of connections. If there are more, one without a request is closed: of the address that has most, the one that is
    /// idle for the longest time. The limit of file descriptors can allow fewer. At least 2; default 1024.
    pub connections: usize,
    /// Maximum number of connections from one address (IPv6: from one /64 network), and never more than half of `connections`. Behind
    /// a proxy all connections have its address. At least 1; default 256.
    pub connections_per_address: usize,
    /// Maximum duration of a request. Default 30s.
    pub timeout: HumanDuration,
    /// Maximum time until the first request of a connection, and between two parts of a body. Default 10s.
    pub stall_timeout: HumanDuration,
    /// Maximum time until the next request of a connection. Default 60s.
    pub idle_timeout: HumanDuration,
    /// Maximum time for a client to read an answer. Default 60s.
    pub answer_timeout: HumanDuration,
    /// Names under which this node is reached, for instance `limbic.example.com`. Without API keys, requests for other names than
    /// these, `localhost` and addresses are refused, because a web page could have sent them. With API keys, they are refused if
    /// this list is not empty.
    pub hosts: Vec<String>,
    /// Whether a node without API keys may listen at an address that other machines can reach. Everyone there can then read and write
    /// everything. Default `false`.
    pub public_without_keys: bool,
    /// Keys of operators, each 32 random bytes as `limbic secret` prints them. They show the totals of all tenants (`/metrics`, `/v1/counts`, the reasons in
    /// `/readyz`) and no tenant's data. If there is only one tenant, its own keys show them too.
    pub operator_keys: Vec<Secret>,
    /// TLS. The files are read again when they change, and on SIGHUP, which then does not end the node. Connections that are open keep
    /// their certificate. If the new files are not valid, the certificate in use stays, and the log says why.
    pub tls: TlsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body: ByteSize::from_mebibytes(8),
            bodies: ByteSize::from_mebibytes(32),
            answers: ByteSize::from_mebibytes(32),
            writers: 256,
            readers: 6,
            connections: 1024,
            connections_per_address: 256,
            timeout: HumanDuration::from_secs(30),
            stall_timeout: HumanDuration::from_secs(10),
            idle_timeout: HumanDuration::from_secs(60),
            answer_timeout: HumanDuration::from_secs(60),
            hosts: Vec::new(),
            public_without_keys: false,
            operator_keys: Vec::new(),
            tls: TlsSettings::default(),
        }
    }
}

/// A setting of the API that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// One tenant could not send one body.
    #[error(
        "api.bodies = {bodies}: must be at least twice api.max_body = {max_body}, because a tenant has at most half"
    )]
    Bodies {
        /// The budget.
        bodies: ByteSize,
        /// The largest body.
        max_body: ByteSize,
    },
    /// One tenant could not read one page.
    #[error(
        "api.answers = {0}: must be at least 32MiB, because a tenant has at most half, and a page has up to 16MiB"
    )]
    Answers(ByteSize),
    /// There would be no connection.
    #[error("api.connections = {0}: must be at least 2")]
    Connections(usize),
    /// There would be no connection.
    #[error("api.connections_per_address = 0: must be at least 1")]
    ConnectionsPerAddress,
    /// Everything would be late.
    #[error("api.{0} = 0s: must be at least 1ms")]
    Time(&'static str),
}

impl Settings {
    /// Returns an error if a setting is not valid.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let Self {
            bodies,
            max_body,
            answers,
            ..
        } = *self;
        if bodies.get() / 2 < max_body.get() {
            return Err(InvalidSetting::Bodies { bodies, max_body });
        }
        if answers < ByteSize::from_mebibytes(32) {
            return Err(InvalidSetting::Answers(answers));
        }
        if self.connections < 2 {
            return Err(InvalidSetting::Connections(self.connections));
        }
        if self.connections_per_address == 0 {
            return Err(InvalidSetting::ConnectionsPerAddress);
        }
        let times = [
            ("timeout", self.timeout),
            ("stall_timeout", self.stall_timeout),
            ("idle_timeout", self.idle_timeout),
            ("answer_timeout", self.answer_timeout),
        ];
        if let Some((name, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(InvalidSetting::Time(name));
        }
        Ok(())
    }
}
