//! Outcomes of decisions: deliveries, impressions, clicks, conversions.

use std::cmp::{Ordering, Reverse};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Pseudonym, Record, Utc};

/// The kind of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The ad platform accepted the ad. Written by the deliver stage, never by the API.
    Delivered,
    /// The ad platform refused the ad permanently. Written by the deliver stage, never by the API.
    Refused,
    /// The ad was chosen but not sent: its subject was put on hold in between. Written by the deliver stage, never by the API.
    Withdrawn,
    /// The platform stopped showing the ad, because its subject was put on hold. Written by the deliver stage, never by the API.
    Paused,
    /// A person saw the ad.
    Impression,
    /// A person clicked the ad.
    Click,
    /// A person did what the advertiser wants.
    Conversion,
    /// A person closed, hid or reported the ad.
    Dismissal,
}

/// What a sender says of an event that a decision caused. Its envelope's `at` is the time of the event, and its `id` is a
/// function of decision and key.
///
/// A sender may correct itself: it states the outcome again under the same key. The [latest statement](Statement) of a key
/// counts, everywhere: for the policy, in the view, in the series, in an evaluation. The event happened at the earliest time
/// that a statement of its key names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The decision's id.
    pub decision: String,
    /// The kind of the event.
    pub kind: OutcomeKind,
    /// The value of the conversions that the outcome reports, all together, in the campaign's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How many events of this kind the outcome reports, at least 1. An ad platform that reports numbers and not events
    /// sends one outcome for each interval.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// The person, by the pseudonym that the delivery named. Absent if the sender does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Pseudonym>,
    /// The sender's idempotency key. The same statement under the same key is a duplicate.
    pub key: String,
    /// Whether the sender takes the outcome back: the event did not happen, or must not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// The sender's number of this statement. A higher number is later, whatever [`Outcome::stated_at`] says.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u64,
    /// When the sender made this statement, by its clock. The edge writes its own time if the sender gives none. The deliver
    /// stage writes when the ad platform answered: of a `delivered` outcome, when the ad was delivered. Absent in records of
    /// earlier versions: then the envelope's `at` takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_at: Option<Utc>,
    /// What the statement before this one said, if there was one. Written by the ingest stage, so that sums can be corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaced>,
    /// The ad platform's message, for a refusal; the reason, for a withdrawal or a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Outcome {
    /// One event of this kind, stated once, without value and person.
    pub fn new(decision: impl Into<String>, kind: OutcomeKind, key: impl Into<String>) -> Self {
        Self {
            decision: decision.into(),
            kind,
            value: None,
            count: 1,
            person: None,
            key: key.into(),
            withdrawn: false,
            revision: 0,
            stated_at: None,
            replaces: None,
            detail: None,
        }
    }

    /// What the outcome states. `at` is the time of its envelope.
    pub fn statement(&self, at: Utc) -> Statement {
        Statement {
            revision: self.revision,
            stated_at: self.stated_at.unwrap_or(at),
            withdrawn: self.withdrawn,
            kind: self.kind,
            value: self.value,
            count: self.count,
        }
    }

    /// Whether the sender says that an earlier statement is wrong, even if that statement is not known here.
    pub const fn is_correction(&self) -> bool {
        self.replaces.is_some() || self.withdrawn || self.revision > 0
    }
}

impl Record for Outcome {
    const TYPE: &'static str = "outcome";
    const VERSION: u32 = 1;
}

/// What an earlier statement of an outcome said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// The kind of the event.
    pub kind: OutcomeKind,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How many events it reported. 0 if it was withdrawn.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// The time under which it was counted.
    pub at: Utc,
}

/// One statement about an outcome, and its place among all statements with the same decision and key.
///
/// The statement with the highest revision counts, and among those the one with the latest `stated_at`. **Ties**, where a
/// sender gives neither: a withdrawal wins, then the smaller value, then the smaller count, then the kind that [`OutcomeKind`]
/// lists first. So the order in which statements arrive never matters, and a doubt never adds to a reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statement {
    /// As in [`Outcome::revision`].
    pub revision: u64,
    /// As in [`Outcome::stated_at`].
    pub stated_at: Utc,
    /// As in [`Outcome::withdrawn`].
    pub withdrawn: bool,
    /// As in [`Outcome::kind`].
    pub kind: OutcomeKind,
    /// As in [`Outcome::value`].
    pub value: Option<f64>,
    /// As in [`Outcome::count`].
    pub count: u64,
}

impl Statement {
    /// Whether both say the same of the event, whenever they said it.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let content = |statement: &Self| {
            let value = statement.value.map(f64::to_bits);
            (statement.withdrawn, statement.kind, value, statement.count)
        };
        content(self) == content(other)
    }

    /// The order of the statements about one outcome: the greatest counts.
    pub fn order(&self, other: &Self) -> Ordering {
        let when = |statement: &Self| (statement.revision, statement.stated_at);
        // Values are not negative, so their bits are in their order.
        let tie = |statement: &Self| {
            let value = statement.value.map(f64::to_bits);
            let least = (Reverse(value), Reverse(statement.count), Reverse(statement.kind));
            (statement.withdrawn, least)
        };
        (when(self), tie(self)).cmp(&(when(other), tie(other)))
    }

    /// What a later statement replaces. `at` is the time under which this one was counted.
    pub const fn replaced(&self, at: Utc) -> Replaced {
        Replaced {
            kind: self.kind,
            value: self.value,
            count: if self.withdrawn { 0 } else { self.count },
            at,
        }
    }
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_one(count: &u64) -> bool {
    *count == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(revision: u64, stated_at: i64, value: f64) -> Statement {
        let outcome = Outcome {
            revision,
            stated_at: Some(Utc::from_millis(stated_at)),
            value: Some(value),
            ..Outcome::new("d", OutcomeKind::Conversion, "k")
        };
        outcome.statement(Utc::from_millis(0))
    }

    #[test]
    fn the_latest_statement_counts_and_a_tie_never_adds_to_a_reward() {
        let withdrawn = Statement {
            withdrawn: true,
            ..statement(1, 5, 9.0)
        };
        let ascending = [
            statement(0, 9, 5.0),
            statement(1, 5, 7.0),
            statement(1, 5, 3.0),
            withdrawn,
            statement(1, 6, 8.0),
        ];
        for (place, earlier) in ascending.iter().enumerate() {
            for later in &ascending[place + 1..] {
                assert_eq!(later.order(earlier), Ordering::Greater, "{earlier:?} {later:?}");
                assert_eq!(earlier.order(later), Ordering::Less);
            }
            assert_eq!(earlier.order(earlier), Ordering::Equal);
        }
        assert!(statement(0, 1, 2.0).says_the_same_as(&statement(3, 4, 2.0)));
        assert!(!withdrawn.says_the_same_as(&statement(1, 5, 9.0)));
    }

    #[test]
    fn a_record_of_an_earlier_version_is_one_event_stated_at_its_own_time() {
        let text = r#"{"decision": "d", "kind": "click", "key": "k"}"#;
        let outcome: Outcome = serde_json::from_str(text).unwrap();
        assert_eq!(outcome, Outcome::new("d", OutcomeKind::Click, "k"));
        assert_eq!(
            outcome.statement(Utc::from_millis(7)).stated_at,
            Utc::from_millis(7)
        );
        let again = serde_json::to_string(&outcome).unwrap();
        assert_eq!(again, text.replace(": ", ":").replace(", ", ","));
    }
}
