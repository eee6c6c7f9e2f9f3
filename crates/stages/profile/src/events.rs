//! Sensitive events of a subject: posts that name a death, a disaster or violence put every campaign of the subject on hold, and so
//! does a sudden turn to languages that cannot be read.
//!
//! # The tests
//!
//! A post is *certainly* about an event, *probably*, or not ([`Distress::EVENT_CERTAIN_FROM`], [`Distress::EVENT_FROM`]). While nothing
//! happened, at most the share `expected_share` of a subject's posts is probably or certainly about one, and at most a third of that
//! certainly (people mourn, and report accidents, on any day). [`Rise`] compares that with two crowds after an event: one that
//! everybody understands, and one of which the reader understands only some posts.
//!
//! Posts in languages that are not read say nothing about events. But if far more of them come than is usual for the subject, then
//! something happened that nobody here understands. The usual share is that of the subject's posts before, with an upper bound for
//! what so few posts leave open. It is near the real share, so this test has nearly as many alarms without a turn as its `alpha`
//! allows, and people who write in one language come together. A busy subject has thousands of posts an hour: its evidence has to
//! be stronger the more posts are usual, so that false holds stay rare in time and not only among posts.
//!
//! A test that is sure needs some posts, and the ad of a moment may leave before. So an event is *suspected* from a small part of the
//! evidence on, and the subject is held for the time in which a hold would come.
//!
//! All look at posts as they arrive and do not wait for the watermark: half a minute later is too late. So a hold depends on the
//! order of the topic; moments do not.

use limbic_domain::{Distress, Hold, HoldCause, Slug, Utc, random};
use limbic_stream::{DecodeProblem, Decoder, Encoder, StateValue, Table};

use crate::AudienceKey;
use crate::arithmetic::decay;
use crate::rise::{BETS, Rise, read_known};
use crate::settings::EventSettings;
use crate::waiting::WaitingFeeling;

/// The sensitive events of each subject, by the key of its audience `everyone:SUBJECT`.
pub(crate) const EVENTS: Table<AudienceKey, SubjectEvents> = Table::new("sensitive events", b"e");

/// After an event: the shares of posts that are probably and that are certainly about it.
const AFTER: [Shares; BETS] = [
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
/// An extension is published if it moves the end by at least this part of the cool-down.
const EXTENSION: i64 = 24;
/// How often one text counts. People do write the same few words of condolence.
const MOST_COPIES: usize = 2;

/// Of the posts that are usually read, the part that is not any more after a turn to another language.
const TURNED: [f64; BETS] = [0.35, 0.75];
/// The least usual share of posts that are not read.
const LEAST_UNREAD: f64 = 0.05;
/// A subject whose usual share is above this cannot turn any more. No ad runs there in any case.
const MOST_UNREAD: f64 = 0.8;
/// From this number of posts on, it is known what is usual.
const USUAL_FROM: f64 = 40.0;
/// Holds without a turn, at most, on average: as many as this while as many posts come as are usual.
const FALSE_TURNS: f64 = 0.05;

/// From this part of the evidence that raises a hold on, an event is suspected: two people of the newest few posts probably name one.
const SUSPICION: f64 = 0.015;
/// An event is suspected for the time of so many posts. If it is one, a hold comes within them, or they are suspect too.
const SUSPECTED_POSTS: f64 = 10.0;
/// The longest time between two posts that counts, in milliseconds: so an event is suspected for four minutes at most after a post.
const LONGEST_GAP: f64 = 24_000.0;
/// The weight of the newest post in the mean time between posts.
const GAP_WEIGHT: f64 = 1.0 / 16.0;
/// A suspicion that would be shorter, in milliseconds, is not published: a hold then comes before an ad that is on its way.
const SHORTEST_SUSPICION: i64 = 2_000;

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
#[derive(Clone, Copy)]
struct Shares {
    probably: f64,
    certainly: f64,
}

impl Shares {
    /// What a post multiplies a capital by that was bet on these shares.
    fn factor(self, evidence: Evidence, expected: f64) -> f64 {
        let certain = expected * CERTAIN;
        match evidence {
            Evidence::Certain => self.certainly / certain,
            Evidence::Probable => self.probably / (expected - certain),
            Evidence::No => (1.0 - self.probably - self.certainly) / (1.0 - expected),
        }
    }
}

/// What the tests know of a subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SubjectEvents {
    /// The time of the newest post.
    at: Utc,
    events: Rise,
    unread: Rise,
    /// Usual posts, and how many of them were not read, with weights that halve.
    usual_posts: f64,
    usual_unread: f64,
    /// The mean time between posts now, in milliseconds.
    gap: f64,
    /// The end of the hold that was published last.
    until: Utc,
    /// When a person last released a hold on the subject, by the wall clock.
    released: Utc,
}

