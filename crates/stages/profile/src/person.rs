//! The state of a person, computed from their posts.

use limbic_domain::{
    AudienceId, ConsentState, Emotions, Envelope, PersonState, Pseudonym, Reading, TenantId, TextFingerprint,
    Utc,
};
use limbic_stream::{DecodeProblem, Decoder, Encoder, KeyFor, StateKey, StateValue, Table};

use crate::arithmetic::decay;
use crate::mood::{Felt, Mood};
use crate::settings::PersonSettings;

/// Maximum number of audiences that are kept for a person: those of the latest posts.
const AUDIENCES: usize = 64;

/// The people of a partition, in the state of the stage `profile`.
pub const PEOPLE: Table<PersonKey, Person> = Table::new("people", b"p");

/// The key of an entry of [`PEOPLE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonKey {
    /// The tenant that the person's posts belong to.
    pub tenant: TenantId,
    /// The person.
    pub person: Pseudonym,
}

impl StateKey for PersonKey {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (tenant, person) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some(Self {
            tenant: tenant.parse().ok()?,
            person: person.parse().ok()?,
        })
    }
}

impl KeyFor<PersonKey> for (&TenantId, &Pseudonym) {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_str().as_bytes());
        to.push(b'/');
        to.extend_from_slice(self.1.as_str().as_bytes());
    }

    fn size_hint(&self) -> usize {
        self.0.as_str().len() + 33
    }
}

/// The state of a person: an entry of [`PEOPLE`].
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    mood: Mood,
    /// Decayed maximum of distress, at the time `mood.at()`.
    distress: f64,
    consent: Consent,
    minor: bool,
    posts: u64,
    /// The audiences of the latest posts with their times, oldest first.
    audiences: Vec<(Utc, AudienceId)>,
    habits: Habits,
}

/// How an account posts, as of its newest post.
#[derive(Debug, Clone, PartialEq, Default)]
struct Habits {
    /// Number of posts, decayed with [`RATE_HALF_LIFE`].
    lately: f64,
    /// Number of posts that have a fingerprint, decayed with [`COPIES_HALF_LIFE`].
    texts: f64,
    /// Those of them that nearly repeat an earlier one of the account, decayed alike.
    copies: f64,
    /// The newest texts, oldest first, each once.
    known: Vec<TextFingerprint>,
}

const RATE_HALF_LIFE: i64 = 3_600_000;
const COPIES_HALF_LIFE: i64 = 86_400_000;
/// From how many posts within about an hour and a half an account posts like a program: one every two minutes.
const OFTEN: f64 = 40.0;
/// From how many copies of its own texts within about a day and a half, if they are most of its texts.
const COPIES: f64 = 4.0;
/// Texts of an account that are remembered.
const KNOWN_TEXTS: usize = 8;

impl Habits {
    /// Adds a post that was written `elapsed` milliseconds after the newest one; 0 if it is not newer.
    fn add(&mut self, text: Option<TextFingerprint>, elapsed: i64) {
        self.lately = self.lately * decay(elapsed, RATE_HALF_LIFE) + 1.0;
        let left = decay(elapsed, COPIES_HALF_LIFE);
        self.texts *= left;
        self.copies *= left;
        let Some(text) = text else { return };
        self.texts += 1.0;
        if let Some(place) = self.known.iter().rposition(|known| known.is_near(text)) {
            self.copies += 1.0;
            self.known.remove(place);
        } else if self.known.len() >= KNOWN_TEXTS {
            self.known.remove(0);
        }
        self.known.push(text);
    }

    fn are_automated(&self) -> bool {
        self.lately >= OFTEN || (self.copies >= COPIES && 2.0 * self.copies >= self.texts)
    }
}

/// Consent, and when it was stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Consent {
    state: ConsentState,
    at: Utc,
}

