//! An audience: what it feels, what it usually feels, who spoke, and whether it has moved.

use limbic_domain::{
    AudienceId, AudienceStatus, ConsentState, Evidence, Moment, MomentKind, MoodSummary, Pseudonym,
    Recipient, TenantId, Utc,
};
use limbic_stream::{DecodeProblem, Decoder, Encoder, KeyFor, StateKey, StateValue, Table};

use crate::arithmetic::decay;
use crate::baseline::Baseline;
use crate::change::{Changes, Counted};
use crate::change_test::{ChangeTest, Found, Observation};
use crate::detector::Detector;
use crate::hostility::{Hostility, Judged};
use crate::mood::{Felt, Mood};
use crate::settings::Settings;
use crate::status::Shown;
use crate::texts::Texts;
use crate::waiting::WaitingFeeling;

/// The audiences of a partition, in the state of the stage `moments`.
pub const AUDIENCES: Table<AudienceKey, Audience> = Table::new("audiences", PREFIX);
/// The prefix of [`AUDIENCES`].
pub(crate) const PREFIX: &[u8] = b"a";

/// Whose entry of [`AUDIENCES`] it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceKey {
    /// The tenant whose posts the audience's people wrote.
    pub tenant: TenantId,
    /// The audience.
    pub audience: AudienceId,
}

impl StateKey for AudienceKey {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (tenant, audience) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some(Self {
            tenant: tenant.parse().ok()?,
            audience: audience.parse().ok()?,
        })
    }
}

impl KeyFor<AudienceKey> for (&TenantId, &AudienceId) {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_str().as_bytes());
        to.push(b'/');
        to.extend_from_slice(self.1.as_str().as_bytes());
    }

    fn size_hint(&self) -> usize {
        self.0.as_str().len() + 1 + self.1.as_str().len()
    }
}

/// What an audience feels, and what it is compared with: an entry of [`AUDIENCES`].
#[derive(Debug, Clone, PartialEq)]
pub struct Audience {
    mood: Mood,
    test: ChangeTest,
    changes: Changes,
    texts: Texts,
    hostility: Hostility,
    /// Who spoke, newest first, at most [`MOST_PEOPLE`].
    people: Vec<Speaker>,
}

/// Most people whose last post is remembered.
const MOST_PEOPLE: usize = 256;
/// As how many posts one of an account that posts like a program counts.
const AUTOMATED_COUNTS: f64 = 0.25;

/// A person as of when they last spoke.
#[derive(Debug, Clone, PartialEq)]
struct Speaker {
    person: Pseudonym,
    at: Utc,
    distress: f64,
    /// Decayed mean valence of their posts.
    valence: f64,
    consent: ConsentState,
    minor: bool,
    /// The number of the person's last post among those of the audience's test.
    number: u64,
    /// When a post of the person last counted in the baseline.
    usual_at: Utc,
}

/// What is known of the author and the text of a post from earlier posts of the window.
#[derive(Debug, Clone, Copy)]
struct Repeated {
    /// The number of the newest earlier post of the person or with the text; 0 if there is none.
    seen: u64,
    /// The text nearly repeats another one.
    copied: bool,
    /// Neither the person nor the text has counted in the baseline.
    is_usual: bool,
    /// When a post of the person last counted in the baseline.
    usual_at: Utc,
}

impl Audience {
    pub(crate) const fn new() -> Self {
        Self {
            mood: Mood::new(),
            test: ChangeTest::new(),
            changes: Changes::new(),
            texts: Texts::new(),
            hostility: Hostility::new(),
            people: Vec::new(),
        }
    }

    /// The time of its newest post.
    pub const fn at(&self) -> Utc {
        self.mood.at()
    }

    /// What it feels.
    pub fn mood(&self) -> MoodSummary {
        MoodSummary {
            valence: self.mood.valence(),
            arousal: self.mood.arousal(),
            emotions: self.mood.emotions(),
            distress: self.mood.distressed(),
            offence: self.hostility.offence(),
            hate: self.hostility.hate(),
            weight: self.mood.weight(),
        }
    }

