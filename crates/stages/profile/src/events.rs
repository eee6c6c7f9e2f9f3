//! Sensitive events of a subject: posts that name a death, a disaster or violence put every campaign of the subject on hold.
//!
//! # The test
//!
//! A post is *certainly* about an event, *probably*, or not ([`Distress::EVENT_CERTAIN_FROM`], [`Distress::EVENT_FROM`]). While nothing
//! happened, at most the share `expected_share` of a subject's posts is probably or certainly about one, and at most a third of that
//! certainly (people mourn, and report accidents, on any day). For shares that a crowd after an event writes, a post multiplies a
//! capital by the ratio of its share after an event to its share without: an e-value. As in the
//! [detector of changes](crate::Detector), one capital starts at every post and all are added up, so holds without an event are on
//! average at least `1 / alpha` posts apart. Two crowds are mixed: one that everybody understands, and one of which the reader
//! understands only some posts.
//!
//! It looks at posts as they arrive and does not wait for the watermark: half a minute later is too late. So a hold depends on the
//! order of the topic; moments do not.

use limbic_domain::{Distress, Hold, Slug, Utc, random};
use limbic_stream::{DecodeProblem, Decoder, Encoder, StateValue, Table};

use crate::AudienceKey;
use crate::settings::EventSettings;
use crate::waiting::WaitingFeeling;

/// The sensitive events of each subject, by the key of its audience `everyone:SUBJECT`.
pub(crate) const EVENTS: Table<AudienceKey, SubjectEvents> = Table::new("sensitive events", b"e");

/// After an event: the shares of posts that are probably and that are certainly about it.
const AFTER: [Shares; 2] = [
    Shares {
        probably: 0.15,
        certainly: 0.15,
    },
    Shares {
        probably: 0.25,
        certainly: 0.35,
    },
];
/// The part of the expected share that is certainly about an event.
const CERTAIN: f64 = 1.0 / 3.0;
/// Most people and texts that are remembered: one person, or one text that many people copy, raises no hold.
const MOST_KNOWN: usize = 128;
/// An extension is published if it moves the end by at least this part of the cool-down.
const EXTENSION: i64 = 24;

/// How often one text counts. People do write the same few words of condolence.
const MOST_COPIES: usize = 2;

/// How surely a post is about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    No,
    Probable,
    Certain,
}

impl Evidence {
    fn of(feeling: &WaitingFeeling) -> Self {
        if feeling.sensitive_event >= Distress::EVENT_CERTAIN_FROM {
            Self::Certain
        } else if feeling.sensitive_event >= Distress::EVENT_FROM {
            Self::Probable
        } else {
            Self::No
        }
    }
}

/// Shares of a crowd's posts.
struct Shares {
    probably: f64,
    certainly: f64,
}

impl Shares {
    /// What a post multiplies a capital by that was bet on these shares.
    fn factor(&self, evidence: Evidence, expected: f64) -> f64 {
        let certain = expected * CERTAIN;
        match evidence {
            Evidence::Certain => self.certainly / certain,
            Evidence::Probable => self.probably / (expected - certain),
            Evidence::No => (1.0 - self.probably - self.certainly) / (1.0 - expected),
        }
    }
}

/// What the test knows of a subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SubjectEvents {
    /// The time of the newest post.
    at: Utc,
    detectors: [f64; AFTER.len()],
    /// The capital that started at the likeliest beginning of an event, and the posts since.
    best: f64,
    since: Utc,
    posts: u64,
    events: u64,
    /// Who named an event since then, and the texts that did, as hashes.
    known: Vec<u64>,
    /// The end of the hold that was published last.
    until: Utc,
}

impl SubjectEvents {
    pub(crate) const fn new() -> Self {
        Self {
            at: Utc::MIN,
            detectors: [0.0; AFTER.len()],
            best: 1.0,
            since: Utc::MIN,
            posts: 0,
            events: 0,
            known: Vec::new(),
            until: Utc::MIN,
        }
    }

    pub(crate) const fn at(&self) -> Utc {
        self.at
    }

