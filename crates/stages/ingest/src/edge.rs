//! The edge: writes valid posts and outcomes to `intake`, durably.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashSet, HashSetExt as _};
use limbic_domain::{Slug, TenantId, Utc, topics};
use limbic_stream::clock::{self, Now};
use limbic_stream::{Log, WatermarkMark};
use serde_json::Value;

use crate::admission::{Admitted, Names, Request, is_deletion};
use crate::in_flight::InFlight;
use crate::incoming::{self, Problem};
use crate::quota::Quotas;
use crate::receipt::{LostSubjects, Receipt, Rejection};
use crate::seen::SeenId;
use crate::sources::{LastRejection, SourceStatus, Sources, Tallies};
use crate::{IngestMeters, KnownSubjects, SeenIds, Settings};

/// The request failed; some of its items may already be stored. Retry it: duplicates are removed.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The request has more items than allowed.
    #[error("more than {limit} items in one request: send several requests")]
    TooMany {
        /// The maximum.
        limit: usize,
    },
    /// The tenant has sent more than its quota allows.
    #[error("the tenant has sent more than ingest.items_per_minute or ingest.bytes_per_minute allow: retry after {} s", wait.as_secs())]
    Quota {
        /// How long to wait.
        wait: Duration,
    },
    /// The tenant has no key for pseudonyms.
    #[error("unknown tenant `{0}`: add [tenants.{0}] to the settings of this node")]
    UnknownTenant(TenantId),
    /// The heartbeat's time is not allowed.
    #[error(transparent)]
    Heartbeat(#[from] Problem),
    /// The log returned an error.
    #[error(transparent)]
    Log(#[from] limbic_stream::Error),
}

/// Accepts posts and outcomes. All connections share one edge. A call returns when everything that it accepted is
/// durable.
pub struct Edge {
    log: Arc<dyn Log>,
    settings: Settings,
    keys: BTreeMap<TenantId, [u8; 32]>,
    seen: Vec<Arc<dyn SeenIds>>,
    partitions: u32,
    names: Names,
    in_flight: InFlight,
    quotas: Quotas,
    subjects: KnownSubjects,
    sources: Sources,
}

impl std::fmt::Debug for Edge {
    /// Does not print the tenants' keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// An edge that writes to `log`, whose topic `intake` has `partitions` partitions. `keys` are the tenants' secrets
    /// for pseudonyms. `seen` are the memories of accepted ids, the fastest first.
    pub fn new(
        log: Arc<dyn Log>,
        partitions: u32,
        settings: Settings,
        keys: BTreeMap<TenantId, [u8; 32]>,
        seen: Vec<Arc<dyn SeenIds>>,
    ) -> Self {
        Self {
            quotas: Quotas::new(&settings),
            subjects: KnownSubjects::any(),
            sources: Sources::default(),
            log,
            settings,
            keys,
            seen,
            partitions,
            names: Names::new(),
            in_flight: InFlight::default(),
        }
    }

    /// Accepts only these subjects of posts, unless the settings open them.
    #[must_use]
    pub fn knowing(mut self, subjects: KnownSubjects) -> Self {
        if !self.settings.open_subjects {
            self.subjects = subjects;
        }
        self
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: IngestMeters) -> Self {
        self.sources = Sources::metered(meters);
        self
    }

    /// What this edge did with the posts of each social network of the tenant, since it started.
    pub fn sources(&self, tenant: &TenantId) -> Vec<SourceStatus> {
        self.sources.of(tenant)
    }

    /// The subjects that posts may name. A change takes effect at once.
    pub const fn subjects(&self) -> &KnownSubjects {
        &self.subjects
    }

    /// Maximum number of items in one request.
    pub fn most_items(&self) -> usize {
        self.settings.request_items
    }

    /// Accepts posts. An item that is already an error (for instance a line that is not JSON) is rejected with its
    /// message. Items are taken one at a time, so an iterator that reads them needs memory for one item only. `trace` is the
    /// request's W3C `traceparent`.
    pub fn accept_posts(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
        trace: Option<&str>,
    ) -> Result<Receipt, EdgeError> {
        self.accept_posts_and_deletions(tenant, items, trace, |_| false)
    }

    /// Accepts what a connector brings, in its order: posts, and deletions (objects with `deleted_at`, as in
    /// [`Self::accept_deletions`]).
    pub fn accept_changes(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
    ) -> Result<Receipt, EdgeError> {
        self.accept_posts_and_deletions(tenant, items, None, is_deletion)
    }

    fn accept_posts_and_deletions(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
        trace: Option<&str>,
        is_deletion: fn(&Value) -> bool,
    ) -> Result<Receipt, EdgeError> {
        let key = self.key_of(tenant)?;
        let now = clock::now();
        let request = Request::new(&self.names, now.at, trace);
        let lost = RefCell::new(LostSubjects::default());
        let (receipt, tallies) = self.accept(tenant, items, now, |value, at| {
            if is_deletion(&value) {
                let deletion = incoming::deletion(value, &self.settings, at)?;
                return Ok(request.deletion(tenant, key, deletion));
            }
            let mut post = incoming::post(value, &self.settings, at)?;
            lost.borrow_mut()
                .add_post(self.subjects.keep_known(tenant, &mut post.subjects));
            Ok(request.post(tenant, key, post, &self.settings))
        })?;
        let dropped_fields = tallies.values().map(|tally| tally.dropped.len() as u64).sum();
        self.sources.add(tenant, tallies);
        Ok(Receipt {
            lost: lost.into_inner(),
            dropped_fields,
            ..receipt
        })
    }

    /// Accepts deletions: of a post (`network`, `id`, `author`, `deleted_at`), or without `id` of everything of an author. In the
    /// same way as [`Self::accept_posts`]. A deletion reaches every reader of `posts` after the posts of its author that were
    /// accepted before it.
    pub fn accept_deletions(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
        trace: Option<&str>,
    ) -> Result<Receipt, EdgeError> {
        let key = self.key_of(tenant)?;
        let now = clock::now();
        let request = Request::new(&self.names, now.at, trace);
        let (receipt, _) = self.accept(tenant, items, now, |value, at| {
            let deletion = incoming::deletion(value, &self.settings, at)?;
            Ok(request.deletion(tenant, key, deletion))
        })?;
        Ok(receipt)
    }

    /// Accepts outcomes, in the same way as [`Self::accept_posts`].
    pub fn accept_outcomes(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
        trace: Option<&str>,
    ) -> Result<Receipt, EdgeError> {
        self.key_of(tenant)?;
        let now = clock::now();
        let request = Request::new(&self.names, now.at, trace);
        let (receipt, _) = self.accept(tenant, items, now, |value, at| {
            let outcome = incoming::outcome(value, &self.settings, at)?;
            Ok(request.outcome(tenant, outcome, now.at))
        })?;
        Ok(receipt)
    }

    /// The key of a tenant's pseudonyms.
    fn key_of(&self, tenant: &TenantId) -> Result<&[u8; 32], EdgeError> {
        self.keys
            .get(tenant)
            .ok_or_else(|| EdgeError::UnknownTenant(tenant.clone()))
    }

    /// Accepts a tenant's promise that it will not send a post written before `at`. The promise advances the event time of this
    /// tenant without a post. It is for sources that end or pause.
    pub fn heartbeat(&self, tenant: &TenantId, at: Utc) -> Result<(), EdgeError> {
        self.key_of(tenant)?;
        let now = clock::now();
        if let Err(problem) = incoming::heartbeat(at, &self.settings, now.at) {
            let may_be_right = incoming::heartbeat(at, &self.settings, now.latest).is_ok();
            return Err(if may_be_right {
                clock_jumped()
            } else {
                problem.into()
            });
        }
        let topic: Arc<str> = topics::INTAKE.into();
        let mark = WatermarkMark {
            source: 0,
            of: 1,
            tenant: Some(tenant.clone()),
            at,
            idle: false,
        };
        self.log.publish(
            (0..self.partitions)
                .map(|partition| mark.record(&topic, partition))
                .collect(),
        )?;
        Ok(())
    }

    fn accept(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
        now: Now,
        admit: impl Fn(Value, Utc) -> Result<Admitted, Problem>,
    ) -> Result<(Receipt, Tallies), EdgeError> {
        self.quotas
            .check(tenant, Instant::now())
            .map_err(|wait| EdgeError::Quota { wait })?;
        let limit = self.settings.request_items;
        let items = items.into_iter();
        let (least, _) = items.size_hint();
        let mut receipt = Receipt::default();
        let mut tallies = Tallies::new();
        let mut admitted = Vec::with_capacity(least.min(limit));
        let mut in_this_request = HashSet::with_capacity(least.min(limit));
        let is_in_doubt = now.latest > now.at;
        for (index, item) in items.enumerate() {
            if index == limit {
                return Err(EdgeError::TooMany { limit });
            }
            let item = item.map_err(Problem::of_body);
            let network = item.as_ref().ok().and_then(network_of);
            // Kept only while the clock is in doubt.
            let again = item.as_ref().ok().filter(|_| is_in_doubt).cloned();
            match item.and_then(|value| admit(value, now.at)) {
                // It is not from the future if the clock is right after its jump.
                Err(_) if again.is_some_and(|value| admit(value, now.latest).is_ok()) => {
                    return Err(clock_jumped());
                }
                Ok(item) if in_this_request.insert(item.id) => admitted.push(item),
                Ok(item) => {
                    receipt.duplicates += 1;
                    if item.network.is_some() {
                        tallies.entry(item.network).or_default().duplicates += 1;
                    }
                }
                Err(Problem {
                    field,
                    problem,
                    biometric,
                }) => {
                    let tally = tallies.entry(network).or_default();
                    tally.biometric.extend(biometric);
                    tally.rejected.push(LastRejection {
                        at: now.at,
                        field: field.to_owned(),
                        problem: problem.clone(),
                    });
                    receipt.rejected.push(Rejection {
                        index,
                        field: field.to_owned(),
                        problem,
                    });
                }
            }
        }
        let items = admitted.len() + receipt.rejected.len();
        let bytes: usize = admitted.iter().map(|item| item.record.value.len()).sum();
        self.quotas.charge(
            tenant,
            items as u64 + receipt.duplicates,
            bytes as u64,
            Instant::now(),
        );
        // Before the memories are asked, because another request may be writing the same id.
        let claim = self
            .in_flight
            .claim(admitted.iter().map(|item| item.id).collect());
        self.drop_known(&mut admitted, &mut receipt, &mut tallies);
        if admitted.is_empty() {
            return Ok((receipt, tallies));
        }
        let mut ids = Vec::with_capacity(admitted.len());
        let mut records = Vec::with_capacity(admitted.len());
        for item in admitted {
            if item.network.is_some() {
                let tally = tallies.entry(item.network).or_default();
                tally.accepted += 1;
                tally.dropped.extend(item.dropped);
            }
            ids.push(item.id);
            records.push(item.record);
        }
        self.log.publish(records)?;
        // Only after the write, because a known id must be durable.
        for seen in &self.seen {
            seen.note(&ids);
        }
        drop(claim);
        receipt.accepted = ids.len() as u64;
        Ok((receipt, tallies))
    }

    /// Removes the items that the edge remembers. The ingest stage removes the other duplicates.
    fn drop_known(&self, admitted: &mut Vec<Admitted>, receipt: &mut Receipt, tallies: &mut Tallies) {
        let before = admitted.len();
        for seen in &self.seen {
            if admitted.is_empty() {
                break;
            }
            let ids: Vec<SeenId> = admitted.iter().map(|item| item.id).collect();
            let mut known = seen.known(&ids).into_iter();
            admitted.retain(|item| {
                let is_known = known.next().unwrap_or(false);
                if is_known && item.network.is_some() {
                    tallies.entry(item.network.clone()).or_default().duplicates += 1;
                }
                !is_known
            });
        }
        receipt.duplicates += (before - admitted.len()) as u64;
    }
}

/// The network that an item names, if it names one.
fn network_of(item: &Value) -> Option<Slug> {
    let named = |field: &str| item.get(field).and_then(Value::as_str);
    Slug::new(named("network").or_else(|| named("platform"))?).ok()
}

/// The clock of this machine may be right or wrong, and the answer depends on it.
fn clock_jumped() -> EdgeError {
    EdgeError::Log(limbic_stream::Error::Unavailable {
        context: "checking the time of a post".into(),
        message: "the clock of this machine has jumped ahead, and it is not yet known whether it is right: send it again later".into(),
    })
}
