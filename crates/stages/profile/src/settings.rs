//! The settings of both stages, with units and defaults.

use std::collections::BTreeMap;

use limbic_domain::{HumanDuration, IntentKind, Slug, UtcOffset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of both stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The state of people.
    pub person: PersonSettings,
    /// Segments of people, in addition to `everyone`.
    pub segments: Vec<Segment>,
    /// The state of audiences.
    pub audience: AudienceSettings,
    /// When a change of an audience's mood is a moment.
    pub change: ChangeSettings,
    /// When posts that name a death, a disaster or violence put a subject on hold.
    pub sensitive_events: EventSettings,
}

/// The state of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PersonSettings {
    /// Age at which a post has half its weight in a person's mood. At least 1s; default 6h.
    pub half_life: HumanDuration,
    /// Age at which a cue of distress has half its weight. At least 1s; default 3d, so that a cue protects for days.
    pub distress_half_life: HumanDuration,
    /// A person without posts for this long is removed, unless they denied consent or may be a minor. At least 1s;
    /// default 90d.
    pub expiry: HumanDuration,
    /// Maximum time by which a reading may be older than an earlier one of its partition and still be on time. Default
    /// 30s. A larger value delays moments.
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

/// A segment: the people for whom all conditions hold. A missing condition holds for everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The segment's name. `everyone` is not allowed.
    pub name: Slug,
    /// Social networks of the post. Empty = any.
    #[serde(default)]
    pub networks: Vec<Slug>,
    /// Languages of the post, compared by the primary subtag (`en` includes `en-GB`). Empty = any.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Intentions of the post: `churn`, `complaint`, `purchase`, `praise`, `question`, `none`. Empty = any.
    #[serde(default)]
    pub intents: Vec<IntentKind>,
    /// Names, one of which the post contains: a brand of `affect.brands`, a hashtag, an organisation, a place or a product, in any
    /// case. Names of people and `@mentions` never count. Empty = any.
    #[serde(default)]
    pub entities: Vec<String>,
    /// Minimum number of the person's posts, including this one.
    #[serde(default)]
    pub least_posts: u64,
}

/// The state of audiences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AudienceSettings {
    /// Age at which a post has half its weight in the audience's mood. At least 1s; default 10min.
    pub half_life: HumanDuration,
    /// From which probability of irony, in `(0, 1]`, a post that sounds pleasant counts for nothing but its distress.
    /// Default 0.8.
    pub irony_from: f64,
    /// The distress score, in `[0, 1]`, from which a post counts as distressed in the audience's share of distress.
    /// Default 0.5.
    pub distress_from: f64,
    /// The probability of offence, in `(0, 1]`, from which a post counts as offensive in the audience's share. Default 0.7.
    /// In ordinary sets of posts it counts 2 % to 6 %.
    pub offence_from: f64,
    /// The probability of hate, in `(0, 1]`, from which a post counts as hateful in the audience's share. Default 0.5.
    pub hate_from: f64,
    /// Maximum number of people in a moment, 1 to 256. Default 256.
    pub people: usize,
    /// Maximum age of a person's last post if a moment names the person. At least 1s; default 1d.
    pub reach: HumanDuration,
    /// An audience without posts for this long is removed. At least 1s; default 30d.
    pub expiry: HumanDuration,
}

impl Default for AudienceSettings {
    fn default() -> Self {
        Self {
            half_life: HumanDuration::from_mins(10),
            irony_from: 0.8,
            distress_from: 0.5,
            offence_from: 0.7,
            hate_from: 0.5,
            people: 256,
            reach: HumanDuration::from_days(1),
            expiry: HumanDuration::from_days(30),
        }
    }
}

/// When posts that name a death, a disaster or violence, or that suddenly cannot be read, hold all campaigns of their subject, and
/// how long. It can be made stricter than the defaults, and a little more lenient within stated bounds; it cannot be switched off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// The share of a subject's posts that are probably about such an event on an ordinary day. In `[0.001, 0.1]`; default 0.06.
    pub expected_share: f64,
    /// Holds without an event: on average at least `1 / alpha` posts of a subject apart. In `[1e-6, 0.1]`; default 3e-4.
    pub alpha: f64,
    /// How long no ad runs after the last post that raised or extended a hold. 6h to 30d; default 1d.
    pub cooldown: HumanDuration,
    /// How long no ad runs after far more posts than usual were in languages in which distress and events are not read. 10min to
    /// 30d; default 1h.
    pub unread_cooldown: HumanDuration,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            expected_share: 0.06,
            alpha: 3e-4,
            cooldown: HumanDuration::from_days(1),
            unread_cooldown: HumanDuration::from_hours(1),
        }
    }
}

