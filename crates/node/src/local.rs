//! Commands on the data folder of a running node.
//!
//! The embedded log belongs to one process. While a node runs, commands such as `limbic dead` and `limbic export` ask it
//! through a Unix socket in its data folder. Only the user that owns the node may open the socket, so it needs no key.
//!
//! ```text
//!  limbic dead list ──▶ RemoteLog ──one JSON line──▶ DATA/node.sock ──▶ LocalServer ──▶ the node's log
//! ```
//!
//! # Laws
//!
//! * The socket can read and publish. It cannot subscribe, commit or trim.
//! * A node that was killed leaves a socket behind. The next node replaces it, and a command says that no node answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use limbic_domain::Utc;
use limbic_stream::{
    Consumer, Error, GroupProgress, GroupState, Headers, Log, NewRecord, Record, Result, Subscription,
    TopicInfo, TopicPartition, TopicSpec,
};
use serde::{Deserialize, Serialize};

/// The socket's name in the data folder.
const SOCKET: &str = "node.sock";
/// Concurrent commands. Further ones are refused.
const COMMANDS: usize = 8;
/// Maximum bytes of a request or an answer.
const LONGEST: u64 = 256 << 20;
/// How long one side waits for the other.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Serialize, Deserialize)]
enum Request {
    About,
    Topics,
    Read {
        topic: String,
        partition: u32,
        from: u64,
        records: usize,
    },
    Publish(Vec<Carried>),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    About(About),
    Topics(Vec<(String, Vec<(u64, u64)>)>),
    Records(Vec<Carried>),
    Done,
    Failed(String),
}

/// What a running node says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The number of its process.
    pub process: u32,
    /// Its version.
    pub version: String,
    /// The address of its API, if it has one.
    pub address: Option<SocketAddr>,
    /// The identity of its log.
    identity: String,
}

/// A record on its way. Its bytes are in base64.
#[derive(Serialize, Deserialize)]
struct Carried {
    topic: String,
    partition: Option<u32>,
    offset: u64,
    key: String,
    value: String,
    headers: Vec<(String, String)>,
    /// Milliseconds since 1970. Control records can have a time that RFC 3339 cannot write ([`Utc::MIN`]).
    at: i64,
}

impl Carried {
    fn of(record: &Record) -> Self {
        Self {
            topic: record.topic.to_string(),
            partition: Some(record.partition),
            offset: record.offset,
            key: STANDARD.encode(&record.key),
            value: STANDARD.encode(&record.value),
            headers: carried_headers(&record.headers),
            at: record.timestamp.as_millis(),
        }
    }

    fn of_new(record: &NewRecord) -> Self {
        Self {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: 0,
            key: STANDARD.encode(&record.key),
            value: STANDARD.encode(&record.value),
            headers: carried_headers(&record.headers),
            at: record.timestamp.as_millis(),
        }
    }

    fn headers(&self) -> Result<Headers> {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.push(name.as_str(), bytes_of(value)?);
        }
        Ok(headers)
    }

    fn record(&self) -> Result<Record> {
        Ok(Record {
            topic: self.topic.as_str().into(),
            partition: self.partition.unwrap_or(0),
            offset: self.offset,
            key: bytes_of(&self.key)?,
            value: bytes_of(&self.value)?,
            headers: self.headers()?,
            timestamp: Utc::from_millis(self.at),
        })
    }

    fn new_record(&self) -> Result<NewRecord> {
        Ok(NewRecord {
            topic: self.topic.as_str().into(),
            partition: self.partition,
            key: bytes_of(&self.key)?,
            value: bytes_of(&self.value)?,
            headers: self.headers()?,
            timestamp: Utc::from_millis(self.at),
        })
    }
}

fn carried_headers(headers: &Headers) -> Vec<(String, String)> {
    let carried = headers
        .iter()
        .map(|(name, value)| (name.to_string(), STANDARD.encode(value)));
    carried.collect()
}

fn bytes_of(text: &str) -> Result<Bytes> {
    let bytes = STANDARD.decode(text).map_err(|error| unavailable(&error))?;
    Ok(bytes.into())
}

fn unavailable(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        context: "asking the running node".to_owned(),
        message: error.to_string(),
    }
}

