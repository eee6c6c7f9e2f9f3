//! What the edge of this process did with the posts of each social network, since it started.

use std::collections::BTreeMap;

use limbic_domain::{Slug, TenantId, Utc};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};
use serde::{Deserialize, Serialize};

use crate::incoming::Trait;

/// Most networks of all tenants that are counted apart. Posts of further ones count as [`OTHER`].
const MOST: usize = 500;
/// Counts posts of further networks, and rejected items that name no network.
const OTHER: &str = "other";
/// Most names of dropped fields that are kept for a network.
const MOST_NAMES: usize = 16;
/// Most characters of such a name.
const LONGEST_NAME: usize = 64;

/// What a node did with the posts of one social network since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The social network, or `other` for items that name none.
    pub network: String,
    /// Posts that were stored.
    pub accepted: u64,
    /// Posts that were stored before.
    pub duplicates: u64,
    /// Items that were rejected.
    pub rejected: u64,
    /// The last rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rejection: Option<LastRejection>,
    /// Fields of `meta`, and addresses in `url`, that were not kept.
    pub dropped_fields: u64,
    /// How often each field was not kept: the first 16 names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// Items that were refused because they have features of a person's body or behaviour, by what was measured: `voice`, `face`,
    /// `typing` or `other`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub biometric: BTreeMap<String, u64>,
}

/// Why the last item of a source was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRejection {
    /// When, by the node's clock.
    pub at: Utc,
    /// The field.
    pub field: String,
    /// The problem, and what was expected.
    pub problem: String,
}

impl SourceStatus {
    fn of(network: &str) -> Self {
        Self {
            network: network.to_owned(),
            accepted: 0,
            duplicates: 0,
            rejected: 0,
            last_rejection: None,
            dropped_fields: 0,
            dropped: BTreeMap::new(),
            biometric: BTreeMap::new(),
        }
    }

    /// What people should know of the fields that are not kept, in a sentence. `None` if all are kept.
    pub fn of_dropped(&self) -> Option<String> {
        if self.dropped_fields == 0 {
            return None;
        }
        let names: Vec<String> = self
            .dropped
            .keys()
            .take(8)
            .map(|name| format!("`{name}`"))
            .collect();
        Some(format!(
            "Of the posts of `{}`, this node did not keep {} (in {} cases since it started): ingest.keep_fields does not name them.",
            self.network,
            names.join(", "),
            self.dropped_fields
        ))
    }
}

/// What a request did with the posts of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: Vec<LastRejection>,
    pub(crate) dropped: Vec<String>,
    /// What was measured of people, for each item that was refused for that.
    pub(crate) biometric: Vec<Trait>,
}

/// Tallies by the network that the items name.
pub(crate) type Tallies = BTreeMap<Option<Slug>, Tally>;

/// All sources of an edge.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    known: Mutex<BTreeMap<(TenantId, String), SourceStatus>>,
    meters: IngestMeters,
}

impl Sources {
    pub(crate) fn metered(meters: IngestMeters) -> Self {
        Self {
            known: Mutex::default(),
            meters,
        }
    }

    pub(crate) fn add(&self, tenant: &TenantId, tallies: Tallies) {
        let mut known = self.known.lock();
        for (network, tally) in tallies {
            let mut network = network.map_or_else(|| OTHER.to_owned(), |network| network.to_string());
            let mut key = (tenant.clone(), network.clone());
            if known.len() >= MOST && !known.contains_key(&key) {
                OTHER.clone_into(&mut network);
                key.1.clone_from(&network);
            }
            let source = known.entry(key).or_insert_with(|| SourceStatus::of(&network));
            self.meters.count(tenant, &network, &tally);
            source.add(tally);
        }
    }

    /// The sources of a tenant, by their names.
    pub(crate) fn of(&self, tenant: &TenantId) -> Vec<SourceStatus> {
        let known = self.known.lock();
        let own = known.iter().filter(|((of, _), _)| of == tenant);
        own.map(|(_, source)| source.clone()).collect()
    }
}

impl SourceStatus {
    fn add(&mut self, tally: Tally) {
        self.accepted += tally.accepted;
        self.duplicates += tally.duplicates;
        self.rejected += tally.rejected.len() as u64;
        self.last_rejection = tally
            .rejected
            .into_iter()
            .next_back()
            .or(self.last_rejection.take());
        for of in tally.biometric {
            *self.biometric.entry(of.name().to_owned()).or_default() += 1;
        }
        self.dropped_fields += tally.dropped.len() as u64;
        for name in tally.dropped {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            if let Some(count) = self.dropped.get_mut(&name) {
                *count += 1;
            } else if self.dropped.len() < MOST_NAMES {
                self.dropped.insert(name, 1);
            }
        }
    }
}

/// Metrics of the posts that the edges of this process receive. Cheap to clone.
#[derive(Debug, Clone)]
pub struct IngestMeters {
    posts: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    biometric: IntCounterVec,
}

impl Default for IngestMeters {
    fn default() -> Self {
        Self::unregistered()
    }
}