/// When a change of an audience's mood is a moment: see [`crate::ChangeTest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeSettings {
    /// Budget of false alarms: while nothing changes, on average at most so many a day, for all audiences of a tenant together. More
    /// than 0 and at most 10000; default 1.
    pub false_moments: f64,
    /// Number of audiences of a tenant that share the budget in equal parts, 1 to 1000000. With more audiences than that, the budget
    /// is exceeded in proportion. Default 20.
    pub audiences: u32,
    /// Largest rate of false alarms for each post, in `(0, 0.5]`: whatever the budget, they are on average at least `1 / alpha` posts
    /// of the audience apart. Default 1e-4.
    pub alpha: f64,
    /// The largest difference of mean valence that does not count as a change. In `[0, 1]`; default 0.02.
    pub tolerance: f64,
    /// Probability, in `(0, 0.5]`, that the interval around the baseline does not contain its true mean. Default 0.01.
    pub baseline_risk: f64,
    /// Number of posts that a baseline needs before the audience is compared with it, at least 2. Default 100.
    pub least_posts: u64,
    /// Age at which a post has half its weight in the baseline's level. What is usual in an hour of the week is remembered four times
    /// as long. At least 1s; default 7d.
    pub baseline_half_life: HumanDuration,
    /// The offset of the audiences' clock from UTC, for what is usual in an hour of the week, for instance `"+01:00"`. Default `"Z"`
    /// (UTC). It does not follow daylight-saving time.
    pub utc_offset: UtcOffset,
    /// The same for the audiences of single subjects, for instance `{ "melbourne" = "+10:00" }`. Default: none.
    pub subject_utc_offsets: BTreeMap<Slug, UtcOffset>,
    /// How long what was usual before a change is kept. A way back within this time is a return, not a moment of the opposite
    /// direction. At least 1h; default 2d.
    pub remembered: HumanDuration,
    /// One person and one text count once in this time. At least 1s; default 1h.
    pub window: HumanDuration,
    /// Minimum time between a moment of an audience and the next change. Default 10min.
    pub cooldown: HumanDuration,
}

impl Default for ChangeSettings {
    fn default() -> Self {
        Self {
            false_moments: 1.0,
            audiences: 20,
            alpha: 1e-4,
            tolerance: 0.02,
            baseline_risk: 0.01,
            least_posts: 100,
            baseline_half_life: HumanDuration::from_days(7),
            utc_offset: UtcOffset::default(),
            subject_utc_offsets: BTreeMap::new(),
            remembered: HumanDuration::from_days(2),
            window: HumanDuration::from_hours(1),
            cooldown: HumanDuration::from_mins(10),
        }
    }
}

/// A setting is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile.{setting}: {rule}")]
pub struct InvalidSetting {
    /// The setting, within the table `profile`.
    pub setting: &'static str,
    /// The rule that it must satisfy.
    pub rule: &'static str,
}

impl Settings {
    /// Returns an error if a setting is not valid. Both stages call it when they are built.
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
            ("change.window", change.window),
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
        require(
            change.false_moments > 0.0 && change.false_moments <= 10_000.0,
            "change.false_moments",
            "must be more than 0 and at most 10000",
        )?;
        require(
            (1..=1_000_000).contains(&change.audiences),
            "change.audiences",
            "must be 1 to 1000000",
        )?;
        require(
            change.remembered >= HumanDuration::from_hours(1),
            "change.remembered",
            "must be at least 1h",
        )?;
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
        for (setting, from) in [
            ("audience.offence_from", audience.offence_from),
            ("audience.hate_from", audience.hate_from),
        ] {
            require(
                from > 0.0 && from <= 1.0,
                setting,
                "must be more than 0 and at most 1",
            )?;
        }
        require(
            audience.irony_from > 0.0 && audience.irony_from <= 1.0,
            "audience.irony_from",
            "must be more than 0 and at most 1",
        )?;
        let events = &self.sensitive_events;
        require(
            (0.001..=0.1).contains(&events.expected_share),
            "sensitive_events.expected_share",
            "must be 0.001 to 0.1",
        )?;
        require(
            (1e-6..=0.1).contains(&events.alpha),
            "sensitive_events.alpha",
            "must be 0.000001 to 0.1",
        )?;
        let cooldown = HumanDuration::from_hours(6)..=HumanDuration::from_days(30);
        require(
            cooldown.contains(&events.cooldown),
            "sensitive_events.cooldown",
            "must be 6h to 30d",
        )?;
        let cooldown = HumanDuration::from_mins(10)..=HumanDuration::from_days(30);
        require(
            cooldown.contains(&events.unread_cooldown),
            "sensitive_events.unread_cooldown",
            "must be 10min to 30d",
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
            let can_match =
                |name: &String| !name.trim_start_matches('#').trim().is_empty() && !name.starts_with('@');
            require(
                segment.entities.iter().all(can_match),
                "segments.entities",
                "must be names of brands, hashtags, organisations, places or products, not empty and without `@`",
            )?;
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
            (r#"{"change":{"false_moments":0}}"#, "change.false_moments"),
            (r#"{"change":{"audiences":0}}"#, "change.audiences"),
            (r#"{"change":{"remembered":"10m"}}"#, "change.remembered"),
            (r#"{"change":{"window":"0s"}}"#, "change.window"),
            (r#"{"person":{"half_life":"0s"}}"#, "person.half_life"),
            (r#"{"person":{"expiry":"1ms"}}"#, "person.expiry"),
            (r#"{"audience":{"people":257}}"#, "audience.people"),
            (r#"{"audience":{"hate_from":0}}"#, "audience.hate_from"),
            (r#"{"audience":{"offence_from":1.1}}"#, "audience.offence_from"),
            (r#"{"segments":[{"name":"everyone"}]}"#, "segments.name"),
            (
                r##"{"segments":[{"name":"fans","entities":["#"]}]}"##,
                "segments.entities",
            ),
            (
                r#"{"segments":[{"name":"fans","entities":["@ada"]}]}"#,
                "segments.entities",
            ),
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
