//! Removes entries of the state that have had no posts for some time.
//!
//! Removal does not change any result: an entry that is older than its expiry, in *event time*, counts as absent when the
//! next post arrives. Removing its bytes only frees space. So it does not matter when the watermark arrives, or how many
//! entries one call removes.

use limbic_domain::{TenantId, Utc};
use limbic_stream::{Outputs, StageError, StateSchema, Timers};

const DAY: i64 = 86_400_000;
/// One timer of its tenant for each entry: the end of the day of its newest post. The id is the entry's key in the state.
const EXPIRY: Timers = Timers::new("expiry", b"y");
/// The timers of programs that had one event time for all tenants. There can be millions, so each call moves some of them.
const FORMER: Timers = Timers::new("expiry of all tenants", b"x");
/// Maximum number of entries that one call removes, so that a transaction stays small.
const MOST_AT_ONCE: usize = 1_000;

/// The day of `at`, as the time of its last millisecond.
const fn day(at: Utc) -> Utc {
    Utc::from_millis(
        at.as_millis()
            .div_euclid(DAY)
            .saturating_add(1)
            .saturating_mul(DAY),
    )
}

/// The tenant of an entry: its key is one letter, the tenant, `/`, and the rest.
fn tenant_of(entry: &[u8]) -> Result<TenantId, StageError> {
    let name = entry
        .get(1..)
        .unwrap_or_default()
        .split(|byte| *byte == b'/')
        .next();
    name.and_then(|name| TenantId::new(std::str::from_utf8(name).ok()?).ok())
        .ok_or_else(|| StageError::internal("state", "the key of an entry that expires has no tenant"))
}

/// Moves the timer of `entry`. Its newest post was at `before` (`None` = the entry is new) and is now at `now`.
pub(crate) fn moved(
    out: &mut Outputs<'_>,
    partition: u32,
    entry: &[u8],
    before: Option<Utc>,
    now: Utc,
) -> Result<(), StageError> {
    if before.is_some_and(|before| day(before) == day(now)) {
        return Ok(());
    }
    let timers = EXPIRY.of(&tenant_of(entry)?);
    if let Some(before) = before {
        cancel(out, partition, entry, before)?;
    }
    timers.set(out, partition, day(now), entry, &());
    Ok(())
}

/// Removes the timer of `entry`, whose newest post was at `before`.
pub(crate) fn cancel(
    out: &mut Outputs<'_>,
    partition: u32,
    entry: &[u8],
    before: Utc,
) -> Result<(), StageError> {
    let timers = EXPIRY.of(&tenant_of(entry)?);
    timers.cancel(out, partition, day(before), entry);
    if out.get(partition, &FORMER.key(day(before), entry))?.is_some() {
        FORMER.cancel(out, partition, day(before), entry);
    }
    Ok(())
}

/// Calls `forget` with the key of each entry of `tenant` without posts for `expiry` milliseconds at `watermark`, and removes its
/// timer.
pub(crate) fn sweep(
    out: &mut Outputs<'_>,
    partition: u32,
    tenant: &TenantId,
    watermark: Utc,
    expiry: i64,
    mut forget: impl FnMut(&mut Outputs<'_>, &[u8]) -> Result<(), StageError>,
) -> Result<(), StageError> {
    // The end of a stream removes nothing, because the stream may be continued.
    if watermark == Utc::MAX {
        return Ok(());
    }
    for timer in FORMER.due(out, partition, Utc::MAX, MOST_AT_ONCE)? {
        let timers = EXPIRY.of(&tenant_of(&timer.id)?);
        timers.set(out, partition, timer.at, &timer.id, &());
        FORMER.cancel(out, partition, timer.at, &timer.id);
    }
    let timers = EXPIRY.of(tenant);
    let silent_since = watermark.plus_millis(expiry.saturating_neg()).plus_millis(-1);
    for timer in timers.due(out, partition, silent_since, MOST_AT_ONCE)? {
        forget(out, &timer.id)?;
        timers.cancel(out, partition, timer.at, &timer.id);
    }
    Ok(())
}

/// Adds the timers to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.timers_of_tenants(&EXPIRY).timers(&FORMER)
}
