//! Removes entries of the state that have had no posts for some time.
//!
//! Removal does not change any result: an entry that is older than its expiry, in *event time*, counts as absent when the
//! next post arrives. Removing its bytes only frees space. So it does not matter when the watermark arrives, or how many
//! entries one call removes.

use limbic_domain::Utc;
use limbic_stream::{Outputs, StageError, Timers};

const DAY: i64 = 86_400_000;
/// One timer for each entry: the end of the day of its newest post. The id is the entry's key in the state.
const EXPIRY: Timers = Timers::new("expiry", b"x");
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

/// Moves the timer of `entry`. Its newest post was at `before` (`None` = the entry is new) and is now at `now`.
pub(crate) fn moved(out: &mut Outputs<'_>, partition: u32, entry: &[u8], before: Option<Utc>, now: Utc) {
    if before.is_some_and(|before| day(before) == day(now)) {
        return;
    }
    if let Some(before) = before {
        EXPIRY.cancel(out, partition, day(before), entry);
    }
    EXPIRY.set(out, partition, day(now), entry, &());
}

/// Calls `forget` with the key of each entry without posts for `expiry` milliseconds at `watermark`, and removes its
/// timer.
pub(crate) fn sweep(
    out: &mut Outputs<'_>,
    partition: u32,
    watermark: Utc,
    expiry: i64,
    mut forget: impl FnMut(&mut Outputs<'_>, &[u8]) -> Result<(), StageError>,
) -> Result<(), StageError> {
    // The end of a stream removes nothing, because the stream may be continued.
    if watermark == Utc::MAX {
        return Ok(());
    }
    let silent_since = watermark.plus_millis(expiry.saturating_neg()).plus_millis(-1);
    for timer in EXPIRY.due(out, partition, silent_since, MOST_AT_ONCE)? {
        forget(out, &timer.id)?;
        EXPIRY.cancel(out, partition, timer.at, &timer.id);
    }
    Ok(())
}