    /// The mean valence that it usually has in the hour of its newest post.
    pub fn baseline(&self) -> f64 {
        self.test.baseline()
    }

    /// Its state for people. `shown` is what is counted beside it.
    pub(crate) fn status(&self, audience: &AudienceId, shown: &Shown, settings: &Settings) -> AudienceStatus {
        let (evidence, direction) = self.test.evidence();
        AudienceStatus {
            audience: audience.clone(),
            posts: shown.posts,
            since: shown.since,
            mood: self.mood(),
            copied: shown.repeats.copied(),
            automated: shown.repeats.automated(),
            baseline: self.baseline(),
            phase: self.test.phase(self.at(), &settings.change),
            evidence,
            direction,
            compared: self.test.compared(),
            last_moment: shown.last_moment.clone(),
        }
    }

    /// Whether the post nearly repeats a text that was written within the window.
    pub(crate) fn is_copy(&self, feeling: &WaitingFeeling, settings: &Settings) -> bool {
        let window = settings.change.window.as_millis();
        let text = feeling.fingerprint.and_then(|text| self.texts.find(text));
        text.is_some_and(|text| feeling.at.millis_since(text.at) < window)
    }

    /// Takes in a post; answers the moment if it tipped the test.
    pub(crate) fn add(&mut self, feeling: &WaitingFeeling, settings: &Settings) -> Option<Moment> {
        if feeling.at.millis_since(self.at()) > settings.audience.expiry.as_millis() {
            *self = Self::new();
        }
        let felt = Felt {
            valence: feeling.valence,
            arousal: feeling.arousal,
            emotions: &feeling.emotions,
            distressed: feeling.distress >= settings.audience.distress_from,
        };
        let half_life = settings.audience.half_life.as_millis();
        self.mood.add(feeling.at, half_life, &felt, feeling.ironic);
        let judged = Judged::of(feeling, &settings.audience);
        self.hostility.add(feeling.at, half_life, judged);
        let place = self.place_of(&feeling.person);
        let repeated = self.repeated(feeling, place, settings);
        let found = self.judge(feeling, &repeated, settings);
        let usual_at = if repeated.is_usual && !feeling.ironic {
            feeling.at
        } else {
            repeated.usual_at
        };
        self.spoke(feeling, place, usual_at);
        if let Some(fingerprint) = feeling.fingerprint {
            self.texts.note(fingerprint, feeling.at, self.test.number());
        }
        let found = found?;
        let moment = self.moment(&found, feeling, settings);
        if found.kind == MomentKind::Change {
            self.changes = Changes::new();
        }
        Some(moment)
    }

    fn place_of(&self, person: &Pseudonym) -> Option<usize> {
        self.people.iter().position(|known| known.person == *person)
    }

    fn repeated(&self, feeling: &WaitingFeeling, place: Option<usize>, settings: &Settings) -> Repeated {
        let window = settings.change.window.as_millis();
        let is_recent = |at: Utc| at > Utc::MIN && feeling.at.millis_since(at) < window;
        let speaker = place.map(|place| &self.people[place]);
        let text = feeling.fingerprint.and_then(|text| self.texts.find(text));
        let text = text.filter(|text| is_recent(text.at));
        let of_person = speaker.filter(|speaker| is_recent(speaker.at));
        let of_person = of_person.map_or(0, |speaker| speaker.number);
        let usual_at = speaker.map_or(Utc::MIN, |speaker| speaker.usual_at);
        Repeated {
            seen: of_person.max(text.map_or(0, |text| text.number)),
            copied: text.is_some(),
            is_usual: text.is_none() && !is_recent(usual_at),
            usual_at,
        }
    }

