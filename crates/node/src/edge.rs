//! The edge of this node: accepts posts and outcomes into the log.

use std::sync::Arc;

use limbic_component::Resources;
use limbic_domain::ConnectionUrl;
use limbic_ingest::{Edge, IngestStage, SeenIds};
use limbic_stream::Log;

use crate::keys;
use crate::settings::Settings;
use crate::stores::open_chosen;

/// Opens the edge with its own memory of ids, and the memory that it shares with other nodes.
pub(crate) fn open_edge(
    settings: &Settings,
    resources: &Resources,
    log: Arc<dyn Log>,
) -> anyhow::Result<Edge> {
    let mut resources = resources.clone();
    resources.insert(Arc::clone(&log));
    let open = |url| open_chosen::<Arc<dyn SeenIds>>(settings, "seen", url, &resources);
    let embedded = ConnectionUrl::new(ConnectionUrl::EMBEDDED);
    let mut seen = vec![open(&embedded)?];
    if !settings.seen.is_embedded() {
        seen.push(open(&settings.seen)?);
    }
    let keys = keys::pseudonym_keys(settings)?;
    let ingest = settings.section::<IngestStage>().clone();
    Ok(Edge::new(log, settings.partitions, ingest, keys, seen))
}
