//! An API over an embedded log, and a client that can misbehave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use limbic_api::{ApiMeters, Context, JudgeEdits, Settings, Tls, hash_key, serve};
use limbic_domain::{Campaign, Creative, TenantId, topics};
use limbic_ingest::{Edge, RecentIds, SeenIds};
use limbic_stream::{Log, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// How long a test waits for an event before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const OPERATOR: &str = "key-of-the-operator";

/// Lets every edited ad run.
struct AnyEdit;

impl JudgeEdits for AnyEdit {
    fn judge(&self, _: &TenantId, _: &Campaign, _: &Creative) -> Result<(), String> {
        Ok(())
    }
}

/// A served API.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<dyn Log>,
    _stop: watch::Sender<bool>,
    folder: TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body, if this is a well-formed problem of `status`.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(": "), "it says what to do: {detail}");
        problem
    }
}

impl Api {
    /// Serves the API. Each of `tenants` has the key `key-of-the-tenant-NAME`. Without tenants, there are no keys.
    pub(crate) async fn open(settings: Settings, tenants: &[&str]) -> Self {
        Self::over_tls(settings, tenants, None).await
    }

    /// Serves the API to one tenant, of which only `reviewer` may decide about ads.
    pub(crate) async fn with_reviewer(settings: Settings, tenant: &str, reviewer: &str) -> Self {
        Self::serve(settings, &[tenant], Some(reviewer), None).await
    }

    pub(crate) async fn over_tls(settings: Settings, tenants: &[&str], tls: Option<Arc<Tls>>) -> Self {
        Self::serve(settings, tenants, None, tls).await
    }

    /// `reviewer` is a key of the first tenant.
    async fn serve(
        settings: Settings,
        tenants: &[&str],
        reviewer: Option<&str>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).unwrap();
        log.ensure_topics(&[
            TopicSpec::new(topics::INTAKE, 1),
            TopicSpec::new(topics::HOLDS, 1).compacted(),
            TopicSpec::new(topics::REVIEWS, 1).compacted(),
            TopicSpec::new(topics::CAMPAIGNS, 1).compacted(),
        ])
        .unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let names = if tenants.is_empty() { &["default"] } else { tenants };
        let secrets = names.iter().map(|name| (TenantId::new(name).unwrap(), [7; 32]));
        let seen: Arc<dyn SeenIds> = Arc::new(RecentIds::new(10_000));
        let edge = Edge::new(
            Arc::clone(&log),
            1,
            limbic_ingest::Settings::default(),
            secrets.collect(),
            vec![seen],
        );
        let registry = prometheus::Registry::new();
        let keys = tenants
            .iter()
            .map(|name| (hash_key(&key_of(name)), TenantId::new(name).unwrap()));
        let reviewer = reviewer.map(|key| (hash_key(key), TenantId::new(tenants[0]).unwrap()));
        let reviewer_keys = reviewer
            .iter()
            .map(|(key, tenant)| (tenant.clone(), [*key].into()));
        let context = Context {
            edge: Some(Arc::new(edge)),
            store: Err("no view in this test: open one".to_owned()),
            series: Err("no series in this test: open them".to_owned()),
            log: Arc::clone(&log),
            components: Vec::new(),
            connectors: Arc::new(()),
            models: Arc::new(()),
            edits: Arc::new(AnyEdit),
            pictures: folder.path().join("pictures"),
            reviewer_keys: reviewer_keys.collect(),
            stages: Vec::new(),
            statuses: Box::new(Vec::new),
            meters: ApiMeters::register(&registry).unwrap(),
            registry,
            keys: keys.chain(reviewer.clone()).collect(),
            operator_keys: [hash_key(OPERATOR)].into(),
            settings,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, context, tls, stopped));
        Self {
            address,
            log,
            _stop: stop,
            folder,
        }
    }

    /// The folder of the pictures of ads.
    pub(crate) fn pictures(&self) -> std::path::PathBuf {
        self.folder.path().join("pictures")
    }

    /// A connection from an address of this machine.
    pub(crate) async fn connect_from(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        self.connect_from("127.0.0.1").await
    }

    /// Sends a request on its own connection. `head` is what stands before the length of the body.
    pub(crate) async fn send(&self, head: &str, body: &[u8]) -> Answer {
        exchange(self.connect().await, &request(head, body)).await
    }

    pub(crate) async fn post(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n");
        self.send(&head, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n"), b"")
            .await
    }

    /// Asks until `/metrics` has a line that begins with `name` and ends with another number than 0.
    pub(crate) async fn until_counted(&self, name: &str) {
        let counted = async {
            loop {
                let head = format!(
                    "GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OPERATOR}\r\n"
                );
                let socket = self.connect_from("127.0.0.3").await;
                let metrics = exchange(socket, &request(&head, b"")).await;
                let text = String::from_utf8(metrics.body).unwrap();
                let is_counted = |line: &str| line.starts_with(name) && !line.ends_with(" 0");
                if text.lines().any(is_counted) {
                    return;
                }
            }
        };
        within(&format!("{name} is counted"), counted).await;
    }
}

pub(crate) fn key_of(tenant: &str) -> String {
    format!("key-of-the-tenant-{tenant}")
}

pub(crate) fn post(id: &str) -> Value {
    json!({"network": "test", "id": id, "author": "ada", "text": "What a goal!", "created_at": "2026-03-01T10:00:00Z"})
}

pub(crate) fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{head}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends a request and reads its answer until the connection ends.
pub(crate) async fn exchange(mut socket: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Answer {
    // The server may have answered and closed before it has read everything.
    let _ = within("the request is sent", socket.write_all(request)).await;
    let bytes = rest_of(&mut socket).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| {
        panic!(
            "no answer to {}",
            String::from_utf8_lossy(&request[..request.len().min(300)])
        )
    });
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers: BTreeMap<String, String> = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut body = bytes[end + 4..].to_vec();
    if headers.contains_key("transfer-encoding") {
        body = dechunk(&body);
    }
    Answer {
        status,
        headers,
        body,
    }
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
}

/// Everything until the other side closes the connection.
pub(crate) async fn rest_of(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = within("the connection is closed", socket.read_to_end(&mut bytes)).await;
    bytes
}

pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, event).await;
    waited.unwrap_or_else(|_| panic!("still waiting until {what}"))
}
