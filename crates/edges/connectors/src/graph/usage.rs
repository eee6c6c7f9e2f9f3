//! How much of Meta's limits is used, as its headers say.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

/// From this share of a limit on, requests are slowed down.
const SLOW_FROM: f64 = 50.0;
/// From this share on, none is sent.
const STOP_FROM: f64 = 90.0;
/// The slowest rhythm below that.
const SLOWEST: Duration = Duration::from_mins(10);
/// The wait when a limit is nearly used up. The limits count the last hour.
const STOPPED: Duration = Duration::from_mins(30);
/// The longest wait that a header can ask for.
const LONGEST: Duration = Duration::from_hours(24);

/// The usage that `X-App-Usage` and `X-Business-Use-Case-Usage` of the last answers state, in percent of the limits.
#[derive(Debug, Default)]
pub(super) struct Usage {
    app: f64,
    business: f64,
    /// The wait until access is regained.
    blocked: Duration,
}

impl Usage {
    pub(super) fn note(&mut self, headers: &HeaderMap) {
        let json =
            |name: &str| -> Option<Value> { serde_json::from_str(headers.get(name)?.to_str().ok()?).ok() };
        if let Some(app) = json("x-app-usage") {
            self.app = highest(&app);
        }
        if let Some(business) = json("x-business-use-case-usage") {
            // A list for each business object.
            let all = business.as_object().into_iter().flat_map(|of| of.values());
            let all: Vec<&Value> = all.filter_map(Value::as_array).flatten().collect();
            self.business = all.iter().map(|usage| highest(usage)).fold(0.0, f64::max);
            let minutes = all
                .iter()
                .filter_map(|usage| usage["estimated_time_to_regain_access"].as_u64())
                .max();
            self.blocked = Duration::from_secs(minutes.unwrap_or(0).saturating_mul(60)).min(LONGEST);
        }
    }

    /// How much of the nearest limit is left, in percent.
    pub(super) fn left(&self) -> u64 {
        (100.0 - self.app.max(self.business)).clamp(0.0, 100.0) as u64
    }

    /// The wait before the next request of this turn, if none must be sent now.
    pub(super) fn wait(&self) -> Option<Duration> {
        let used = self.app.max(self.business);
        if !self.blocked.is_zero() {
            return Some(self.blocked);
        }
        (used >= STOP_FROM).then_some(STOPPED)
    }

    /// How far apart turns must be.
    pub(super) fn pace(&self) -> Duration {
        let used = self.app.max(self.business);
        let share = ((used - SLOW_FROM) / (STOP_FROM - SLOW_FROM)).clamp(0.0, 1.0);
        SLOWEST.mul_f64(share).max(self.wait().unwrap_or_default())
    }

    /// Time has passed: a request may find out what is used now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The highest of the shares.
fn highest(usage: &Value) -> f64 {
    let share = |name: &str| {
        usage[name]
            .as_f64()
            .filter(|share| share.is_finite())
            .unwrap_or(0.0)
    };
    ["call_count", "total_time", "total_cputime"]
        .map(share)
        .into_iter()
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(name: &'static str, value: &str) -> Usage {
        let (mut usage, mut headers) = (Usage::default(), HeaderMap::new());
        headers.insert(name, value.parse().unwrap());
        usage.note(&headers);
        usage
    }

    #[test]
    fn requests_slow_down_before_a_limit_and_stop_before_it_is_reached() {
        let app = |percent: u32| {
            noted(
                "x-app-usage",
                &format!(r#"{{"call_count": 3, "total_time": {percent}, "total_cputime": 1}}"#),
            )
        };
        assert_eq!(
            (app(50).pace(), app(50).wait(), app(50).left()),
            (Duration::ZERO, None, 50)
        );
        assert_eq!(app(70).pace(), Duration::from_mins(5));
        assert_eq!(app(90).wait(), Some(STOPPED));
        assert_eq!(app(120).left(), 0);
        let mut usage = app(95);
        usage.forget();
        assert_eq!(usage.wait(), None);
    }

    #[test]
    fn the_time_until_access_is_regained_is_kept() {
        let business = |minutes: u64| {
            noted(
                "x-business-use-case-usage",
                &format!(
                    r#"{{"1": [{{"type": "pages", "call_count": 20, "total_cputime": 1, "total_time": 1,
                        "estimated_time_to_regain_access": 0}}], "2": [{{"type": "instagram", "call_count": 100, "total_cputime": 1,
                        "total_time": 1, "estimated_time_to_regain_access": {minutes}}}]}}"#
                )
                .replace('\n', ""),
            )
        };
        assert_eq!(business(19).wait(), Some(Duration::from_mins(19)));
        assert_eq!(business(u64::MAX).wait(), Some(LONGEST));
        for strange in [
            "x",
            "7",
            "[]",
            r#"{"1": {"call_count": 100}}"#,
            r#"{"1": [{"call_count": "x"}]}"#,
        ] {
            assert_eq!(
                noted("x-business-use-case-usage", strange).wait(),
                None,
                "{strange}"
            );
        }
    }
}
