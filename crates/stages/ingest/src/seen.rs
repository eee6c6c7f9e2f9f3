//! Which posts were accepted lately: what lets the edge say "duplicate" at once.
//!
//! This is a courtesy, not the guarantee: that is the ingest stage's. An id is noted only *after* its record is
//! durable, so a crash in between can only make the edge accept a post again, never refuse one it has lost.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;

/// An id of something accepted: 16 bytes of a hash.
pub type SeenId = [u8; 16];

/// Remembers ids.
pub trait SeenIds: Send + Sync {
    /// Which of `ids` are known, in order.
    fn known(&self, ids: &[SeenId]) -> Vec<bool>;
    /// These are durable now.
    fn note(&self, ids: &[SeenId]);
}

/// The latest ids accepted by this process.
#[derive(Debug)]
pub struct RecentIds {
    capacity: usize,
    inner: Mutex<(HashSet<SeenId>, VecDeque<SeenId>)>,
}

impl RecentIds {
    /// Remembers the latest `capacity` ids (some 60 bytes each).
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            inner: Mutex::default(),
        }
    }
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

/// Ids shared by every process at the edge, in Redis (`SET key 1 EX ttl`).
///
/// When Redis does not answer, nothing is known: posts are taken, and the ingest stage removes what is double.
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
    /// Connects to `url` (`redis://…`); fails if it cannot be reached now.
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
