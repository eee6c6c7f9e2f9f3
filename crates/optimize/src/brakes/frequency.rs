//! Frequency caps: how often one person may be reached by one campaign within a window of event time.

use std::collections::{BTreeMap, VecDeque};

use limbic_domain::{Pseudonym, Utc};
use serde::{Deserialize, Serialize};

/// At most `times` within `window_ms` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// How often, at least 1.
    pub times: u32,
    /// Within how many milliseconds.
    pub window_ms: i64,
}

/// When the people of one campaign were reached.
///
/// Bounded: what no cap looks back to is forgotten with [`Contacts::forget`], and no person has more entries than the
/// largest cap allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contacts(BTreeMap<Pseudonym, VecDeque<Utc>>);

impl Contacts {
    /// Whether one more contact at `at` stays within every cap.
    pub fn allows(&self, person: &Pseudonym, at: Utc, caps: &[FrequencyCap]) -> bool {
        let Some(contacts) = self.0.get(person) else {
            return caps.iter().all(|cap| cap.times > 0);
        };
        caps.iter().all(|cap| {
            // A contact later than `at` (records may come out of order) counts against the cap too.
            let recent = contacts
                .iter()
                .filter(|past| at.millis_since(**past) < cap.window_ms);
            recent.count() < cap.times as usize
        })
    }

    /// Notes a contact.
    pub fn note(&mut self, person: &Pseudonym, at: Utc, caps: &[FrequencyCap]) {
        let most = caps.iter().map(|cap| cap.times as usize).max().unwrap_or(0);
        let contacts = self.0.entry(person.clone()).or_default();
        let place = contacts.partition_point(|past| *past <= at);
        contacts.insert(place, at);
        while contacts.len() > most {
            contacts.pop_front();
        }
    }

    /// Takes a contact back that did not happen.
    pub fn retract(&mut self, person: &Pseudonym, at: Utc) {
        if let Some(contacts) = self.0.get_mut(person)
            && let Some(place) = contacts.iter().position(|past| *past == at)
        {
            contacts.remove(place);
        }
    }

    /// Forgets what no cap looks back to from `now`.
    pub fn forget(&mut self, now: Utc, caps: &[FrequencyCap]) {
        let longest = caps.iter().map(|cap| cap.window_ms).max().unwrap_or(0);
        self.0.retain(|_, contacts| {
            contacts.retain(|past| now.millis_since(*past) < longest);
            !contacts.is_empty()
        });
    }

    /// Forgets a person: they asked for it.
    pub fn erase(&mut self, person: &Pseudonym) {
        self.0.remove(person);
    }

    /// How many people are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: [FrequencyCap; 2] = [
        FrequencyCap {
            times: 2,
            window_ms: 100,
        },
        FrequencyCap {
            times: 3,
            window_ms: 1000,
        },
    ];

    fn at(millis: i64) -> Utc {
        Utc::from_millis(millis)
    }

    #[test]
    fn every_cap_holds_and_its_window_moves() {
        let person = Pseudonym::new(&"a".repeat(32)).unwrap();
        let mut contacts = Contacts::default();
        for (time, allowed) in [
            (0, true),
            (10, true),
            (20, false),
            (100, true),
            (150, false),
            (999, false),
            (1000, true),
        ] {
            assert_eq!(contacts.allows(&person, at(time), &CAPS), allowed, "{time}");
            if allowed {
                contacts.note(&person, at(time), &CAPS);
            }
        }
    }

    #[test]
    fn what_did_not_happen_does_not_count_and_the_past_is_forgotten() {
        let person = Pseudonym::new(&"b".repeat(32)).unwrap();
        let mut contacts = Contacts::default();
        contacts.note(&person, at(5), &CAPS);
        contacts.note(&person, at(6), &CAPS);
        assert!(!contacts.allows(&person, at(7), &CAPS));
        contacts.retract(&person, at(6));
        assert!(contacts.allows(&person, at(7), &CAPS));
        contacts.forget(at(1004), &CAPS);
        assert_eq!(contacts.len(), 1);
        contacts.forget(at(1005), &CAPS);
        assert!(contacts.is_empty());
    }
}
