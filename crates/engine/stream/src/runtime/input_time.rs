//! Event time of one partition number: from records, from marks of senders, from idleness.

use std::collections::BTreeMap;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use crate::{EventTime, WatermarkMark};

/// A sender, as a reader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender {
    at: i64,
    idle: bool,
}

/// What is known of the event time of one input partition. Small: it travels in the commit's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct InputClock {
    /// Latest event time of a record, in milliseconds.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    latest: Option<i64>,
    /// The latest explicit mark (a heartbeat of an edge).
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    heartbeat: Option<i64>,
    /// The senders of a regrouped topic.
    #[serde(rename = "s", default, skip_serializing_if = "BTreeMap::is_empty")]
    senders: BTreeMap<u32, Sender>,
    /// How many senders there are.
    #[serde(rename = "n", default)]
    of: u32,
    /// Nothing to read for a while. Not stored: the next instance looks for itself.
    #[serde(skip)]
    idle: bool,
}

/// How far an input partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputTime {
    /// It holds time back at this watermark.
    At(Utc),
    /// It holds nothing back; its records reached this far.
    Idle(Utc),
}

impl InputClock {
    /// A record was read.
    pub(super) fn saw_record(&mut self, at: Utc) {
        self.latest = Some(
            self.latest
                .map_or(at.as_millis(), |latest| latest.max(at.as_millis())),
        );
        self.idle = false;
    }

    /// A mark was read. Answers whether it says something new.
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

    /// Whether there is nothing to read. Answers whether that is news.
    pub(super) fn set_idle(&mut self, idle: bool) -> bool {
        std::mem::replace(&mut self.idle, idle) != idle
    }

    /// The explicit mark, if there is one.
    pub(super) fn heartbeat(&self) -> Option<Utc> {
        self.heartbeat.map(Utc::from_millis)
    }

    /// How far this input has come.
    pub(super) fn time(&self, time: EventTime) -> InputTime {
        match time {
            EventTime::Ignored => InputTime::Idle(Utc::MIN),
            EventTime::Records { disorder } => {
                let latest = self.latest.map_or(Utc::MIN, Utc::from_millis);
                let heartbeat = self.heartbeat().unwrap_or(Utc::MIN);
                if self.idle {
                    // Everything up to and including the latest record is through.
                    let through = if self.latest.is_some() {
                        latest.plus_millis(1)
                    } else {
                        Utc::MIN
                    };
                    InputTime::Idle(through.max(heartbeat))
                } else if self.latest.is_none() {
                    InputTime::At(heartbeat)
                } else {
                    let disorder = i64::try_from(disorder.as_millis()).unwrap_or(i64::MAX);
                    InputTime::At(latest.plus_millis(-disorder).max(heartbeat))
                }
            }
            EventTime::Sources => self.time_of_senders(),
        }
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

/// The watermark of a partition number from its inputs: the least of those that hold time back; where all are idle, the
/// greatest.
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
    use std::time::Duration;

    use super::*;

    fn mark(source: u32, at: i64, idle: bool) -> WatermarkMark {
        WatermarkMark {
            source,
            of: 2,
            at: Utc::from_millis(at),
            idle,
        }
    }

    const RECORDS: EventTime = EventTime::Records {
        disorder: Duration::from_millis(10),
    };

    #[test]
    fn time_waits_for_every_sender() {
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
    fn an_idle_sender_is_not_waited_for_until_it_speaks_again() {
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
    fn records_trail_by_their_disorder_and_a_heartbeat_overrides() {
        let mut clock = InputClock::default();
        clock.saw_record(Utc::from_millis(100));
        clock.saw_record(Utc::from_millis(95));
        assert_eq!(clock.time(RECORDS), InputTime::At(Utc::from_millis(90)));
        clock.saw_mark(RECORDS, &mark(0, 500, false));
        assert_eq!(clock.time(RECORDS), InputTime::At(Utc::from_millis(500)));
    }

    #[test]
    fn a_clock_survives_its_own_metadata() {
        let mut clock = InputClock::default();
        clock.saw_mark(EventTime::Sources, &mark(0, 100, true));
        clock.saw_record(Utc::from_millis(7));
        let text = serde_json::to_string(&clock).unwrap();
        assert_eq!(serde_json::from_str::<InputClock>(&text).unwrap(), clock);
    }

    #[test]
    fn one_busy_input_holds_an_idle_one() {
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