/// Answers commands until it is dropped.
pub(crate) struct LocalServer {
    path: PathBuf,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LocalServer {
    /// Listens in the data folder, whose log this process holds. A socket that a killed node left there is replaced.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        data_dir: &Path,
        address: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let path = data_dir.join(SOCKET);
        let _ = std::fs::remove_file(&path);
        let listener =
            UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {}", path.display()))?;
        let about = About {
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address,
            identity: log.identity()?.to_string(),
        };
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        let thread = std::thread::Builder::new()
            .name("limbic-local".into())
            .spawn(move || accept(&listener, &log, &about, &stopped))
            .context("cannot start the thread that answers commands")?;
        Ok(Self {
            path,
            is_stopped,
            thread: Some(thread),
        })
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, log: &Arc<dyn Log>, about: &About, is_stopped: &AtomicBool) {
    let commands = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if is_stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if commands.fetch_add(1, Ordering::AcqRel) >= COMMANDS {
            commands.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (log, about, commands) = (Arc::clone(log), about.clone(), Arc::clone(&commands));
        let spawned = std::thread::Builder::new()
            .name("limbic-command".into())
            .spawn(move || {
                if let Err(error) = serve(stream, &*log, &about) {
                    tracing::debug!(%error, "a command has ended early");
                }
                commands.fetch_sub(1, Ordering::AcqRel);
            });
        if let Err(error) = spawned {
            tracing::warn!(%error, "cannot start a thread for a command");
        }
    }
}

fn serve(stream: UnixStream, log: &dyn Log, about: &About) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = receive::<Request>(&mut reader)? {
        let answer = answer(request, log, about).unwrap_or_else(|error| Answer::Failed(error.to_string()));
        send(reader.get_mut(), &answer)?;
    }
    Ok(())
}

fn answer(request: Request, log: &dyn Log, about: &About) -> Result<Answer> {
    Ok(match request {
        Request::About => Answer::About(about.clone()),
        Request::Topics => {
            let topics = log.topics()?.into_iter();
            Answer::Topics(
                topics
                    .map(|topic| (topic.name.to_string(), topic.offsets))
                    .collect(),
            )
        }
        Request::Read {
            topic,
            partition,
            from,
            records,
        } => {
            let partition = TopicPartition {
                topic: topic.into(),
                partition,
            };
            let records = log.read(&partition, from, records)?;
            Answer::Records(records.iter().map(Carried::of).collect())
        }
        Request::Publish(records) => {
            let records = records.iter().map(Carried::new_record).collect::<Result<_>>()?;
            log.publish(records)?;
            Answer::Done
        }
    })
}

fn send<T: Serialize>(stream: &mut UnixStream, message: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// The next message. `None` if the other side has closed the connection.
fn receive<T: serde::de::DeserializeOwned>(reader: &mut BufReader<UnixStream>) -> std::io::Result<Option<T>> {
    let mut line = Vec::new();
    reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// The log of a running node, for commands.
pub(crate) struct RemoteLog {
    connection: Mutex<BufReader<UnixStream>>,
    about: About,
}

impl RemoteLog {
    /// Connects to the node that runs on this data folder.
    pub(crate) fn connect(data_dir: &Path) -> Result<Self> {
        let stream = UnixStream::connect(data_dir.join(SOCKET)).map_err(|error| unavailable(&error))?;
        let limit = |stream: &UnixStream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))
        };
        limit(&stream).map_err(|error| unavailable(&error))?;
        let mut reader = BufReader::new(stream);
        let Answer::About(about) = ask(&mut reader, &Request::About)? else {
            return Err(unavailable(&"it answers something else"));
        };
        Ok(Self {
            connection: Mutex::new(reader),
            about,
        })
    }

    fn ask(&self, request: &Request) -> Result<Answer> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut connection, request)
    }
}

/// The node that runs on this data folder, if one does.
pub fn running(data_dir: &Path) -> Option<About> {
    RemoteLog::connect(data_dir).ok().map(|log| log.about)
}

