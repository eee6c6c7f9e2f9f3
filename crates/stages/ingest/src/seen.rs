//! Memories of recently accepted ids, so that the edge can answer "duplicate" immediately.
//!
//! The ingest stage guarantees that every duplicate is removed, also if the edge does not remember it. An id is noted *after* its
//! record is durable. So after a crash the edge may accept a post a second time, but it never calls a lost post a
//! duplicate.
//!
//! | the post was accepted | the edge answers |
//! |---|---|
//! | by this process, among the latest [`RecentIds::new`] | duplicate |
//! | before this process started, among the newest records that [`RecentIds::reload`] read and the log still holds | duplicate |
//! | by any process, within the time that Redis keeps ids ([`SharedIds`]) | duplicate, while Redis answers |
//! | earlier, and the ingest stage remembers its id ([`RememberedIds`](crate::RememberedIds)) | duplicate |
//! | by another process, and the ingest stage has not read it yet | accepted; the stage removes it, if the author's name is the same |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashSet};
use limbic_domain::topics;
use limbic_stream::{Log, Record, TopicPartition};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::admission::{header, seen_id};
use crate::stage::Memory;

/// Records in one read.
const AT_ONCE: usize = 2_000;

/// 16 bytes of a hash of an envelope's id.
pub type SeenId = [u8; 16];

/// Remembers ids.
pub trait SeenIds: Send + Sync {
    /// Whether each of `ids` is known, in their order.
    fn known(&self, ids: &[SeenId]) -> Vec<bool>;
    /// Remembers `ids`, whose records are durable.
    fn note(&self, ids: &[SeenId]);
    /// The server and its version, for instance `Redis 7.0.15`. `None` = it is not a server, or does not answer.
    fn server(&self) -> Option<String> {
        None
    }
}

/// The latest ids, in the memory of this process.
#[derive(Debug)]
pub struct RecentIds {
    capacity: usize,
    inner: Mutex<(HashSet<SeenId>, VecDeque<SeenId>)>,
}

impl RecentIds {
    /// Remembers the latest `capacity` ids, which take about 60 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            inner: Mutex::default(),
        }
    }

    /// Notes the ids of the newest records of `intake`, `posts` and `outcomes`, from any edge: about `most` ids of each
    /// topic, in equal parts from its partitions, and every record of `intake` that the ingest stage has not read, as far as there
    /// is room. Returns how many records it read. Ids that the log no longer has stay unknown.
    pub fn reload(&self, log: &dyn Log, most: usize) -> limbic_stream::Result<usize> {
        let accepted = [topics::INTAKE, topics::POSTS, topics::OUTCOMES];
        let mut read = 0;
        let unread = unread(log)?;
        for topic in log.topics()? {
            if !accepted.contains(&&*topic.name) {
                continue;
            }
            let share = most.div_ceil(topic.offsets.len().max(1));
            for (partition, &(earliest, end)) in (0..).zip(&topic.offsets) {
                let partition = TopicPartition {
                    topic: Arc::clone(&topic.name),
                    partition,
                };
                let newest = end.saturating_sub(share as u64);
                let from = unread
                    .get(&partition)
                    .map_or(newest, |unread| newest.min(*unread));
                let room = end.saturating_sub((self.capacity / topic.offsets.len()) as u64);
                let mut from = from.max(room.min(newest)).max(earliest);
                while from < end {
                    let records = log.read(&partition, from, AT_ONCE)?;
                    let Some(last) = records.last() else { break };
                    from = last.offset + 1;
                    read += records.len();
                    let ids: Vec<SeenId> = records.iter().filter_map(id_of).collect();
                    self.note(&ids);
                }
            }
        }
        Ok(read)
    }
}

/// Where the ingest stage continues in each partition of `intake`.
fn unread(log: &dyn Log) -> limbic_stream::Result<HashMap<TopicPartition, u64>> {
    let intake: Arc<str> = topics::INTAKE.into();
    if !log.topics()?.iter().any(|topic| topic.name == intake) {
        return Ok(HashMap::default());
    }
    let progress = log.progress(Memory::GROUP, &[intake])?;
    let next = progress.into_iter().map(|progress| progress.committed);
    Ok(next
        .map(|committed| (committed.partition, committed.next))
        .collect())
}

/// The id of a record of `intake`, `posts` or `outcomes`. `None` for a watermark.
fn id_of(record: &Record) -> Option<SeenId> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        id: std::borrow::Cow<'a, str>,
    }
    if let Some(id) = record.headers.get(header::ID) {
        return SeenId::try_from(&id[..]).ok();
    }
    let head: Head<'_> = serde_json::from_slice(&record.value).ok()?;
    Some(seen_id(&head.id))
}

impl SeenIds for RecentIds {
    fn known(&self, ids: &[SeenId]) -> Vec<bool> {
        let inner = self.inner.lock();
        ids.iter().map(|id| inner.0.contains(id)).collect()
    }

    fn note(&self, ids: &[SeenId]) {
        let mut inner = self.inner.lock();
        let (set, order) = &mut *inner;
        for id in ids {
            if set.insert(*id) {
                order.push_back(*id);
            }
            if order.len() > self.capacity
                && let Some(oldest) = order.pop_front()
            {
                set.remove(&oldest);
            }
        }
    }
}

