//! Frequency caps: how often one person may be reached by one campaign within a window of event time.

use std::collections::VecDeque;

use limbic_domain::{HumanDuration, Utc};
use serde::{Deserialize, Serialize};

/// At most `times` contacts within `window` of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// How often.
    pub times: u32,
    /// The window, in event time.
    pub window: HumanDuration,
}

/// How far back any of the caps looks, in milliseconds.
pub fn longest_window_millis(caps: &[FrequencyCap]) -> i64 {
    caps.iter().map(|cap| cap.window.as_millis()).max().unwrap_or(0)
}

/// When one person was reached by one campaign, ascending. Never longer than the largest cap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Contacts(VecDeque<Utc>);

impl Contacts {
    /// Whether one more contact at `at` stays within every cap.
    pub fn allow(&self, at: Utc, caps: &[FrequencyCap]) -> bool {
        caps.iter().all(|cap| {
            // A contact later than `at` (records may come out of order) counts against the cap too.
            let recent = self
                .0
                .iter()
                .filter(|past| at.millis_since(**past) < cap.window.as_millis());
            recent.count() < cap.times as usize
        })
    }

    /// Notes a contact.
    pub fn note(&mut self, at: Utc, caps: &[FrequencyCap]) {
        let most = caps.iter().map(|cap| cap.times as usize).max().unwrap_or(0);
        let place = self.0.partition_point(|past| *past <= at);
        self.0.insert(place, at);
        while self.0.len() > most {
            self.0.pop_front();
        }
    }

    /// Takes a contact back that did not happen.
    pub fn retract(&mut self, at: Utc) {
        if let Some(place) = self.0.iter().position(|past| *past == at) {
            self.0.remove(place);
        }
    }

    /// When no cap looks back to any of it any more; `None` if there is nothing.
    pub fn expire(&self, caps: &[FrequencyCap]) -> Option<Utc> {
        let latest = self.0.back()?;
        Some(latest.plus_millis(longest_window_millis(caps)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: [FrequencyCap; 2] = [
        FrequencyCap {
            times: 2,
            window: HumanDuration::from_millis(100),
        },
        FrequencyCap {
            times: 3,
            window: HumanDuration::from_secs(1),
        },
    ];

    fn at(millis: i64) -> Utc {
        Utc::from_millis(millis)
    }

    #[test]
    fn every_cap_holds_and_its_window_moves() {
        let mut contacts = Contacts::default();
        let chances = [
            (0, true),
            (10, true),
            (20, false),
            (100, true),
            (150, false),
            (999, false),
            (1000, true),
        ];
        for (time, allowed) in chances {
            assert_eq!(contacts.allow(at(time), &CAPS), allowed, "{time}");
            if allowed {
                contacts.note(at(time), &CAPS);
            }
        }
    }

    #[test]
    fn what_did_not_happen_does_not_count() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.expire(&CAPS), None);
        contacts.note(at(5), &CAPS);
        contacts.note(at(6), &CAPS);
        assert!(!contacts.allow(at(7), &CAPS));
        assert_eq!(contacts.expire(&CAPS), Some(at(1006)));
        contacts.retract(at(6));
        assert!(contacts.allow(at(7), &CAPS));
    }
}
