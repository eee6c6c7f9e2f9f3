//! The value of a record: JSON with its type and version.

use std::cell::RefCell;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{TenantId, Utc};

/// A type of record that stages exchange.
pub trait Record: Serialize + DeserializeOwned {
    /// The type's name in an envelope, for instance `post`.
    const TYPE: &'static str;
    /// The version that this program writes. It reads this version and every earlier one.
    const VERSION: u32;
}

/// A versioned record: `{"type", "v", "tenant", "id", "at", "data"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope<T> {
    /// [`Record::TYPE`] of the data.
    #[serde(rename = "type")]
    pub kind: String,
    /// [`Record::VERSION`] of the writer.
    pub v: u32,
    /// The tenant that the record belongs to.
    pub tenant: TenantId,
    /// A function of the record's causes ([`crate::event_id`]). Two records with the same id are the same event.
    pub id: String,
    /// When the event happened, not when it was processed.
    pub at: Utc,
    /// The event itself.
    pub data: T,
}

/// Why bytes are not the expected envelope. A retry never helps.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or JSON of another shape.
    #[error("not a valid `{expected}` envelope: {source}")]
    Malformed {
        /// The type that was expected.
        expected: &'static str,
        /// The position and the reason.
        #[source]
        source: serde_json::Error,
    },
    /// The envelope has another type.
    #[error("expected a `{expected}` envelope, found `{found}`")]
    WrongType {
        /// The type that was expected.
        expected: &'static str,
        /// The type that the envelope names.
        found: String,
    },
    /// A later version of the program wrote the envelope.
    #[error("`{kind}` envelope of version {found}, this program reads up to {known}: upgrade it first")]
    TooNew {
        /// The type.
        kind: &'static str,
        /// The version that the envelope names.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
}

thread_local! {
    /// Records are encoded here and copied, so that a record takes as many bytes as it has and grows only once.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that a thread keeps for the next record.
const LARGEST_SCRATCH: usize = 64 << 10;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    v: u32,
}

impl<T: Record> Envelope<T> {
    /// An envelope in the current version around `data`.
    pub fn new(tenant: TenantId, id: String, at: Utc, data: T) -> Self {
        Self {
            kind: T::TYPE.to_owned(),
            v: T::VERSION,
            tenant,
            id,
            at,
            data,
        }
    }

