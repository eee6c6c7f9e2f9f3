//! What may be set, with its unit and default.

use limbic_domain::{HumanDuration, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of both stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PersonSettings {
    /// Age at which a post counts half in a person's mood. At least 1s; default 6h.
    pub half_life: HumanDuration,
    /// Age at which a cue of distress counts half. At least 1s; default 3d: a cue protects for days, not for one post.
    pub distress_half_life: HumanDuration,
    /// A person without posts for this long is forgotten, unless they denied consent or may be a minor. At least 1s;
    /// default 90d.
    pub expiry: HumanDuration,
    /// How much later than its successors a reading may come and still be on time. Default 30s; more means later moments.
    pub disorder: HumanDuration,
}

impl Default for PersonSettings {
    fn default() -> Self {
        Self {
            half_life: HumanDuration::from_hours(6),
            distress_half_life: HumanDuration::from_days(3),
            expiry: HumanDuration::from_days(90),
            disorder: HumanDuration::from_secs(30),
        }
    }
}

/// A segment: people for whom every condition holds. A condition that is left out holds for everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AudienceSettings {
    /// Age at which a post counts half in the audience's mood. At least 1s; default 10min.
    pub half_life: HumanDuration,
    /// From which distress score, in `[0, 1]`, a post counts into the share in distress. Default 0.5.
    pub distress_from: f64,
    /// How many people a moment names at most, 1 to 256. Default 256.
    pub people: usize,
    /// How long ago a person's last post may be for a moment to name them. At least 1s; default 1d.
    pub reach: HumanDuration,
    /// An audience without posts for this long is forgotten. At least 1s; default 30d.
    pub expiry: HumanDuration,
}

impl Default for AudienceSettings {
    fn default() -> Self {
        Self {
            half_life: HumanDuration::from_mins(10),
            distress_from: 0.5,
            people: 256,
            reach: HumanDuration::from_days(1),
            expiry: HumanDuration::from_days(30),
        }
    }
}

/// When an audience has moved: see [`crate::Detector`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Age at which a post counts half in the baseline. At least 1s; default 7d.
    pub baseline_half_life: HumanDuration,
    /// Least time between two moments of one audience. Default 10min.
    pub cooldown: HumanDuration,
}

impl Default for ChangeSettings {
    fn default() -> Self {
        Self {
            alpha: 1e-4,
            tolerance: 0.02,
            baseline_risk: 0.01,
            least_posts: 100,
            baseline_half_life: HumanDuration::from_days(7),
            cooldown: HumanDuration::from_mins(10),
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

impl Settings {
    /// Refuses what cannot work. Every stage calls it when it is built.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let (person, audience, change) = (&self.person, &self.audience, &self.change);
        for (setting, duration) in [
            ("person.half_life", person.half_life),
            ("person.distress_half_life", person.distress_half_life),
            ("person.expiry", person.expiry),
            ("audience.half_life", audience.half_life),
            ("audience.reach", audience.reach),
            ("audience.expiry", audience.expiry),
            ("change.baseline_half_life", change.baseline_half_life),
        ] {
            require(duration.as_secs() >= 1, setting, "must be at least 1s")?;
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
            (r#"{"person":{"half_life":"0s"}}"#, "person.half_life"),
            (r#"{"person":{"expiry":"1ms"}}"#, "person.expiry"),
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
