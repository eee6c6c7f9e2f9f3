//! How many requests a source still allows, as its headers say.

use std::time::Duration;

use limbic_domain::Utc;
use reqwest::header::HeaderMap;

/// What `X-RateLimit-Remaining` and `X-RateLimit-Reset` of the last answer say, or `x-rate-limit-remaining` and `x-rate-limit-reset`.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    left: Option<u64>,
    /// When it is full again.
    resets_at: Option<Utc>,
}

/// The longest wait that a header can state. The longest period of a documentation is 15 minutes.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A number of seconds from here on is a time since 1970: it is the year 2001.
const FIRST_TIME: u32 = 1_000_000_000;

impl Quota {
    /// `now` is the wall clock. The reset is a time (Mastodon), a number of seconds from now (Reddit), or of seconds since 1970 (X).
    pub(crate) fn note(&mut self, headers: &HeaderMap, now: Utc) {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let left = text("x-ratelimit-remaining").or_else(|| text("x-rate-limit-remaining"));
        let left = left.and_then(|left| left.parse::<f64>().ok());
        if let Some(left) = left.filter(|left| left.is_finite()) {
            self.left = Some(left.max(0.0) as u64);
        }
        let Some(reset) = text("x-ratelimit-reset").or_else(|| text("x-rate-limit-reset")) else {
            return;
        };
        if let Ok(seconds) = reset.parse::<u32>() {
            let millis = i64::from(seconds) * 1_000;
            self.resets_at = Some(if seconds < FIRST_TIME {
                now.plus_millis(millis)
            } else {
                Utc::from_millis(millis)
            });
        } else if let Ok(at) = reset.parse() {
            self.resets_at = Some(at);
        }
    }

    /// The requests that are left, as far as it is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        self.left
    }

    /// How far apart requests must be, so that the rest of the quota lasts until the reset.
    pub(crate) fn pace(&self, now: Utc) -> Duration {
        let (Some(left), Some(resets_at)) = (self.left, self.resets_at) else {
            return Duration::ZERO;
        };
        let millis = u64::try_from(resets_at.millis_since(now)).unwrap_or(0);
        Duration::from_millis(millis / left.max(1)).min(LONGEST_WAIT)
    }

    /// How long no request must be sent.
    pub(crate) fn wait(&self, now: Utc) -> Option<Duration> {
        let resets_at = self.resets_at.filter(|_| self.left == Some(0))?;
        let millis = u64::try_from(resets_at.millis_since(now)).ok();
        let millis = millis.filter(|millis| *millis > 0)?;
        Some(Duration::from_millis(millis).min(LONGEST_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(left: &str, reset: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", left.parse().unwrap());
        headers.insert("x-ratelimit-reset", reset.parse().unwrap());
        headers
    }

    #[test]
    fn no_request_is_sent_before_the_reset_if_none_is_left() {
        let mut quota = Quota::default();
        let now: Utc = "2026-11-30T09:00:00Z".parse().unwrap();
        assert_eq!(quota.wait(now), None);
        quota.note(&headers("0", "2026-11-30T09:01:30.500Z"), now);
        assert_eq!(quota.wait(now), Some(Duration::from_millis(90_500)));
        assert_eq!(quota.wait(now.plus_millis(90_500)), None);
        quota.note(&headers("299", "2026-11-30T09:05:00Z"), now);
        assert_eq!((quota.wait(now), quota.left()), (None, Some(299)));
    }

    #[test]
    fn the_rest_of_a_quota_is_spread_until_its_reset() {
        let mut quota = Quota::default();
        let now: Utc = "2026-11-30T09:00:00Z".parse().unwrap();
        assert_eq!(quota.pace(now), Duration::ZERO);
        let mut headers = HeaderMap::new();
        headers.insert("x-rate-limit-remaining", "3".parse().unwrap());
        headers.insert("x-rate-limit-reset", (now.as_millis() / 1_000 + 90).into());
        quota.note(&headers, now);
        assert_eq!(quota.pace(now), Duration::from_secs(30));
        assert_eq!(quota.pace(now.plus_millis(91_000)), Duration::ZERO);
    }

    #[test]
    fn a_reset_can_be_a_number_of_seconds_and_a_remainder_a_fraction() {
        let mut quota = Quota::default();
        let now: Utc = "2026-11-30T09:00:00Z".parse().unwrap();
        quota.note(&headers("0.6", "120"), now);
        assert_eq!(quota.wait(now), Some(Duration::from_mins(2)));
        quota.note(&headers("NaN", "soon"), now);
        assert_eq!(
            quota.wait(now),
            Some(Duration::from_mins(2)),
            "what cannot be read changes nothing"
        );
    }
}
