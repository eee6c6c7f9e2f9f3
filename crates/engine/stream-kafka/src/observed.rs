//! The committed state of a group, for a reader that is not a member.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::Inner;
use crate::state::Copied;
use limbic_stream::{GroupState, Result, StateReader};

/// A copy of the state in memory. It is as new as the last refresh.
pub(super) struct Observed {
    log: Arc<Inner>,
    /// The changelog's name in the cluster.
    changelog: String,
    partitions: u32,
    copied: RwLock<Copied>,
    /// Held during a refresh.
    refreshing: Mutex<()>,
}

impl Observed {
    /// Without content: refresh it.
    pub(super) fn new(log: Arc<Inner>, group: &str, partitions: u32) -> Self {
        Self {
            changelog: log.cluster.names.state(group),
            log,
            partitions,
            copied: RwLock::default(),
            refreshing: Mutex::default(),
        }
    }
}

impl StateReader for Observed {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        self.copied.read().get(partition, key)
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        self.copied.read().scan(partition, prefix, from, limit)
    }
}

impl GroupState for Observed {
    fn is_live(&self) -> bool {
        false
    }

    fn refresh(&self) -> Result<()> {
        let _refreshing = self.refreshing.lock();
        let cluster = &self.log.cluster;
        // The group may never have had a member.
        if !cluster.exists(&self.changelog)? {
            return Ok(());
        }
        Copied::follow(
            &self.copied,
            cluster,
            &self.log.readers,
            &self.changelog,
            self.partitions,
        )
    }

    fn bytes(&self) -> u64 {
        self.copied.read().bytes()
    }
}
