//! The edge: writes valid posts and outcomes to `intake`, durably.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::{HashSet, HashSetExt as _};
use limbic_domain::{
    ConsentState, Deletion, Envelope, Outcome, Post, Pseudonym, Slug, TenantId, Utc, event_id, topics,
};
use limbic_stream::clock::{self, Now};
use limbic_stream::{Headers, Log, NewRecord, WatermarkMark};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::in_flight::InFlight;
use crate::incoming::{self, IncomingDeletion, IncomingOutcome, IncomingPost, Problem};
use crate::quota::Quotas;
use crate::seen::SeenId;
use crate::sources::{LastRejection, SourceStatus, Sources, Tallies};
use crate::{IngestMeters, KnownSubjects, SeenIds, Settings};

/// Headers of records in `intake`.
pub(crate) mod header {
    /// The destination topic.
    pub(crate) const TO: &str = "limbic-to";
    /// 16 bytes that identify the event, for the removal of duplicates.
    pub(crate) const ID: &str = "limbic-id";
}

/// The result of a request. Every item is in exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// The number of items that this request made durable.
    pub accepted: u64,
    /// The number of items that were durable before.
    pub duplicates: u64,
    /// The items that were rejected, with the reasons.
    pub rejected: Vec<Rejection>,
    /// The subjects that posts named and this node does not know. The posts were accepted without them.
    #[serde(flatten)]
    pub lost: LostSubjects,
    /// Fields of `meta`, and `url`, that `ingest.keep_fields` does not keep. The posts were accepted without them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_fields: u64,
}

/// Subjects that posts named and this node does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LostSubjects {
    /// The number of times that a post named one.
    #[serde(rename = "unknown_subjects", default, skip_serializing_if = "is_zero")]
    pub mentions: u64,
    /// The number of posts that named at least one.
    #[serde(rename = "posts_without_subjects", default, skip_serializing_if = "is_zero")]
    pub posts: u64,
    /// The first of them, at most five, each once.
    #[serde(
        rename = "examples_of_unknown_subjects",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub examples: Vec<Slug>,
}

impl LostSubjects {
    const MOST_EXAMPLES: usize = 5;

    /// Adds what one post has lost.
    fn add_post(&mut self, unknown: Vec<Slug>) {
        self.mentions += unknown.len() as u64;
        self.posts += u64::from(!unknown.is_empty());
        self.name(unknown);
    }

    /// Adds what the posts of another request have lost.
    pub fn add(&mut self, other: Self) {
        self.mentions += other.mentions;
        self.posts += other.posts;
        self.name(other.examples);
    }

