//! The edge of this node: accepts posts and outcomes into the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use limbic_affect_stage::AffectStage;
use limbic_component::Resources;
use limbic_domain::{ConnectionUrl, Slug, TenantId};
use limbic_ingest::{Edge, IngestStage, KnownSubjects, RememberedIds, SeenIds};
use limbic_stream::Log;

use crate::keys;
use crate::settings::Settings;
use crate::stores::open_chosen;

/// Opens the edge with its own memory of ids, and the memories that it shares with other nodes: the state of the ingest stage, or
/// Redis, which makes a copy of that state on Kafka unnecessary.
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
    if settings.seen.is_embedded() || settings.is_embedded() {
        // Behind the memory of this process, which answers faster.
        let remembered = RememberedIds::open(log.as_ref(), settings.partitions)
            .context("cannot read the ids of earlier posts from the log")?;
        seen.push(Arc::new(remembered));
    }
    if !settings.seen.is_embedded() {
        seen.push(open(&settings.seen)?);
    }
    let keys = keys::pseudonym_keys(settings)?;
    let ingest = settings.section::<IngestStage>().clone();
    let subjects = KnownSubjects::any();
    subjects.replace(known_subjects(settings));
    Ok(Edge::new(log, settings.partitions, ingest, keys, seen).knowing(subjects))
}

/// The subjects that the settings name, by tenant: those with words, and those of the tenant's campaigns.
pub(crate) fn known_subjects(settings: &Settings) -> BTreeMap<TenantId, BTreeSet<Slug>> {
    let of_all: BTreeSet<Slug> = settings
        .section::<AffectStage>()
        .subjects
        .keys()
        .cloned()
        .collect();
    let mut known: BTreeMap<TenantId, BTreeSet<Slug>> = settings
        .tenant_ids()
        .into_iter()
        .map(|tenant| (tenant, of_all.clone()))
        .collect();
    for one in &settings.campaigns {
        let of_tenant = known.entry(one.tenant.clone()).or_default();
        of_tenant.extend(one.campaign.subjects.iter().cloned());
    }
    known
}
