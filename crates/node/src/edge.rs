//! The edge of this node: accepts posts and outcomes into the log.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use limbic_ingest::{Edge, IngestStage, RecentIds, SeenIds, SharedIds};
use limbic_stream::Log;

use crate::keys;
use crate::settings::Settings;

/// How many ids each edge remembers by itself: some 60 MB when full.
const RECENT_IDS: usize = 1_000_000;
/// How many of the ids accepted last an edge reads back from the log when it starts: some 30 MB of records.
const RELOADED_IDS: usize = 50_000;

/// Opens the edge, and the ids that it shares with other nodes.
pub(crate) fn open_edge(settings: &Settings, log: Arc<dyn Log>) -> anyhow::Result<Edge> {
    let ingest = settings.section::<IngestStage>();
    let recent = RecentIds::new(RECENT_IDS);
    let reloaded = recent
        .reload(log.as_ref(), RELOADED_IDS)
        .context("cannot read the ids of the posts accepted last")?;
    tracing::debug!(reloaded, "the ids of the posts accepted last are loaded");
    let mut seen: Vec<Arc<dyn SeenIds>> = vec![Arc::new(recent)];
    if !settings.seen.is_embedded() {
        if !settings.seen.scheme().starts_with("redis") {
            bail!("seen = {}: write `embedded` or redis://HOST:PORT", settings.seen);
        }
        let prefix = format!("{}:seen:", settings.kafka.prefix);
        let shared = SharedIds::connect(settings.seen.reveal(), &prefix, ingest.remember.as_secs())
            .with_context(|| format!("cannot use Redis at {}: is it running?", settings.seen))?;
        seen.push(Arc::new(shared));
    }
    let keys = keys::pseudonym_keys(settings)?;
    Ok(Edge::new(log, settings.partitions, ingest.clone(), keys, seen))
}
