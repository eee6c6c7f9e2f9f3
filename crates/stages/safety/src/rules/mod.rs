//! The rules, one file for each family.

pub(crate) mod audience;
pub(crate) mod creatives;
pub(crate) mod people;

use crate::gate::AudienceRule;

/// The rules about a whole campaign, in the order of their application.
pub(crate) const AUDIENCE: &[AudienceRule] = &[
    audience::event,
    audience::unread,
    audience::distress,
    audience::feeling,
    audience::hostility,
    audience::complaint,
    audience::sensitive,
];

/// Why a rule cannot judge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    /// A number is NaN or outside its range.
    #[error("{0} is not a number in its range")]
    Unreadable(&'static str),
}

/// A share as a person reads it.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 0.05 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}