    fn name(&mut self, unknown: Vec<Slug>) {
        for subject in unknown {
            if self.examples.len() < Self::MOST_EXAMPLES && !self.examples.contains(&subject) {
                self.examples.push(subject);
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A rejected item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its position in the request, from 0.
    pub index: usize,
    /// The field that is wrong, or `body` for the whole item.
    pub field: String,
    /// The problem, and what was expected.
    pub problem: String,
}

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

/// An item that passed the checks.
struct Admitted {
    id: SeenId,
    record: NewRecord,
    /// Of a post.
    network: Option<Slug>,
    /// The names of fields that are not kept.
    dropped: Vec<String>,
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
        let key = self
            .keys
            .get(tenant)
            .ok_or_else(|| EdgeError::UnknownTenant(tenant.clone()))?;
        let now = clock::now();
        let request = Request::new(&self.names, now.at, trace);
        let lost = RefCell::new(LostSubjects::default());
        let (receipt, tallies) = self.accept(tenant, items, now, |value, at| {
            let mut post = incoming::post(value, &self.settings, at)?;
            lost.borrow_mut()
                .add_post(self.subjects.keep_known(tenant, &mut post.subjects));
            Ok(admit_post(&self.settings, tenant, key, post, &request))
        })?;
        let dropped_fields = tallies.values().map(|tally| tally.dropped.len() as u64).sum();
        self.sources.add(tenant, tallies);
        Ok(Receipt {
            lost: lost.into_inner(),
            dropped_fields,
            ..receipt
        })
    }

    /// Accepts what a connector brings, in its order: posts, and deletions (objects with `deleted_at`, as in
    /// [`Self::accept_deletions`]).
    pub fn accept_changes(
        &self,
        tenant: &TenantId,
        items: impl IntoIterator<Item = Result<Value, String>>,
    ) -> Result<Receipt, EdgeError> {
        let key = self
            .keys
            .get(tenant)
            .ok_or_else(|| EdgeError::UnknownTenant(tenant.clone()))?;
        let now = clock::now();
        let request = Request::new(&self.names, now.at, None);
        let lost = RefCell::new(LostSubjects::default());
        let (receipt, tallies) = self.accept(tenant, items, now, |value, at| {
            if is_deletion(&value) {
                let deletion = incoming::deletion(value, &self.settings, at)?;
                return Ok(admit_deletion(tenant, key, deletion, &request));
            }
            let mut post = incoming::post(value, &self.settings, at)?;
            lost.borrow_mut()
                .add_post(self.subjects.keep_known(tenant, &mut post.subjects));
            Ok(admit_post(&self.settings, tenant, key, post, &request))
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
        let key = self
            .keys
            .get(tenant)
            .ok_or_else(|| EdgeError::UnknownTenant(tenant.clone()))?;
        let now = clock::now();
        let request = Request::new(&self.names, now.at, trace);
        let (receipt, _) = self.accept(tenant, items, now, |value, at| {
            let deletion = incoming::deletion(value, &self.settings, at)?;
            Ok(admit_deletion(tenant, key, deletion, &request))
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
        if !self.keys.contains_key(tenant) {
            return Err(EdgeError::UnknownTenant(tenant.clone()));
        }
        let now = clock::now();
        let request = Request::new(&self.names, now.at, trace);
        let (receipt, _) = self.accept(tenant, items, now, |value, at| {
            let outcome = incoming::outcome(value, &self.settings, at)?;
            Ok(admit_outcome(tenant, outcome, now.at, &request))
        })?;
        Ok(receipt)
    }

    /// Accepts a tenant's promise that it will not send a post written before `at`. The promise advances the event time of this
    /// tenant without a post. It is for sources that end or pause.
    pub fn heartbeat(&self, tenant: &TenantId, at: Utc) -> Result<(), EdgeError> {
        if !self.keys.contains_key(tenant) {
            return Err(EdgeError::UnknownTenant(tenant.clone()));
        }
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
            let item = item.map_err(|problem| Problem {
                field: "body",
                problem,
            });
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
                    tallies.entry(item.network).or_default().duplicates += 1;
                }
                Err(Problem { field, problem }) => {
                    let rejected = &mut tallies.entry(network).or_default().rejected;
                    rejected.push(LastRejection {
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
            let tally = tallies.entry(item.network).or_default();
            tally.accepted += 1;
            tally.dropped.extend(item.dropped);
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
                if is_known {
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

fn admit_post(
    settings: &Settings,
    tenant: &TenantId,
    key: &[u8; 32],
    incoming: IncomingPost,
    request: &Request<'_>,
) -> Admitted {
    let author = Pseudonym::of(key, &incoming.post.network, &incoming.author);
    let demanded = settings.consent_required.contains(&incoming.post.network);
    let consent = match incoming.consent {
        Some(stated) => stated,
        None if demanded => ConsentState::Unknown,
        None => ConsentState::NotRequired,
    };
    let causes = [tenant.as_str(), incoming.post.network.as_str(), &incoming.post.id];
    let id = event_id("post", &causes);
    let record_key = format!("{tenant}/{author}");
    let mut subjects = incoming.subjects;
    subjects.sort_unstable();
    subjects.dedup();
    let post = Post {
        subjects,
        post: incoming.post,
        author,
        text: incoming.text,
        created_at: incoming.created_at,
        lang: incoming.lang,
        reply_to: incoming.reply_to,
        repost_of: incoming.repost_of,
        url: incoming.url,
        consent,
        minor: incoming.minor,
        revision: incoming.revision,
        meta: incoming.meta,
    };
    let at = post.created_at;
    let network = Some(post.post.network.clone());
    // The versions of a post have the same id, but only the same version is a duplicate.
    let version = match post.revision {
        0 => None,
        revision => Some(event_id("revision", &[&id, &revision.to_string()])),
    };
    let envelope = Envelope::new(tenant.clone(), id, at, post);
    let value = envelope.encode();
    let statement = version.as_ref().unwrap_or(&envelope.id);
    Admitted {
        network,
        dropped: incoming.dropped,
        ..request.admit(statement, topics::POSTS, record_key, at, value)
    }
}

fn is_deletion(value: &Value) -> bool {
    value.get("deleted_at").is_some()
}

fn admit_deletion(
    tenant: &TenantId,
    key: &[u8; 32],
    incoming: IncomingDeletion,
    request: &Request<'_>,
) -> Admitted {
    let IncomingDeletion {
        network,
        id,
        author,
        deleted_at: at,
    } = incoming;
    let author = Pseudonym::of(key, &network, &author);
    // A post is deleted once. An account can come back, and be deleted again.
    let id_of_event = if let Some(post) = &id {
        event_id("deletion", &[tenant.as_str(), network.as_str(), post])
    } else {
        let when = at.as_millis().to_string();
        let causes = [tenant.as_str(), network.as_str(), author.as_str(), &when];
        event_id("deletion of an author", &causes)
    };
    let record_key = format!("{tenant}/{author}");
    let deletion = Deletion {
        network,
        id,
        author,
        deleted_at: at,
    };
    let envelope = Envelope::new(tenant.clone(), id_of_event, at, deletion);
    let value = envelope.encode();
    request.admit(&envelope.id, topics::POSTS, record_key, at, value)
}

fn admit_outcome(tenant: &TenantId, incoming: IncomingOutcome, now: Utc, request: &Request<'_>) -> Admitted {
    let id = event_id("outcome", &[tenant.as_str(), &incoming.decision, &incoming.id]);
    let record_key = campaign_key(tenant, &incoming.campaign);
    // Two statements about one outcome have the same id, but only the same statement is a duplicate.
    let statement = statement_id(&id, &incoming);
    let outcome = Outcome {
        value: incoming.value,
        count: incoming.count,
        person: incoming.person,
        withdrawn: incoming.withdrawn,
        revision: incoming.revision,
        stated_at: Some(incoming.stated_at.unwrap_or(now)),
        ..Outcome::new(incoming.decision, incoming.kind, incoming.id)
    };
    let envelope = Envelope::new(tenant.clone(), id, incoming.at, outcome);
    let value = envelope.encode();
    request.admit(&statement, topics::OUTCOMES, record_key, incoming.at, value)
}

/// The id of what a sender states about an outcome. It does not depend on `at`: ad platforms resend an outcome with a new time.
fn statement_id(outcome: &str, incoming: &IncomingOutcome) -> String {
    let kind = serde_json::to_string(&incoming.kind).expect("a kind is a word");
    let value = incoming
        .value
        .map_or(String::new(), |value| value.to_bits().to_string());
    let [count, revision] = [incoming.count, incoming.revision].map(|number| number.to_string());
    let person = incoming.person.as_ref().map_or("", Pseudonym::as_str);
    let stated_at = incoming
        .stated_at
        .map_or(String::new(), |at| at.as_millis().to_string());
    let withdrawn = if incoming.withdrawn { "withdrawn" } else { "" };
    let said = [
        outcome, &kind, &value, &count, person, withdrawn, &revision, &stated_at,
    ];
    event_id("statement", &said)
}

fn campaign_key(tenant: &TenantId, campaign: &Slug) -> String {
    format!("{tenant}/{campaign}")
}

/// The names that all records of the edge have, allocated once.
struct Names {
    intake: Arc<str>,
    to: Arc<str>,
    id: Arc<str>,
    accepted_at: Arc<str>,
    trace: Arc<str>,
}

impl Names {
    fn new() -> Self {
        Self {
            intake: topics::INTAKE.into(),
            to: header::TO.into(),
            id: header::ID.into(),
            accepted_at: limbic_stream::header::ACCEPTED_AT.into(),
            trace: limbic_stream::header::TRACE_PARENT.into(),
        }
    }
}

/// What all records of a request have in common.
struct Request<'a> {
    names: &'a Names,
    accepted_at: Bytes,
    trace: Option<Bytes>,
}

impl<'a> Request<'a> {
    fn new(names: &'a Names, now: Utc, trace: Option<&str>) -> Self {
        Self {
            names,
            accepted_at: now.as_millis().to_string().into(),
            trace: trace.map(|trace| Bytes::copy_from_slice(trace.as_bytes())),
        }
    }

    fn admit(&self, id: &str, to: &'static str, key: String, at: Utc, value: Vec<u8>) -> Admitted {
        let (seen, names) = (seen_id(id), self.names);
        let mut headers = Headers::new()
            .with(Arc::clone(&names.to), Bytes::from_static(to.as_bytes()))
            .with(Arc::clone(&names.id), Bytes::copy_from_slice(&seen))
            .with(Arc::clone(&names.accepted_at), self.accepted_at.clone());
        if let Some(trace) = &self.trace {
            headers.push(Arc::clone(&names.trace), trace.clone());
        }
        let record = NewRecord {
            topic: Arc::clone(&names.intake),
            partition: None,
            key: key.into(),
            value: value.into(),
            headers,
            timestamp: at,
        };
        Admitted {
            id: seen,
            record,
            network: None,
            dropped: Vec::new(),
        }
    }
}

/// Identifies an event when it is sent again: 16 bytes of a hash of its id.
pub(crate) fn seen_id(id: &str) -> SeenId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admitted_id(change: &Value) -> (SeenId, String) {
        let now: Utc = "2026-11-29T12:00:00Z".parse().unwrap();
        let mut outcome = json!({
            "decision": "spring.9f86d081884c7d659a2feaa0c55ad015", "kind": "conversion", "value": 5.0,
            "at": "2026-11-29T11:00:00Z", "id": "sale"
        });
        for (field, value) in change.as_object().unwrap() {
            outcome[field] = value.clone();
        }
        let incoming = incoming::outcome(outcome, &Settings::default(), now).unwrap();
        let names = Names::new();
        let request = Request::new(&names, now, None);
        let admitted = admit_outcome(&TenantId::default(), incoming, now, &request);
        let envelope = Envelope::<Outcome>::decode(&admitted.record.value).unwrap();
        assert!(envelope.data.stated_at.is_some());
        (admitted.id, envelope.id)
    }

    #[test]
    fn another_version_of_a_post_is_no_duplicate_and_a_deletion_follows_its_post() {
        let settings = Settings::default();
        let now: Utc = "2026-11-29T12:00:00Z".parse().unwrap();
        let admitted = |value: Value| {
            let tenant = TenantId::default();
            let names = Names::new();
            let request = Request::new(&names, now, None);
            if is_deletion(&value) {
                let deletion = incoming::deletion(value, &settings, now).unwrap();
                return admit_deletion(&tenant, &[7; 32], deletion, &request);
            }
            let post = incoming::post(value, &settings, now).unwrap();
            admit_post(&settings, &tenant, &[7; 32], post, &request)
        };
        let post = |revision: u64| {
            admitted(json!({
                "network": "bluesky", "id": "1", "author": "ada", "text": "x", "created_at": "2026-11-29T11:00:00Z",
                "revision": revision,
            }))
        };
        let deletion = |id: Value, at: &str| {
            admitted(json!({"network": "bluesky", "id": id, "author": "ada", "deleted_at": at}))
        };
        let first = post(0);
        let gone = deletion(json!("1"), "2026-11-29T11:30:00Z");
        let again = deletion(json!("1"), "2026-11-29T11:31:00Z");
        let account = deletion(Value::Null, "2026-11-29T11:30:00Z");
        let account_again = deletion(Value::Null, "2026-11-29T11:31:00Z");
        assert_eq!(gone.id, again.id, "a post is deleted once");
        let ids: HashSet<SeenId> = [&first, &post(1), &post(2), &gone, &account, &account_again]
            .into_iter()
            .map(|admitted| admitted.id)
            .collect();
        assert_eq!(ids.len(), 6);
        assert_eq!(gone.record.key, first.record.key);
        let event = |admitted: &Admitted| Envelope::<Post>::decode(&admitted.record.value).unwrap().id;
        assert_eq!(event(&first), event(&post(2)));
        let envelope = Envelope::<Deletion>::decode(&account.record.value).unwrap();
        assert_eq!(envelope.data.id, None);
        assert!(!String::from_utf8_lossy(&gone.record.value).contains("ada"));
    }

    #[test]
    fn another_statement_about_an_outcome_is_no_duplicate_and_keeps_its_id() {
        let (statement, outcome) = admitted_id(&json!({}));
        // Ad platforms resend an outcome with a new time.
        let resent = admitted_id(&json!({"at": "2026-11-29T11:30:00Z"}));
        assert_eq!(resent, (statement, outcome.clone()));
        let mut statements: HashSet<SeenId> = [statement].into_iter().collect();
        for change in [
            json!({"value": 0.0}),
            json!({"withdrawn": true}),
            json!({"revision": 1}),
            json!({"count": 2}),
            json!({"kind": "click"}),
            json!({"stated_at": "2026-11-29T11:45:00Z"}),
            json!({"person": "9f86d081884c7d659a2feaa0c55ad015"}),
        ] {
            let (statement, same) = admitted_id(&change);
            assert!(statements.insert(statement), "{change}");
            assert_eq!(same, outcome, "{change}");
        }
        let (_, other) = admitted_id(&json!({"id": "another"}));
        assert_ne!(other, outcome);
    }
}
