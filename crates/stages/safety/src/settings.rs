//! Limits: compiled-in ceilings, and settings that may only be stricter.

use std::collections::BTreeMap;

use limbic_domain::{Platform, Slug, event_id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::regions;
use crate::rules::RULES;
use crate::words::{self, Lexicon};

/// The most lenient any installation can be.
pub mod ceiling {
    /// Share of an audience's recent posts with distress at which nothing runs.
    pub const AUDIENCE_DISTRESS: f64 = 0.25;
    /// Share of an audience's posts since a change that name a death, a disaster or violence at which nothing runs.
    pub const SENSITIVE_EVENTS: f64 = 0.25;
    /// Share of an audience's posts since a change in languages in which distress cannot be read at which nothing runs.
    pub const UNREAD: f64 = 0.5;
    /// Share of an audience's recent posts that are offensive at which nothing runs.
    pub const OFFENCE: f64 = 0.5;
    /// Share of an audience's recent posts that attack people because of a group at which nothing runs.
    pub const HATE: f64 = 0.25;
    /// Mean anger, annoyance, disgust, disapproval or disappointment at which an audience is not shown the ad of the brand that
    /// it writes about.
    pub const BRAND_ANGER: f64 = 0.3;
    /// Distress of a person at which no ad is chosen for them.
    pub const PERSON_DISTRESS: f64 = 0.5;
    /// Mean fear, grief or despair at which nothing runs, whichever way the audience goes.
    pub const ANY_DREAD: f64 = 0.5;
    /// The same for an audience that goes down.
    pub const DOWN_DREAD: f64 = 0.3;
    /// Mean sadness at which nothing runs for an audience that goes down.
    pub const DOWN_SADNESS: f64 = 0.6;
    /// Mean arousal of an audience in a negative feeling at which no ad may press.
    pub const PRESSURE_AROUSAL: f64 = 0.4;
    /// Mean fear or anger at which no ad may press.
    pub const PRESSURE_FEELING: f64 = 0.3;
    /// People one decision may reach.
    pub const PEOPLE: usize = 256;
    /// Graphemes of a headline, whatever a platform says.
    pub const HEADLINE: usize = 300;
    /// Graphemes of a body, whatever a platform says.
    pub const BODY: usize = 5_000;
}

/// The settings of the safety gate: `[safety]`. Every one of them can only make it stricter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Share of an audience's recent posts with distress at which nothing runs, above 0 and at most
    /// 0.25. Default: 0.15.
    pub audience_distress: f64,
    /// Share of an audience's posts since a change that name a death, a disaster or violence at which nothing runs, above 0 and at
    /// most 0.25. Default: 0.15. Few posts must not even make that share plausible.
    pub sensitive_events: f64,
    /// Share of an audience's posts since a change in languages in which distress cannot be read at which nothing runs, above 0 and
    /// at most 0.5. Default: 0.5.
    pub unread: f64,
    /// Share of offensive posts (insults, threats, profanity), of those that the audience wrote lately or since a change, at which
    /// nothing runs, above 0 and at most 0.5. Default: 0.4.
    pub offence: f64,
    /// Share of posts that attack people because of a group that they belong to, of those that the audience wrote lately or since a
    /// change, at which nothing runs, above 0 and at most 0.25. Default: 0.15.
    pub hate: f64,
    /// Mean anger, annoyance, disgust, disapproval or disappointment at which an audience is not shown the ad of the brand that it
    /// writes about, above 0 and at most 0.3. Default: 0.2.
    pub brand_anger: f64,
    /// Distress of a person at which no ad is chosen for them, above 0 and at most 0.5.
    /// Default: 0.4.
    pub person_distress: f64,
    /// Mean fear, grief or despair at which nothing runs, above 0 and at most 0.5. Default: 0.5.
    pub any_dread: f64,
    /// The same for an audience that goes down, at most 0.3. Default: 0.3.
    pub down_dread: f64,
    /// Mean sadness at which nothing runs for an audience that goes down, at most 0.6.
    /// Default: 0.6.
    pub down_sadness: f64,
    /// Mean arousal of an audience in a negative feeling at which no ad may press to act at once, above 0 and at most
    /// 0.4. Default: 0.3.
    pub pressure_arousal: f64,
    /// Mean of fear or anger, in any of their kinds, at which no ad may press to act at once, above 0 and at most
    /// 0.3. Default: 0.2.
    pub pressure_feeling: f64,
    /// Most people one decision may reach, 1 to 256; those who spoke last are kept. Default: 256.
    pub people: usize,
    /// Fewest people that must remain for an ad to run, at least 1. Default: 1.
    pub fewest_people: usize,
    /// Further words that make a subject or a campaign sensitive. `cancer` is that word and its plural, `canc*` all that
    /// begin so, `mental health` a phrase.
    pub sensitive_words: Vec<String>,
    /// Further words that an ad may not contain, in the same form.
    pub forbidden_words: Vec<String>,
    /// What fits on each platform; where campaigns differ, the strictest counts. On a platform not named here a headline has at
    /// most 300 graphemes, and a body 5,000.
    pub platforms: Vec<Platform>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            audience_distress: 0.15,
            sensitive_events: 0.15,
            unread: ceiling::UNREAD,
            offence: 0.4,
            hate: 0.15,
            brand_anger: 0.2,
            person_distress: 0.4,
            any_dread: ceiling::ANY_DREAD,
            down_dread: ceiling::DOWN_DREAD,
            down_sadness: ceiling::DOWN_SADNESS,
            pressure_arousal: 0.3,
            pressure_feeling: 0.2,
            people: ceiling::PEOPLE,
            fewest_people: 1,
            sensitive_words: Vec::new(),
            forbidden_words: Vec::new(),
            platforms: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether these settings are in their ranges.
    pub fn check(&self) -> Result<(), SettingsError> {
        Rules::new(self).map(|_| ())
    }
}

