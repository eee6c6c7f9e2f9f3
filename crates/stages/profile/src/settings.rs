//! What may be set, with its unit and default.

use limbic_domain::Slug;
use serde::{Deserialize, Serialize};

/// Settings of both stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is kept of a person.
    pub person: PersonSettings,
    /// Segments of people besides `everyone`.
    pub segments: Vec<Segment>,
    /// What is kept of an audience.
    pub audience: AudienceSettings,
    /// When an audience has moved.
    pub change: ChangeSettings,
}

/// What is kept of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonSettings {
    /// After how many seconds a post weighs half in a person's mood. Default 6 hours.
    pub half_life_seconds: u64,
    /// After how many seconds a cue of distress weighs half. Default 3 days: a cue protects for days, not for one post.
    pub distress_half_life_seconds: u64,
    /// A person silent for this many seconds is forgotten, unless they denied consent or may be a minor. Default 90 days.
    pub expiry_seconds: u64,
    /// How many seconds later than its successors a reading may come and still be on time. Default 30 seconds; more
    /// means later moments.
    pub disorder_seconds: u64,
}

impl Default for PersonSettings {
    fn default() -> Self {
        Self {
            half_life_seconds: 6 * 3_600,
            distress_half_life_seconds: 3 * 86_400,
            expiry_seconds: 90 * 86_400,
            disorder_seconds: 30,
        }
    }
}

/// A segment: people for whom every condition holds. A condition that is left out holds for everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its name; `everyone` is taken.
    pub name: Slug,
    /// Platforms the post may come from; empty = any.
    #[serde(default)]
    pub networks: Vec<Slug>,
    /// Languages the post may be in, compared by the primary subtag (`en` holds for `en-GB`); empty = any.
    #[serde(default)]
    pub languages: Vec<String>,
    /// How many posts of the person must have been read, this one included.
    #[serde(default)]
    pub least_posts: u64,
}

/// What is kept of an audience.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudienceSettings {
    /// After how many seconds a post weighs half in the audience's mood. Default 10 minutes.
    pub half_life_seconds: u64,
    /// From which distress score, in `[0, 1]`, a post counts into the share in distress. Default 0.5.
    pub distress_from: f64,
    /// How many people a moment names at most, 1 to 256. Default 256.
    pub people: usize,
    /// How many seconds ago a person may have spoken last to be named by a moment. Default 1 day.
    pub reach_seconds: u64,
    /// An audience silent for this many seconds is forgotten. Default 30 days.
    pub expiry_seconds: u64,
}

impl Default for AudienceSettings {
    fn default() -> Self {
        Self {
            half_life_seconds: 600,
            distress_from: 0.5,
            people: 256,
            reach_seconds: 86_400,
            expiry_seconds: 30 * 86_400,
        }
    }
}

/// When an audience has moved: see [`crate::Detector`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeSettings {
    /// False alarms: while nothing changes, they are on average at least `1 / alpha` posts of the audience apart.
    /// In `(0, 0.5]`; default 1e-4.
    pub alpha: f64,
    /// A move of mean valence by no more than this is no change. In `[0, 1]`; default 0.02.
    pub tolerance: f64,
    /// The risk, in `(0, 0.5]`, that the interval around the baseline misses its true mean. Default 0.01.
    pub baseline_risk: f64,
    /// How many posts a baseline needs before anything is compared with it, at least 2. Default 100.
    pub least_posts: u64,
    /// After how many seconds a post weighs half in the baseline. Default 7 days.
    pub baseline_half_life_seconds: u64,
    /// For how many seconds after a moment there is no other for the audience. Default 10 minutes.
    pub cooldown_seconds: u64,
}

impl Default for ChangeSettings {
    fn default() -> Self {
        Self {
            alpha: 1e-4,
            tolerance: 0.02,
            baseline_risk: 0.01,
            least_posts: 100,
            baseline_half_life_seconds: 7 * 86_400,
            cooldown_seconds: 600,
        }
    }
}

