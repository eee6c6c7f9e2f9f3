//! What a cursor of X says.

use std::time::Duration;

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use super::partitions::Events;
use crate::spent::Spent;

/// When the ids of X begin, in milliseconds.
const FIRST_MILLIS: i64 = 1_288_834_974_657;
/// The bits of an id below its time in milliseconds.
const BITS_BELOW_TIME: u32 = 22;

/// The time of an id.
pub(super) const fn time_of(id: u64) -> Utc {
    Utc::from_millis((id >> BITS_BELOW_TIME) as i64 + FIRST_MILLIS)
}

/// The lowest id of a time.
pub(super) fn id_at(time: Utc) -> u64 {
    let millis = time.as_millis().saturating_sub(FIRST_MILLIS);
    u64::try_from(millis).unwrap_or(0) << BITS_BELOW_TIME
}

/// The id that is earlier by this time.
pub(super) fn before(id: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    id.saturating_sub(millis.saturating_mul(1 << BITS_BELOW_TIME))
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// The highest id that was read.
    pub(super) id: u64,
    /// A part of the past that is searched, page by page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) walk: Option<Walk>,
    /// How many posts X has counted today.
    #[serde(default)]
    pub(super) spent: Spent,
    /// How far the compliance streams were read.
    #[serde(default, skip_serializing_if = "Events::is_empty")]
    pub(super) events: Events,
    /// The ids of edited versions that the compliance streams have told of, and that were not read yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) edits: Vec<String>,
    /// How many pages had something, so that each has a cursor of its own.
    #[serde(default)]
    pub(super) pages: u64,
}

/// A search through a part of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Walk {
    /// It begins behind this id,
    pub(super) after: u64,
    /// and ends before this one. Absent = at the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    /// The number of the rule that is searched for.
    #[serde(default)]
    pub(super) rule: usize,
    /// What X calls the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    /// The highest id that was found.
    #[serde(default)]
    pub(super) highest: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_time() {
        // From the documentation: a post of 2021-01-06T18:40:40.000Z.
        let id = 1_346_889_436_626_259_968;
        assert_eq!(time_of(id).to_string(), "2021-01-06T18:40:40.344Z");
        assert!(id_at(time_of(id)) <= id);
        assert_eq!(
            time_of(before(id, Duration::from_secs(1))).to_string(),
            "2021-01-06T18:40:39.344Z"
        );
        assert_eq!((id_at(Utc::from_millis(0)), before(5, Duration::MAX)), (0, 0));
    }
}
