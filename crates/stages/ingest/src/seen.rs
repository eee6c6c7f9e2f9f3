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
//! | earlier | accepted; the ingest stage removes it |

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashSet;
use limbic_domain::topics;
use limbic_stream::{Log, Record, TopicPartition};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::edge::{header, seen_id};

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
    /// topic, in equal parts from its partitions. Returns how many records it read. Ids that the log no longer has stay
    /// unknown.
    pub fn reload(&self, log: &dyn Log, most: usize) -> limbic_stream::Result<usize> {
        let accepted = [topics::INTAKE, topics::POSTS, topics::OUTCOMES];
        let mut read = 0;
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
                let mut from = earliest.max(end.saturating_sub(share as u64));
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

/// Ids that all edge processes share, in Redis (`SET key 1 EX ttl`).
///
/// While Redis does not answer, no id is known: the edge accepts the posts, and the ingest stage removes duplicates.
pub struct SharedIds {
    client: redis::Client,
    connection: Mutex<Option<redis::Connection>>,
    prefix: String,
    keep_seconds: u64,
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
        let connection = client.get_connection_with_timeout(std::time::Duration::from_secs(2))?;
        Ok(Self {
            client,
            connection: Mutex::new(Some(connection)),
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
        let mut slot = self.connection.lock();
        for _ in 0..2 {
            let mut connection = match slot.take() {
                Some(connection) => connection,
                None => match self
                    .client
                    .get_connection_with_timeout(std::time::Duration::from_secs(1))
                {
                    Ok(connection) => connection,
                    Err(error) => {
                        tracing::warn!(%error, "Redis does not answer: duplicates are found by the ingest stage alone");
                        return None;
                    }
                },
            };
            match what(&mut connection) {
                Ok(value) => {
                    *slot = Some(connection);
                    return Some(value);
                }
                Err(error) => tracing::debug!(%error, "Redis connection lost"),
            }
        }
        None
    }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_first() {
        let ids = RecentIds::new(2);
        ids.note(&[[1; 16], [2; 16], [1; 16], [3; 16]]);
        assert_eq!(ids.known(&[[1; 16], [2; 16], [3; 16]]), [false, true, true]);
    }
}
