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
mod tests;