    /// Whether this program wrote `value` as an envelope of this type. Does not read the rest.
    pub fn is_type_of(value: &[u8]) -> bool {
        // The type is the first field that `encode` writes.
        value
            .strip_prefix(br#"{"type":""#)
            .and_then(|rest| rest.strip_prefix(T::TYPE.as_bytes()))
            .is_some_and(|rest| rest.starts_with(b"\""))
    }

    /// The JSON bytes of a record's value.
    pub fn encode(&self) -> Vec<u8> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.shrink_to(LARGEST_SCRATCH);
            // The same bytes as from serde_json, in less time.
            sonic_rs::to_writer(&mut *scratch, self).expect("a record has string keys and finite numbers");
            scratch.clone()
        })
    }

    /// Reads a record's value. The error distinguishes three cases.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        // sonic-rs reads twice as fast; serde_json says what is wrong.
        let read = sonic_rs::from_slice::<Self>(bytes).or_else(|_| serde_json::from_slice::<Self>(bytes));
        match read {
            Ok(envelope) if envelope.kind == T::TYPE && envelope.v <= T::VERSION => Ok(envelope),
            Ok(envelope) => Err(Self::mismatch(&envelope.kind, envelope.v)),
            // The cause may be another type or a later version. Then the error must say so.
            Err(source) => match serde_json::from_slice::<Head<'_>>(bytes) {
                Ok(head) if head.kind != T::TYPE || head.v > T::VERSION => {
                    Err(Self::mismatch(&head.kind, head.v))
                }
                _ => Err(DecodeError::Malformed {
                    expected: T::TYPE,
                    source,
                }),
            },
        }
    }

    fn mismatch(kind: &str, version: u32) -> DecodeError {
        if kind == T::TYPE {
            DecodeError::TooNew {
                kind: T::TYPE,
                found: version,
                known: T::VERSION,
            }
        } else {
            DecodeError::WrongType {
                expected: T::TYPE,
                found: kind.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, OutcomeKind};

    fn outcome() -> Envelope<Outcome> {
        let data = Outcome::new("d", OutcomeKind::Click, "k");
        Envelope::new(TenantId::default(), "id".into(), Utc::from_millis(0), data)
    }

    #[test]
    fn an_envelope_is_unchanged_after_encoding_and_decoding() {
        assert_eq!(Envelope::decode(&outcome().encode()).unwrap(), outcome());
        assert!(Envelope::<Outcome>::is_type_of(&outcome().encode()));
        assert!(!Envelope::<crate::Post>::is_type_of(&outcome().encode()));
    }

    #[test]
    fn encoded_bytes_are_those_of_serde_json() {
        let text: String = (0..0x300_u32)
            .chain([0x2028, 0x1_f600, 0x10_ffff])
            .filter_map(char::from_u32)
            .collect();
        for value in [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1 + 0.2,
            1e-7,
            5e-324,
            1e15,
            1e16,
            1e21,
            f64::MAX,
            123_456_789.123_456_79,
        ] {
            let mut sent = outcome();
            sent.id.clone_from(&text);
            sent.data.value = Some(value);
            sent.data.count = u64::MAX;
            assert_eq!(sent.encode(), serde_json::to_vec(&sent).unwrap());
        }
        let post: crate::Post = serde_json::from_value(serde_json::json!({
            "network": "bluesky", "id": "1", "author": "9f86d081884c7d659a2feaa0c55ad015", "text": text,
            "created_at": "2026-11-30T00:00:00Z", "meta": {"a\n": [1, -2, 0.5, null, true, {"deep": {}}]},
        }))
        .unwrap();
        let post = Envelope::new(TenantId::default(), "id".into(), Utc::from_millis(0), post);
        assert_eq!(post.encode(), serde_json::to_vec(&post).unwrap());
    }

    #[test]
    fn bytes_that_are_not_json_are_refused_by_every_reader() {
        let outcome = String::from_utf8(outcome().encode()).unwrap();
        let valued = |value: &str| outcome.replace("\"kind\"", &format!("\"value\":{value},\"kind\""));
        assert!(Envelope::<Outcome>::decode(valued("1.5").as_bytes()).is_ok());
        assert!(Envelope::<Outcome>::decode(valued("1").as_bytes()).is_ok());
        for wrong in [
            valued("1e999"),
            valued("-1e999"),
            valued("NaN"),
            valued("01"),
            valued("1."),
            valued("+1"),
            valued("\"1\""),
            outcome.replace("\"k\"", "\"\u{1}\""),
            outcome.replace("\"k\"", "\"\\ud800\""),
            outcome.replace("\"k\"", "\"\\x\""),
            outcome.replace("\"k\"", "'k'"),
            outcome.replace("{\"type\"", "{,\"type\""),
            outcome.replace("\"v\":1", "\"v\":1,\"v\":1"),
            outcome.replace("\"v\":1", "\"v\":-1"),
            outcome.replace("\"v\":1", "\"v\":1.0"),
            outcome[..outcome.len() - 1].to_owned(),
            format!("{outcome}x"),
            format!("{outcome}{outcome}"),
        ] {
            assert!(
                serde_json::from_str::<Envelope<Outcome>>(&wrong).is_err(),
                "{wrong}"
            );
            assert!(Envelope::<Outcome>::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let mut bytes = outcome.clone().into_bytes();
        let place = outcome.find("\"k\"").unwrap() + 1;
        bytes[place] = 0xff;
        assert!(Envelope::<Outcome>::decode(&bytes).is_err());
    }

    #[test]
    fn decoded_numbers_are_equal_to_the_last_bit() {
        for value in [
            0.1,
            1.0 / 3.0,
            5e-324,
            f64::MAX,
            0.1 + 0.2,
            123_456_789.123_456_79,
        ] {
            let mut sent = outcome();
            sent.data.value = Some(value);
            let read = Envelope::<Outcome>::decode(&sent.encode()).unwrap();
            assert_eq!(read.data.value.map(f64::to_bits), Some(value.to_bits()));
        }
    }

    #[test]
    fn a_later_version_is_distinguished_from_invalid_json() {
        let later = r#"{"type":"outcome","v":999,"data":{}}"#;
        assert!(matches!(
            Envelope::<Outcome>::decode(later.as_bytes()),
            Err(DecodeError::TooNew { found: 999, .. })
        ));
        let other = r#"{"type":"post","v":1,"data":{}}"#;
        assert!(matches!(
            Envelope::<Outcome>::decode(other.as_bytes()),
            Err(DecodeError::WrongType { .. })
        ));
        assert!(matches!(
            Envelope::<Outcome>::decode(b"\xff{"),
            Err(DecodeError::Malformed { .. })
        ));
    }
}