/// How long a call waits for Redis.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long Redis is not asked after it did not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Ids that all edge processes share, in Redis (`SET key 1 EX ttl`).
///
/// While Redis does not answer, no id is known: the edge accepts the posts, and the ingest stage removes duplicates. A Redis that
/// hangs does not stop intake: a call waits for 250 ms, and further calls do not ask for the next 5 s.
pub struct SharedIds {
    client: redis::Client,
    state: Mutex<Shared>,
    prefix: String,
    keep_seconds: u64,
}

#[derive(Default)]
struct Shared {
    connection: Option<redis::Connection>,
    /// Until when Redis is not asked.
    pause: Option<Instant>,
}

impl std::fmt::Debug for SharedIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedIds")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl SharedIds {
    /// Connects to `url` (`redis://…`). Fails if Redis does not answer now.
    pub fn connect(url: &str, prefix: &str, keep_seconds: u64) -> Result<Self, redis::RedisError> {
        let client = redis::Client::open(url)?;
        let connection = connect(&client, Duration::from_secs(2))?;
        Ok(Self {
            client,
            state: Mutex::new(Shared {
                connection: Some(connection),
                pause: None,
            }),
            prefix: prefix.to_owned(),
            keep_seconds,
        })
    }

    fn key(&self, id: &SeenId) -> String {
        use std::fmt::Write as _;
        let mut key = String::with_capacity(self.prefix.len() + 32);
        key.push_str(&self.prefix);
        for byte in id {
            let _ = write!(key, "{byte:02x}");
        }
        key
    }

    fn with_connection<T>(
        &self,
        what: impl Fn(&mut redis::Connection) -> redis::RedisResult<T>,
    ) -> Option<T> {
        let mut state = self.state.lock();
        if state.pause.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        // A connection that Redis has closed, because it was restarted, is replaced once.
        for _ in 0..2 {
            let answer = match state.connection.take() {
                Some(connection) => Ok(connection),
                None => connect(&self.client, PATIENCE),
            };
            let answer = answer.and_then(|mut connection| Ok((what(&mut connection)?, connection)));
            match answer {
                Ok((value, connection)) => {
                    if state.pause.take().is_some() {
                        tracing::info!("Redis answers again");
                    }
                    state.connection = Some(connection);
                    return Some(value);
                }
                Err(error) if error.is_timeout() || error.is_connection_refusal() => break,
                Err(error) => tracing::debug!(%error, "the connection to Redis is lost"),
            }
        }
        if state.pause.is_none() {
            tracing::warn!("Redis does not answer: duplicates are found by the ingest stage alone");
        }
        state.pause = Some(Instant::now() + PAUSE);
        None
    }
}

/// A connection whose calls do not wait longer than [`PATIENCE`].
fn connect(client: &redis::Client, patience: Duration) -> redis::RedisResult<redis::Connection> {
    let connection = client.get_connection_with_timeout(patience)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}

impl SeenIds for SharedIds {
    fn known(&self, ids: &[SeenId]) -> Vec<bool> {
        if ids.is_empty() {
            return Vec::new();
        }
        let keys: Vec<String> = ids.iter().map(|id| self.key(id)).collect();
        let found: Option<Vec<Option<u8>>> =
            self.with_connection(|connection| redis::cmd("MGET").arg(&keys).query(connection));
        match found {
            Some(found) if found.len() == ids.len() => found.iter().map(Option::is_some).collect(),
            _ => vec![false; ids.len()],
        }
    }

    fn note(&self, ids: &[SeenId]) {
        if ids.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline
                .cmd("SET")
                .arg(self.key(id))
                .arg(1)
                .arg("EX")
                .arg(self.keep_seconds)
                .ignore();
        }
        self.with_connection(|connection| pipeline.query::<()>(connection));
    }

    fn server(&self) -> Option<String> {
        let info: String =
            self.with_connection(|connection| redis::cmd("INFO").arg("server").query(connection))?;
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"))?;
        Some(format!("Redis {}", version.trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_first() {
        let ids = RecentIds::new(2);
        ids.note(&[[1; 16], [2; 16], [1; 16], [3; 16]]);
        assert_eq!(ids.known(&[[1; 16], [2; 16], [3; 16]]), [false, true, true]);
    }

    /// A Redis that answers its first `answered` commands and then says nothing, and the number of its connections.
    fn hanging_redis(answered: usize) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            let mut left = answered;
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut reader = BufReader::new(stream.unwrap());
                // A command is an array of bulk strings: `*N`, then N times `$LENGTH` and the text.
                let mut line = String::new();
                while left > 0 && reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let parts: usize = line.trim().trim_start_matches('*').parse().unwrap();
                    for _ in 0..2 * parts {
                        line.clear();
                        reader.read_line(&mut line).unwrap();
                    }
                    line.clear();
                    left -= 1;
                    reader.get_mut().write_all(b"+OK\r\n").unwrap();
                }
                // Kept open, and silent.
                std::mem::forget(reader);
            }
        });
        (url, connections)
    }

    #[test]
    fn a_redis_that_hangs_knows_no_id_and_is_not_asked_by_each_call() {
        // The client introduces itself with two commands.
        let (url, connections) = hanging_redis(2);
        let shared = SharedIds::connect(&url, "test:", 60).unwrap();
        for _ in 0..50 {
            assert_eq!(shared.known(&[[1; 16], [2; 16]]), [false, false]);
            shared.note(&[[1; 16]]);
        }
        assert_eq!(
            connections.load(Ordering::SeqCst),
            1,
            "a call that waited in vain is not repeated"
        );
    }
}