fn ask(connection: &mut BufReader<UnixStream>, request: &Request) -> Result<Answer> {
    send(connection.get_mut(), request).map_err(|error| unavailable(&error))?;
    match receive(connection).map_err(|error| unavailable(&error))? {
        None => Err(unavailable(&"it has closed the connection: is it stopping?")),
        Some(Answer::Failed(why)) => Err(unavailable(&why)),
        Some(answer) => Ok(answer),
    }
}

impl Log for RemoteLog {
    fn identity(&self) -> Result<Arc<str>> {
        Ok(self.about.identity.as_str().into())
    }

    /// The running node has created and checked the topics.
    fn ensure_topics(&self, _: &[TopicSpec]) -> Result<()> {
        Ok(())
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        let Answer::Topics(topics) = self.ask(&Request::Topics)? else {
            return Err(unavailable(&"it answers something else"));
        };
        let info = |(name, offsets): (String, Vec<(u64, u64)>)| TopicInfo {
            name: name.into(),
            offsets,
        };
        Ok(topics.into_iter().map(info).collect())
    }

    fn publish(&self, records: Vec<NewRecord>) -> Result<()> {
        let carried = records.iter().map(Carried::of_new).collect();
        self.ask(&Request::Publish(carried)).map(|_| ())
    }

    fn subscribe(&self, _: Subscription) -> Result<Box<dyn Consumer>> {
        Err(Error::Settings(
            "a node runs on this data folder: stages cannot run beside it".to_owned(),
        ))
    }

    fn read(&self, partition: &TopicPartition, from: u64, records: usize) -> Result<Vec<Record>> {
        let request = Request::Read {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            from,
            records,
        };
        let Answer::Records(records) = self.ask(&request)? else {
            return Err(unavailable(&"it answers something else"));
        };
        records.iter().map(Carried::record).collect()
    }

    fn progress(&self, _: &str, _: &[Arc<str>]) -> Result<Vec<GroupProgress>> {
        Err(Error::Settings(
            "the running node answers this at GET /v1/counts".to_owned(),
        ))
    }

    fn state_of(&self, _: &str, _: u32) -> Result<Box<dyn GroupState>> {
        Err(Error::Settings(
            "a node runs on this data folder: stop it to read the state of its stages".to_owned(),
        ))
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

    use super::*;

    #[test]
    fn a_command_reads_and_writes_the_log_of_a_running_node_and_no_node_answers_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> =
            Arc::new(EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).unwrap());
        log.ensure_topics(&[TopicSpec::new("posts", 2)]).unwrap();
        // As a killed node leaves it.
        drop(UnixListener::bind(folder.path().join(SOCKET)).unwrap());
        assert!(running(folder.path()).is_none());
        let address = Some("127.0.0.1:8080".parse().unwrap());
        let server = LocalServer::start(Arc::clone(&log), folder.path(), address).unwrap();
        let mode = std::fs::metadata(folder.path().join(SOCKET))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let remote = RemoteLog::connect(folder.path()).unwrap();
        assert_eq!(remote.about.address, address);
        assert_eq!(remote.identity().unwrap(), log.identity().unwrap());
        let record = NewRecord {
            topic: "posts".into(),
            partition: Some(1),
            key: Bytes::from_static(b"k\xff"),
            value: Bytes::from_static(b"\x00\n\xfe"),
            headers: Headers::new().with("name", &b"\xff"[..]),
            timestamp: Utc::from_millis(5),
        };
        let control = NewRecord {
            timestamp: Utc::MIN,
            ..record.clone()
        };
        remote.publish(vec![record.clone(), control]).unwrap();
        let partition = TopicPartition {
            topic: "posts".into(),
            partition: 1,
        };
        let read = remote.read(&partition, 0, 10).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read, log.read(&partition, 0, 10).unwrap());
        assert_eq!(
            (&read[0].key, &read[0].value, &read[0].headers),
            (&record.key, &record.value, &record.headers)
        );
        assert_eq!(remote.topics().unwrap(), log.topics().unwrap());
        let missing = TopicPartition {
            topic: "nothing".into(),
            partition: 0,
        };
        let error = remote.read(&missing, 0, 1).unwrap_err().to_string();
        assert!(error.contains("nothing"), "{error}");
        drop(server);
        assert!(running(folder.path()).is_none() && !folder.path().join(SOCKET).exists());
        log.close().unwrap();
    }
}