impl Consent {
    /// Combines two statements. The result does not depend on the order in which they arrive.
    ///
    /// A statement of the person (given, denied) outranks a value that a source implies (not required, unknown). Of two
    /// equal ranks, the later statement applies. Of two statements at the same time, the more cautious one applies.
    fn and(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    const fn rank(self) -> (bool, Utc, u8) {
        match self.state {
            ConsentState::Denied => (true, self.at, 1),
            ConsentState::Given => (true, self.at, 0),
            ConsentState::Unknown => (false, self.at, 1),
            ConsentState::NotRequired => (false, self.at, 0),
        }
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        Self {
            mood: Mood::new(),
            distress: 0.0,
            consent: Consent {
                state: ConsentState::Unknown,
                at: Utc::MIN,
            },
            minor: false,
            posts: 0,
            audiences: Vec::new(),
            habits: Habits::default(),
        }
    }

    /// Adds a reading of one of the person's posts. Of a post that is meant ironically, or whose language is not
    /// read, valence, arousal and emotions do not count.
    pub(crate) fn read(&mut self, envelope: &Envelope<Reading>, settings: &PersonSettings, ironic: bool) {
        let (at, reading) = (envelope.at, &envelope.data);
        if at.millis_since(self.at()) > settings.expiry.as_millis() {
            self.forget();
        }
        let elapsed = if self.posts == 0 {
            0
        } else {
            at.millis_since(self.at())
        };
        self.habits.add(reading.affect.fingerprint, elapsed);
        let score = reading.affect.distress.score.get();
        let half_life = settings.distress_half_life.as_millis();
        let kept = self.distress * decay(at.millis_since(self.at()), half_life);
        let new = score * decay(self.at().millis_since(at), half_life);
        self.distress = kept.max(new);
        let felt = Felt {
            valence: reading.affect.valence,
            arousal: reading.affect.arousal,
            emotions: &reading.affect.emotions,
            distressed: false,
        };
        self.mood.add(at, settings.half_life.as_millis(), &felt, ironic);
        let said = Consent {
            state: reading.consent,
            at,
        };
        self.consent = self.consent.and(said);
        self.minor |= reading.minor;
        self.posts += 1;
    }

    /// Notes a post in `audiences` at `at`. Returns the other audiences in which the person posted within `reach_millis`
    /// of it.
    pub(crate) fn note_post_in(
        &mut self,
        audiences: &[AudienceId],
        at: Utc,
        reach_millis: i64,
    ) -> Vec<AudienceId> {
        self.audiences
            .retain(|(spoke, _)| self.mood.at().millis_since(*spoke) <= reach_millis);
        let others = self.audiences.iter().map(|(_, audience)| audience);
        let others = others
            .filter(|audience| !audiences.contains(audience))
            .cloned()
            .collect();
        for audience in audiences {
            let before = self.audiences.iter().position(|(_, known)| known == audience);
            let before = before.map(|place| self.audiences.remove(place).0);
            self.audiences
                .push((before.map_or(at, |before| before.max(at)), audience.clone()));
        }
        self.audiences.sort_unstable();
        let too_many = self.audiences.len().saturating_sub(AUDIENCES);
        self.audiences.drain(..too_many);
        others
    }

    /// Whether consent and age allow ads for the person.
    pub(crate) const fn may_be_addressed(&self) -> bool {
        self.consent.state.permits() && !self.minor
    }

    /// Removes everything except what protects the person.
    fn forget(&mut self) {
        let protected = Self {
            consent: self.consent,
            minor: self.minor,
            ..Self::new()
        };
        *self = if self.is_protected() {
            protected
        } else {
            Self::new()
        };
    }

    /// Whether the person denied consent or may be a minor. This does not expire.
    pub(crate) const fn is_protected(&self) -> bool {
        self.minor || matches!(self.consent.state, ConsentState::Denied)
    }

    /// The time of the newest post.
    pub const fn at(&self) -> Utc {
        self.mood.at()
    }

    /// The number of posts that were read.
    pub(crate) const fn posts(&self) -> u64 {
        self.posts
    }

    /// The decayed mean of each emotion.
    pub fn emotions(&self) -> Emotions {
        self.mood.emotions()
    }

    /// The part of the state that is sent with the person's feelings.
    pub fn state(&self, person: Pseudonym) -> PersonState {
        PersonState {
            person,
            valence: self.mood.valence(),
            arousal: self.mood.arousal(),
            distress: self.distress,
            consent: self.consent.state,
            minor: self.minor,
            posts: self.posts,
            automated: self.habits.are_automated(),
        }
    }
}

impl StateValue for Person {
    const VERSION: u8 = 2;

