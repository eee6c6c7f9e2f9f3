//! Waking those who wait for something to be committed or dealt out.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A counter that can be waited for. Look at [`Signal::seen`] first, then at the world; a change in between is not missed.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn seen(&self) -> u64 {
        *self.changes.lock()
    }

    pub(super) fn raise(&self) {
        *self.changes.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits for a change after `seen`; `false` when `deadline` came first.
    pub(super) fn wait(&self, seen: u64, deadline: Instant) -> bool {
        let mut changes = self.changes.lock();
        while *changes == seen {
            if self.changed.wait_until(&mut changes, deadline).timed_out() {
                return *changes != seen;
            }
        }
        true
    }
}
