//! The records that the edge writes for the items of a request.

use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{
    ConsentState, Deletion, Envelope, Outcome, Post, Pseudonym, Slug, TenantId, Utc, event_id, topics,
};
use limbic_stream::{Headers, NewRecord};
use serde_json::Value;

use crate::Settings;
use crate::incoming::{IncomingDeletion, IncomingOutcome, IncomingPost};
use crate::seen::SeenId;

/// Headers of records in `intake`.
pub(crate) mod header {
    /// The destination topic.
    pub(crate) const TO: &str = "limbic-to";
    /// 16 bytes that identify the event, for the removal of duplicates.
    pub(crate) const ID: &str = "limbic-id";
}

/// An item that passed the checks.
pub(crate) struct Admitted {
    pub(crate) id: SeenId,
    pub(crate) record: NewRecord,
    /// The social network of a post.
    pub(crate) network: Option<Slug>,
    /// The names of the post's fields that are not kept.
    pub(crate) dropped: Vec<String>,
}

/// The names that all records of the edge have, allocated once.
pub(crate) struct Names {
    intake: Arc<str>,
    to: Arc<str>,
    id: Arc<str>,
    accepted_at: Arc<str>,
    trace: Arc<str>,
}

impl Names {
    pub(crate) fn new() -> Self {
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
pub(crate) struct Request<'a> {
    names: &'a Names,
    accepted_at: Bytes,
    trace: Option<Bytes>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(names: &'a Names, now: Utc, trace: Option<&str>) -> Self {
        Self {
            names,
            accepted_at: now.as_millis().to_string().into(),
            trace: trace.map(|trace| Bytes::copy_from_slice(trace.as_bytes())),
        }
    }

    /// `key` is the key of the tenant's pseudonyms.
    pub(crate) fn post(
        &self,
        tenant: &TenantId,
        key: &[u8; 32],
        incoming: IncomingPost,
        settings: &Settings,
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
            ..self.admit(statement, topics::POSTS, record_key, at, value)
        }
    }

    pub(crate) fn deletion(&self, tenant: &TenantId, key: &[u8; 32], incoming: IncomingDeletion) -> Admitted {
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
        self.admit(&envelope.id, topics::POSTS, record_key, at, value)
    }

    pub(crate) fn outcome(&self, tenant: &TenantId, incoming: IncomingOutcome, now: Utc) -> Admitted {
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
        self.admit(&statement, topics::OUTCOMES, record_key, incoming.at, value)
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

/// Whether an item of a connector is a deletion.
pub(crate) fn is_deletion(value: &Value) -> bool {
    value.get("deleted_at").is_some()
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

/// Identifies an event when it is sent again: 16 bytes of a hash of its id.
pub(crate) fn seen_id(id: &str) -> SeenId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
    bytes
}

#[cfg(test)]
mod tests {
    use foldhash::HashSet;
    use serde_json::json;

    use super::*;
    use crate::incoming;

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
        let admitted = request.outcome(&TenantId::default(), incoming, now);
        let envelope = Envelope::<Outcome>::decode(&admitted.record.value).unwrap();
        assert!(envelope.data.stated_at.is_some());
        (admitted.id, envelope.id)
    }

    #[test]
    fn another_version_of_a_post_is_not_a_duplicate_and_a_deletion_follows_its_post() {
        let settings = Settings::default();
        let now: Utc = "2026-11-29T12:00:00Z".parse().unwrap();
        let admitted = |value: Value| {
            let tenant = TenantId::default();
            let names = Names::new();
            let request = Request::new(&names, now, None);
            if is_deletion(&value) {
                let deletion = incoming::deletion(value, &settings, now).unwrap();
                return request.deletion(&tenant, &[7; 32], deletion);
            }
            let post = incoming::post(value, &settings, now).unwrap();
            request.post(&tenant, &[7; 32], post, &settings)
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
    fn another_statement_about_an_outcome_is_not_a_duplicate_and_keeps_its_id() {
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
