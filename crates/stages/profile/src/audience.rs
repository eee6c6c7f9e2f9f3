//! An audience: what it feels, what it usually feels, who spoke, and whether it has moved.

use limbic_domain::{
    AudienceId, ConsentState, Direction, Evidence, Moment, MoodSummary, Pseudonym, Recipient, TenantId, Utc,
};
use limbic_stream::{DecodeProblem, Decoder, Encoder, KeyFor, StateKey, StateValue, Table};

use crate::arithmetic::decay;
use crate::baseline::Baseline;
use crate::change::{Changes, Counted};
use crate::detector::{Detector, Verdict};
use crate::mood::{Felt, Mood};
use crate::settings::Settings;
use crate::waiting::WaitingFeeling;

/// The audiences of a partition, in the state of the stage `moments`.
pub const AUDIENCES: Table<AudienceKey, Audience> = Table::new("audiences", b"a");

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
    baseline: Baseline,
    detector: Detector,
    changes: Changes,
    /// No moment before this time.
    quiet_until: Utc,
    /// Who spoke, newest first.
    people: Vec<Speaker>,
}

/// A person as of when they last spoke.
#[derive(Debug, Clone, PartialEq)]
struct Speaker {
    person: Pseudonym,
    at: Utc,
    distress: f64,
    consent: ConsentState,
    minor: bool,
}

impl Audience {
    pub(crate) const fn new() -> Self {
        Self {
            mood: Mood::new(),
            baseline: Baseline::new(),
            detector: Detector::new(),
            changes: Changes::new(),
            quiet_until: Utc::MIN,
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
            weight: self.mood.weight(),
        }
    }

    /// The mean valence it usually has.
    pub fn baseline(&self) -> f64 {
        self.baseline.mean()
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
        self.spoke(feeling, settings);
        let verdict = self.judge(feeling, settings);
        // Only now: what a post is compared with must not know it.
        if !feeling.ironic {
            self.baseline.add(feeling.valence, feeling.at, &settings.change);
        }
        let verdict = verdict.filter(|verdict| verdict.statistic >= 1.0 / settings.change.alpha)?;
        Some(self.moment(&verdict, feeling, settings))
    }

    /// Takes in what someone who spoke here said elsewhere: it protects them here, and counts for nothing else.
    pub(crate) fn protect(&mut self, feeling: &WaitingFeeling, settings: &Settings) {
        if self.people.iter().any(|known| known.person == feeling.person) {
            self.spoke(feeling, settings);
        }
    }

    /// What the test says of this post; `None` while there is nothing to compare it with, or in the quiet after a moment.
    fn judge(&mut self, feeling: &WaitingFeeling, settings: &Settings) -> Option<Verdict> {
        if feeling.at < self.quiet_until {
            return None;
        }
        let band = self.baseline.band(&settings.change)?;
        // A post that is meant ironically says nothing for or against a change, but counts in the posts since its beginning.
        let verdict = (!feeling.ironic).then(|| self.detector.step(feeling.valence, feeling.at, band));
        let counted = Counted::of(feeling, settings.audience.distress_from);
        self.changes.add(&self.detector.firsts(), feeling, counted);
        verdict
    }

    fn moment(&mut self, verdict: &Verdict, feeling: &WaitingFeeling, settings: &Settings) -> Moment {
        let first = self.detector.run(verdict.direction).first;
        let change = self.changes.since(first);
        let moment = Moment {
            audience: feeling.audience.clone(),
            direction: verdict.direction,
            change: change
                .expect("the posts since every beginning that the detector considers are summed up"),
            mood: self.mood(),
            baseline: self.baseline.mean(),
            evidence: Evidence {
                test: "e-detector-1".to_owned(),
                statistic: verdict.statistic,
                threshold: 1.0 / settings.change.alpha,
                posts: self.detector.posts(),
            },
            trigger: feeling.post.clone(),
            people: self.reach(feeling.at, settings),
        };
        self.settle(verdict.direction, feeling.at, settings);
        moment
    }

    /// What has come is what is usual from now on.
    fn settle(&mut self, direction: Direction, at: Utc, settings: &Settings) {
        self.baseline = Baseline::of(&self.detector.run(direction), at);
        self.detector = Detector::new();
        self.changes = Changes::new();
        self.quiet_until = at.plus_millis(settings.change.cooldown.as_millis());
    }

