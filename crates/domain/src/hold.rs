//! A subject for which no ad runs for a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PostRef, Record, Slug, Utc};

/// Why a subject is on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// Posts name a death, a disaster or violence.
    #[default]
    SensitiveEvents,
    /// Suddenly, many more posts than usual are in languages in which distress and sensitive events are not read.
    Unread,
    /// The newest few posts may be about such an event. The hold ends after about as many posts as the test needs to be sure.
    Suspected,
}

/// A person ended a hold before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// When, by the wall clock.
    pub at: Utc,
    /// Who: the API key, as `key:` and the first 8 hexadecimal digits of its hash (BLAKE3). `anonymous` if the node has no API keys.
    pub by: String,
    /// The reason that they gave, at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// No ad runs for any audience of a subject until a stated time, because posts name a death, a disaster or violence, or because
/// they suddenly cannot be read.
///
/// The envelope's `at` is the time of the post that raised or extended the hold. The key in the topic is `TENANT/SUBJECT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// The subject.
    pub subject: Slug,
    /// When the posts that raised it began, by event time.
    pub since: Utc,
    /// Until when no ad runs, by event time: a cool-down after the last post that raised or extended it.
    pub until: Utc,
    /// How many posts the test looked at when it raised or last extended the hold.
    pub posts: u64,
    /// How many of them, by different people, name such an event.
    pub sensitive_events: u64,
    /// How many of the posts were not read. Only counted if that is the cause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// The post that raised or last extended it.
    pub trigger: PostRef,
    /// Why it was raised or last extended.
    #[serde(default)]
    pub cause: HoldCause,
    /// Who ended it before its time. New posts can raise a new hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Hold {
    /// How long before a hold began an ad may have been decided for the hold to withdraw it. One day.
    pub const REACHES_BACK_MILLIS: i64 = 86_400_000;

    /// The key of a subject's hold in the topic.
    pub fn key(tenant: &crate::TenantId, subject: &str) -> String {
        format!("{tenant}/{subject}")
    }

    /// Whether an ad for a moment at `at` is held. Ads that were decided up to a day before the hold began are held too. A hold that
    /// was released covers nothing.
    pub fn covers(&self, at: Utc) -> bool {
        self.released.is_none() && self.since.plus_millis(-Self::REACHES_BACK_MILLIS) <= at && at < self.until
    }

    /// Why, in a sentence for a person who asks.
    pub fn reason(&self) -> String {
        let Self {
            subject,
            since,
            until,
            posts,
            ..
        } = self;
        let what = match self.cause {
            HoldCause::SensitiveEvents => format!(
                "{} were read as reports of a death, a disaster or violence",
                self.sensitive_events
            ),
            HoldCause::Suspected => format!(
                "{} may report a death, a disaster or violence",
                self.sensitive_events
            ),
            HoldCause::Unread => format!(
                "{} are in languages in which distress and sensitive events are not read, many more than usual",
                self.unread
            ),
        };
        let until = match &self.released {
            None => format!("no ad runs until {until}"),
            Some(release) => format!("the hold was released at {} by {}", release.at, release.by),
        };
        format!("Of {posts} posts about `{subject}` since {since}, {what}: {until}.")
    }
}

impl Record for Hold {
    const TYPE: &'static str = "hold";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_covers_decisions_from_a_day_before_it_until_its_end() {
        let at = |hours: i64| Utc::from_millis(hours * 3_600_000);
        let hold = Hold {
            subject: Slug::new("football").unwrap(),
            since: at(100),
            until: at(124),
            posts: 9,
            sensitive_events: 5,
            unread: 0,
            trigger: PostRef {
                network: Slug::new("bluesky").unwrap(),
                id: "1".into(),
            },
            cause: HoldCause::SensitiveEvents,
            released: None,
        };
        let covered = [75, 76, 99, 100, 123, 124].map(|hour| hold.covers(at(hour)));
        assert_eq!(covered, [false, true, true, true, true, false]);
        assert!(hold.reason().contains("Of 9 posts about `football`"));
        let released = Hold {
            released: Some(Release {
                at: at(101),
                by: "key:0011aabb".into(),
                reason: None,
            }),
            ..hold
        };
        assert!(!released.covers(at(100)));
        assert!(released.reason().ends_with("by key:0011aabb."));
    }

    #[test]
    fn a_hold_of_before_has_the_cause_that_all_had() {
        let text = r#"{"subject": "football", "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "posts": 9,
            "sensitive_events": 5, "trigger": {"network": "bluesky", "id": "1"}}"#;
        let hold: Hold = serde_json::from_str(text).unwrap();
        assert_eq!(
            (hold.cause, hold.released, hold.unread),
            (HoldCause::SensitiveEvents, None, 0)
        );
    }
}