    /// Looks at a post about the subject; answers a hold if it raises or extends one.
    pub(crate) fn add(
        &mut self,
        feeling: &WaitingFeeling,
        subject: &Slug,
        settings: &EventSettings,
    ) -> Option<Hold> {
        self.at = self.at.max(feeling.at);
        if feeling.unread {
            return None;
        }
        if self.best <= 1.0 {
            self.best = 1.0;
            self.since = feeling.at;
            self.posts = 0;
            self.events = 0;
            self.known.clear();
        }
        let person = random::hash(feeling.person.as_str().as_bytes());
        let evidence = Evidence::of(feeling);
        if evidence != Evidence::No {
            let text = text_of(feeling);
            let copies = self.known.iter().filter(|known| **known == text).count();
            if self.known.contains(&person) || copies >= MOST_COPIES {
                return None;
            }
            if self.known.len() < MOST_KNOWN {
                self.known.extend([person, text]);
            }
        }
        self.posts += 1;
        self.events += u64::from(evidence != Evidence::No);
        let expected = settings.expected_share;
        self.best *= AFTER[0].factor(evidence, expected);
        for (detector, after) in self.detectors.iter_mut().zip(&AFTER) {
            *detector = (*detector + 1.0) * after.factor(evidence, expected);
        }
        let statistic = self.detectors.iter().sum::<f64>() / AFTER.len() as f64;
        if statistic < 1.0 / settings.alpha {
            return None;
        }
        self.detectors = [0.0; AFTER.len()];
        let cooldown = settings.cooldown.as_millis();
        let until = self.at.plus_millis(cooldown);
        if until.millis_since(self.until) < cooldown / EXTENSION {
            return None;
        }
        self.until = until;
        Some(Hold {
            subject: subject.clone(),
            since: self.since,
            until,
            posts: self.posts,
            sensitive_events: self.events,
            trigger: feeling.post.clone(),
        })
    }
}

/// A hash that copies of one text share: of what was read in it.
fn text_of(feeling: &WaitingFeeling) -> u64 {
    let numbers = [
        feeling.valence,
        feeling.arousal,
        feeling.distress,
        feeling.sensitive_event,
    ];
    let bytes = numbers.map(|number| number.to_bits().to_le_bytes());
    random::hash(bytes.as_flattened())
}

impl StateValue for SubjectEvents {
    const VERSION: u8 = 1;

    fn size_hint(&self) -> usize {
        96 + 8 * self.known.len()
    }

    fn encode(&self, to: &mut Encoder) {
        to.time(self.at);
        for detector in self.detectors {
            to.number(detector);
        }
        to.number(self.best);
        to.time(self.since);
        to.unsigned(self.posts);
        to.unsigned(self.events);
        to.time(self.until);
        to.length(self.known.len());
        for &hash in &self.known {
            to.unsigned(hash);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut events = Self {
            at: from.time()?,
            detectors: [from.number()?, from.number()?],
            best: from.number()?,
            since: from.time()?,
            posts: from.unsigned()?,
            events: from.unsigned()?,
            until: from.time()?,
            known: Vec::new(),
        };
        for _ in 0..from.length()? {
            events.known.push(from.unsigned()?);
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::tests::feeling;

    fn post(number: i64, names_event: bool) -> WaitingFeeling {
        let mut post = feeling(number, number * 1_000, 0.0);
        // Each has a text of its own.
        post.valence = number as f64 / 1e6;
        post.sensitive_event = if names_event { 0.9 } else { 0.1 };
        post
    }

    fn subject() -> Slug {
        Slug::new("football").unwrap()
    }

    #[test]
    fn a_few_people_who_name_an_event_hold_the_subject_and_one_person_does_not() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        for number in 0..500 {
            assert_eq!(
                events.add(&post(number, number % 100 == 0), &subject(), &settings),
                None
            );
        }
        let mut alone = events.clone();
        let mut copied = events.clone();
        for number in 500..600 {
            let mut copy = post(number, true);
            copy.valence = 0.5;
            assert_eq!(
                copied.add(&copy, &subject(), &settings),
                None,
                "one text of a hundred people"
            );
        }
        for number in 500..600 {
            let mut shout = post(7, true);
            shout.at = Utc::from_millis(number * 1_000);
            assert_eq!(alone.add(&shout, &subject(), &settings), None);
        }
        // Every second post names it.
        let raised =
            (500..510).find_map(|number| events.add(&post(number, number % 2 == 0), &subject(), &settings));
        let hold = raised.expect("no hold within ten posts");
        assert_eq!(hold.until.millis_since(hold.since) / 3_600_000, 24);
        assert!(
            hold.sensitive_events >= 3 && hold.posts >= hold.sensitive_events,
            "{hold:?}"
        );
    }

    #[test]
    fn a_hold_is_extended_while_people_go_on_and_not_with_every_post() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        let hour = 3_600;
        let holds: Vec<Hold> = (0..5 * hour)
            .step_by(60)
            .filter_map(|second| events.add(&post(second, true), &subject(), &settings))
            .collect();
        assert_eq!(holds.len(), 5, "about one an hour: {holds:?}");
        assert!(holds.is_sorted_by(|a, b| a.until < b.until));
    }

    #[test]
    fn posts_that_cannot_be_read_say_nothing_either_way() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        events.add(&post(0, true), &subject(), &settings);
        let before = events.clone();
        let mut foreign = post(1, false);
        foreign.at = Utc::from_millis(0);
        foreign.unread = true;
        events.add(&foreign, &subject(), &settings);
        assert_eq!(events, before);
    }

    #[test]
    fn it_survives_being_written() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        for number in 0..40 {
            events.add(&post(number, number % 3 == 0), &subject(), &settings);
        }
        assert_eq!(SubjectEvents::from_bytes(&events.to_bytes()), Ok(events));
    }
}
