//! Deletes points that are older than the settings keep them, a few at each tick.

use std::time::Duration;

use limbic_domain::Utc;

use crate::meters::SeriesMeters;
use crate::point::{Older, SeriesError, SeriesStore, Written};
use crate::settings::KeepPoints;

/// How often old points are deleted.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Points that one step deletes at most.
const POINTS: u32 = 2_000;
/// Steps in one tick.
const STEPS: u32 = 4;
/// Ticks from the end of a round to the next round.
const TICKS_BETWEEN_ROUNDS: u32 = 30;

/// Deletes the old points of all tenants and measurements.
#[derive(Debug)]
pub(crate) struct Retention {
    keep: KeepPoints,
    meters: SeriesMeters,
    /// What this round still has to delete.
    older: Vec<Older>,
    /// Ticks until the next round.
    pause: u32,
}

impl Retention {
    pub(crate) const fn new(keep: KeepPoints, meters: SeriesMeters) -> Self {
        Self {
            keep,
            meters,
            older: Vec::new(),
            pause: 0,
        }
    }

    pub(crate) fn count_in(&mut self, meters: SeriesMeters) {
        self.meters = meters;
    }

    pub(crate) fn count_not_stored(&self, written: &Written) {
        for (measurement, points) in &written.not_stored {
            self.meters
                .not_stored
                .with_label_values(&[measurement])
                .inc_by(*points);
        }
    }

    /// Does a bounded part of the work.
    pub(crate) async fn tick(&mut self, store: &dyn SeriesStore, now: Utc) -> Result<(), SeriesError> {
        if !self.keep.is_limited() {
            return Ok(());
        }
        if self.older.is_empty() {
            if self.pause > 0 {
                self.pause -= 1;
                return Ok(());
            }
            self.pause = TICKS_BETWEEN_ROUNDS;
            self.older = store.older(&self.keep, now).await?;
        }
        for _ in 0..STEPS {
            let Some(older) = self.older.last() else {
                break;
            };
            let deleted = store.delete(older, POINTS).await?;
            self.meters
                .deleted
                .with_label_values(&[&older.measurement])
                .inc_by(deleted);
            if deleted < u64::from(POINTS) {
                self.older.pop();
            }
        }
        self.meters.freed.inc_by(store.give_back().await?);
        Ok(())
    }
}
