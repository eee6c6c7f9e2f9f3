//! The outbox: what is still to be sent, in the stage's state.
//!
//! Two shelves per platform, so that one that rests holds up no other, each in the order of its times:
//! `n/PLATFORM/TIME/DECISION` what was never tried, by the moment's time; `r/PLATFORM/TIME/DECISION` what is to be tried
//! again, by when it is due. Times are big-endian, so that the state's key order is time's order.

use bytes::Bytes;
use limbic_domain::{Slug, Utc};
use limbic_stream::{Cause, Headers, Outputs, StageError};
use serde::{Deserialize, Serialize};

use crate::Delivery;

/// An entry of the outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The entry's form.
    v: u32,
    /// What is to be sent.
    pub(crate) delivery: Delivery,
    /// How many attempts failed.
    pub(crate) attempts: u32,
    /// When it was first tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_tried: Option<Utc>,
    /// Headers of the decision, to travel on with the outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
}

const FORM: u32 = 1;

impl Entry {
    pub(crate) fn new(delivery: Delivery, cause: &Cause) -> Self {
        let headers = cause.headers.iter().filter_map(|(name, value)| {
            let value = std::str::from_utf8(value).ok()?;
            Some((name.to_string(), value.to_owned()))
        });
        Self {
            v: FORM,
            delivery,
            attempts: 0,
            first_tried: None,
            headers: headers.collect(),
        }
    }

    /// The decision's record as a cause, in the partition that holds the entry.
    pub(crate) fn cause(&self, partition: u32) -> Cause {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.push(name.as_str(), value.clone());
        }
        Cause { partition, headers }
    }

    /// When something that happens now happens in the decision's own time: as long after its moment as `now` is after
    /// the edge took what led to it. Live that is now; in a replay it is then, so that the outcomes of an old stream
    /// do not carry its decisions' windows into the present.
    pub(crate) fn event_time(&self, now: Utc) -> Utc {
        let accepted = self
            .headers
            .iter()
            .find(|(name, _)| name == limbic_stream::header::ACCEPTED_AT)
            .and_then(|(_, millis)| millis.parse().ok());
        match accepted {
            Some(accepted) => {
                let since = now.millis_since(Utc::from_millis(accepted)).max(0);
                self.delivery.timestamp.plus_millis(since)
            }
            None => now,
        }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has string keys and finite numbers")
    }

    fn decode(bytes: &[u8]) -> Result<Self, StageError> {
        let unreadable = |why: String| {
            StageError::internal(
                "outbox",
                format!(
                    "an entry of the outbox cannot be read ({why}): was it written by a later program? upgrade this one"
                ),
            )
        };
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        if entry.v > FORM {
            return Err(unreadable(format!("form {}, known up to {FORM}", entry.v)));
        }
        Ok(entry)
    }
}

/// An entry with the place it was found at.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) partition: u32,
    pub(crate) key: Bytes,
    pub(crate) entry: Entry,
}

fn shelf(kind: char, platform: &Slug) -> Vec<u8> {
    format!("{kind}/{platform}/").into_bytes()
}

fn key(mut shelf: Vec<u8>, time: Utc, decision: &str) -> Vec<u8> {
    shelf.extend_from_slice(&sortable(time));
    shelf.push(b'/');
    shelf.extend_from_slice(decision.as_bytes());
    shelf
}

/// Big-endian with the sign flipped: the order of bytes is the order of times.
const fn sortable(time: Utc) -> [u8; 8] {
    (time.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Puts a new entry in. The same decision again, unsent, is the same entry.
pub(crate) fn put_new(out: &mut Outputs<'_>, partition: u32, entry: &Entry) {
    let key = key(
        shelf('n', entry.delivery.platform()),
        entry.delivery.timestamp,
        &entry.delivery.decision,
    );
    out.put(partition, key, entry.encode());
}

/// Puts an entry back, to be tried again from `due` on.
pub(crate) fn put_back(out: &mut Outputs<'_>, partition: u32, entry: &Entry, due: Utc) {
    let key = key(
        shelf('r', entry.delivery.platform()),
        due,
        &entry.delivery.decision,
    );
    out.put(partition, key, entry.encode());
}

/// Up to `limit` entries for `platform` that are due at `now`, retries first, partitions in turn.
pub(crate) fn due(
    out: &Outputs<'_>,
    partitions: &[u32],
    platform: &Slug,
    now: Utc,
    limit: usize,
) -> Result<Vec<Due>, StageError> {
    let mut found = Vec::new();
    for kind in ['r', 'n'] {
        let shelf = shelf(kind, platform);
        for &partition in partitions {
            let room = limit - found.len();
            if room == 0 {
                return Ok(found);
            }
            for (key, value) in out.scan(partition, &shelf, &shelf, room)? {
                let is_due = kind == 'n' || key[shelf.len()..] < sortable(now.plus_millis(1))[..];
                if !is_due {
                    break;
                }
                found.push(Due {
                    partition,
                    entry: Entry::decode(&value)?,
                    key,
                });
            }
        }
    }
    Ok(found)
}
