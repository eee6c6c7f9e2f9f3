//! The rules, one family a file.

pub(crate) mod audience;
pub(crate) mod creatives;
pub(crate) mod people;

use crate::gate::AudienceRule;

/// The rules about the whole draft, in the order they are asked.
pub(crate) const AUDIENCE: &[AudienceRule] = &[audience::distress, audience::feeling, audience::sensitive];

/// A rule could not judge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    /// A number it needs is none, or none of its kind.
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
