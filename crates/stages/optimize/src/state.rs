//! Keys and values of the stage's state.

use std::collections::BTreeMap;

use limbic_domain::{Pseudonym, TenantId, Utc};
use limbic_stream::{Outputs, StageError, StateSchema, Timer, Timers};
use serde::{Deserialize, Serialize};

use limbic_bandit::guardrails::frequency_cap::Contacts;
use limbic_bandit::guardrails::pacing::Pacer;

use crate::loaded_policy::SavedPolicy;
use crate::open_decision::OpenDecision;
use crate::{held_out, results};

pub(crate) fn open_key(tenant: &TenantId, id: &str) -> String {
    format!("open/{tenant}/{id}")
}

/// The tenant and the decision's id in an `open/…` key.
pub(crate) fn split_open(key: &str) -> Result<(TenantId, &str), StageError> {
    let parts = key.strip_prefix("open/").and_then(|rest| rest.split_once('/'));
    let (tenant, id) =
        parts.ok_or_else(|| StageError::internal("state", "an `open` key of the state is damaged"))?;
    Ok((TenantId::new(tenant).map_err(|error| damaged(&error))?, id))
}

pub(crate) fn reached_key(tenant: &TenantId, campaign: &str, person: &Pseudonym) -> String {
    format!("reached/{tenant}/{campaign}/{person}")
}

pub(crate) fn contacted_key(tenant: &TenantId, decision: &str) -> String {
    format!("contacted/{tenant}/{decision}")
}

pub(crate) fn contacts_of(partition: u32, key: &str, out: &Outputs<'_>) -> Result<Contacts, StageError> {
    let saved = out.get(partition, key.as_bytes())?;
    saved.map_or_else(|| Ok(Contacts::default()), |saved| decode(&saved))
}

/// When an entry of the state is next due, in the event time of its tenant: the id of a timer is the key of the entry.
pub(crate) const DUE: Timers = Timers::new("what is due", b"due_of/");

/// The timers of programs that had one event time for all tenants.
const FORMER_DUE: Timers = Timers::new("what is due of all tenants", b"timer/");

/// The key that a timer's id is.
pub(crate) fn target_of(timer: &Timer<()>) -> Result<&str, StageError> {
    std::str::from_utf8(&timer.id).map_err(|error| damaged(&error))
}

/// Begins the keys of the index that version 0.1 of this program kept instead of [`DUE`]: `due/`, the time as 16 hexadecimal
/// digits with its sign bit flipped, `/`, and the target.
const FORMER_INDEX: &[u8] = b"due/";

/// Most entries that are moved or looked at in one go.
pub(crate) const AT_ONCE: usize = 1024;

/// Gives each tenant timers, a clock and a number of open decisions of its own, from those that older programs kept for all
/// tenants. Returns the tenants. A timer has no effect if its decision has a later one already.
pub(crate) fn divide_time(
    partition: u32,
    out: &mut Outputs<'_>,
) -> Result<BTreeMap<TenantId, u64>, StageError> {
    let mut open_of: BTreeMap<TenantId, u64> = BTreeMap::new();
    loop {
        let former = out.scan(partition, FORMER_INDEX, FORMER_INDEX, AT_ONCE)?;
        if former.is_empty() {
            break;
        }
        for (key, _) in former {
            let (at, target) =
                split_former(&key).ok_or_else(|| damaged(&"a `due` key has no time or no target"))?;
            FORMER_DUE.set(out, partition, at, target.as_bytes(), &());
            out.remove(partition, key.clone());
        }
    }
    loop {
        let former = FORMER_DUE.due(out, partition, Utc::MAX, AT_ONCE)?;
        if former.is_empty() {
            break;
        }
        for timer in former {
            let tenant = tenant_of(target_of(&timer)?)?;
            DUE.of(&tenant).set(out, partition, timer.at, &timer.id, &());
            FORMER_DUE.cancel(out, partition, timer.at, &timer.id);
            open_of.entry(tenant).or_default();
        }
    }
    let mut from = OPEN.to_vec();
    loop {
        let page = out.scan(partition, OPEN, &from, AT_ONCE)?;
        let Some((last, _)) = page.last() else {
            break;
        };
        from = [&last[..], &[0]].concat();
        for (key, _) in &page {
            let key = std::str::from_utf8(key).map_err(|error| damaged(&error))?;
            *open_of.entry(tenant_of(key)?).or_default() += 1;
        }
    }
    let clock = counter(partition, FORMER_CLOCK, out)?;
    for (tenant, open) in &open_of {
        set_counter(partition, count_key(tenant), open.cast_signed(), out);
        set_counter(partition, clock_key(tenant), clock, out);
    }
    out.remove(partition, FORMER_COUNT);
    out.remove(partition, FORMER_CLOCK);
    Ok(open_of)
}

