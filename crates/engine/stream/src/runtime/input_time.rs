//! The event time of a partition number, from records, from marks of senders, and from idleness.

use std::collections::BTreeMap;
use std::time::Duration;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::{EventTime, WatermarkMark};

/// What a reader knows about a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender {
    at: i64,
    idle: bool,
}

/// The event time of one input partition. It is small, because it is part of the commit's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct InputClock {
    /// Latest event time of a record, in milliseconds.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    latest: Option<i64>,
    /// The latest explicit mark (a heartbeat from an edge).
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    heartbeat: Option<i64>,
    /// The senders of a regrouped topic.
    #[serde(rename = "s", default, skip_serializing_if = "BTreeMap::is_empty")]
    senders: BTreeMap<u32, Sender>,
    /// The number of senders.
    #[serde(rename = "n", default)]
    of: u32,
    /// How long there has been nothing to read. Not stored: the next instance determines it again.
    #[serde(skip)]
    silence: Silence,
}

/// How long an input partition has had nothing to read (wall clock).
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

/// The effect of an input partition on the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputTime {
    /// The watermark must not pass this time.
    At(Utc),
    /// The input does not hold the watermark back. Its records have reached this time.
    Idle(Utc),
}

impl InputClock {
    /// Notes a record.
    pub(super) fn saw_record(&mut self, at: Utc) {
        self.latest = Some(
            self.latest
                .map_or(at.as_millis(), |latest| latest.max(at.as_millis())),
        );
        self.silence = Silence::None;
    }

    /// Notes a mark. Returns whether it changed anything.
    pub(super) fn saw_mark(&mut self, time: EventTime, mark: &WatermarkMark) -> bool {
        let before = self.clone();
        if time == EventTime::Sources {
            self.of = self.of.max(mark.of);
            let sender = self.senders.entry(mark.source).or_insert(Sender {
                at: mark.at.as_millis(),
                idle: mark.idle,
            });
            sender.at = sender.at.max(mark.at.as_millis());
            sender.idle = mark.idle;
        } else {
            let at = mark.at.as_millis();
            self.heartbeat = Some(self.heartbeat.map_or(at, |known| known.max(at)));
        }
        *self != before
    }

    /// Notes how long there has been nothing to read. Returns whether this has changed.
    pub(super) fn set_silence(&mut self, silence: Silence) -> bool {
        std::mem::replace(&mut self.silence, silence) != silence
    }

    /// The latest explicit mark, if there is one.
    pub(super) fn heartbeat(&self) -> Option<Utc> {
        self.heartbeat.map(Utc::from_millis)
    }

    /// The effect of this input on the watermark.
    pub(super) fn time(&self, time: EventTime) -> InputTime {
        match time {
            EventTime::Ignored => InputTime::Idle(Utc::MIN),
            EventTime::Following { disorder } => InputTime::Idle(self.time_of_records(disorder)),
            EventTime::Records { disorder } => {
                let through = self.time_of_records(disorder);
                match self.silence {
                    Silence::None => InputTime::At(through),
                    Silence::Idle | Silence::Settled => InputTime::Idle(through),
                }
            }
            EventTime::Sources => self.time_of_senders(),
        }
    }

    fn time_of_records(&self, disorder: Duration) -> Utc {
        let through = match self.latest.map(Utc::from_millis) {
            None => Utc::MIN,
            // Everything up to and including the latest record has been read.
            Some(latest) if self.silence == Silence::Settled => latest.plus_millis(1),
            Some(latest) => latest.plus_millis(-i64::try_from(disorder.as_millis()).unwrap_or(i64::MAX)),
        };
        through.max(self.heartbeat().unwrap_or(Utc::MIN))
    }

    fn time_of_senders(&self) -> InputTime {
        if self.of == 0 || self.senders.len() < self.of as usize {
            return InputTime::At(Utc::MIN);
        }
        let busy = self
            .senders
            .values()
            .filter(|sender| !sender.idle)
            .map(|sender| sender.at)
            .min();
        match busy {
            Some(at) => InputTime::At(Utc::from_millis(at)),
            None => InputTime::Idle(Utc::from_millis(
                self.senders
                    .values()
                    .map(|sender| sender.at)
                    .max()
                    .unwrap_or(i64::MIN),
            )),
        }
    }
}

