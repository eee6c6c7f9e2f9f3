//! Near-duplicates among the ads of one campaign.
//!
//! There are few ads, at most some dozens, so each pair is compared exactly. `MinHash` and `SimHash` estimate the same similarity for
//! sets that are too many to compare.

use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation as _;

/// Two texts are nearly the same if this share of their words is in both.
const NEAR: (usize, usize) = (17, 20);

/// The words of a headline and a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wording {
    headline: BTreeSet<String>,
    body: BTreeSet<String>,
}

impl Wording {
    /// The words of these texts, without regard to case, order and punctuation.
    pub(crate) fn of(headline: &str, body: &str) -> Self {
        let words = |text: &str| text.unicode_words().map(str::to_lowercase).collect();
        Self {
            headline: words(headline),
            body: words(body),
        }
    }

    /// Whether a reader sees nearly the same ad: both texts share 85 % of their words (Jaccard similarity).
    pub(crate) fn is_near(&self, other: &Self) -> bool {
        let near = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            let common = one.intersection(other).count();
            let all = one.union(other).count();
            let (share, of) = NEAR;
            common * of >= all * share
        };
        near(&self.headline, &other.headline) && near(&self.body, &other.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ads_that_differ_in_punctuation_or_order_are_near() {
        let one = Wording::of("Acme Boots!", "Try a pair. Warm feet in any weather.");
        assert!(one.is_near(&Wording::of(
            "Acme boots",
            "Warm feet in any weather. Try a pair!"
        )));
        assert!(!one.is_near(&Wording::of(
            "Say hello to Acme Boots",
            "Try a pair. Warm feet in any weather."
        )));
        assert!(!one.is_near(&Wording::of("Acme Boots!", "Warm feet in any weather.")));
    }

    #[test]
    fn emoji_alone_are_all_the_same() {
        assert!(Wording::of("👍", "👍").is_near(&Wording::of("🎉", "🎉")));
    }
}
