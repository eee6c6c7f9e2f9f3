//! What can go wrong in an evaluation, and what to do about it.

use std::path::{Path, PathBuf};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file could not be opened or read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be, as a whole; a single bad row is counted in the report instead.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
    /// No row was left to evaluate on.
    #[error("{path}: no usable row ({rejected} rejected{first})", path = path.display())]
    NoRows {
        /// Which log.
        path: PathBuf,
        /// How many rows were malformed.
        rejected: u64,
        /// The first rejection, as `: line 7: ...`; empty if there was none.
        first: String,
    },
    /// Without the probability of what was logged, a weight cannot be computed.
    #[error(
        "{rows} of {total} rows have no propensity, the first on line {line}: they cannot be weighted; \
         log the propensity, or have it estimated with --estimate-propensities (the report then says what that assumes)"
    )]
    MissingPropensity {
        /// How many rows lack it.
        rows: u64,
        /// How many rows there are.
        total: u64,
        /// The line of the first one.
        line: u64,
    },
    /// The policy cannot be evaluated on this log.
    #[error("policy `{policy}`: {reason}")]
    Policy {
        /// Which policy.
        policy: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// An option is outside its range.
    #[error("option `{option}` is {value}: {rule}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What it was.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
}

impl EvaluateError {
    pub(super) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn policy(policy: &str, reason: impl Into<String>) -> Self {
        Self::Policy {
            policy: policy.to_owned(),
            reason: reason.into(),
        }
    }
}