/// The watermark of a partition number: the minimum over the inputs that hold it back, or the maximum if all are idle.
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

    fn mark(source: u32, at: i64, idle: bool) -> WatermarkMark {
        WatermarkMark {
            source,
            of: 2,
            at: Utc::from_millis(at),
            idle,
        }
    }

    #[test]
    fn an_input_that_follows_holds_nothing_back_and_moves_time_when_the_others_are_idle() {
        let follows = EventTime::Following {
            disorder: Duration::from_millis(10),
        };
        let at = Utc::from_millis;
        let (mut leads, mut comes_after) = (InputClock::default(), InputClock::default());
        let time = |leads: &InputClock, comes_after: &InputClock| {
            combine([leads.time(RECORDS), comes_after.time(follows)].into_iter())
        };
        leads.saw_record(at(100));
        assert_eq!(
            time(&leads, &comes_after),
            InputTime::At(at(90)),
            "it has no record yet"
        );
        comes_after.saw_record(at(40));
        assert_eq!(time(&leads, &comes_after), InputTime::At(at(90)));
        comes_after.saw_record(at(140));
        assert_eq!(time(&leads, &comes_after), InputTime::At(at(90)));
        leads.set_silence(Silence::Idle);
        assert_eq!(time(&leads, &comes_after), InputTime::Idle(at(130)));
        comes_after.set_silence(Silence::Settled);
        assert_eq!(time(&leads, &comes_after), InputTime::Idle(at(141)));
    }

    const RECORDS: EventTime = EventTime::Records {
        disorder: Duration::from_millis(10),
    };

    #[test]
    fn the_watermark_waits_for_every_sender() {
        let mut clock = InputClock::default();
        assert_eq!(clock.time(EventTime::Sources), InputTime::At(Utc::MIN));
        clock.saw_mark(EventTime::Sources, &mark(0, 100, false));
        assert_eq!(clock.time(EventTime::Sources), InputTime::At(Utc::MIN));
        clock.saw_mark(EventTime::Sources, &mark(1, 40, false));
        assert_eq!(
            clock.time(EventTime::Sources),
            InputTime::At(Utc::from_millis(40))
        );
        clock.saw_mark(EventTime::Sources, &mark(1, 30, false));
        assert_eq!(
            clock.time(EventTime::Sources),
            InputTime::At(Utc::from_millis(40)),
            "never backwards"
        );
    }

    #[test]
    fn an_idle_sender_does_not_hold_the_watermark_back_until_it_sends_again() {
        let mut clock = InputClock::default();
        clock.saw_mark(EventTime::Sources, &mark(0, 100, false));
        clock.saw_mark(EventTime::Sources, &mark(1, 40, true));
        assert_eq!(
            clock.time(EventTime::Sources),
            InputTime::At(Utc::from_millis(100))
        );
        clock.saw_mark(EventTime::Sources, &mark(0, 100, true));
        assert_eq!(
            clock.time(EventTime::Sources),
            InputTime::Idle(Utc::from_millis(100))
        );
        clock.saw_mark(EventTime::Sources, &mark(1, 120, false));
        assert_eq!(
            clock.time(EventTime::Sources),
            InputTime::At(Utc::from_millis(120))
        );
    }

    #[test]
    fn time_is_the_latest_record_less_the_disorder_and_a_heartbeat_overrides_it() {
        let mut clock = InputClock::default();
        clock.saw_record(Utc::from_millis(100));
        clock.saw_record(Utc::from_millis(95));
        assert_eq!(clock.time(RECORDS), InputTime::At(Utc::from_millis(90)));
        clock.saw_mark(RECORDS, &mark(0, 500, false));
        assert_eq!(clock.time(RECORDS), InputTime::At(Utc::from_millis(500)));
    }

    #[test]
    fn silence_never_takes_time_past_the_stated_disorder_before_the_disorder_has_passed() {
        let mut clock = InputClock::default();
        clock.saw_record(Utc::from_millis(100));
        clock.set_silence(Silence::Idle);
        // A record of time 92 may still be on its way. Other inputs do not wait for it.
        assert_eq!(clock.time(RECORDS), InputTime::Idle(Utc::from_millis(90)));
        clock.set_silence(Silence::Settled);
        assert_eq!(clock.time(RECORDS), InputTime::Idle(Utc::from_millis(101)));
        clock.saw_record(Utc::from_millis(100));
        assert_eq!(clock.time(RECORDS), InputTime::At(Utc::from_millis(90)));
    }

    #[test]
    fn an_input_clock_is_unchanged_after_encoding_and_decoding() {
        let mut clock = InputClock::default();
        clock.saw_mark(EventTime::Sources, &mark(0, 100, true));
        clock.saw_record(Utc::from_millis(7));
        let text = serde_json::to_string(&clock).unwrap();
        assert_eq!(serde_json::from_str::<InputClock>(&text).unwrap(), clock);
    }

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
}
