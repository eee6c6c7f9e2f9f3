//! A person who took something back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Pseudonym, Record, TenantId, Utc};

/// A person deleted a post, or their account. Ads that are on their way to them are stopped, because what they felt then may be what
/// they took back.
///
/// The envelope's `at` is [`Withdrawal::deleted_at`]. The key in the topic is `TENANT/PERSON`. It is removed from the topic
/// [`Withdrawal::LASTS_MILLIS`] later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawal {
    /// Who.
    pub person: Pseudonym,
    /// When the network deleted what they had written.
    pub deleted_at: Utc,
}

impl Withdrawal {
    /// How long after a deletion no ad reaches the person, by event time. One hour.
    pub const LASTS_MILLIS: i64 = 3_600_000;

    /// The most bytes of all withdrawals in the memory of a stage that reads them. `profile` bounds their number.
    pub const TABLE: usize = 256 << 20;

    /// The key of a person's withdrawal in the topic.
    pub fn key(tenant: &TenantId, person: &Pseudonym) -> String {
        format!("{tenant}/{person}")
    }
}

impl Record for Withdrawal {
    const TYPE: &'static str = "withdrawal";
    const VERSION: u32 = 1;
}
