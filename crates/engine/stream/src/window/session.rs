//! Session windows, whose bounds depend on their records.

use bytes::Bytes;

use super::layout::Layout;
use super::{Added, Aggregate, Stored, Time, Window, Windows};
use crate::{Outputs, Result, Timers};

/// The maximum number of sessions of one key that are read together. Sessions do not overlap and are at least one gap
/// long, so only records far ahead of the watermark could exceed this number.
const MAX_SESSIONS: usize = 1 << 20;

impl<A: Aggregate> Windows<A> {
    /// Treats the record as a session and merges it with the sessions that it overlaps. Only the record's own time
    /// decides whether it is dropped, and a session is kept as long as an accepted record can reach it. So the order of
    /// arrival does not change the result.
    #[expect(clippy::too_many_arguments, reason = "the body of one loop")]
    pub(super) fn add_to_session(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        timers: &Timers,
        key: &Bytes,
        at: i64,
        gap: i64,
        time: Time,
        item: &A::Item,
    ) -> Result<Added> {
        let mut merged = Window {
            start: at,
            end: at.saturating_add(gap),
        };
        if merged.end.saturating_add(self.lateness) <= time.forgotten() {
            return Ok(Added::DroppedLate);
        }
        let mut value = A::default();
        value.add(item);
        let mut revisions = 0;
        let mut replaces = Vec::new();
        let reach = merged.end;
        let overlapping = |start: i64, end: i64| start < reach && at < end;
        for (place, known) in self.layout.of_key(out, partition, key, MAX_SESSIONS)? {
            let start = place.start;
            if !overlapping(start, known.end) {
                continue;
            }
            self.layout.remove(timers, out, partition, key, start, known.due);
            // If `due == end` in spite of an earlier result, the session has changed since that result, and `replaces`
            // already names what the result replaces.
            let window = Window {
                start,
                end: known.end,
            };
            replaces.extend(known.replaces);
            if known.revisions > 0 && known.due != known.end {
                replaces.push(window);
            }
            revisions = revisions.max(known.revisions);
            merged.start = merged.start.min(start);
            merged.end = merged.end.max(known.end);
            value.merge(known.value);
        }
        replaces.sort_unstable();
        replaces.dedup();
        let mut stored = Stored {
            end: merged.end,
            value,
            revisions,
            due: i64::MIN,
            replaces,
        };
        Layout::<A>::move_due(
            timers,
            out,
            partition,
            key,
            merged.start,
            &mut stored.due,
            merged.end,
        );
        self.layout.put(out, partition, key, merged.start, &stored);
        Ok(if revisions > 0 || merged.end <= time.watermark {
            Added::Late
        } else {
            Added::OnTime
        })
    }
}