    /// Takes in what someone who spoke here said elsewhere: it protects them here, and counts for nothing else.
    pub(crate) fn protect(&mut self, feeling: &WaitingFeeling) {
        let place = self.place_of(&feeling.person);
        if let Some(known) = place.map(|place| &self.people[place]) {
            let spoken = Speaker {
                number: known.number,
                usual_at: known.usual_at,
                ..Speaker::of(feeling)
            };
            self.insert(spoken, place);
        }
    }

    /// What the test says of this post.
    fn judge(&mut self, feeling: &WaitingFeeling, repeated: &Repeated, settings: &Settings) -> Option<Found> {
        let counted = Counted::of(feeling, &settings.audience, repeated.copied);
        // A post that is meant ironically says nothing for or against a change, but counts in the posts since its beginning.
        if feeling.ironic {
            if self.test.is_watching(feeling.at, &settings.change) {
                self.changes.add(&self.test.firsts(), feeling, counted);
            }
            return None;
        }
        let post = Observation {
            valence: feeling.valence,
            at: feeling.at,
            seen: repeated.seen,
            counts: if feeling.automated { AUTOMATED_COUNTS } else { 1.0 },
            is_usual: repeated.is_usual,
        };
        let changes = &mut self.changes;
        self.test.look(&post, &settings.change, |firsts| {
            changes.add(firsts, feeling, counted);
        })
    }

    fn moment(&self, found: &Found, feeling: &WaitingFeeling, settings: &Settings) -> Moment {
        let change = self.changes.since(found.first);
        Moment {
            audience: feeling.audience.clone(),
            kind: found.kind,
            direction: found.direction,
            change: change
                .expect("the posts since every beginning that the detectors consider are summed up"),
            mood: self.mood(),
            baseline: found.before,
            evidence: Evidence {
                test: "e-detector-2".to_owned(),
                statistic: found.statistic,
                threshold: 1.0,
                posts: found.posts,
            },
            trigger: feeling.post.clone(),
            people: self.reach(feeling.at, settings),
        }
    }

    /// Who may be reached at `now`, newest first.
    fn reach(&self, now: Utc, settings: &Settings) -> Vec<Recipient> {
        let reach = settings.audience.reach.as_millis();
        let half_life = settings.person.distress_half_life.as_millis();
        self.people
            .iter()
            .filter(|speaker| now.millis_since(speaker.at) <= reach)
            .take(settings.audience.people)
            .map(|speaker| Recipient {
                person: speaker.person.clone(),
                // Rounded towards care: a moment names up to 256 people, in several records.
                distress: (speaker.distress * decay(now.millis_since(speaker.at), half_life) * 1e3).ceil()
                    / 1e3,
                consent: speaker.consent,
                minor: speaker.minor,
                valence: (speaker.valence * 1e2).floor() / 1e2,
            })
            .collect()
    }

    /// The author of the post, whose earlier state is at `place`, spoke.
    fn spoke(&mut self, feeling: &WaitingFeeling, place: Option<usize>, usual_at: Utc) {
        let speaker = Speaker {
            number: self.test.number(),
            usual_at,
            ..Speaker::of(feeling)
        };
        self.insert(speaker, place);
    }

    fn insert(&mut self, mut speaker: Speaker, place: Option<usize>) {
        if let Some(place) = place {
            let known = self.people.remove(place);
            speaker = speaker.after(known);
        }
        let place = self.people.partition_point(|known| known.at > speaker.at);
        self.people.insert(place, speaker);
        self.people.truncate(MOST_PEOPLE);
    }
}

impl StateValue for Audience {
    const VERSION: u8 = 4;

    fn size_hint(&self) -> usize {
        8_192 + 60 * self.people.len()
    }

