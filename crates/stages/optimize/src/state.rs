//! Keys and values of the stage's state.

use limbic_domain::{CreativeSet, Envelope, Pseudonym, TenantId, Utc};
use limbic_stream::{Outputs, StageError};
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

pub(crate) fn reached_key(set: &Envelope<CreativeSet>, person: &Pseudonym) -> String {
    format!("reached/{}/{}/{person}", set.tenant, set.data.campaign)
}

pub(crate) fn contacts_of(partition: u32, key: &str, out: &Outputs<'_>) -> Result<Contacts, StageError> {
    let saved = out.get(partition, key.as_bytes())?;
    saved.map_or_else(|| Ok(Contacts::default()), |saved| decode(&saved))
}

/// Sorts by time: the sign bit is flipped so that times before 1970 come first.
pub(crate) fn due_key(due: Utc, target: &str) -> String {
    let sortable = due.as_millis().cast_unsigned() ^ (1 << 63);
    format!("due/{sortable:016x}/{target}")
}

/// The time and the target in a `due/…` key.
pub(crate) fn split_due(key: &[u8]) -> Option<(Utc, String)> {
    let text = std::str::from_utf8(key).ok()?.strip_prefix("due/")?;
    let (time, target) = text.split_once('/')?;
    let millis = (u64::from_str_radix(time, 16).ok()? ^ (1 << 63)).cast_signed();
    Some((Utc::from_millis(millis), target.to_owned()))
}

pub(crate) fn counter(partition: u32, key: &[u8], out: &Outputs<'_>) -> Result<i64, StageError> {
    let saved = out.get(partition, key)?;
    let bytes = saved.and_then(|bytes| <[u8; 8]>::try_from(&*bytes).ok());
    Ok(bytes.map_or(0, i64::from_be_bytes))
}

pub(crate) fn set_counter(partition: u32, key: &'static [u8], value: i64, out: &mut Outputs<'_>) {
    out.put(
        partition,
        key,
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
