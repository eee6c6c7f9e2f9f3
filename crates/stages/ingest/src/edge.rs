//! What is right becomes a durable record of `intake`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{
    ConsentState, Envelope, Outcome, Post, Pseudonym, Slug, TenantId, Utc, event_id, topics,
};
use limbic_stream::{Headers, Log, NewRecord, WatermarkMark};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::incoming::{self, IncomingOutcome, IncomingPost, Problem};
use crate::seen::SeenId;
use crate::{SeenIds, Settings};

/// Headers that only `intake` has.
pub(crate) mod header {
    /// The topic a record goes on to.
    pub(crate) const TO: &str = "limbic-to";
    /// The 16 bytes by which a duplicate is known.
    pub(crate) const ID: &str = "limbic-id";
}

/// What became of a request: every item is in exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// How many are durable now.
    pub accepted: u64,
    /// How many were durable before.
    pub duplicates: u64,
    /// What cannot be taken, and why.
    pub rejected: Vec<Rejection>,
}

/// An item that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its place in the request, from 0.
    pub index: usize,
    /// The field that is wrong; `body` for the item as a whole.
    pub field: String,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

/// Why a request as a whole was not taken. Nothing of it is durable that was not before, or it may be: send it again,
/// what is double is removed.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// More items than a request may have.
    #[error("{given} items in one request, the limit is {limit}: send several")]
    TooMany {
        /// How many there are.
        given: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No key for this tenant's pseudonyms.
    #[error("no tenant `{0}` here")]
    UnknownTenant(TenantId),
    /// A heartbeat that would carry event time where it cannot be.
    #[error(transparent)]
    Heartbeat(#[from] Problem),
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] limbic_stream::Error),
}

/// The edge: shared by every connection. Calls block until what they accept is durable.
pub struct Edge {
    log: Arc<dyn Log>,
    settings: Settings,
    keys: BTreeMap<TenantId, [u8; 32]>,
    seen: Vec<Arc<dyn SeenIds>>,
    partitions: u32,
}

impl std::fmt::Debug for Edge {
    /// Without the tenants' keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// An item on its way in.
struct Admitted {
    id: SeenId,
    record: NewRecord,
}

impl Edge {
    /// An edge that writes to `log`, whose `intake` has `partitions` partitions. `keys` are the tenants' secrets for
    /// pseudonyms; `seen` remember what was accepted, the fastest first.
    pub fn new(
        log: Arc<dyn Log>,
        partitions: u32,
        settings: Settings,
        keys: BTreeMap<TenantId, [u8; 32]>,
        seen: Vec<Arc<dyn SeenIds>>,
    ) -> Self {
        Self {
            log,
            settings,
            keys,
            seen,
            partitions,
        }
    }

    /// Takes posts. An item that is an error already (a line that is no JSON) is rejected with its message.
    /// `trace` is the request's W3C `traceparent`.
    pub fn accept_posts(
        &self,
        tenant: &TenantId,
        items: Vec<Result<Value, String>>,
        trace: Option<&str>,
    ) -> Result<Receipt, EdgeError> {
        let key = self
            .keys
            .get(tenant)
            .ok_or_else(|| EdgeError::UnknownTenant(tenant.clone()))?;
        let now = Utc::now();
        self.accept(items, |value| {
            let post = incoming::post(value, &self.settings, now)?;
            Ok(self.admit_post(tenant, key, post, now, trace))
        })
    }

    /// Takes outcomes.
    pub fn accept_outcomes(
        &self,
        tenant: &TenantId,
        items: Vec<Result<Value, String>>,
        trace: Option<&str>,
    ) -> Result<Receipt, EdgeError> {
        if !self.keys.contains_key(tenant) {
            return Err(EdgeError::UnknownTenant(tenant.clone()));
        }
        let now = Utc::now();
        self.accept(items, |value| {
            let outcome = incoming::outcome(value, &self.settings, now)?;
            Ok(admit_outcome(tenant, outcome, now, trace))
        })
    }

