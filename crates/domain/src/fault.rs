//! Who must act on an error, and whether a retry can help.

use serde::{Deserialize, Serialize};

/// Who must act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The input is wrong. Only its sender can correct it.
    User,
    /// A server outside this process failed.
    External,
    /// This program, or its machine, has a defect.
    Internal,
}

/// Whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same input fails again. Send it to the dead-letter topic, or stop.
    Never,
    /// A later attempt may succeed. Wait, then try again.
    WithBackoff,
}