impl SubjectEvents {
    pub(crate) const fn new() -> Self {
        Self {
            at: Utc::MIN,
            events: Rise::new(),
            unread: Rise::new(),
            usual_posts: 0.0,
            usual_unread: 0.0,
            gap: LONGEST_GAP,
            until: Utc::MIN,
            released: Utc::MIN,
        }
    }

    pub(crate) const fn at(&self) -> Utc {
        self.at
    }

    /// Whether a hold was published that a person may have released since.
    pub(crate) fn was_held(&self) -> bool {
        self.until > Utc::MIN
    }

    /// A person released the hold at `at`, by the wall clock: what was seen before says nothing any more, and what is written now
    /// counts as usual.
    pub(crate) fn release(&mut self, at: Utc) {
        if at <= self.released {
            return;
        }
        *self = Self {
            at: self.at,
            released: at,
            ..Self::new()
        };
    }

    /// Looks at a post about the subject; answers a hold if it raises or extends one. The weight of what is usual halves in
    /// `half_life` milliseconds.
    pub(crate) fn add(
        &mut self,
        feeling: &WaitingFeeling,
        subject: &Slug,
        settings: &EventSettings,
        half_life: i64,
    ) -> Option<Hold> {
        let before = self.at;
        self.at = self.at.max(feeling.at);
        let person = random::hash(feeling.person.as_str().as_bytes());
        let names_events = !feeling.unread && self.name_events(feeling, person, settings);
        let has_turned = self.has_turned(feeling, person, settings);
        let remaining = decay(self.at.millis_since(before), half_life);
        self.usual_posts = self.usual_posts * remaining + 1.0;
        self.usual_unread = self.usual_unread * remaining + f64::from(u8::from(feeling.unread));
        if before > Utc::MIN {
            let gap = (self.at.millis_since(before) as f64).min(LONGEST_GAP);
            self.gap += (gap - self.gap) * GAP_WEIGHT;
        }
        let (cause, rise, cooldown) = if names_events {
            (
                HoldCause::SensitiveEvents,
                &self.events,
                settings.cooldown.as_millis(),
            )
        } else if has_turned {
            (
                HoldCause::Unread,
                &self.unread,
                settings.unread_cooldown.as_millis(),
            )
        } else {
            (HoldCause::Suspected, &self.events, self.suspected_for(settings)?)
        };
        let until = extended(self.until, self.at, cooldown)?;
        self.until = until;
        let (sensitive_events, unread) = match cause {
            HoldCause::SensitiveEvents | HoldCause::Suspected => (rise.hits, 0),
            HoldCause::Unread => (0, rise.hits),
        };
        Some(Hold {
            subject: subject.clone(),
            since: rise.since,
            until,
            posts: rise.posts,
            sensitive_events,
            unread,
            trigger: feeling.post.clone(),
            cause,
            released: None,
        })
    }

    /// How long an event is suspected after this post, in milliseconds; `None` if it is not.
    fn suspected_for(&self, settings: &EventSettings) -> Option<i64> {
        let time = (SUSPECTED_POSTS * self.gap) as i64;
        let is_suspected = self.events.evidence(settings.alpha) >= SUSPICION && time >= SHORTEST_SUSPICION;
        is_suspected.then_some(time)
    }