    /// Takes a source's promise that it will send nothing written before `at`: event time moves on although no post says
    /// so. For sources that end, or pause.
    pub fn heartbeat(&self, at: Utc) -> Result<(), EdgeError> {
        incoming::heartbeat(at, &self.settings, Utc::now())?;
        let topic: Arc<str> = topics::INTAKE.into();
        let mark = WatermarkMark {
            source: 0,
            of: 1,
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
        items: Vec<Result<Value, String>>,
        admit: impl Fn(Value) -> Result<Admitted, Problem>,
    ) -> Result<Receipt, EdgeError> {
        if items.len() > self.settings.request_items {
            return Err(EdgeError::TooMany {
                given: items.len(),
                limit: self.settings.request_items,
            });
        }
        let mut receipt = Receipt::default();
        let mut admitted = Vec::with_capacity(items.len());
        let mut in_this_request = HashSet::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match item
                .map_err(|problem| Problem {
                    field: "body",
                    problem,
                })
                .and_then(&admit)
            {
                Ok(item) if in_this_request.insert(item.id) => admitted.push(item),
                Ok(_) => receipt.duplicates += 1,
                Err(Problem { field, problem }) => {
                    receipt.rejected.push(Rejection {
                        index,
                        field: field.to_owned(),
                        problem,
                    });
                }
            }
        }
        self.drop_known(&mut admitted, &mut receipt);
        if admitted.is_empty() {
            return Ok(receipt);
        }
        let (ids, records): (Vec<SeenId>, Vec<NewRecord>) =
            admitted.into_iter().map(|item| (item.id, item.record)).unzip();
        self.log.publish(records)?;
        // Only now: an id that is known is durable.
        for seen in &self.seen {
            seen.note(&ids);
        }
        receipt.accepted = ids.len() as u64;
        Ok(receipt)
    }

    /// Drops what was accepted before, as far as the edge remembers. The ingest stage removes the other duplicates.
    fn drop_known(&self, admitted: &mut Vec<Admitted>, receipt: &mut Receipt) {
        let before = admitted.len();
        for seen in &self.seen {
            let ids: Vec<SeenId> = admitted.iter().map(|item| item.id).collect();
            let mut known = seen.known(&ids).into_iter();
            admitted.retain(|_| !known.next().unwrap_or(false));
        }
        receipt.duplicates += (before - admitted.len()) as u64;
    }

    fn admit_post(
        &self,
        tenant: &TenantId,
        key: &[u8; 32],
        incoming: IncomingPost,
        now: Utc,
        trace: Option<&str>,
    ) -> Admitted {
        let author = Pseudonym::of(key, &incoming.post.network, &incoming.author);
        let demanded = self.settings.consent_required.contains(&incoming.post.network);
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
            meta: incoming.meta,
        };
        let at = post.created_at;
        let envelope = Envelope::new(tenant.clone(), id, at, post);
        let value = envelope.encode();
        admitted(&envelope.id, topics::POSTS, record_key, at, value, now, trace)
    }
}

fn admit_outcome(tenant: &TenantId, incoming: IncomingOutcome, now: Utc, trace: Option<&str>) -> Admitted {
    let id = event_id("outcome", &[tenant.as_str(), &incoming.decision, &incoming.id]);
    let record_key = campaign_key(tenant, &incoming.campaign);
    let outcome = Outcome {
        decision: incoming.decision,
        kind: incoming.kind,
        value: incoming.value,
        key: incoming.id,
        detail: None,
    };
    let envelope = Envelope::new(tenant.clone(), id, incoming.at, outcome);
    let value = envelope.encode();
    admitted(
        &envelope.id,
        topics::OUTCOMES,
        record_key,
        incoming.at,
        value,
        now,
        trace,
    )
}

fn campaign_key(tenant: &TenantId, campaign: &Slug) -> String {
    format!("{tenant}/{campaign}")
}

fn admitted(
    id: &str,
    to: &'static str,
    key: String,
    at: Utc,
    value: Vec<u8>,
    now: Utc,
    trace: Option<&str>,
) -> Admitted {
    let seen = seen_id(id);
    let mut headers = Headers::new()
        .with(header::TO, Bytes::from_static(to.as_bytes()))
        .with(header::ID, Bytes::copy_from_slice(&seen))
        .with(limbic_stream::header::ACCEPTED_AT, now.as_millis().to_string());
    if let Some(trace) = trace {
        headers.push(
            limbic_stream::header::TRACE_PARENT,
            Bytes::copy_from_slice(trace.as_bytes()),
        );
    }
    let record = NewRecord {
        topic: topics::INTAKE.into(),
        partition: None,
        key: key.into(),
        value: value.into(),
        headers,
        timestamp: at,
    };
    Admitted { id: seen, record }
}

/// By what an event is recognised when it comes again: 16 bytes of a hash of its id.
pub(crate) fn seen_id(id: &str) -> SeenId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
    bytes
}
