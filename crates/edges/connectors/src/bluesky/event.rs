//! The events of Jetstream. Fields that are not needed are skipped.

use std::borrow::Cow;

use serde::Deserialize;
use sonic_rs::LazyValue;

/// An event of any kind.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    /// The account.
    #[serde(borrow, default)]
    pub(super) did: Cow<'a, str>,
    /// The time at which the server saw it, in microseconds.
    pub(super) time_us: Option<i64>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) commit: Option<Commit<'a>>,
    #[serde(borrow)]
    pub(super) account: Option<Account<'a>>,
}

/// A change of a record.
#[derive(Deserialize)]
pub(super) struct Commit<'a> {
    /// The revision of the account's repository: a TID, which is a time and grows.
    #[serde(borrow, default)]
    pub(super) rev: Cow<'a, str>,
    pub(super) operation: Operation,
    #[serde(borrow)]
    pub(super) collection: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) rkey: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) record: Option<LazyValue<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
    #[serde(other)]
    Other,
}

/// A change of an account.
#[derive(Deserialize)]
pub(super) struct Account<'a> {
    #[serde(default)]
    pub(super) active: bool,
    /// Why it is not active.
    #[serde(borrow)]
    pub(super) status: Option<Cow<'a, str>>,
}
