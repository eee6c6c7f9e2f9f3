//! What is known of the event time of one input partition: the part that concerns no single tenant.
//!
//! The event time of each tenant is in [`super::tenant_time`].

use std::collections::BTreeMap;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::WatermarkMark;

/// What a reader knows about a sender, or about one tenant of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender {
    #[serde(default = "least", skip_serializing_if = "is_least")]
    pub(super) at: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) idle: bool,
}

// A sender that names its tenants has no time for the others. Metadata is limited, so this is not written.
const fn least() -> i64 {
    i64::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_least(at: &i64) -> bool {
    *at == i64::MIN
}

impl Sender {
    /// Notes a mark of this sender. Its time never goes back.
    pub(super) fn note(known: Option<Self>, mark: &WatermarkMark) -> Self {
        let at = mark.at.as_millis();
        Self {
            at: known.map_or(at, |known| known.at.max(at)),
            idle: mark.idle,
        }
    }

    /// The effect of the sender on a reader's watermark.
    pub(super) fn time(self) -> InputTime {
        let at = Utc::from_millis(self.at);
        if self.idle {
            InputTime::Idle(at)
        } else {
            InputTime::At(at)
        }
    }
}

/// The state of one input partition, apart from tenants. It is small, because it is part of the commit's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct InputClock {
    /// Latest event time of a record, in milliseconds. Written by older programs, which had one event time for all tenants.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    former_latest: Option<i64>,
    /// The latest heartbeat. Written by older programs.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    former_heartbeat: Option<i64>,
    /// What each sender of a regrouped topic says of the tenants that it has not named. An idle sender has read everything:
    /// no reader waits for it to name a tenant.
    #[serde(rename = "s", default, skip_serializing_if = "BTreeMap::is_empty")]
    senders: BTreeMap<u32, Sender>,
    /// The number of senders.
    #[serde(rename = "n", default)]
    of: u32,
    /// Whether everything that was written until a moment ago has been read. Not stored: the next instance determines it
    /// again.
    #[serde(skip)]
    caught_up: bool,
}

/// The clock that an older program kept for all tenants of an input partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormerClock {
    pub(super) latest: Option<i64>,
    pub(super) heartbeat: Option<i64>,
}

/// How long an input has had no records of a tenant (wall clock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Silence {
    /// Not for long enough to matter.
    #[default]
    None,
    /// Long enough that it does not hold other inputs back. A record of its own may still arrive with the stated disorder.
    Idle,
    /// As long as the stated disorder: what was on its way has arrived.
    Settled,
}

/// The effect of an input on the watermark of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputTime {
    /// The watermark must not pass this time.
    At(Utc),
    /// The input does not hold the watermark back. Its records have reached this time.
    Idle(Utc),
}

impl InputClock {
    /// Notes a mark that names no tenant.
    pub(super) fn saw_general_mark(&mut self, mark: &WatermarkMark) {
        let known = self.senders.get(&mark.source).copied();
        self.senders.insert(mark.source, Sender::note(known, mark));
    }

    /// Notes how many senders there are.
    pub(super) fn saw_number_of_senders(&mut self, of: u32) {
        self.of = self.of.max(of);
    }

    /// The number of senders; 0 = not known yet.
    pub(super) const fn number_of_senders(&self) -> u32 {
        self.of
    }

    /// What a sender says of the tenants that it has not named; `None` = nothing yet.
    pub(super) fn general(&self, source: u32) -> Option<Sender> {
        self.senders.get(&source).copied()
    }

    /// Whether all senders have read everything.
    pub(super) fn senders_are_idle(&self) -> bool {
        self.of > 0 && (0..self.of).all(|source| self.general(source).is_some_and(|sender| sender.idle))
    }

    /// Whether the stage that writes this input has said that records wait before it. (Of an input that is not regrouped, it is
    /// the only sender.)
    pub(super) fn has_waiting_records(&self) -> bool {
        self.senders.values().any(|sender| !sender.idle)
    }

    pub(super) const fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    pub(super) const fn set_caught_up(&mut self, caught_up: bool) {
        self.caught_up = caught_up;
    }

    /// Takes out what an older program kept for all tenants.
    pub(super) fn take_former(&mut self) -> FormerClock {
        FormerClock {
            latest: self.former_latest.take(),
            heartbeat: self.former_heartbeat.take(),
        }
    }
}

/// The watermark over inputs: the minimum over those that hold it back, or the maximum if all are idle.
pub(super) fn combine(inputs: impl Iterator<Item = InputTime>) -> InputTime {
    let mut held_back: Option<Utc> = None;
    let mut through = Utc::MIN;
    for input in inputs {
        match input {
            InputTime::At(at) => held_back = Some(held_back.map_or(at, |least| least.min(at))),
            InputTime::Idle(at) => through = through.max(at),
        }
    }
    held_back.map_or(InputTime::Idle(through), InputTime::At)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_input_does_not_advance_time_past_a_busy_one() {
        let inputs = [
            InputTime::Idle(Utc::from_millis(900)),
            InputTime::At(Utc::from_millis(3)),
        ];
        assert_eq!(combine(inputs.into_iter()), InputTime::At(Utc::from_millis(3)));
        assert_eq!(
            combine(std::iter::once(InputTime::Idle(Utc::from_millis(900)))),
            InputTime::Idle(Utc::from_millis(900))
        );
    }

    #[test]
    fn the_senders_of_many_partitions_fit_into_the_metadata_of_a_commit() {
        let mut clock = InputClock::default();
        clock.saw_number_of_senders(128);
        for source in 0..128 {
            clock.saw_general_mark(&WatermarkMark {
                source,
                of: 128,
                tenant: None,
                at: Utc::MIN,
                idle: true,
            });
        }
        let text = serde_json::to_string(&clock).unwrap();
        assert!(text.len() < 3_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<InputClock>(&text).unwrap(), clock);
        assert!(clock.senders_are_idle());
    }

    #[test]
    fn an_input_clock_is_unchanged_after_encoding_and_decoding_and_gives_up_the_former_one() {
        let text = r#"{"t":7,"h":9,"s":{"0":{"at":100,"idle":true}},"n":2}"#;
        let mut clock: InputClock = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&clock).unwrap(), text);
        let former = FormerClock {
            latest: Some(7),
            heartbeat: Some(9),
        };
        assert_eq!(clock.take_former(), former);
        assert_eq!(clock.general(0), Some(Sender { at: 100, idle: true }));
        assert!(!clock.senders_are_idle(), "the second sender has said nothing");
    }
}
