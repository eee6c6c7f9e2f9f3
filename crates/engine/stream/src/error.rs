//! What can go wrong in the log, whose fault it is and what may be done.

use limbic_domain::{Fault, Retry};

/// The result of every call of the log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The settings cannot work; the message says what to change.
    #[error("{0}")]
    Settings(String),
    /// Another process holds the embedded log.
    #[error("the log at {path} is in use by another process: stop it, or choose another --data folder")]
    InUse {
        /// The log's folder.
        path: std::path::PathBuf,
    },
    /// The disk is full. Nothing was written; the same call succeeds once there is room.
    #[error("no room left on the disk of {path}: free some, the stream resumes by itself")]
    DiskFull {
        /// The log's folder.
        path: std::path::PathBuf,
    },
    /// The topic does not exist.
    #[error("no topic `{0}`: create it with `limbic topics create`")]
    UnknownTopic(String),
    /// This member no longer owns what it tried to commit: another took over. Subscribe again.
    #[error("fenced: another instance has taken over ({0})")]
    Fenced(String),
    /// The transaction was aborted and left no trace. Rewind and process again.
    #[error("transaction aborted: {0}")]
    Aborted(String),
    /// The broker or the disk did not do its part; it may next time.
    #[error("{context}: {message}")]
    Unavailable {
        /// What was tried.
        context: String,
        /// What came back.
        message: String,
    },
    /// Bytes on disk are not what was written there.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
    /// A record is larger than the log takes.
    #[error("a record of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest size in bytes.
        limit: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Whose fault it is.
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

    /// Whether trying again may help.
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