/// A setting that the gate does not take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// More lenient than the law, or no number of its kind.
    #[error(
        "safety.{name} = {value}: must be above 0 and at most {most}; the gate can be made stricter, never more lenient"
    )]
    Limit {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: f64,
        /// The most lenient value.
        most: f64,
    },
    /// A count out of its range.
    #[error(
        "safety.{name} = {value}: must be {least} to {most}; the gate can be made stricter, never more lenient"
    )]
    Count {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A word that no text could match, or that every text would.
    #[error(
        "safety.{name}: `{word}` is not a word: give letters or digits, with `*` only at the end of a word of three or more"
    )]
    Word {
        /// The setting.
        name: &'static str,
        /// What was given.
        word: String,
    },
}

/// What fits on a platform, in graphemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) headline: usize,
    pub(crate) body: usize,
}

/// The rules in force. There is no way to have any but from [`Settings`] that passed.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(crate) audience_distress: f64,
    pub(crate) sensitive_events: f64,
    pub(crate) unread: f64,
    pub(crate) offence: f64,
    pub(crate) hate: f64,
    pub(crate) brand_anger: f64,
    pub(crate) person_distress: f64,
    pub(crate) any_dread: f64,
    pub(crate) down_dread: f64,
    pub(crate) down_sadness: f64,
    pub(crate) pressure_arousal: f64,
    pub(crate) pressure_feeling: f64,
    pub(crate) people: usize,
    pub(crate) fewest_people: usize,
    pub(crate) lexicon: Lexicon,
    rooms: BTreeMap<Slug, Room>,
    version: String,
}

impl Rules {
    /// The rules of these settings; refuses every setting that would be more lenient than the law.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let limits = [
            (
                "audience_distress",
                settings.audience_distress,
                ceiling::AUDIENCE_DISTRESS,
            ),
            (
                "sensitive_events",
                settings.sensitive_events,
                ceiling::SENSITIVE_EVENTS,
            ),
            ("unread", settings.unread, ceiling::UNREAD),
            ("offence", settings.offence, ceiling::OFFENCE),
            ("hate", settings.hate, ceiling::HATE),
            ("brand_anger", settings.brand_anger, ceiling::BRAND_ANGER),
            (
                "person_distress",
                settings.person_distress,
                ceiling::PERSON_DISTRESS,
            ),
            ("any_dread", settings.any_dread, ceiling::ANY_DREAD),
            ("down_dread", settings.down_dread, ceiling::DOWN_DREAD),
            ("down_sadness", settings.down_sadness, ceiling::DOWN_SADNESS),
            (
                "pressure_arousal",
                settings.pressure_arousal,
                ceiling::PRESSURE_AROUSAL,
            ),
            (
                "pressure_feeling",
                settings.pressure_feeling,
                ceiling::PRESSURE_FEELING,
            ),
        ];
        for (name, value, most) in limits {
            // NaN is in no range, and so refused.
            let is_within = value > 0.0 && value <= most;
            if !is_within {
                return Err(SettingsError::Limit { name, value, most });
            }
        }
        let counts = [
            ("people", settings.people, ceiling::PEOPLE),
            ("fewest_people", settings.fewest_people, settings.people),
        ];
        for (name, value, most) in counts {
            if !(1..=most).contains(&value) {
                return Err(SettingsError::Count {
                    name,
                    value,
                    least: 1,
                    most,
                });
            }
        }
        let lexicon = Lexicon::with(&settings.sensitive_words, &settings.forbidden_words)?;
        let mut rooms: BTreeMap<Slug, Room> = BTreeMap::new();
        for platform in &settings.platforms {
            let room = rooms.entry(platform.name.clone()).or_insert(Self::MOST_ROOM);
            room.headline = room.headline.min(platform.headline);
            room.body = room.body.min(platform.body);
        }
        let canonical =
            serde_json::to_string(settings).expect("settings have string keys and finite numbers");
        let versions = RULES
            .map(|rule| format!("{}/{}", rule.id, rule.version))
            .join(" ");
        let digest = event_id(
            "safety-rules",
            &[&canonical, &versions, &words::canonical(), regions::canonical()],
        );
        Ok(Self {
            audience_distress: settings.audience_distress,
            sensitive_events: settings.sensitive_events,
            unread: settings.unread,
            offence: settings.offence,
            hate: settings.hate,
            brand_anger: settings.brand_anger,
            person_distress: settings.person_distress,
            any_dread: settings.any_dread,
            down_dread: settings.down_dread,
            down_sadness: settings.down_sadness,
            pressure_arousal: settings.pressure_arousal,
            pressure_feeling: settings.pressure_feeling,
            people: settings.people,
            fewest_people: settings.fewest_people,
            lexicon,
            rooms,
            version: format!("gate-4/{}", &digest[..16]),
        })
    }

    const MOST_ROOM: Room = Room {
        headline: ceiling::HEADLINE,
        body: ceiling::BODY,
    };

    /// Which rules these are: `gate-4/` and a hash over settings, versions of the rules, word lists and regions. Equal versions of one build judge alike.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What fits on a platform. Of a text without a platform, what any takes.
    pub(crate) fn room_on(&self, platform: Option<&Slug>) -> Room {
        let known = platform.and_then(|platform| self.rooms.get(platform));
        known.copied().unwrap_or(Self::MOST_ROOM)
    }
}