impl IngestMeters {
    /// Metrics outside any registry, for tests and tools.
    pub fn unregistered() -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
                .expect("names and labels of the metrics are valid")
        };
        Self {
            posts: counter(
                "limbic_posts_total",
                "Posts that the API received, by social network: accepted, duplicate, rejected.",
                &["tenant", "network", "result"],
            ),
            rejected: counter(
                "limbic_posts_rejected_total",
                "Rejected posts, by the field that is wrong.",
                &["tenant", "network", "field"],
            ),
            dropped: counter(
                "limbic_post_fields_dropped_total",
                "Fields of posts that ingest.keep_fields does not keep.",
                &["tenant", "network"],
            ),
            biometric: counter(
                "limbic_posts_biometric_total",
                "Posts that were refused because they have features of a voice, a face or typing, by what was measured.",
                &["tenant", "network", "of"],
            ),
        }
    }

    /// Registers the metrics in `registry`. Fails if they are already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let meters = Self::unregistered();
        registry.register(Box::new(meters.posts.clone()))?;
        registry.register(Box::new(meters.rejected.clone()))?;
        registry.register(Box::new(meters.dropped.clone()))?;
        registry.register(Box::new(meters.biometric.clone()))?;
        Ok(meters)
    }

    fn count(&self, tenant: &TenantId, network: &str, tally: &Tally) {
        let tenant = tenant.as_str();
        for (result, count) in [
            ("accepted", tally.accepted),
            ("duplicate", tally.duplicates),
            ("rejected", tally.rejected.len() as u64),
        ] {
            if count > 0 {
                let posts = self.posts.with_label_values(&[tenant, network, result]);
                posts.inc_by(count);
            }
        }
        for rejection in &tally.rejected {
            let rejected = self
                .rejected
                .with_label_values(&[tenant, network, &rejection.field]);
            rejected.inc();
        }
        for of in &tally.biometric {
            let biometric = self.biometric.with_label_values(&[tenant, network, of.name()]);
            biometric.inc();
        }
        if !tally.dropped.is_empty() {
            let dropped = self.dropped.with_label_values(&[tenant, network]);
            dropped.inc_by(tally.dropped.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(accepted: u64, dropped: &[&str]) -> Tally {
        Tally {
            accepted,
            dropped: dropped.iter().map(|name| (*name).to_owned()).collect(),
            ..Tally::default()
        }
    }

    #[test]
    fn a_tenant_sees_its_own_sources_and_what_is_not_kept_of_them() {
        let sources = Sources::default();
        let (mine, other) = (TenantId::default(), TenantId::new("other").unwrap());
        let network = Slug::new("bluesky").ok();
        let add = |tenant, tally| sources.add(tenant, [(network.clone(), tally)].into());
        add(&mine, tally(2, &["likes", "likes", "handle"]));
        add(&mine, tally(1, &["likes"]));
        add(&other, tally(5, &[]));
        let [source] = &sources.of(&mine)[..] else {
            panic!("{:?}", sources.of(&mine));
        };
        assert_eq!((source.accepted, source.dropped_fields), (3, 4));
        let said = source.of_dropped().unwrap();
        assert!(
            said.contains("`handle`, `likes` (in 4 cases") && said.contains("ingest.keep_fields"),
            "{said}"
        );
        assert_eq!(sources.of(&other)[0].of_dropped(), None);
    }

    #[test]
    fn what_was_measured_of_people_is_counted_by_kind() {
        let meters = IngestMeters::unregistered();
        let sources = Sources::metered(meters.clone());
        let tenant = TenantId::default();
        let tally = Tally {
            biometric: vec![Trait::Voice, Trait::Face, Trait::Voice],
            ..Tally::default()
        };
        sources.add(&tenant, [(Slug::new("bluesky").ok(), tally)].into());
        let [source] = &sources.of(&tenant)[..] else {
            panic!("{:?}", sources.of(&tenant));
        };
        let expected = [("face".to_owned(), 1), ("voice".to_owned(), 2)];
        assert_eq!(source.biometric, expected.into());
        let counted = |of| {
            let labels = [tenant.as_str(), "bluesky", of];
            meters.biometric.with_label_values(&labels).get()
        };
        assert_eq!((counted("voice"), counted("face"), counted("typing")), (2, 1, 0));
    }

    #[test]
    fn the_number_of_sources_and_names_is_bounded() {
        let sources = Sources::default();
        let tenant = TenantId::default();
        for number in 0..MOST + 5 {
            let network = Slug::new(&format!("n{number}")).ok();
            let name = format!("field{number}");
            sources.add(&tenant, [(network, tally(1, &[&name]))].into());
        }
        let all = sources.of(&tenant);
        assert_eq!(all.len(), MOST + 1);
        let other = all.iter().find(|source| source.network == OTHER).unwrap();
        assert_eq!((other.accepted, other.dropped_fields), (5, 5));
        let many: Vec<String> = (0..40).map(|number| format!("f{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        sources.add(&tenant, [(Slug::new("n0").ok(), tally(0, &many))].into());
        let first = sources.of(&tenant);
        let first = first.iter().find(|source| source.network == "n0").unwrap();
        assert_eq!((first.dropped_fields, first.dropped.len()), (41, MOST_NAMES));
    }
}
