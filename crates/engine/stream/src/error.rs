//! Errors of the log: what happened, whose fault it is, and whether a retry can help.

use limbic_domain::{Fault, Retry};

/// The result of every call of the log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The settings are not valid. The message says what to change.
    #[error("{0}")]
    Settings(String),
    /// Another process holds the embedded log.
    #[error("the log at {path} is in use by another process: stop it, or choose another --data folder")]
    InUse {
        /// The log's folder.
        path: std::path::PathBuf,
    },
    /// The disk is full. Nothing was written. The same call succeeds when there is free space again.
    #[error("the disk of {path} is full: free some space, then the stream resumes by itself")]
    DiskFull {
        /// The log's folder.
        path: std::path::PathBuf,
    },
    /// The topic does not exist.
    #[error("no topic `{0}`: create it with `limbic topics create`")]
    UnknownTopic(String),
    /// Another member has taken over the partitions that this member tried to commit. Subscribe again.
    #[error("fenced: another instance has taken over ({0})")]
    Fenced(String),
    /// The transaction was aborted without any effect. Rewind and process the batch again.
    #[error("transaction aborted: {0}")]
    Aborted(String),
    /// The broker or the disk failed. A retry may succeed.
    #[error("{context}: {message}")]
    Unavailable {
        /// What was tried.
        context: String,
        /// What came back.
        message: String,
    },
    /// The bytes on disk differ from the bytes that were written.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
    /// A record is larger than the log accepts.
    #[error("a record of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of the record.
        size: usize,
        /// Bytes of the largest record that the log accepts.
        limit: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Who must act on the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Settings(_) | Self::InUse { .. } | Self::UnknownTopic(_) | Self::TooLarge { .. } => {
                Fault::User
            }
            Self::Unavailable { .. } | Self::DiskFull { .. } | Self::Fenced(_) | Self::Aborted(_) => {
                Fault::External
            }
            Self::Corrupt(_) | Self::Closed => Fault::Internal,
        }
    }

    /// Whether a retry can help.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } | Self::DiskFull { .. } | Self::Fenced(_) | Self::Aborted(_) => {
                Retry::WithBackoff
            }
            _ => Retry::Never,
        }
    }

    /// Whether this member lost its partitions and must subscribe again.
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced(_))
    }
}