    fn encode(&self, to: &mut Encoder) {
        self.mood.write(to);
        self.test.write(to);
        self.changes.write(to);
        self.texts.write(to);
        self.hostility.write(to);
        to.length(self.people.len());
        for speaker in &self.people {
            to.pseudonym(&speaker.person);
            to.time(speaker.at);
            to.number(speaker.distress);
            to.number(speaker.valence);
            to.consent(speaker.consent);
            to.flag(speaker.minor);
            to.unsigned(speaker.number);
            to.time(speaker.usual_at);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let version = from.version();
        let mood = Mood::read(from)?;
        let mut audience = if version >= 2 {
            Self {
                mood,
                test: ChangeTest::read(from)?,
                changes: Changes::read(from)?,
                texts: Texts::read(from)?,
                hostility: if version >= 3 {
                    Hostility::read(from)?
                } else {
                    Hostility::new()
                },
                people: Vec::new(),
            }
        } else {
            // One baseline for all hours. The evidence for a change starts again at zero.
            let mut test = ChangeTest::of(Baseline::read_without_hours(from)?);
            Detector::skip_first_version(from)?;
            Changes::skip_first_version(from)?;
            test.set_quiet_until(from.time()?);
            Self {
                mood,
                test,
                ..Self::new()
            }
        };
        let people = from.length()?;
        audience.people.reserve(people);
        for _ in 0..people {
            audience.people.push(Speaker {
                person: from.pseudonym()?,
                at: from.time()?,
                distress: from.number()?,
                valence: if version >= 4 { from.number()? } else { 0.0 },
                consent: from.consent()?,
                minor: from.flag()?,
                number: if version >= 2 { from.unsigned()? } else { 0 },
                usual_at: if version >= 2 { from.time()? } else { Utc::MIN },
            });
        }
        Ok(audience)
    }
}

impl Speaker {
    /// The author of a post, as known then.
    fn of(feeling: &WaitingFeeling) -> Self {
        Self {
            person: feeling.person.clone(),
            at: feeling.at,
            distress: feeling.person_distress,
            valence: feeling.person_valence,
            consent: feeling.consent,
            minor: feeling.minor,
            number: 0,
            usual_at: Utc::MIN,
        }
    }

    /// What is known after both. A newer post tells all there is; one that is not newer (late, or of the same instant)
    /// only ever makes us more careful.
    fn after(self, known: Self) -> Self {
        let minor = self.minor || known.minor;
        if self.at > known.at {
            return Self { minor, ..self };
        }
        let denied = self.consent == ConsentState::Denied;
        Self {
            number: self.number,
            usual_at: self.usual_at,
            distress: known.distress.max(self.distress),
            valence: known.valence.min(self.valence),
            consent: if denied { self.consent } else { known.consent },
            minor,
            ..known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbic_domain::{Direction, TextFingerprint};

    use crate::waiting::tests::feeling;

    #[test]
    fn it_survives_being_written_and_torn_bytes_are_told() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        for post in 0..500 {
            audience.add(
                &feeling(post, post * 997, if post % 3 == 0 { 0.7 } else { -0.2 }),
                &settings,
            );
        }
        let bytes = audience.to_bytes();
        assert_eq!(Audience::from_bytes(&bytes), Ok(audience));
        for length in (0..bytes.len()).step_by(37) {
            assert!(Audience::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
    }

    /// Bets on a change that has long been found win with every post. They once became infinite, and then the state could not be read.
    #[test]
    fn it_can_be_read_however_long_a_mood_stays_changed() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        let (mut changes, mut at) = (0, 0);
        for post in 0..12_000_i64 {
            let mood = if post < 2_000 { 0.0 } else { 0.9 };
            // Later, all posts come at one instant: then no new capital starts.
            at += if post < 6_000 { 2_000 } else { 0 };
            let noise = if post % 2 == 0 { 0.1 } else { -0.1 };
            let found = audience.add(&feeling(post, at, mood + noise), &settings);
            changes += usize::from(found.is_some());
            if post % 500 == 0 {
                assert_eq!(
                    Audience::from_bytes(&audience.to_bytes()),
                    Ok(audience.clone()),
                    "post {post}"
                );
            }
        }
        assert!(changes > 0, "the mood did not change");
    }

    #[test]
    fn a_moment_names_those_who_spoke_last_newest_first_and_once() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        for post in 0..600 {
            audience.add(&feeling(post, post * 1_000, 0.0), &settings);
        }
        let spoken: Vec<_> = audience.reach(Utc::from_millis(599_000), &settings);
        assert_eq!(spoken.len(), 256);
        assert_eq!(spoken[0].person, feeling(599, 0, 0.0).person);
        audience.add(&feeling(400, 599_500, 0.0), &settings);
        let spoken = audience.reach(Utc::from_millis(599_500), &settings);
        assert_eq!(spoken[0].person, feeling(400, 0, 0.0).person);
        let again = spoken
            .iter()
            .filter(|target| target.person == spoken[0].person)
            .count();
        assert_eq!((spoken.len(), again), (256, 1));
        let a_day_later = Utc::from_millis(599_000 + 86_400_000);
        assert_eq!(
            audience.reach(a_day_later, &settings).len(),
            2,
            "the others are out of reach"
        );
    }

    #[test]
    fn a_late_post_only_makes_us_more_careful() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        let mut late = feeling(1, 1_000, 0.0);
        late.person_distress = 0.9;
        late.consent = ConsentState::Denied;
        late.person_valence = -0.001;
        audience.add(&feeling(1, 5_000, 0.0), &settings);
        audience.add(&late, &settings);
        let target = &audience.reach(Utc::from_millis(5_000), &settings)[0];
        assert_eq!(target.consent, ConsentState::Denied);
        assert!(target.distress > 0.89);
        assert!(target.valence < 0.0, "{}", target.valence);
    }

