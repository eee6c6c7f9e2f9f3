//! Converts the HTTP answer of an ad platform.

use limbic_domain::Utc;
use limbic_stream::outbox::{self, excerpt, retry_after};

/// An ad platform's answer to a delivery. `Applied` = it has the delivery, from this attempt or an earlier one.
pub type Answer = outbox::Answer<()>;

/// Converts an HTTP answer. `wait` is the value of the `Retry-After` header, read at `now`. `words` is the start of the
/// body.
pub fn triage(status: u16, wait: Option<&str>, words: &str, now: Utc) -> Answer {
    let wait = wait.and_then(|value| retry_after(value, now));
    let detail = || match excerpt(words) {
        words if words.is_empty() => status.to_string(),
        words => format!("{status}: {words}"),
    };
    match status {
        200..=299 => Answer::Applied(()),
        // 409: a call with the same key is still running.
        409 | 429 => Answer::RetryAfter {
            wait,
            detail: detail(),
        },
        503 if wait.is_some() => Answer::RetryAfter {
            wait,
            detail: detail(),
        },
        408 | 425 | 500..=599 => Answer::Unknown { detail: detail() },
        // About the account or the address, not about this ad.
        401..=405 | 407 | 410 | 451 => Answer::Blocked { detail: detail() },
        _ => Answer::Rejected { detail: detail() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_status_has_its_answer() {
        let now = "2026-11-21T09:00:00Z".parse().unwrap();
        for status in 100..=599 {
            let expected = match status {
                200..=299 => "applied",
                409 | 429 => "retry after",
                401 | 402 | 403 | 404 | 405 | 407 | 410 | 451 => "blocked",
                408 | 425 | 500..=599 => "unknown",
                _ => "rejected",
            };
            let name = match triage(status, None, "words", now) {
                Answer::Applied(()) => "applied",
                Answer::RetryAfter { wait: None, .. } => "retry after",
                Answer::RetryAfter { .. } => "retry after a time that nobody named",
                Answer::Unknown { .. } => "unknown",
                Answer::Blocked { .. } => "blocked",
                Answer::Rejected { .. } => "rejected",
            };
            assert_eq!(name, expected, "{status}");
        }
        assert_eq!(triage(208, None, "", now), Answer::Applied(()));
    }

    #[test]
    fn a_503_asks_for_time_only_if_it_says_how_long() {
        let now = Utc::from_millis(0);
        let wait = Some(Duration::from_mins(2));
        let detail = "503".to_owned();
        assert_eq!(
            triage(503, Some("120"), "", now),
            Answer::RetryAfter { wait, detail }
        );
        let detail = "503".to_owned();
        assert_eq!(triage(503, Some("soon"), "", now), Answer::Unknown { detail });
    }

    #[test]
    fn a_platforms_words_are_kept_short_and_on_one_line() {
        let endless = format!("no\n\tway\u{7} {}", "é".repeat(1_000));
        let Answer::Rejected { detail } = triage(422, None, &endless, Utc::default()) else {
            panic!("not rejected");
        };
        assert!(
            detail.starts_with("422: no way éé") && detail.ends_with("é…"),
            "{detail}"
        );
        assert!(detail.chars().count() < 310);
        assert_eq!(
            triage(418, None, " ", Utc::default()),
            Answer::Rejected { detail: "418".into() }
        );
    }
}