    /// Whether the posts that can be read, with this one, name an event.
    fn name_events(&mut self, feeling: &WaitingFeeling, person: u64, settings: &EventSettings) -> bool {
        let evidence = Evidence::of(feeling);
        self.events.begin(feeling.at);
        if evidence != Evidence::No {
            let text = text_of(feeling);
            if self.events.times_known(person) > 0 || self.events.times_known(text) >= MOST_COPIES {
                return false;
            }
            self.events.remember(person);
            self.events.remember(text);
        }
        let factors = AFTER.map(|after| after.factor(evidence, settings.expected_share));
        self.events
            .count(evidence != Evidence::No, factors, settings.alpha)
    }

    /// Whether far more posts than usual, with this one, are in languages that are not read. One person counts once.
    fn has_turned(&mut self, feeling: &WaitingFeeling, person: u64, settings: &EventSettings) -> bool {
        if self.usual_posts < USUAL_FROM {
            return false;
        }
        self.unread.begin(feeling.at);
        if feeling.unread {
            if self.unread.times_known(person) > 0 {
                return false;
            }
            self.unread.remember(person);
        }
        let unread = self.usual_unread + 1.0;
        let usual = ((unread + unread.sqrt()) / (self.usual_posts + 2.0)).max(LEAST_UNREAD);
        if usual > MOST_UNREAD {
            return false;
        }
        let factors = TURNED.map(|turned| {
            let now = usual + (1.0 - usual) * turned;
            if feeling.unread {
                now / usual
            } else {
                (1.0 - now) / (1.0 - usual)
            }
        });
        let alpha = settings.alpha.min(FALSE_TURNS / self.usual_posts);
        self.unread.count(feeling.unread, factors, alpha)
    }
}