    /// Who may be reached at `now`, newest first.
    fn reach(&self, now: Utc, settings: &Settings) -> Vec<Recipient> {
        let reach = settings.audience.reach.as_millis();
        let half_life = settings.person.distress_half_life.as_millis();
        self.people
            .iter()
            .filter(|speaker| now.millis_since(speaker.at) <= reach)
            .map(|speaker| Recipient {
                person: speaker.person.clone(),
                distress: speaker.distress * decay(now.millis_since(speaker.at), half_life),
                consent: speaker.consent,
                minor: speaker.minor,
            })
            .collect()
    }

    fn spoke(&mut self, feeling: &WaitingFeeling, settings: &Settings) {
        let mut speaker = Speaker {
            person: feeling.person.clone(),
            at: feeling.at,
            distress: feeling.person_distress,
            consent: feeling.consent,
            minor: feeling.minor,
        };
        if let Some(place) = self
            .people
            .iter()
            .position(|known| known.person == feeling.person)
        {
            let known = self.people.remove(place);
            speaker = speaker.after(known);
        }
        let place = self.people.partition_point(|known| known.at > speaker.at);
        self.people.insert(place, speaker);
        self.people.truncate(settings.audience.people);
    }
}

impl StateValue for Audience {
    const VERSION: u8 = 1;

    fn size_hint(&self) -> usize {
        4_096 + 34 * self.people.len()
    }

    fn encode(&self, to: &mut Encoder) {
        self.mood.write(to);
        self.baseline.write(to);
        self.detector.write(to);
        self.changes.write(to);
        to.time(self.quiet_until);
        to.length(self.people.len());
        for speaker in &self.people {
            to.pseudonym(&speaker.person);
            to.time(speaker.at);
            to.number(speaker.distress);
            to.consent(speaker.consent);
            to.flag(speaker.minor);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut audience = Self {
            mood: Mood::read(from)?,
            baseline: Baseline::read(from)?,
            detector: Detector::read(from)?,
            changes: Changes::read(from)?,
            quiet_until: from.time()?,
            people: Vec::new(),
        };
        let people = from.length()?;
        audience.people.reserve(people);
        for _ in 0..people {
            audience.people.push(Speaker {
                person: from.pseudonym()?,
                at: from.time()?,
                distress: from.number()?,
                consent: from.consent()?,
                minor: from.flag()?,
            });
        }
        Ok(audience)
    }
}

impl Speaker {
    /// What is known after both. A newer post tells all there is; one that is not newer (late, or of the same instant)
    /// only ever makes us more careful.
    fn after(self, known: Self) -> Self {
        let minor = self.minor || known.minor;
        if self.at > known.at {
            return Self { minor, ..self };
        }
        let denied = self.consent == ConsentState::Denied;
        Self {
            distress: known.distress.max(self.distress),
            consent: if denied { self.consent } else { known.consent },
            minor,
            ..known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_moment_names_whoever_spoke_last_newest_first_and_once() {
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
        audience.add(&feeling(1, 5_000, 0.0), &settings);
        audience.add(&late, &settings);
        let target = &audience.reach(Utc::from_millis(5_000), &settings)[0];
        assert_eq!(target.consent, ConsentState::Denied);
        assert!(target.distress > 0.89);
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
        audience.protect(&elsewhere, &settings);
        audience.protect(&feeling(2, 2_000, -1.0), &settings);
        let reached = audience.reach(Utc::from_millis(2_000), &settings);
        assert_eq!(reached.len(), 1, "who never spoke here is not known here");
        assert!(reached[0].distress > 0.89 && reached[0].minor && reached[0].consent == ConsentState::Denied);
        assert_eq!(audience.mood(), mood);
    }

    #[test]
    fn after_a_move_the_new_level_is_the_usual_one() {
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
            (audience.baseline() - 0.3).abs() < 0.02,
            "{}",
            audience.baseline()
        );
    }

    /// The whole procedure, its baselines learnt from the stream itself: what [`crate::Detector`] promises for a mean within
    /// the band holds over all posts, moments and new baselines of streams in which nothing changes.
    #[test]
    fn false_alarms_are_as_rare_as_promised_with_a_baseline_that_was_learnt() {
        use rand::{Rng, SeedableRng};
        let mut settings = Settings::default();
        settings.audience.people = 1;
        settings.change.alpha = 1e-2;
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
