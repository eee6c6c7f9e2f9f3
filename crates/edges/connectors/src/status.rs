//! The state of a connector, for people.

use std::collections::BTreeMap;

use limbic_domain::Utc;
use serde::Serialize;

/// What a connector does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has not read anything yet.
    #[default]
    Starting,
    /// It reads.
    Running,
    /// The source does not answer, or the edge does not accept: it waits, and tries again.
    Waiting,
    /// The source refuses. It tries again rarely.
    Refused,
    /// A person has paused it.
    Paused,
}

/// The state of a connector.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Status {
    /// What it does.
    pub phase: Phase,
    /// Why it does not read, or what is wrong with the last post that was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The position after the last accepted item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The time of the source's clock there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Utc>,
    /// How far the source's clock is behind that of this machine, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// When the cursor moved last, by the clock of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<Utc>,
    /// Posts, edits and deletions that the log has taken.
    pub accepted: u64,
    /// Posts, edits and deletions that were accepted before.
    pub duplicates: u64,
    /// Items that the edge rejected, or that could not be read.
    pub rejected: u64,
    /// Events of the source that were left out, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Failures of the source and the edge.
    pub failures: u64,
    /// How often an open connection brought nothing for too long.
    pub stalls: u64,
    /// How much of the source's quota is left, in the source's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_left: Option<u64>,
}
