//! An ad that a person must approve, and nobody has.

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(crate) const AWAITS_REVIEW: Rule = Rule {
    id: "awaits_review",
    protection: Protection::P9,
    version: 1,
    protects: "people from texts of a machine that no person has read, and an advertiser from texts that nobody has approved",
    objects_when: "the campaign's `review` or `creative.review.mode` demands that a person approves the ad, and nobody has",
    check: Check::Ad(unapproved),
};

fn unapproved(ad: &Ad<'_>) -> Objects {
    Ok(ad.awaits_review.then(|| {
        "A person has not approved the ad yet: `limbic reviews list` and GET /v1/reviews show the ads that wait.".to_owned()
    }))
}
