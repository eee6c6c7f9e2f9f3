//! An audience: what it feels, what it usually feels, who spoke, and whether it has moved.

use limbic_domain::{
    AudienceId, ConsentState, Direction, Evidence, Moment, MoodSummary, Pseudonym, Recipient, TenantId, Utc,
};

use crate::arithmetic::decay;
use crate::baseline::Baseline;
use crate::codec::{Reader, StateError, Writer};
use crate::detector::{Detector, Verdict};
use crate::heard::Heard;
use crate::mood::{Felt, Mood};
use crate::settings::Settings;

const VERSION: u8 = 1;
const WHAT: &str = "audience";

/// What is kept of an audience: the value at [`Audience::state_key`] in the state of the stage `moments`.
#[derive(Debug, Clone, PartialEq)]
pub struct Audience {
    mood: Mood,
    baseline: Baseline,
    detector: Detector,
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
    /// Where an audience is kept in the state of the stage `moments`.
    pub fn state_key(tenant: &TenantId, audience: &AudienceId) -> Vec<u8> {
        let mut key = Vec::with_capacity(2 + tenant.as_str().len() + audience.as_str().len());
        key.push(b'a');
        key.extend_from_slice(tenant.as_str().as_bytes());
        key.push(b'/');
        key.extend_from_slice(audience.as_str().as_bytes());
        key
    }