/// A setting cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile.{setting}: {rule}")]
pub struct InvalidSetting {
    /// Which one, from the table `profile` on.
    pub setting: &'static str,
    /// What must hold of it.
    pub rule: &'static str,
}

/// The longest time that may be set: a hundred years.
const LONGEST_SECONDS: u64 = 100 * 366 * 86_400;

impl Settings {
    /// Refuses what cannot work. Every stage calls it when it is built.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let (person, audience, change) = (&self.person, &self.audience, &self.change);
        for (setting, seconds) in [
            ("person.half_life_seconds", person.half_life_seconds),
            (
                "person.distress_half_life_seconds",
                person.distress_half_life_seconds,
            ),
            ("person.expiry_seconds", person.expiry_seconds),
            ("audience.half_life_seconds", audience.half_life_seconds),
            ("audience.reach_seconds", audience.reach_seconds),
            ("audience.expiry_seconds", audience.expiry_seconds),
            (
                "change.baseline_half_life_seconds",
                change.baseline_half_life_seconds,
            ),
        ] {
            require(
                (1..=LONGEST_SECONDS).contains(&seconds),
                setting,
                "must be 1 second to 100 years",
            )?;
        }
        for (setting, seconds) in [
            ("person.disorder_seconds", person.disorder_seconds),
            ("change.cooldown_seconds", change.cooldown_seconds),
        ] {
            require(seconds <= LONGEST_SECONDS, setting, "must be at most 100 years")?;
        }
        for (setting, risk) in [
            ("change.alpha", change.alpha),
            ("change.baseline_risk", change.baseline_risk),
        ] {
            require(
                (1e-300..=0.5).contains(&risk),
                setting,
                "must be more than 0 and at most 0.5",
            )?;
        }
        let share = 0.0..=1.0;
        require(
            share.contains(&change.tolerance),
            "change.tolerance",
            "must be in [0, 1]",
        )?;
        require(
            share.contains(&audience.distress_from),
            "audience.distress_from",
            "must be in [0, 1]",
        )?;
        require(
            change.least_posts >= 2,
            "change.least_posts",
            "must be at least 2",
        )?;
        require(
            (1..=256).contains(&audience.people),
            "audience.people",
            "must be 1 to 256",
        )?;
        require(self.segments.len() <= 16, "segments", "must be at most 16")?;
        for (place, segment) in self.segments.iter().enumerate() {
            let taken = segment.name.as_str() == "everyone"
                || self.segments[..place]
                    .iter()
                    .any(|other| other.name == segment.name);
            require(!taken, "segments.name", "must be unique and not `everyone`")?;
        }
        Ok(())
    }
}

const fn require(holds: bool, setting: &'static str, rule: &'static str) -> Result<(), InvalidSetting> {
    if holds {
        Ok(())
    } else {
        Err(InvalidSetting { setting, rule })
    }
}

/// Seconds, as validated, in milliseconds.
pub(crate) const fn millis(seconds: u64) -> i64 {
    seconds.cast_signed() * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work() {
        assert_eq!(Settings::default().validate(), Ok(()));
        assert_eq!(
            serde_json::from_str::<Settings>("{}").unwrap(),
            Settings::default()
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<Settings>(r#"{"change":{"alhpa":0.1}}"#).is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (text, setting) in [
            (r#"{"change":{"alpha":0}}"#, "change.alpha"),
            (r#"{"change":{"tolerance":-0.1}}"#, "change.tolerance"),
            (
                r#"{"person":{"half_life_seconds":0}}"#,
                "person.half_life_seconds",
            ),
            (
                r#"{"person":{"expiry_seconds":18446744073709551615}}"#,
                "person.expiry_seconds",
            ),
            (r#"{"audience":{"people":257}}"#, "audience.people"),
            (r#"{"segments":[{"name":"everyone"}]}"#, "segments.name"),
            (
                r#"{"segments":[{"name":"fans"},{"name":"fans"}]}"#,
                "segments.name",
            ),
        ] {
            let settings: Settings = serde_json::from_str(text).unwrap();
            assert_eq!(settings.validate().unwrap_err().setting, setting, "{text}");
        }
    }
}
