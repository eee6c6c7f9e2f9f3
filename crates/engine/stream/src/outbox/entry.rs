//! The stored form of a request.

use std::cmp::Ordering;
use std::sync::Arc;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Request;
use crate::{Cause, Headers, StageError};

/// The version of the stored form around the request.
const FORM: u32 = 1;

/// A request with the results of its attempts.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) request: Arc<R>,
    pub(super) meta: Meta,
}

/// The data about a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The idempotency key.
    pub(super) key: Arc<str>,
    /// Event time of the cause.
    pub(super) at: Utc,
    /// The number of attempts without a final answer.
    pub(super) attempts: u32,
    /// When the first attempt was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_sent: Option<Utc>,
    /// When the stage first let it wait ([`super::LastLook::Wait`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waiting_since: Option<Utc>,
    /// When it is sent: the cause's time for the first attempt, the end of the wait for later ones.
    pub(super) due: Utc,
    /// Its position among the requests of one order key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lane: Option<Lane>,
    /// Headers of the cause, for the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
}

/// A position among the requests of one order key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lane {
    pub(super) order: String,
    pub(super) sequence: u64,
}

#[derive(Serialize)]
struct Written<'a, R> {
    v: u32,
    request_version: u32,
    request: &'a R,
    meta: &'a Meta,
}

#[derive(Deserialize)]
struct Form {
    v: u32,
}

#[derive(Deserialize)]
struct Stored<'a> {
    request_version: u32,
    #[serde(borrow)]
    request: &'a RawValue,
    meta: Meta,
}

/// The bytes of an entry.
pub(super) fn encode<R: Request>(request: &R, meta: &Meta) -> Result<Vec<u8>, StageError> {
    let written = Written {
        v: FORM,
        request_version: R::VERSION,
        request,
        meta,
    };
    serde_json::to_vec(&written).map_err(|error| {
        StageError::internal(
            "outbox",
            format!("request `{}` is not valid JSON: {error}", meta.key),
        )
    })
}

/// Decodes an entry. Requests of older versions are migrated.
pub(super) fn decode<R: Request>(bytes: &[u8]) -> Result<Entry<R>, StageError> {
    let unreadable = |why: String| {
        StageError::internal(
            "outbox",
            format!(
                "an entry of the outbox cannot be read ({why}). If a later version of the program wrote it, upgrade \
                 this one; nothing is lost meanwhile"
            ),
        )
    };
    let form: Form = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    if form.v != FORM {
        return Err(unreadable(format!("form {}, known is {FORM}", form.v)));
    }
    let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    let value = stored.request.get();
    let request = match stored.request_version.cmp(&R::VERSION) {
        Ordering::Equal => serde_json::from_str(value).map_err(|error| error.to_string()),
        Ordering::Greater => Err(format!("its request has version {}", stored.request_version)),
        Ordering::Less => serde_json::from_str(value)
            .map_err(|error| error.to_string())
            .and_then(|value| R::migrate(stored.request_version, value)),
    };
    let request = request.map_err(|why| unreadable(format!("`{}`: {why}", stored.meta.key)))?;
    Ok(Entry {
        request: Arc::new(request),
        meta: stored.meta,
    })
}

impl Meta {
    pub(super) fn new(key: &str, at: Utc, lane: Option<Lane>, cause: &Cause) -> Self {
        let headers = cause.headers.iter().filter_map(|(name, value)| {
            let value = std::str::from_utf8(value).ok()?;
            Some((name.to_string(), value.to_owned()))
        });
        Self {
            key: key.into(),
            at,
            attempts: 0,
            first_sent: None,
            waiting_since: None,
            due: at,
            lane,
            headers: headers.collect(),
        }
    }

    /// The request's cause, in the partition that holds the entry.
    pub(super) fn cause(&self, partition: u32) -> Cause {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.push(name.as_str(), value.clone());
        }
        Cause { partition, headers }
    }
}