/// Begins the keys of open decisions.
const OPEN: &[u8] = b"open/";
/// The number of open decisions of all tenants, in older programs.
const FORMER_COUNT: &[u8] = b"count";
/// The latest event time of an outcome of any tenant, in older programs.
const FORMER_CLOCK: &[u8] = b"clock";

/// The key of the number of open decisions of a tenant.
pub(crate) fn count_key(tenant: &TenantId) -> String {
    format!("count/{tenant}")
}

/// The key of the latest event time of an outcome of a tenant.
pub(crate) fn clock_key(tenant: &TenantId) -> String {
    format!("clock/{tenant}")
}

/// The tenant in a key of the state, or in the target of a timer: `KIND/TENANT/…`.
pub(crate) fn tenant_of(key: &str) -> Result<TenantId, StageError> {
    let tenant = key.split('/').nth(1).unwrap_or_default();
    TenantId::new(tenant).map_err(|error| damaged(&error))
}

fn split_former(key: &[u8]) -> Option<(Utc, &str)> {
    let text = std::str::from_utf8(key.strip_prefix(FORMER_INDEX)?).ok()?;
    let (time, target) = text.split_once('/')?;
    let millis = (u64::from_str_radix(time, 16).ok()? ^ (1 << 63)).cast_signed();
    Some((Utc::from_millis(millis), target))
}

pub(crate) fn counter(partition: u32, key: &[u8], out: &Outputs<'_>) -> Result<i64, StageError> {
    let saved = out.get(partition, key)?;
    let bytes = saved.and_then(|bytes| <[u8; 8]>::try_from(&*bytes).ok());
    Ok(bytes.map_or(0, i64::from_be_bytes))
}

pub(crate) fn set_counter(partition: u32, key: impl Into<bytes::Bytes>, value: i64, out: &mut Outputs<'_>) {
    out.put(
        partition,
        key.into(),
        bytes::Bytes::copy_from_slice(&value.to_be_bytes()),
    );
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("state has string keys and finite numbers")
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StageError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(&error))
}

pub(crate) fn damaged(error: &dyn std::fmt::Display) -> StageError {
    StageError::internal("state", format!("the stage's state cannot be read: {error}"))
}

/// The entries of the stage's state.
pub(crate) fn schema() -> StateSchema {
    let number = |_: &[u8], value: &[u8]| {
        let problem = || format!("the value has {} bytes, not 8", value.len());
        (value.len() == 8).then_some(()).ok_or_else(problem)
    };
    let schema = StateSchema::new()
        .entries("open decisions", OPEN, json::<OpenDecision>)
        .entries("contacts of people", b"reached/", json::<Contacts>)
        .entries("people of decisions", b"contacted/", json::<Vec<Pseudonym>>)
        .entries("budgets", b"budget/", json::<Pacer>)
        .entries(
            "tests of challengers",
            b"champion_challenger/",
            json::<serde_json::Value>,
        )
        .entries("policies", b"policy/", policy)
        .entries("policies of challengers", b"challenger/", policy)
        .entries("numbers of open decisions", b"count", number)
        .entries("latest outcomes", b"clock", number)
        .entries("decisions without impressions", b"unseen/", number)
        .entries("former index of what is due", FORMER_INDEX, |_, _| Ok(()))
        .timers_of_tenants(&DUE)
        .timers(&FORMER_DUE);
    results::described_in(held_out::described_in(schema))
}

pub(crate) fn json<T: serde::de::DeserializeOwned>(_: &[u8], value: &[u8]) -> Result<(), String> {
    let value = serde_json::from_slice::<T>(value);
    value.map(drop).map_err(|error| error.to_string())
}

/// A policy, or a part of a large one: its key has a number behind the names of tenant and campaign.
fn policy(key: &[u8], value: &[u8]) -> Result<(), String> {
    if key.split(|byte| *byte == b'/').count() > 2 {
        return Ok(());
    }
    json::<SavedPolicy>(key, value)
}
