//! A subject for which no ad runs for a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PostRef, Record, Slug, Utc};

/// No ad runs for any audience of a subject until a stated time, because posts name a death, a disaster or violence.
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
    /// The post that raised or last extended it.
    pub trigger: PostRef,
}

impl Hold {
    /// How long before a hold began an ad may have been decided for the hold to withdraw it. One day.
    pub const REACHES_BACK_MILLIS: i64 = 86_400_000;

    /// The key of a subject's hold in the topic.
    pub fn key(tenant: &crate::TenantId, subject: &str) -> String {
        format!("{tenant}/{subject}")
    }

    /// Whether an ad for a moment at `at` is held. Ads that were decided up to a day before the hold began are held too.
    pub fn covers(&self, at: Utc) -> bool {
        self.since.plus_millis(-Self::REACHES_BACK_MILLIS) <= at && at < self.until
    }

    /// Why, in a sentence for a person who asks.
    pub fn reason(&self) -> String {
        format!(
            "Of {} posts about `{}` since {}, {} were read as reports of a death, a disaster or violence: no ad runs until {}.",
            self.posts, self.subject, self.since, self.sensitive_events, self.until
        )
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
            trigger: PostRef {
                network: Slug::new("bluesky").unwrap(),
                id: "1".into(),
            },
        };
        let covered = [75, 76, 99, 100, 123, 124].map(|hour| hold.covers(at(hour)));
        assert_eq!(covered, [false, true, true, true, true, false]);
        assert!(hold.reason().contains("Of 9 posts about `football`"));
    }
}
