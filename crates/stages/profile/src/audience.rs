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
mod tests;