    #[test]
    fn what_is_said_elsewhere_protects_here_and_counts_for_nothing() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        audience.add(&feeling(1, 1_000, 0.5), &settings);
        let mood = audience.mood();
        let mut elsewhere = feeling(1, 2_000, -1.0);
        elsewhere.person_distress = 0.9;
        elsewhere.consent = ConsentState::Denied;
        elsewhere.minor = true;
        audience.protect(&elsewhere);
        audience.protect(&feeling(2, 2_000, -1.0));
        let reached = audience.reach(Utc::from_millis(2_000), &settings);
        assert_eq!(reached.len(), 1, "who never spoke here is not known here");
        assert!(reached[0].distress > 0.89 && reached[0].minor && reached[0].consent == ConsentState::Denied);
        assert_eq!(audience.mood(), mood);
    }

    #[test]
    fn after_a_move_the_usual_level_is_kept() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        let mut moments = Vec::new();
        for post in 0..4_000_i64 {
            let level = if post < 2_000 { -0.2 } else { 0.3 };
            let wobble = if post % 2 == 0 { 0.4 } else { -0.4 };
            moments.extend(audience.add(&feeling(post, post * 1_000, level + wobble), &settings));
        }
        assert_eq!(moments.len(), 1, "{moments:?}");
        let moment = &moments[0];
        assert_eq!(moment.direction, Direction::Up);
        let delay = moment.trigger.id.parse::<i64>().unwrap() - 2_000;
        assert!((0..150).contains(&delay), "found after {delay} posts");
        let began = moment.change.since.as_millis() / 1_000;
        assert!((1_980..2_020).contains(&began), "{began}");
        assert!((moment.baseline + 0.2).abs() < 0.05, "{}", moment.baseline);
        assert!(
            (audience.baseline() + 0.2).abs() < 0.05,
            "{}",
            audience.baseline()
        );
    }

    /// A calm audience of many people, one post every ten seconds for ten hours: the last post's number.
    fn calm(audience: &mut Audience, settings: &Settings) -> i64 {
        for post in 0..3_600_i64 {
            let wobble = if post % 2 == 0 { 0.3 } else { -0.3 };
            let found = audience.add(&feeling(post, post * 10_000, wobble), settings);
            assert_eq!(found, None);
        }
        3_600
    }

    #[test]
    fn copies_of_one_text_and_posts_of_one_person_raise_nothing_and_as_many_others_do() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        let first = calm(&mut audience, &settings);
        let raised = |of: &dyn Fn(i64) -> WaitingFeeling, posts: i64| {
            let mut audience = audience.clone();
            (0..posts).any(|post| audience.add(&of(post), &settings).is_some())
        };
        let cheer = |post: i64| feeling(first + post, (first + post) * 10_000, 0.9);
        assert!(raised(&cheer, 40), "40 people with texts of their own");
        let copy = |post: i64| {
            let mut copy = cheer(post);
            // Copies differ in a bit or two.
            copy.fingerprint = Some(TextFingerprint::from_bits(
                0x0123_4567_89ab_cdef ^ (1 << (post % 3)),
            ));
            copy
        };
        assert!(!raised(&copy, 100), "100 copies of one text by 100 accounts");
        let shout = |post: i64| {
            let mut shout = feeling(first, (first + post) * 10_000, 0.9);
            shout.fingerprint = Some(TextFingerprint::from_bits(
                (post as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ));
            shout
        };
        assert!(!raised(&shout, 100), "100 posts by one person");
        let program = |post: i64| {
            let mut program = cheer(post);
            program.automated = true;
            program
        };
        assert!(!raised(&program, 40), "40 accounts that post like programs");
        let mixed = |post: i64| if post % 2 == 0 { cheer(post) } else { copy(post) };
        let mut audience = audience.clone();
        let moment = (0..120)
            .find_map(|post| audience.add(&mixed(post), &settings))
            .unwrap();
        let share = moment.change.copied as f64 / moment.change.posts as f64;
        assert!(
            (0.35..0.6).contains(&share),
            "the moment says how many are copies: {share}"
        );
    }

    /// The state that the program wrote before it knew hours, copies and returns.
    #[test]
    fn the_first_versions_state_goes_on_with_its_baseline() {
        struct Old;
        impl StateValue for Old {
            const VERSION: u8 = 1;

            fn encode(&self, to: &mut Encoder) {
                Mood::new().write(to);
                // The baseline: 1,000 posts of a mean of 0.25.
                to.time(Utc::from_millis(0));
                for number in [1_000.0, 1_000.0, 250.0, 100.0] {
                    to.number(number);
                }
                to.unsigned(7);
                for _ in 0..10 {
                    to.number(3.0);
                    to.number(2.0);
                    to.time(Utc::from_millis(0));
                    to.unsigned(5);
                    to.unsigned(3);
                    to.number(0.5);
                    to.number(0.25);
                }
                to.length(1);
                to.text("joy");
                to.length(1);
                to.unsigned(5);
                to.time(Utc::from_millis(0));
                for count in [3, 0, 0, 0, 3] {
                    to.unsigned(count);
                }
                for sum in [0.5, 0.25, 1.0] {
                    to.number(sum);
                }
                to.unsigned(3);
                to.number(0.75);
                to.time(Utc::from_millis(50));
                to.length(1);
                to.pseudonym(&feeling(9, 0, 0.0).person);
                to.time(Utc::from_millis(40));
                to.number(0.1);
                to.consent(ConsentState::Given);
                to.flag(false);
            }

            fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
                Ok(Self)
            }
        }
        let mut audience = Audience::from_bytes(&Old.to_bytes()).unwrap();
        assert_eq!(audience.people[0].person, feeling(9, 0, 0.0).person);
        let settings = Settings::default();
        assert_eq!(audience.add(&feeling(10, 1_000, 0.25), &settings), None);
        assert!(
            (audience.baseline() - 0.25).abs() < 1e-9,
            "{}",
            audience.baseline()
        );
        assert_eq!(Audience::from_bytes(&audience.to_bytes()), Ok(audience));
    }

    /// The state that the program wrote before it knew offence, hate, intentions and brands.
    #[test]
    fn the_second_versions_state_goes_on_with_its_posts() {
        struct Old;
        impl StateValue for Old {
            const VERSION: u8 = 2;

            fn encode(&self, to: &mut Encoder) {
                Mood::new().write(to);
                ChangeTest::new().write(to);
                to.length(1);
                to.text("joy");
                to.length(1);
                to.unsigned(5);
                to.time(Utc::from_millis(40));
                for count in [3, 1, 2, 0, 1, 0, 3] {
                    to.unsigned(count);
                }
                for sum in [0.75, 0.25, 1.5] {
                    to.number(sum);
                }
                to.unsigned(3);
                to.number(0.75);
                Texts::new().write(to);
                to.length(1);
                to.pseudonym(&feeling(9, 0, 0.0).person);
                to.time(Utc::from_millis(40));
                to.number(0.1);
                to.consent(ConsentState::Given);
                to.flag(false);
                to.unsigned(4);
                to.time(Utc::from_millis(30));
            }

            fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
                Ok(Self)
            }
        }
        let audience = Audience::from_bytes(&Old.to_bytes()).unwrap();
        let change = audience.changes.since(5).unwrap();
        let counts = (change.posts, change.distressed, change.sensitive_events);
        assert_eq!(counts, (3, 1, 2));
        assert_eq!((change.judged, change.offensive, change.hateful), (0, 0, 0));
        assert!((change.mood.valence - 0.25).abs() < 1e-12, "{change:?}");
        assert_eq!(audience.people[0].number, 4);
        assert!(
            audience.people[0].valence.abs() < 1e-12,
            "no version before the fourth knew it"
        );
        assert_eq!(Audience::from_bytes(&audience.to_bytes()), Ok(audience));
    }

    #[test]
    fn a_moment_and_the_state_say_how_much_is_offensive_or_hateful() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        let first = calm(&mut audience, &settings);
        let hostile = |post: i64| {
            let mut hostile = feeling(first + post, (first + post) * 10_000, -0.9);
            hostile.offence = Some(0.9);
            hostile.hate = (post % 2 == 0).then_some(0.8);
            hostile
        };
        let moment = (0..60).find_map(|post| audience.add(&hostile(post), &settings));
        let moment = moment.expect("60 people with another mood are noticed");
        let change = &moment.change;
        assert!(change.offensive >= 5 && change.hateful >= 2, "{change:?}");
        assert!(
            change.mood.offence > 0.7 && moment.mood.offence > 0.1,
            "{moment:?}"
        );
        let status = Shown::from(Utc::from_millis(0));
        let audience_id = "everyone:football".parse().unwrap();
        let status = audience.status(&audience_id, &status, &settings);
        assert!(status.mood.hate > 0.05 && status.mood.offence > status.mood.hate);
    }

    /// The whole procedure, its baselines learnt from the stream itself: what [`crate::Detector`] promises for a mean within
    /// the band holds over all posts, moments and new baselines of streams in which nothing changes.
    #[test]
    fn false_alarms_are_as_rare_as_promised_with_a_baseline_that_was_learnt() {
        use rand::{Rng, SeedableRng};
        let mut settings = Settings::default();
        settings.audience.people = 1;
        settings.change.alpha = 1e-2;
        // The budget in time allows more.
        settings.change.false_moments = 10_000.0;
        settings.change.audiences = 1;
        settings.change.tolerance = 0.0;
        settings.change.cooldown = limbic_domain::HumanDuration::ZERO;
        let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let (mut posts, mut moments) = (0_u64, 0_u64);
        for audience_number in 0..30 {
            let mean = f64::from(audience_number) / 40.0 - 0.375;
            let mut audience = Audience::new();
            for post in 0..4_000 {
                let x = if chance.random_bool(f64::midpoint(mean, 1.0)) {
                    1.0
                } else {
                    -1.0
                };
                moments += u64::from(audience.add(&feeling(post, post * 1_000, x), &settings).is_some());
                posts += 1;
            }
        }
        println!("{moments} false alarms in {posts} posts at alpha 1e-2");
        assert!(moments * 100 <= posts);
    }
}