    fn size_hint(&self) -> usize {
        512
    }

    fn encode(&self, to: &mut Encoder) {
        self.mood.write(to);
        to.number(self.distress);
        to.consent(self.consent.state);
        to.time(self.consent.at);
        to.flag(self.minor);
        to.unsigned(self.posts);
        to.length(self.audiences.len());
        for (spoke, audience) in &self.audiences {
            to.time(*spoke);
            to.text(audience.as_str());
        }
        for number in [self.habits.lately, self.habits.texts, self.habits.copies] {
            to.number(number);
        }
        to.length(self.habits.known.len());
        for text in &self.habits.known {
            to.unsigned(text.bits());
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut person = Self {
            mood: Mood::read(from)?,
            distress: from.number()?,
            consent: Consent {
                state: from.consent()?,
                at: from.time()?,
            },
            minor: from.flag()?,
            posts: from.unsigned()?,
            audiences: Vec::new(),
            habits: Habits::default(),
        };
        for _ in 0..from.length()? {
            person.audiences.push((from.time()?, from.id()?));
        }
        // The first version knew no habits.
        if from.version() >= 2 {
            person.habits.lately = from.number()?;
            person.habits.texts = from.number()?;
            person.habits.copies = from.number()?;
            for _ in 0..from.length()? {
                person
                    .habits
                    .known
                    .push(TextFingerprint::from_bits(from.unsigned()?));
            }
        }
        Ok(person)
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::ConsentState::{Denied, Given, NotRequired, Unknown};
    use proptest::prelude::*;

    use super::*;

    fn consent(state: ConsentState, at: i64) -> Consent {
        Consent {
            state,
            at: Utc::from_millis(at),
        }
    }

    #[test]
    fn a_no_holds_until_a_later_yes() {
        let no = consent(Denied, 10);
        for weaker in [
            consent(Given, 9),
            consent(Given, 10),
            consent(NotRequired, 99),
            consent(Unknown, 99),
        ] {
            assert_eq!(no.and(weaker), no);
            assert_eq!(weaker.and(no), no);
        }
        assert_eq!(no.and(consent(Given, 11)).state, Given);
    }

    #[test]
    fn an_account_that_repeats_itself_or_never_rests_posts_like_a_program() {
        let text = |number: u64| {
            Some(TextFingerprint::from_bits(
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ))
        };
        let after = |posts: u32, apart: i64, text: &dyn Fn(u32) -> Option<TextFingerprint>| {
            let mut habits = Habits::default();
            for post in 0..posts {
                habits.add(text(post), if post == 0 { 0 } else { apart });
            }
            habits.are_automated()
        };
        let minute = 60_000;
        let own = |post: u32| text(u64::from(post) + 1);
        assert!(
            !after(200, 10 * minute, &own),
            "a person who writes every ten minutes"
        );
        assert!(!after(30, minute / 2, &own), "a person in the heat of an hour");
        assert!(after(200, minute, &own), "a post every minute for hours");
        assert!(after(8, 60 * minute, &|_| text(1)), "one text every hour");
        assert!(
            after(20, 60 * minute, &|post| text(u64::from(post % 2) + 1)),
            "two texts in turns"
        );
        assert!(!after(3, minute, &|_| text(1)), "somebody says it three times");
    }

    fn any_consent() -> impl Strategy<Value = Consent> {
        let state = prop_oneof![Just(Given), Just(Denied), Just(Unknown), Just(NotRequired)];
        (state, 0_i64..4).prop_map(|(state, at)| consent(state, at))
    }

    proptest! {
        #[test]
        fn consent_does_not_depend_on_the_order_it_is_learnt_in(a in any_consent(), b in any_consent(), c in any_consent()) {
            prop_assert_eq!(a.and(b), b.and(a));
            prop_assert_eq!(a.and(b).and(c), a.and(b.and(c)));
        }
    }
}
