//! Frequency caps: how often one campaign may reach one person within a window of event time.

use std::collections::VecDeque;

use limbic_domain::{HumanDuration, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// At most `times` contacts within `window` of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// Number of contacts.
    pub times: u32,
    /// Length of the window, in event time.
    pub window: HumanDuration,
}

/// The longest window of all caps, in milliseconds; 0 without caps.
pub fn longest_window_millis(caps: &[FrequencyCap]) -> i64 {
    caps.iter().map(|cap| cap.window.as_millis()).max().unwrap_or(0)
}

/// The times at which one campaign reached one person, ascending. Never longer than the largest cap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Contacts(VecDeque<Utc>);

impl Contacts {
    /// Whether every cap allows one more contact at `at`.
    pub fn allows(&self, at: Utc, caps: &[FrequencyCap]) -> bool {
        caps.iter().all(|cap| {
            // A contact later than `at` (records may be out of order) also counts.
            let recent = self
                .0
                .iter()
                .filter(|past| at.millis_since(**past) < cap.window.as_millis());
            recent.count() < cap.times as usize
        })
    }

    /// Records a contact.
    pub fn record(&mut self, at: Utc, caps: &[FrequencyCap]) {
        let most = caps.iter().map(|cap| cap.times as usize).max().unwrap_or(0);
        let place = self.0.partition_point(|past| *past <= at);
        self.0.insert(place, at);
        while self.0.len() > most {
            self.0.pop_front();
        }
    }

    /// Removes a contact that did not happen.
    pub fn retract(&mut self, at: Utc) {
        if let Some(place) = self.0.iter().position(|past| *past == at) {
            self.0.remove(place);
        }
    }

    /// When the last contact leaves the longest window; `None` if there are no contacts.
    pub fn expires(&self, caps: &[FrequencyCap]) -> Option<Utc> {
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
            assert_eq!(contacts.allows(at(time), &CAPS), allowed, "{time}");
            if allowed {
                contacts.record(at(time), &CAPS);
            }
        }
    }

    #[test]
    fn what_did_not_happen_does_not_count() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.expires(&CAPS), None);
        contacts.record(at(5), &CAPS);
        contacts.record(at(6), &CAPS);
        assert!(!contacts.allows(at(7), &CAPS));
        assert_eq!(contacts.expires(&CAPS), Some(at(1006)));
        contacts.retract(at(6));
        assert!(contacts.allows(at(7), &CAPS));
    }
}
