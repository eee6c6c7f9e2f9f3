//! Which entries of the state are old: an index by the day of their newest post.
//!
//! Forgetting must not be seen. What is silent for longer than its expiry counts as forgotten by *event time* already, when the
//! next post comes; removing its bytes once the watermark is that far only makes room. So it does not matter when
//! exactly the watermark comes, or how many entries one call removes.

use limbic_domain::Utc;
use limbic_stream::{Outputs, StageError};

use crate::codec::{time_key, time_of_key};

const DAY: i64 = 86_400_000;
/// The index's keys: this, the day, and the key of the entry.
const PREFIX: u8 = b'x';
/// Most entries removed in one call, so that a transaction stays small.
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

fn index_key(at: Utc, entry: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + entry.len());
    key.push(PREFIX);
    key.extend_from_slice(&time_key(day(at)));
    key.extend_from_slice(entry);
    key
}

/// The newest post of `entry` was at `before` (`None`: it is new) and is now at `now`.
pub(crate) fn moved(out: &mut Outputs<'_>, partition: u32, entry: &[u8], before: Option<Utc>, now: Utc) {
    if before.is_some_and(|before| day(before) == day(now)) {
        return;
    }
    if let Some(before) = before {
        out.remove(partition, index_key(before, entry));
    }
    out.put(partition, index_key(now, entry), Vec::new());
}

/// Takes out of the index what was silent for `expiry` milliseconds at `watermark`, and calls `forget` with the key of each.
pub(crate) fn sweep(
    out: &mut Outputs<'_>,
    partition: u32,
    watermark: Utc,
    expiry: i64,
    mut forget: impl FnMut(&mut Outputs<'_>, &[u8]) -> Result<(), StageError>,
) -> Result<(), StageError> {
    // The end of time is no silence: a stream that ended may be taken up again.
    if watermark == Utc::MAX {
        return Ok(());
    }
    for (key, _) in out.scan(partition, &[PREFIX], &[PREFIX], MOST_AT_ONCE)? {
        let Some((time, entry)) = key.get(1..).and_then(<[u8]>::split_first_chunk) else {
            return Err(StageError::internal(
                "state",
                "a key of the expiry index is damaged",
            ));
        };
        if time_of_key(*time).plus_millis(expiry) >= watermark {
            break;
        }
        forget(out, entry)?;
        out.remove(partition, key);
    }
    Ok(())
}