    pub(crate) const fn new() -> Self {
        Self {
            mood: Mood::new(),
            baseline: Baseline::new(),
            detector: Detector::new(),
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
    pub(crate) fn hear(&mut self, heard: &Heard, settings: &Settings) -> Option<Moment> {
        if heard.at.millis_since(self.at()) > settings.audience.expiry.as_millis() {
            *self = Self::new();
        }
        let felt = Felt {
            valence: heard.valence,
            arousal: heard.arousal,
            emotions: &heard.emotions,
            distressed: heard.distress >= settings.audience.distress_from,
        };
        self.mood
            .add(heard.at, settings.audience.half_life.as_millis(), &felt);
        self.spoke(heard, settings);
        let verdict = self.judge(heard, settings);
        // Only now: what a post is compared with must not know it.
        self.baseline.add(heard.valence, heard.at, &settings.change);
        let verdict = verdict.filter(|verdict| verdict.statistic >= 1.0 / settings.change.alpha)?;
        Some(self.moment(&verdict, heard, settings))
    }

    /// Takes in what someone who spoke here said elsewhere: it protects them here, and counts for nothing else.
    pub(crate) fn warn(&mut self, heard: &Heard, settings: &Settings) {
        if self.people.iter().any(|known| known.person == heard.person) {
            self.spoke(heard, settings);
        }
    }

    /// What the test says of this post; `None` while there is nothing to compare it with, or in the quiet after a moment.
    fn judge(&mut self, heard: &Heard, settings: &Settings) -> Option<Verdict> {
        if heard.at < self.quiet_until {
            return None;
        }
        let band = self.baseline.band(&settings.change)?;
        Some(self.detector.step(heard.valence, heard.at, band))
    }

    fn moment(&mut self, verdict: &Verdict, heard: &Heard, settings: &Settings) -> Moment {
        let moment = Moment {
            audience: heard.audience.clone(),
            direction: verdict.direction,
            since: verdict.since,
            mood: self.mood(),
            baseline: self.baseline.mean(),
            evidence: Evidence {
                test: "e-detector-1".to_owned(),
                statistic: verdict.statistic,
                threshold: 1.0 / settings.change.alpha,
                posts: self.detector.posts(),
            },
            trigger: heard.post.clone(),
            people: self.reach(heard.at, settings),
        };
        self.settle(verdict.direction, heard.at, settings);
        moment
    }

    /// What has come is what is usual from now on.
    fn settle(&mut self, direction: Direction, at: Utc, settings: &Settings) {
        self.baseline = Baseline::of(&self.detector.run(direction), at);
        self.detector = Detector::new();
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

    fn spoke(&mut self, heard: &Heard, settings: &Settings) {
        let mut speaker = Speaker {
            person: heard.person.clone(),
            at: heard.at,
            distress: heard.person_distress,
            consent: heard.consent,
            minor: heard.minor,
        };
        if let Some(place) = self.people.iter().position(|known| known.person == heard.person) {
            let known = self.people.remove(place);
            speaker = speaker.after(known);
        }
        let place = self.people.partition_point(|known| known.at > speaker.at);
        self.people.insert(place, speaker);
        self.people.truncate(settings.audience.people);
    }

    /// Reads a value of the state.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(WHAT, VERSION, bytes)?;
        let mut audience = Self {
            mood: Mood::read(&mut reader)?,
            baseline: Baseline::read(&mut reader)?,
            detector: Detector::read(&mut reader)?,
            quiet_until: reader.time()?,
            people: Vec::new(),
        };
        let people = reader.length()?;
        audience.people.reserve(people);
        for _ in 0..people {
            audience.people.push(Speaker {
                person: reader.pseudonym()?,
                at: reader.time()?,
                distress: reader.number()?,
                consent: reader.consent()?,
                minor: reader.flag()?,
            });
        }
        reader.finish()?;
        Ok(audience)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION, 1_024 + 34 * self.people.len());
        self.mood.write(&mut writer);
        self.baseline.write(&mut writer);
        self.detector.write(&mut writer);
        writer.time(self.quiet_until);
        writer.length(self.people.len());
        for speaker in &self.people {
            writer.pseudonym(&speaker.person);
            writer.time(speaker.at);
            writer.number(speaker.distress);
            writer.consent(speaker.consent);
            writer.byte(u8::from(speaker.minor));
        }
        writer.finish()
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
    use crate::heard::tests::heard;

    #[test]
    fn it_survives_being_written_and_torn_bytes_are_told() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        for post in 0..500 {
            audience.hear(
                &heard(post, post * 997, if post % 3 == 0 { 0.7 } else { -0.2 }),
                &settings,
            );
        }
        let bytes = audience.encode();
        assert_eq!(Audience::decode(&bytes), Ok(audience));
        for length in (0..bytes.len()).step_by(37) {
            assert!(Audience::decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_moment_names_whoever_spoke_last_newest_first_and_once() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        for post in 0..600 {
            audience.hear(&heard(post, post * 1_000, 0.0), &settings);
        }
        let spoken: Vec<_> = audience.reach(Utc::from_millis(599_000), &settings);
        assert_eq!(spoken.len(), 256);
        assert_eq!(spoken[0].person, heard(599, 0, 0.0).person);
        audience.hear(&heard(400, 599_500, 0.0), &settings);
        let spoken = audience.reach(Utc::from_millis(599_500), &settings);
        assert_eq!(spoken[0].person, heard(400, 0, 0.0).person);
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
        let mut late = heard(1, 1_000, 0.0);
        late.person_distress = 0.9;
        late.consent = ConsentState::Denied;
        audience.hear(&heard(1, 5_000, 0.0), &settings);
        audience.hear(&late, &settings);
        let target = &audience.reach(Utc::from_millis(5_000), &settings)[0];
        assert_eq!(target.consent, ConsentState::Denied);
        assert!(target.distress > 0.89);
    }

    #[test]
    fn what_is_said_elsewhere_protects_here_and_counts_for_nothing() {
        let settings = Settings::default();
        let mut audience = Audience::new();
        audience.hear(&heard(1, 1_000, 0.5), &settings);
        let mood = audience.mood();
        let mut elsewhere = heard(1, 2_000, -1.0);
        elsewhere.person_distress = 0.9;
        elsewhere.consent = ConsentState::Denied;
        elsewhere.minor = true;
        audience.warn(&elsewhere, &settings);
        audience.warn(&heard(2, 2_000, -1.0), &settings);
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
            moments.extend(audience.hear(&heard(post, post * 1_000, level + wobble), &settings));
        }
        assert_eq!(moments.len(), 1, "{moments:?}");
        let moment = &moments[0];
        assert_eq!(moment.direction, Direction::Up);
        let delay = moment.trigger.id.parse::<i64>().unwrap() - 2_000;
        assert!((0..150).contains(&delay), "found after {delay} posts");
        let began = moment.since.as_millis() / 1_000;
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
                moments += u64::from(audience.hear(&heard(post, post * 1_000, x), &settings).is_some());
                posts += 1;
            }
        }
        println!("{moments} false alarms in {posts} posts at alpha 1e-2");
        assert!(moments * 100 <= posts);
    }
}