/// The new end of a hold that ends at `until`; `None` if it would hardly move.
fn extended(until: Utc, at: Utc, cooldown: i64) -> Option<Utc> {
    let new = at.plus_millis(cooldown);
    (new.millis_since(until) >= cooldown / EXTENSION).then_some(new)
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
    const VERSION: u8 = 3;

    fn size_hint(&self) -> usize {
        40 + self.events.size_hint() + self.unread.size_hint()
    }

    fn encode(&self, to: &mut Encoder) {
        to.time(self.at);
        self.events.write(to);
        self.unread.write(to);
        to.number(self.usual_posts);
        to.number(self.usual_unread);
        to.time(self.until);
        to.time(self.released);
        to.number(self.gap);
    }

    /// Version 1 knew no languages and no releases, and had the end of the hold before the hashes. Version 2 did not know how fast
    /// posts come.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let at = from.time()?;
        if from.version() == 1 {
            let events = Rise::read_counts(from)?;
            let until = from.time()?;
            return Ok(Self {
                at,
                events: events.with_known(read_known(from)?),
                until,
                ..Self::new()
            });
        }
        Ok(Self {
            at,
            events: Rise::read(from)?,
            unread: Rise::read(from)?,
            usual_posts: from.number()?,
            usual_unread: from.number()?,
            until: from.time()?,
            released: from.time()?,
            gap: if from.version() == 2 {
                LONGEST_GAP
            } else {
                from.number()?
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::tests::feeling;

    const WEEK: i64 = 7 * 86_400_000;

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

    /// Whether it is a hold that is not only a suspicion.
    fn is_sure(hold: &Hold) -> bool {
        hold.cause != HoldCause::Suspected
    }

    /// A subject with 300 posts, so many seconds apart, and then one post that probably names an event and one more.
    fn suspicion(apart: i64, second_is_probable: bool) -> (SubjectEvents, Option<Hold>) {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        let mut add = |number: i64, sensitive_event: f64| {
            let mut post = post(number, false);
            post.at = Utc::from_millis(number * apart);
            post.sensitive_event = sensitive_event;
            events.add(&post, &subject(), &settings, WEEK)
        };
        for number in 0..300 {
            assert_eq!(add(number, 0.1), None);
        }
        assert_eq!(add(300, Distress::EVENT_FROM), None, "one person");
        let second = if second_is_probable {
            Distress::EVENT_FROM
        } else {
            0.1
        };
        let hold = add(301, second);
        (events, hold)
    }

    #[test]
    fn two_people_who_probably_name_an_event_hold_the_subject_for_the_time_of_the_next_posts() {
        let settings = EventSettings::default();
        let (mut events, hold) = suspicion(2_000, true);
        let hold = hold.expect("a suspicion");
        assert_eq!((hold.cause, hold.sensitive_events), (HoldCause::Suspected, 2));
        let posts = hold.until.millis_since(events.at()) as f64 / 2_000.0;
        assert!((9.5..10.5).contains(&posts), "{posts}");
        // If more people name it, the hold comes while the suspicion lasts.
        let sure = (302..310)
            .map(|number| {
                let mut post = post(number, true);
                post.at = Utc::from_millis(number * 2_000);
                events.add(&post, &subject(), &settings, WEEK)
            })
            .find(|hold| hold.as_ref().is_some_and(is_sure));
        let sure = sure.flatten().expect("a hold");
        assert!(events.at() < hold.until);
        assert_eq!(sure.until, events.at().plus_millis(86_400_000));
        assert_eq!(suspicion(2_000, false).1, None, "one person");
    }

    #[test]
    fn a_suspicion_ends_after_four_minutes_and_is_not_published_where_a_hold_would_come_as_fast() {
        let (events, hold) = suspicion(3_600_000, true);
        assert_eq!(hold.unwrap().until, events.at().plus_millis(240_000));
        assert_eq!(suspicion(100, true).1, None);
    }

    #[test]
    fn a_few_people_who_name_an_event_hold_the_subject_and_one_person_does_not() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        for number in 0..500 {
            assert_eq!(
                events.add(&post(number, number % 100 == 0), &subject(), &settings, WEEK),
                None
            );
        }
        let mut alone = events.clone();
        let mut copied = events.clone();
        for number in 500..600 {
            let mut copy = post(number, true);
            copy.valence = 0.5;
            let hold = copied.add(&copy, &subject(), &settings, WEEK);
            assert!(
                !hold.as_ref().is_some_and(is_sure),
                "one text of a hundred people: {hold:?}"
            );
        }
        for number in 500..600 {
            let mut shout = post(7, true);
            shout.at = Utc::from_millis(number * 1_000);
            assert_eq!(alone.add(&shout, &subject(), &settings, WEEK), None);
        }
        // Every second post names it.
        let raised = (500..510)
            .map(|number| events.add(&post(number, number % 2 == 0), &subject(), &settings, WEEK))
            .find(|hold| hold.as_ref().is_some_and(is_sure));
        let hold = raised.flatten().expect("no hold within ten posts");
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
            .filter_map(|second| events.add(&post(second, true), &subject(), &settings, WEEK))
            .filter(|hold| hold.cause == HoldCause::SensitiveEvents)
            .collect();
        assert_eq!(holds.len(), 5, "about one an hour: {holds:?}");
        assert!(holds.is_sorted_by(|a, b| a.until < b.until));
    }

    fn foreign(number: i64) -> WaitingFeeling {
        let mut post = post(number, false);
        post.unread = true;
        post
    }

    #[test]
    fn a_crowd_that_turns_to_a_language_that_cannot_be_read_is_held_for_a_shorter_time() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        let mut foreign_first = events.clone();
        for number in 0..200 {
            // One of fifty is foreign as well.
            let usual = if number % 50 == 0 {
                foreign(number)
            } else {
                post(number, false)
            };
            assert_eq!(events.add(&usual, &subject(), &settings, WEEK), None);
            let new = foreign_first.add(&foreign(number), &subject(), &settings, WEEK);
            assert_eq!(new, None, "what the subject always was is not a turn");
        }
        let mut alone = events.clone();
        for number in 200..300 {
            let mut same = foreign(7);
            same.at = Utc::from_millis(number * 1_000);
            assert_eq!(alone.add(&same, &subject(), &settings, WEEK), None, "one person");
        }
        let raised = (200..210).find_map(|number| {
            let post = if number % 4 == 0 {
                post(number, false)
            } else {
                foreign(number)
            };
            events.add(&post, &subject(), &settings, WEEK)
        });
        let hold = raised.expect("no hold within ten posts");
        assert_eq!(hold.cause, HoldCause::Unread);
        assert!(hold.unread >= 3 && hold.sensitive_events == 0, "{hold:?}");
        assert_eq!(hold.until.millis_since(hold.since) / 3_600_000, 1);
        // An event extends it to the whole time.
        let event = (210..220)
            .map(|number| events.add(&post(number, true), &subject(), &settings, WEEK))
            .find(|hold| hold.as_ref().is_some_and(is_sure));
        let event = event.flatten().expect("no hold because of an event");
        assert_eq!(event.cause, HoldCause::SensitiveEvents);
        assert_eq!(event.until.millis_since(event.since) / 3_600_000, 24);
    }

    #[test]
    fn after_a_release_only_new_posts_hold_again() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        let add = |events: &mut SubjectEvents, number| {
            let hold = events.add(&post(number, true), &subject(), &settings, WEEK);
            hold.filter(|hold| hold.cause == HoldCause::SensitiveEvents)
        };
        let first = (0..10)
            .find_map(|number| add(&mut events, number))
            .expect("no hold");
        events.release(Utc::from_millis(1));
        let released = events.clone();
        events.release(Utc::from_millis(1));
        assert_eq!(events, released, "the same release counts once");
        let second = (10..20)
            .find_map(|number| add(&mut events, number))
            .expect("no new hold");
        assert!(second.since > first.since.plus_millis(1_000), "{second:?}");
        assert!(second.sensitive_events <= first.sensitive_events);
    }

    #[test]
    fn the_second_version_is_read() {
        let (events, _) = suspicion(2_000, true);
        let mut bytes = events.to_bytes();
        assert_eq!(bytes[0], 3, "the version is the first byte");
        bytes[0] = 2;
        bytes.truncate(bytes.len() - 8);
        let expected = SubjectEvents {
            gap: LONGEST_GAP,
            ..events
        };
        assert_eq!(SubjectEvents::from_bytes(&bytes), Ok(expected));
    }

    #[test]
    fn the_first_version_is_read() {
        struct Before;
        impl StateValue for Before {
            const VERSION: u8 = 1;
            fn encode(&self, to: &mut Encoder) {
                to.time(Utc::from_millis(9));
                for number in [1.5, 2.5, 3.5] {
                    to.number(number);
                }
                to.time(Utc::from_millis(5));
                to.unsigned(7);
                to.unsigned(4);
                to.time(Utc::from_millis(90));
                to.length(1);
                to.unsigned(77);
            }
            fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
                Err(DecodeProblem::Damaged)
            }
        }
        let events = SubjectEvents::from_bytes(&Before.to_bytes()).unwrap();
        assert_eq!(
            (events.at, events.until),
            (Utc::from_millis(9), Utc::from_millis(90))
        );
        assert_eq!((events.events.posts, events.events.hits), (7, 4));
        assert_eq!(events.events.times_known(77), 1);
    }

    #[test]
    fn it_survives_being_written() {
        let settings = EventSettings::default();
        let mut events = SubjectEvents::new();
        for number in 0..40 {
            events.add(&post(number, number % 3 == 0), &subject(), &settings, WEEK);
        }
        assert_eq!(SubjectEvents::from_bytes(&events.to_bytes()), Ok(events));
    }
}
