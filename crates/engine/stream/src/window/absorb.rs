//! What older programs kept: two sets of windows instead of one, and one event time for all tenants.

use std::collections::BTreeSet;

use limbic_domain::{TenantId, Utc};

use super::layout::Layout;
use super::{Aggregate, DUE_PER_READ, Stored, Windows};
use crate::{Error, Outputs, Result};

/// Windows that are moved in one read of the state.
const AT_ONCE: usize = 256;

impl<A: Aggregate> Windows<A> {
    /// Gives each tenant its own event time in a partition whose windows had one for all tenants. `tenant_of` names the tenant of
    /// a key. Returns the tenants that have windows: they continue with the watermark that all had. Nothing is emitted because
    /// of it.
    pub fn divide_time(
        &self,
        out: &mut Outputs<'_>,
        partition: u32,
        tenant_of: impl Fn(&[u8]) -> Option<TenantId>,
    ) -> Result<BTreeSet<TenantId>> {
        let former = &self.layout.former;
        let mut tenants = BTreeSet::new();
        loop {
            let page = former.due.due(out, partition, Utc::MAX, DUE_PER_READ)?;
            for timer in &page {
                let (key, start) = Layout::<A>::read_id(&timer.id)?;
                let tenant = tenant_of(&key)
                    .ok_or_else(|| Error::Corrupt(format!("the key of a window at {start} has no tenant")))?;
                let timers = self.layout.due_of(&tenant);
                timers.set(out, partition, timer.at, &timer.id, &());
                former.due.cancel(out, partition, timer.at, &timer.id);
                tenants.insert(tenant);
            }
            if page.len() < DUE_PER_READ {
                break;
            }
        }
        let watermark = former.watermark.get(out, partition, &())?;
        let latest = former.latest.get(out, partition, &())?;
        for tenant in &tenants {
            if let Some(watermark) = watermark {
                self.layout.watermark.put(out, partition, &tenant, &watermark);
            }
            if let Some(latest) = latest {
                self.layout.latest.put(out, partition, &tenant, &latest);
            }
        }
        former.watermark.remove(out, partition, &());
        former.latest.remove(out, partition, &());
        Ok(tenants)
    }

    /// Moves all windows of `other` in a partition to these windows; `value` changes what each of them holds. Where both have
    /// a window of a key and time, their values are merged. Does nothing if `other` was never used there. Call it before
    /// [`Self::divide_time`].
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
        let (ours, theirs) = (&self.layout.former, &other.layout.former);
        let watermark = theirs.watermark.get(out, partition, &())?;
        let latest = theirs.latest.get(out, partition, &())?;
        if watermark.is_none() && latest.is_none() {
            return Ok(());
        }
        loop {
            let page = other.layout.page(out, partition, AT_ONCE)?;
            let is_last = page.len() < AT_ONCE;
            for (window, moved) in page {
                let (key, start, due) = (&window.key, window.start, moved.due);
                let place = self.layout.key(key, start);
                let known = self.layout.get(out, partition, &place, &self.recent)?;
                let mut merged = known.unwrap_or_else(|| Stored {
                    end: moved.end,
                    value: A::default(),
                    revisions: moved.revisions,
                    due: i64::MIN,
                    replaces: Vec::new(),
                });
                if merged.due == i64::MIN {
                    Layout::<A>::move_due(&ours.due, out, partition, key, start, &mut merged.due, due);
                }
                merged.value.merge(value(moved.value));
                self.layout.put(out, partition, key, start, &merged);
                other.layout.remove(&theirs.due, out, partition, key, start, due);
            }
            if is_last {
                break;
            }
        }
        if let Some(watermark) = watermark
            && ours
                .watermark
                .get(out, partition, &())?
                .is_none_or(|known| known < watermark)
        {
            ours.watermark.put(out, partition, &(), &watermark);
        }
        if let Some(latest) = latest
            && ours.latest.get(out, partition, &())? < Some(latest)
        {
            ours.latest.put(out, partition, &(), &latest);
        }
        for table in [&theirs.watermark, &theirs.latest] {
            table.remove(out, partition, &());
        }
        other.layout.dropped.remove(out, partition, &());
        Ok(())
    }
}
