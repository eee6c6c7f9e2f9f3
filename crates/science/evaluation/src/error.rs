//! Errors of an evaluation.

use std::path::{Path, PathBuf};

/// The evaluation gave no report.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file could not be opened or read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A file as a whole is not valid. A single invalid row is counted in the report instead.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file, and what was expected.
        reason: String,
    },
    /// No row is left to evaluate on.
    #[error("{path}: no usable row ({rejected} rejected{first})", path = path.display())]
    NoRows {
        /// Path of the log.
        path: PathBuf,
        /// Number of rejected rows.
        rejected: u64,
        /// The first rejection, as `: line 7: ...`; empty if there was none.
        first: String,
    },
    /// Some rows have no propensity, so their weight cannot be computed.
    #[error(
        "{rows} of {total} rows have no propensity, the first on line {line}: they cannot be weighted; \
         log the propensity, or estimate it with --estimate-propensities (the report then states the assumption)"
    )]
    MissingPropensity {
        /// Number of rows without a propensity.
        rows: u64,
        /// Number of all rows.
        total: u64,
        /// Line of the first row without a propensity.
        line: u64,
    },
    /// The policy cannot be evaluated on this log.
    #[error("policy `{policy}`: {reason}")]
    Policy {
        /// Name or settings of the policy.
        policy: String,
        /// The cause, and what to do.
        reason: String,
    },
    /// An option is outside its range.
    #[error("option `{option}` is {value}: {rule}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// The allowed range, as a phrase that follows the value.
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

    pub(super) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write {
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
