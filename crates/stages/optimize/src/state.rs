//! Keys and values of the stage's state.

use limbic_domain::{Pseudonym, TenantId, Utc};
use limbic_stream::{Outputs, StageError, Timer, Timers};
use serde::{Deserialize, Serialize};

use limbic_bandit::guardrails::frequency_cap::Contacts;

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

/// When an entry of the state is next due, in event time: the id of a timer is the key of the entry.
pub(crate) const DUE: Timers = Timers::new("what is due", b"timer/");

/// The key that a timer's id is.
pub(crate) fn target_of(timer: &Timer<()>) -> Result<&str, StageError> {
    std::str::from_utf8(&timer.id).map_err(|error| damaged(&error))
}

/// Begins the keys of the index that version 0.1 of this program kept instead of [`DUE`]: `due/`, the time as 16 hexadecimal
/// digits with its sign bit flipped, `/`, and the target.
const FORMER_INDEX: &[u8] = b"due/";

/// Most entries that are moved or looked at in one go.
pub(crate) const AT_ONCE: usize = 1024;

/// Turns up to [`AT_ONCE`] entries of the former index into timers, earliest first: those that are due before `now`. Returns
/// how many. A timer has no effect if its decision has a later one already.
pub(crate) fn move_former_timers(
    partition: u32,
    now: Utc,
    out: &mut Outputs<'_>,
) -> Result<usize, StageError> {
    let mut moved = 0;
    for (key, _) in out.scan(partition, FORMER_INDEX, FORMER_INDEX, AT_ONCE)? {
        let (at, target) =
            split_former(&key).ok_or_else(|| damaged(&"a `due` key has no time or no target"))?;
        if at >= now {
            break;
        }
        DUE.set(out, partition, at, target.as_bytes(), &());
        out.remove(partition, key.clone());
        moved += 1;
    }
    Ok(moved)
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
