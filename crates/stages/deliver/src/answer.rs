//! What a platform's answer means.

use std::time::Duration;

use limbic_domain::Utc;

/// What a platform said of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, now or since before.
    Delivered,
    /// It will never take it.
    Refused {
        /// Its words.
        detail: String,
    },
    /// It is well, but wants to be asked later. Counts as no attempt.
    Throttled {
        /// How long it asks to be left alone; `None` = it did not say.
        wait: Option<Duration>,
        /// Its words.
        detail: String,
    },
    /// Something between here and there failed; it may pass.
    Failed {
        /// What happened.
        detail: String,
    },
}

/// Most characters of a platform's words that are kept.
const WORDS: usize = 300;

/// What an HTTP answer means. `retry_after` is the header's value: seconds or an HTTP date (RFC 9110, §10.2.3), read
/// at `now`; `words` the beginning of the body.
pub fn triage(status: u16, retry_after: Option<&str>, words: &str, now: Utc) -> Answer {
    let wait = retry_after.and_then(|value| wait(value, now));
    let detail = || match excerpt(words) {
        words if words.is_empty() => status.to_string(),
        words => format!("{status}: {words}"),
    };
    match status {
        200..=299 | 409 => Answer::Delivered,
        429 => Answer::Throttled {
            wait,
            detail: detail(),
        },
        503 if wait.is_some() => Answer::Throttled {
            wait,
            detail: detail(),
        },
        408 | 425 | 500..=599 => Answer::Failed { detail: detail() },
        _ => Answer::Refused { detail: detail() },
    }
}

/// How long a `Retry-After` asks to wait; `None` if it is neither of its two forms.
fn wait(value: &str, now: Utc) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let until = until.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    Some(until.saturating_sub(now))
}

/// The beginning of a platform's words for logs and outcomes: one line without control characters, at most 300
/// characters and an ellipsis.
pub fn excerpt(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut kept: String = line.chars().filter(|c| !c.is_control()).take(WORDS + 1).collect();
    if kept.chars().count() > WORDS {
        kept.pop();
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Utc {
        text.parse().unwrap()
    }

    #[test]
    fn every_status_has_its_answer() {
        let now = at("2026-11-21T09:00:00Z");
        for status in 100..=599 {
            let answer = triage(status, None, "words", now);
            let expected = match status {
                200..=299 | 409 => "delivered",
                429 => "throttled",
                408 | 425 | 500..=599 => "failed",
                _ => "refused",
            };
            let name = match answer {
                Answer::Delivered => "delivered",
                Answer::Throttled { wait: None, .. } => "throttled",
                Answer::Throttled { .. } => "throttled as long as never said",
                Answer::Failed { .. } => "failed",
                Answer::Refused { .. } => "refused",
            };
            assert_eq!(name, expected, "{status}");
        }
        assert_eq!(triage(208, None, "", now), Answer::Delivered);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = at("1994-11-06T08:49:07Z");
        let waits = |status, value| match triage(status, Some(value), "", now) {
            Answer::Throttled { wait, .. } => wait.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(429, "7"), Some(7));
        assert_eq!(waits(503, " 120 "), Some(120));
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(waits(503, date), Some(30), "{date}");
        }
        assert_eq!(waits(429, "Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "long past");
        assert_eq!(waits(429, "99999999999999999999999"), Some(u64::MAX));
        for nonsense in ["", "-1", "soon", "1.5"] {
            assert_eq!(waits(429, nonsense), None, "{nonsense}");
            assert!(matches!(
                triage(503, Some(nonsense), "", now),
                Answer::Failed { .. }
            ));
        }
    }

    #[test]
    fn a_platforms_words_are_kept_short_and_on_one_line() {
        let endless = format!("no\n\tway\u{7} {}", "é".repeat(1_000));
        let Answer::Refused { detail } = triage(422, None, &endless, Utc::default()) else {
            panic!("not refused");
        };
        assert!(
            detail.starts_with("422: no way éé") && detail.ends_with("é…"),
            "{detail}"
        );
        assert!(detail.chars().count() < 310);
        assert_eq!(
            triage(404, None, " ", Utc::default()),
            Answer::Refused { detail: "404".into() }
        );
    }
}
