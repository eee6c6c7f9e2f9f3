//! Moves windows from one set to another, for a stage that no longer keeps two.

use super::{Aggregate, Stored, Windows};
use crate::{Outputs, Result};

/// Windows that are moved in one read of the state.
const AT_ONCE: usize = 256;

impl<A: Aggregate> Windows<A> {
    /// Moves all windows of `other` in a partition to these windows; `value` changes what each of them holds. Where both have
    /// a window of a key and time, their values are merged. Does nothing if `other` was never used there.
    ///
    /// Both must have the same kind and lateness, and must have received records of the same keys and times. Nothing is emitted
    /// because of the move.
    pub fn absorb(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        other: &Self,
        value: impl Fn(A) -> A,
    ) -> Result<()> {
        debug_assert_eq!((self.kind, self.lateness), (other.kind, other.lateness));
        let watermark = other.layout.watermark.get(out, partition, &())?;
        let latest = other.layout.latest.get(out, partition, &())?;
        if watermark.is_none() && latest.is_none() {
            return Ok(());
        }
        loop {
            let page = other.layout.page(out, partition, AT_ONCE)?;
            let is_last = page.len() < AT_ONCE;
            for (window, theirs) in page {
                let (key, start, due) = (&window.key, window.start, theirs.due);
                let place = self.layout.key(key, start);
                let ours = self.layout.get(out, partition, &place, &self.recent)?;
                let mut ours = ours.unwrap_or_else(|| Stored {
                    end: theirs.end,
                    value: A::default(),
                    revisions: theirs.revisions,
                    due: i64::MIN,
                    replaces: Vec::new(),
                });
                if ours.due == i64::MIN {
                    self.layout
                        .move_due(out, partition, key, start, &mut ours.due, due);
                }
                ours.value.merge(value(theirs.value));
                self.layout.put(out, partition, key, start, &ours);
                other.layout.remove(out, partition, key, start, due);
            }
            if is_last {
                break;
            }
        }
        if let Some(watermark) = watermark
            && self.watermark(out, partition)? < watermark
        {
            self.layout.watermark.put(out, partition, &(), &watermark);
        }
        if let Some(latest) = latest
            && self.layout.latest.get(out, partition, &())? < Some(latest)
        {
            self.layout.latest.put(out, partition, &(), &latest);
        }
        for table in [&other.layout.watermark, &other.layout.latest] {
            table.remove(out, partition, &());
        }
        other.layout.dropped.remove(out, partition, &());
        Ok(())
    }
}
