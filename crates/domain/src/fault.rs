//! Whose fault an error is, and what may be done about it (DESIGN, law 3).

use serde::{Deserialize, Serialize};

/// Whose an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// What came in is wrong: only its sender can mend it.
    User,
    /// A server or platform outside this process did not do its part.
    External,
    /// This program is wrong, or its machine is.
    Internal,
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same input will fail again: dead-letter it or stop.
    Never,
    /// It may pass later: wait and try again.
    WithBackoff,
}
