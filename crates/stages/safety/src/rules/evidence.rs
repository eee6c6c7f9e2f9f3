//! Shares of posts, as rules compare and print them.

use limbic_domain::Draft;

use crate::rule::RuleError;

/// The chance that must remain for a share at or above a limit: it counts as plausible.
const PLAUSIBLE: f64 = 0.2;
/// From this number of posts on, the binomial distribution is replaced by the normal one.
const MANY: u64 = 1_000;
/// The quantile of the normal distribution at [`PLAUSIBLE`].
const PLAUSIBLE_QUANTILE: f64 = -0.841_621_233_572_914_2;

/// Whether the share of such posts may be at or above `limit`, if `count` of `posts` are such: whether a share of exactly `limit`
/// would give so few of them with a chance of [`PLAUSIBLE`] or more.
///
/// Few posts prove little, and then the answer is yes: with a limit of 15 %, ten posts without a hit are the fewest that pass.
pub(super) fn is_plausible(count: u64, posts: u64, limit: f64) -> bool {
    let (n, k) = (posts as f64, count as f64);
    if posts > MANY {
        let deviation = (n * limit * (1.0 - limit)).sqrt();
        return (k + 0.5 - n * limit) / deviation >= PLAUSIBLE_QUANTILE;
    }
    let mut term = (1.0 - limit).powf(n);
    let mut chance = term;
    for hits in 0..count.min(posts) {
        term *= (posts - hits) as f64 / (hits + 1) as f64 * limit / (1.0 - limit);
        chance += term;
    }
    chance >= PLAUSIBLE
}

/// The posts since the change whose distress and events can be read.
pub(super) fn read_posts(draft: &Draft) -> u64 {
    draft.change.posts.saturating_sub(draft.change.unread)
}

/// A share of the posts since the change, in words.
pub(super) fn share_since(draft: &Draft, count: u64) -> String {
    format!(
        "{count} of {} posts since {}",
        read_posts(draft),
        draft.change.since
    )
}

/// Why `count` of `posts` is too many: the share is at the limit, or so few posts do not exclude it.
pub(super) fn compared(count: u64, posts: u64, limit: f64) -> String {
    let limit_text = percent(limit);
    if count as f64 >= limit * posts as f64 {
        format!("At {limit_text} no ad runs.")
    } else {
        format!(
            "There are too few posts to show that the share is below {limit_text}, from which on no ad runs."
        )
    }
}

/// The value, if it is in `[0, 1]` within rounding errors of 1e-9; otherwise an error.
pub(super) fn share(value: f64, what: &'static str) -> Result<f64, RuleError> {
    const ROUNDING: f64 = 1e-9;
    if (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
        Ok(value)
    } else {
        Err(RuleError::Unreadable(what))
    }
}

/// A share as a person reads it.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 0.05 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with the binomial distribution as `scipy.stats.binom.cdf` has it: `cdf(0, 10, .15)` = 0.19687,
    /// `cdf(1, 19, .15)` = 0.19849, `cdf(1, 18, .15)` = 0.22405, `cdf(9, 80, .15)` = 0.22026, `cdf(8, 80, .15)` = 0.13085.
    #[test]
    fn a_share_is_plausible_until_enough_posts_speak_against_it() {
        for (count, posts, plausible) in [
            (0, 0, true),
            (1, 0, true),
            (5, 4, true),
            (4, 4, true),
            (0, 9, true),
            (0, 10, false),
            (1, 18, true),
            (1, 19, false),
            (9, 80, true),
            (8, 80, false),
            (150, 1_000, true),
            (200, 1_000, true),
            (100, 1_000, false),
            (1_480, 10_000, true),
            (1_470, 10_000, true),
            (1_469, 10_000, false),
            (10_001, 10_000, true),
            (0, 1_000_000, false),
        ] {
            assert_eq!(is_plausible(count, posts, 0.15), plausible, "{count} of {posts}");
        }
        // `cdf(10, 1000, .0136)` = 0.2019, and the normal distribution would say 0.17: a thousand posts are not many yet.
        assert!(is_plausible(10, 1_000, 0.0136));
    }

    #[test]
    fn a_share_is_printed_with_the_digits_it_needs() {
        for (value, text) in [
            (0.15, "15 %"),
            (0.125, "12.5 %"),
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.3333, "33.3 %"),
            (0.0005, "0.1 %"),
            (0.000_49, "0 %"),
        ] {
            assert_eq!(percent(value), text);
        }
    }

    #[test]
    fn a_share_outside_its_range_is_an_error() {
        for value in [0.0, 1.0, -1e-10, 1.0 + 1e-10] {
            assert!(share(value, "x").is_ok(), "{value}");
        }
        for value in [-1e-3, 1.001, f64::NAN, f64::INFINITY] {
            assert!(share(value, "x").is_err(), "{value}");
        }
    }
}
